// What a Hopper kernel makes of products, executed on the CPU: exponents of 2 of the author's score, less a reference,
// against the author's arrow in float64. By polynomials where tanh is taken of small numbers: over all floats, and
// around the seams above all; by the hardware's functions, which the emulator has to the last bit, where it has them.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { z } from 'zod';
import type { KernelContext } from '../../codegen/attention/backend.ts';
import { elementsText } from '../../codegen/attention/elements.ts';
import { exponentOf } from '../../codegen/attention/exponent.ts';
import { hopper } from '../../codegen/attention/hopper/index.ts';
import { type HopperKnobs, hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import { applyText } from '../../codegen/attention/hopper/scores.ts';
import { passesOf } from '../../codegen/attention/passes.ts';
import { smallRanges, termRanges } from '../../codegen/attention/tanh.ts';
import { scalarText } from '../../codegen/expression.ts';
import type { Kernel } from '../../codegen/kernel.ts';
import { namesOf } from '../../codegen/names.ts';
import { Uniforms } from '../../codegen/uniforms.ts';
import { type AnyPattern, pattern } from '../../dsl/pattern.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { requestOf } from '../codegen/golden.ts';
import { bytesOf, floats, int, kernelOf, launch, pointer } from './emulator-kernels.ts';

const given = { cap: z.number().default(30), slope: z.number().default(1) };
interface Pair {
  readonly s: number;
  readonly q: number;
  readonly k: number;
}
interface Numbers {
  readonly cap: number;
  readonly slope: number;
}
const all = () => true;

/** Scores, and what their roundings are measured by beside the score itself: the terms that cancel each other. */
const cases: Record<string, { of: AnyPattern; score: (pair: Pair, own: Numbers) => number; terms?: (pair: Pair, own: Numbers) => number }> = {
  'a soft cap': {
    of: pattern('cap', given).mask(all).score(({ s }, { cap }) => cap * Math.tanh(s / cap)),
    score: ({ s }, { cap }) => cap * Math.tanh(s / cap),
  },
  'a bare tanh': {
    of: pattern('bare', given).mask(all).score(({ s }) => Math.tanh(s)),
    score: ({ s }) => Math.tanh(s),
  },
  'a slope': {
    of: pattern('slope', given).mask(all).score(({ s, q, k }, { slope }) => s - slope * (q - k)),
    score: ({ s, q, k }, { slope }) => s - slope * (q - k),
    terms: ({ s, q, k }, { slope }) => Math.abs(s) + Math.abs(slope) * (q + k),
  },
  'a cap of a slope': {
    of: pattern('both', given).mask(all).score(({ s, q, k }, { cap, slope }) => cap * Math.tanh((s - slope * (q - k)) / cap)),
    score: ({ s, q, k }, { cap, slope }) => cap * Math.tanh((s - slope * (q - k)) / cap),
    terms: ({ s, q, k }, { slope }) => Math.abs(s) + Math.abs(slope) * (q + k),
  },
  'a cap beside a slope': {
    of: pattern('beside', given).mask(all).score(({ s, q, k }, { cap, slope }) => cap * Math.tanh(s / cap) + slope * (k - q)),
    score: ({ s, q, k }, { cap, slope }) => cap * Math.tanh(s / cap) + slope * (k - q),
    terms: ({ q, k }, { cap, slope }) => Math.abs(cap) + Math.abs(slope) * (q + k),
  },
  'a cap of a cap, less another': {
    of: pattern('nested', given).mask(all).score(({ s }, { cap, slope }) => 2 * Math.tanh(cap * Math.tanh(s / cap)) - slope * Math.tanh(s / 3)),
    score: ({ s }, { cap, slope }) => 2 * Math.tanh(cap * Math.tanh(s / cap)) - slope * Math.tanh(s / 3),
    terms: ({ s }, { slope }) => Math.min(Math.abs(s), 2) + Math.abs(slope) * Math.min(Math.abs(s), 1),
  },
  'a power of the distance': {
    of: pattern('power', given).mask(all).score(({ s, q, k }, { slope }) => s - slope * (q - k) ** 0.6),
    score: ({ s, q, k }, { slope }) => s - slope * (q - k) ** 0.6,
    terms: ({ s, q, k }, { slope }) => Math.abs(s) + Math.abs(slope * (q - k) ** 0.6),
  },
  'a power with a sign': {
    of: pattern('signed', given).mask(all).score(({ s }) => s ** -3),
    score: ({ s }) => s ** -3,
    terms: ({ s }) => Math.abs(s ** -3 * Math.log2(Math.abs(s))) || 0,
  },
  "a power of the author's": {
    of: pattern('powers', given).mask(all).score(({ s }, { slope }) => Math.max(Math.abs(s), 1e-30) ** slope),
    score: ({ s }, { slope }) => Math.max(Math.abs(s), 1e-30) ** slope,
    terms: ({ s }, { slope }) => Math.max(Math.abs(s), 1e-30) ** slope * Math.abs(slope * Math.log2(Math.max(Math.abs(s), 1e-30))) || 0,
  },
  'a power of a whole number': {
    of: pattern('whole', given).mask(all).score(({ s, q, k }) => Math.max(-2, Math.min(s, 2)) ** ((q + k) % 5 - 2)),
    score: ({ s, q, k }) => Math.max(-2, Math.min(s, 2)) ** ((q + k) % 5 - 2),
    terms: ({ s, q, k }) => Math.abs(Math.max(-2, Math.min(s, 2)) ** ((q + k) % 5 - 2) * Math.log2(Math.abs(s))) || 0,
  },
  'logarithms and roots': {
    of: pattern('roots', given).mask(all).score(({ s, q, k }) => s * Math.log(1 + Math.abs(q - k)) - Math.sqrt(Math.abs(s)) + Math.log2(2 + Math.abs(s))),
    score: ({ s, q, k }) => s * Math.log(1 + Math.abs(q - k)) - Math.sqrt(Math.abs(s)) + Math.log2(2 + Math.abs(s)),
    terms: ({ s, q, k }) => Math.abs(s) * Math.log(1 + Math.abs(q - k)) + Math.sqrt(Math.abs(s)) + Math.log2(2 + Math.abs(s)),
  },
  'a quotient': {
    of: pattern('quotient', given).mask(all).score(({ s }, { cap }) => s / (1 + Math.abs(cap) + Math.abs(s))),
    score: ({ s }, { cap }) => s / (1 + Math.abs(cap) + Math.abs(s)),
  },
}; // biome-ignore format: a table

const scale = Math.fround(1 / Math.sqrt(128));
const log2OfE = Math.log2(Math.E);
/** Four groups of score blocks: 32 products a lane, 32 lanes. */
const [blocks, count] = [8, 32];

/** A warp applies the score to products as they lie in its accumulators; those that begin a task may have a text of their own. */
function kernelFor(of: AnyPattern, begins: boolean): Kernel {
  const spec = specOf(requestOf(of.definition, 128));
  const uniforms = new Uniforms();
  const score = exponentOf(spec.score!, uniforms, { relative: hopper.relative });
  const names = namesOf(spec.declarations);
  const passes = passesOf(spec.mask, undefined, undefined);
  const knobs = hopperTile(2, blocks * 8);
  const context = {
    passes,
    score,
    names,
    knobs,
    valueDim: 128,
  } as Partial<KernelContext> as KernelContext<HopperKnobs>;
  const numbers = ['cap', 'slope'].map((name) => names('param', name));
  const before = `typedef Params Arguments;
constexpr int score_blocks = ${blocks};
typedef float Scores[1][score_blocks][4];
enum Kind { TILE };
struct Visit { Kind kind; int at; };
WARPLOOM_DEVICE int place_of(const Visit& visit, int column) { return visit.at + column; }
struct Unit { int k_len; float uniform_scale, ${[...numbers, ...uniforms.all.map(({ name }) => names('param', name))].join(', ')}; };
${elementsText(context, [], true)}
${applyText(context)}`;
  const body = `
  const int lane = threadIdx.x, column = (lane & 3) * 2, from = (blockIdx.x * 32 + lane) * score_blocks * 4;
  Unit u;
  u.k_len = 1 << 30;
  u.uniform_scale = ${scale}f;
  ${numbers.map((name, i) => `u.${name} = p.numbers[blockIdx.x * 4 + ${i}];`).join('\n  ')}
  ${uniforms.all.map(({ name, expression }) => `u.${names('param', name)} = ${scalarText(expression, names)};`).join('\n  ')}
  Scores s;
  for (int i = 0; i < score_blocks * 4; ++i) s[0][i / 4][i % 4] = p.scores[from + i];
  apply_score${begins && score.small ? '<score_blocks, true>' : ''}(u, p, 0, {TILE, p.key}, p.query + (lane >> 2), column, {p.numbers[blockIdx.x * 4 + 2], p.numbers[blockIdx.x * 4 + 3]}, ${score.small ? 'shortest_of(u), ' : ''}s);
  for (int i = 0; i < score_blocks * 4; ++i) p.scores[from + i] = s[0][i / 4][i % 4];`;
  return kernelOf('scores', {
    fields: [pointer('scores', 'float'), pointer('numbers', 'float'), int('query'), int('key')],
    primitives: ['numbers', 'functions', 'power', 'floats'],
    before,
    body,
  });
}

/** Products are drawn by the seed: `most` is how many caps they are, mostly, and `sign` that of the large ones, or 0. */
interface Call extends Numbers {
  readonly references: readonly [number, number];
  readonly query: number;
  readonly key: number;
  readonly begins: boolean;
  readonly most: number;
  readonly sign: number;
  readonly seed: number;
}

const float32 = (min: number, max: number) =>
  fc.float({ min: Math.fround(min), max: Math.fround(max), noNaN: true });

const call: fc.Arbitrary<Call> = fc.record({
  cap: fc
    .oneof(fc.constantFrom(1, 5, 30, 50, -20, 1e-9, 1e-12, 1e9), float32(0.5, 1000))
    .map(Math.fround),
  slope: fc.oneof(fc.constant(0), float32(-1, 1)),
  references: fc.tuple(float32(-40, 40), fc.constantFrom(0, 3)),
  query: fc.nat(5000),
  key: fc.nat(5000),
  begins: fc.boolean(),
  most: fc.constantFrom(0.1, 0.17, 0.3, 0.38, 0.6, 0.88, 1.5, 10),
  sign: fc.constantFrom(0, 1, -1),
  seed: fc.nat(),
});

const { POSITIVE_INFINITY, NEGATIVE_INFINITY, NaN: notANumber } = Number;

/** Numbers up to so many caps; where that reaches, those next to the seams, any floats, and what is no number. */
function productsOf({ cap, most, sign, seed }: Call): number[] {
  const near = float32(-most, most).map((caps) => (caps * cap) / scale);
  const tiny = fc.constantFrom(0, -0, 2 ** -149, -(2 ** -126));
  // What is far beyond would have all of its group taken by another polynomial.
  const seams = [...smallRanges, ...termRanges].flatMap(({ below }) =>
    below < 1.2 * most ? [below] : [],
  );
  const atSeam = (below: number) =>
    fc
      .tuple(fc.constantFrom(1, -1), fc.integer({ min: -4, max: 4 }))
      .map(([sign, ulps]) => (sign * below * cap * (1 + ulps * 2 ** -23)) / scale);
  const far = fc.oneof(
    fc.float({ noNaN: true }),
    fc.constantFrom(POSITIVE_INFINITY, NEGATIVE_INFINITY, notANumber),
  );
  const some = fc.oneof(
    { weight: 8, arbitrary: near },
    { weight: 1, arbitrary: tiny },
    ...seams.map((below) => ({ weight: 1, arbitrary: atSeam(below) })),
    { weight: most > 1 ? 1 : 0, arbitrary: far },
  );
  const signed = some.map((value) => Math.fround(value * sign < 0 ? value / 64 : value));
  return fc.sample(signed, { numRuns: count * blocks * 4, seed });
}

describe('exponents of scores', () => {
  it.each(Object.entries(cases))(
    'of %s are those of the arrow',
    async (_, { of, score, terms = () => 0 }) => {
      const [kernel, beginning] = [kernelFor(of, false), kernelFor(of, true)];
      const errorOf = kernel.source.includes('score_of_degree_3') ? cappedError : ownError;
      const property = fc.asyncProperty(call, async (one) => {
        const { cap, slope, references, query, key, begins } = one;
        const products = productsOf(one);
        const { scores } = await runEmulated(launch(begins ? beginning : kernel, { query, key }), {
          scores: bytesOf(Float32Array.from(products)),
          numbers: bytesOf(Float32Array.of(cap, slope, ...references)),
        });
        for (const [i, value] of floats(scores).entries()) {
          const [lane, block, element] = [i >> 5, (i >> 2) & 7, i & 3];
          const half = element >> 1;
          const pair = {
            s: products[i]! * scale,
            q: query + (lane >> 2) + 8 * half,
            k: key + (lane & 3) * 2 + block * 8 + (element & 1),
          };
          const reference = references[half]!;
          const expected = score(pair, one) * log2OfE - reference;
          const sizes = Math.abs(score(pair, one)) + terms(pair, one);
          // What tanh is taken of, and each of its terms, may be a float with few bits, or none; so may a slope in caps.
          const least = 2 ** -120 + (2 ** -144 + 2 ** -149 * (pair.q + pair.k)) * Math.abs(cap);
          const bound = errorOf(log2OfE * sizes) + 2 ** -22 * Math.abs(reference) + least;
          if (agree(value, expected, bound)) continue;
          assert.fail(`${JSON.stringify(pair)}: ${value} for ${expected}, a bound of ${bound}`);
        }
      });
      await fc.assert(property, { numRuns: 80 });
    },
    120_000,
  );
});

/** What an exponent of such a size may be off by. */
const ownError = (size: number): number => 1e-6 * size;

/** The coarse polynomials are for as much as this. */
const cappedError = (size: number): number =>
  Math.max(1e-6 * size, Math.min(1.9e-5 * size, 2.1e-4));

/** Floats end before numbers do: what is beyond 2^100 may be infinite, or the difference of such. */
function agree(value: number, expected: number, bound: number): boolean {
  if (Number.isNaN(expected)) return Number.isNaN(value);
  if (bound > 2 ** 80) return true;
  return Math.abs(value - expected) <= bound;
}
