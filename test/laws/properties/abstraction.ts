// Law 2 as properties: what holds at a point lies in what intervals say of the box around it.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Binding, boxEnvironment, pointEnvironment } from '../../../dsl/analysis/binding.ts';
import { type Box, boxOf, close } from '../../../dsl/analysis/box.ts';
import { formulaOf } from '../../../dsl/analysis/formula.ts';
import {
  always,
  type Bounds,
  bounds,
  intervalOf,
  never,
  truthOf,
} from '../../../dsl/analysis/interval.ts';
import { possible } from '../../../dsl/analysis/possible.ts';
import { specialise } from '../../../dsl/analysis/specialise.ts';
import { Captured } from '../../../dsl/analysis/zones.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import { evaluate } from '../../../dsl/evaluate.ts';
import * as x from '../../../dsl/expression.ts';
import { type Expression, walk } from '../../../dsl/expression.ts';
import { printExpression } from '../../../dsl/print.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import {
  arbitraryBinding,
  arbitraryMask,
  arbitraryScore,
  arbitraryShape,
  numbersFrom,
} from '../../arbitraries.ts';
import { arbitraryPlannedMask, declarations, fillSet, masksFor } from '../arbitraries.ts';

/** A box of pairs of the shape, as fractions so that it shrinks with the shape. */
const arbitraryCuts = fc.record({
  q: fc.tuple(fc.nat(1000), fc.nat(1000)),
  k: fc.tuple(fc.nat(1000), fc.nat(1000)),
  band: fc.option(fc.tuple(fc.nat(1000), fc.nat(1000))),
});

function boxIn(
  { qLen, kLen }: Binding['shape'],
  cuts: { q: readonly number[]; k: readonly number[]; band: readonly number[] | null },
): Box {
  const offset = queryOffset({ qLen, kLen });
  const between = ([a, b]: readonly number[], low: number, high: number) => {
    const at = (x: number) => low + Math.floor((x * (high - low + 1)) / 1001);
    return [Math.min(at(a!), at(b!)), Math.max(at(a!), at(b!))] as const;
  };
  const [q0, q1] = between(cuts.q, offset, kLen - 1);
  const [k0, k1] = between(cuts.k, 0, kLen - 1);
  const box = boxOf(q0, q1, k0, k1);
  if (cuts.band) [box.d0, box.d1] = between(cuts.band, box.d0, box.d1);
  return box;
}

/** Pairs of a box: all of a small one, its corners and some others of a large one. */
function* pairsIn(box: Box, seed: number): Generator<{ q: number; k: number }> {
  const isIn = (q: number, k: number) => q - k >= box.d0 && q - k <= box.d1;
  const [height, width] = [box.q1 - box.q0 + 1, box.k1 - box.k0 + 1];
  if (height * width <= 400) {
    for (let q = box.q0; q <= box.q1; q += 1)
      for (let k = box.k0; k <= box.k1; k += 1) if (isIn(q, k)) yield { q, k };
    return;
  }
  const next = numbersFrom(seed);
  for (const q of [box.q0, box.q1])
    for (const k of [box.k0, box.k1, q - box.d0, q - box.d1])
      if (k >= box.k0 && k <= box.k1 && isIn(q, k)) yield { q, k };
  for (let i = 0; i < 200; i += 1) {
    const q = box.q0 + Math.floor(next() * height);
    const k = box.k0 + Math.floor(next() * width);
    if (isIn(q, k)) yield { q, k };
  }
}

/** NaN and infinities among the floats of captured tensors, now and then. */
function withOddFloats(binding: Binding, seed: number): Binding {
  const next = numbersFrom(seed);
  if (next() < 0.5) return binding;
  const captured = Object.fromEntries(
    Object.entries(binding.captured).map(([name, { kind, shape, data }]) => {
      if (kind === 'int') return [name, new Captured(kind, shape, data)];
      const odd = [NaN, Infinity, -Infinity, -0];
      const values = Float32Array.from(data, (x) =>
        next() < 0.2 ? odd[Math.floor(next() * 4)]! : x,
      );
      return [name, new Captured(kind, shape, values)];
    }),
  );
  return { ...binding, captured };
}

const lines = arbitraryShape({ tile: 16, least: 1 }).chain((shape) =>
  fc.record({ binding: arbitraryBinding(shape), cuts: arbitraryCuts, seed: fc.nat() }),
);

/** Every part of an expression, at every pair of a box. */
function checkAbstraction(node: Expression, binding: Binding, box: Box, seed: number): void {
  const closed = { ...box };
  if (!close(closed)) {
    for (const _ of pairsIn(box, seed)) assert.fail('a closed box lost a pair');
    return;
  }
  const env = boxEnvironment(binding, closed);
  const parts = [...walk(node)].map((part) => ({
    part,
    truth: part.kind === 'bool' ? truthOf(part, env) : undefined,
    range: part.kind === 'bool' ? undefined : intervalOf(part, env),
  }));
  const next = numbersFrom(seed + 1);
  for (const { q, k } of pairsIn(box, seed)) {
    const point = pointEnvironment(binding, q, k, (next() - 0.5) * 40);
    for (const { part, truth, range } of parts) {
      const value = evaluate(part, point);
      const where = () => `${printExpression(part)} at q=${q}, k=${k} is ${String(value)}, `;
      if (truth !== undefined) {
        const isIn = truth === always ? value === true : truth === never ? value === false : true;
        if (!isIn) assert.fail(`${where()}outside ${truth === always ? 'always' : 'never'}`);
      } else {
        const { lo, hi, nan } = range!;
        const isIn = Number.isNaN(value) ? nan : (value as number) >= lo && (value as number) <= hi;
        if (!isIn) assert.fail(`${where()}outside [${lo}, ${hi}]${nan ? ' or NaN' : ''}`);
      }
    }
  }
}

/** The value at a point lies in the interval of any box around it: every part of a mask or a score. */
export const pointsLieInIntervals = (depth = 3) =>
  fc.property(
    fc.oneof(arbitraryMask(declarations, { depth }), arbitraryScore(declarations, { depth })),
    lines,
    (node, { binding, cuts, seed }) => {
      const bound = withOddFloats(binding, seed);
      const { shape, unit, params } = bound;
      const box = boxIn(shape, cuts);
      checkAbstraction(node, bound, box, seed);
      checkAbstraction(specialise(node, shape, unit, params), bound, box, seed);
    },
  );

/** 'no' is a proof, 'yes' comes with a pair at which the mask (or its negation) holds. */
export const answersAreTrue = (depth = 3) =>
  fc.property(
    masksFor(depth),
    lines,
    fc.boolean(),
    fc.constantFrom(2048, 8, 1, 64),
    (node, { binding, cuts, seed }, negated, budget) => {
      const bound = withOddFloats(binding, seed);
      const { shape, unit, params } = bound;
      const box = boxIn(shape, cuts);
      const mask = specialise(node, shape, unit, params);
      const answer = possible(formulaOf(mask, negated), box, bound, budget);
      const holds = (q: number, k: number) =>
        evaluate(node, pointEnvironment(bound, q, k)) !== negated;
      if (answer.is === 'yes') {
        const { q, k } = answer;
        const isIn =
          q >= box.q0 &&
          q <= box.q1 &&
          k >= box.k0 &&
          k <= box.k1 &&
          q - k >= box.d0 &&
          q - k <= box.d1;
        assert.ok(isIn, `the witness (q=${q}, k=${k}) lies outside the box`);
        assert.ok(holds(q, k), `the witness (q=${q}, k=${k}) is none`);
      }
      if (answer.is === 'no') {
        for (const { q, k } of pairsIn(box, seed))
          if (holds(q, k)) assert.fail(`'no' although it holds at (q=${q}, k=${k})`);
      }
    },
  );

/** The smallest and largest value of any range of a captured tensor, against a scan. */
export const zonesBound = () =>
  fc.property(
    fc.array(fc.oneof(fc.constantFrom(1, 2, 3), fc.integer({ min: 0, max: 300 })), {
      minLength: 1,
      maxLength: 2,
    }),
    fc.constantFrom('int' as const, 'float' as const),
    fc.nat(),
    (sizes, kind, seed) => {
      const next = numbersFrom(seed);
      const total = sizes.reduce((a, b) => a * b, 1);
      const data = kind === 'int' ? new Int32Array(total) : new Float32Array(total);
      const odd = next() < 0.3;
      for (let i = 0; i < total; i += 1) {
        const x = Math.floor((next() - 0.5) * 2000);
        data[i] = odd && kind === 'float' && next() < 0.1 ? NaN : x;
      }
      const captured = new Captured(kind, sizes, data);
      for (let round = 0; round < 8; round += 1) {
        const cuts = sizes.map((size) => {
          const at = () => Math.floor(next() * (size + 8)) - 4;
          const [a, b] = [at(), at()];
          return [Math.min(a, b), Math.max(a, b)] as const;
        });
        const [lo, hi] = captured.range(
          cuts.map(([a]) => a),
          cuts.map(([, b]) => b),
        );
        const visit = (axis: number, indices: number[]): void => {
          if (axis < cuts.length) {
            for (let i = cuts[axis]![0]; i <= cuts[axis]![1]; i += 1)
              visit(axis + 1, [...indices, i]);
            return;
          }
          const value = captured.at(indices);
          if (Number.isNaN(value)) assert.ok(captured.mayBeNaN, 'a NaN is not reported');
          else if (!(value >= lo && value <= hi))
            assert.fail(`${value} at ${indices} outside [${lo}, ${hi}]`);
        };
        visit(0, []);
      }
    },
  );

/** `any`, `all`, `count`, `members` and `runs` of a set, against its members. */
export const setsCount = () =>
  fc.property(
    fc.integer({ min: -40, max: 3 }),
    fc.nat(5),
    fc.oneof(fc.constantFrom(0, 31, 32, 33, 64), fc.nat(140)),
    fc.nat(),
    (rowFrom, rows, columns, seed) => {
      const next = numbersFrom(seed);
      const set = fillSet(new BitSet({ rowFrom, rows, columns, arity: 2 }), next);
      for (let round = 0; round < 10; round += 1) {
        const at = (from: number, size: number) => from - 2 + Math.floor(next() * (size + 4));
        const [r0, c0] = [at(rowFrom, rows), at(0, columns)];
        const [r1, c1] = [r0 + Math.floor(next() * 4), c0 + Math.floor(next() * 70)];
        let [any, all] = [false, true];
        for (let r = r0; r <= r1; r += 1)
          for (let c = c0; c <= c1; c += 1) {
            any ||= set.has(r, c);
            all &&= set.has(r, c);
          }
        assert.equal(set.any(r0, r1, c0, c1), any);
        assert.equal(set.all(r0, r1, c0, c1), all);
        for (const over of ['any', 'every'] as const) {
          const lines: boolean[] = Array.from({ length: columns }, (_, c) => {
            const own = Array.from({ length: r1 - r0 + 1 }, (__, i) => r0 + i)
              .filter((r) => r >= rowFrom && r < rowFrom + rows)
              .map((r) => set.has(r, c));
            return over === 'any' ? own.some(Boolean) : own.length > 0 && own.every(Boolean);
          });
          const runs: number[] = [];
          for (let c = 0; c <= columns; c += 1)
            if ((lines[c] ?? false) !== (lines[c - 1] ?? false)) runs.push(c);
          assert.deepEqual([...set.runs(r0, r1, over)], runs);
        }
      }
      for (let r = rowFrom; r < rowFrom + rows; r += 1) {
        const members = Array.from({ length: columns }, (_, c) => c).filter((c) => set.has(r, c));
        assert.deepEqual([...set.members(r)], members);
        assert.equal(set.count(r, 3, 40), members.filter((c) => c >= 3 && c < 40).length);
      }
    },
  );

/** Intervals of one pair are that pair's values, where nothing is NaN. */
export const singlePairsAreExact = () =>
  fc.property(masksFor(), lines, (node, { binding, cuts }) => {
    const { shape, unit, params } = binding;
    const { q0, k0 } = boxIn(shape, { ...cuts, band: null });
    const box = boxOf(q0, q0, k0, k0);
    const env = boxEnvironment(binding, box);
    const point = pointEnvironment(binding, q0, k0);
    for (const part of walk(specialise(node, shape, unit, params))) {
      const value = evaluate(part, point);
      if (part.kind === 'bool') {
        assert.equal(truthOf(part, env), value === true ? always : never);
        continue;
      }
      const { lo, hi } = intervalOf(part, env);
      // Compared as numbers: -0 is 0.
      if (lo !== value || hi !== value) assert.fail(`[${lo}, ${hi}] for ${String(value)}`);
    }
  });

/** Questions about a few pairs are answered: nothing is left unknown within the usual budget. */
export const smallBoxesAreDecided = () =>
  fc.property(arbitraryPlannedMask, lines, fc.boolean(), (node, { binding, cuts }, negated) => {
    const { shape, unit, params } = binding;
    const { q0, k0 } = boxIn(shape, { ...cuts, band: null });
    const box = boxOf(q0, Math.min(q0 + 3, shape.kLen - 1), k0, Math.min(k0 + 3, shape.kLen - 1));
    const formula = formulaOf(specialise(node, shape, unit, params), negated);
    let holds = false;
    for (const { q, k } of pairsIn(box, 0))
      holds ||= evaluate(node, pointEnvironment(binding, q, k)) !== negated;
    assert.equal(possible(formula, box, binding).is, holds ? 'yes' : 'no');
  });

const edges = fc.constantFrom(0, 1, -1, 2, 31, 32, 63, 2 ** 31 - 1, -(2 ** 31), 2 ** 30);
const wholes = fc.oneof(edges, fc.integer({ min: -40, max: 40 }), fc.integer());
const reals = fc.oneof(
  wholes,
  fc.integer({ min: -80, max: 80 }).map((n) => n / 8),
  fc.constantFrom(Infinity, -Infinity, -0),
);

/** Every operation, on any two ranges: the result at points of the ranges lies in its interval. */
export const operationsBound = () =>
  fc.property(
    fc.oneof(
      fc.record({
        kind: fc.constant('int' as const),
        name: fc.constantFrom(...x.intBinary, ...x.bitBinary),
      }),
      fc.record({ kind: fc.constant('float' as const), name: fc.constantFrom(...x.floatBinary) }),
      fc.record({
        kind: fc.constantFrom('int' as const, 'float' as const),
        name: fc.constantFrom(...x.unaries),
      }),
      fc.record({
        kind: fc.constantFrom('int' as const, 'float' as const),
        name: fc.constantFrom(...x.comparisons),
      }),
    ),
    fc.tuple(reals, reals, reals, reals),
    fc.nat(),
    ({ kind, name }, ends, seed) => {
      const next = numbersFrom(seed);
      const [a0, a1, b0, b1] = ends.map((end) => (kind === 'int' ? toInt(end) : end)) as number[];
      const range = (c: number, d: number) => bounds(Math.min(c, d), Math.max(c, d));
      const ranges: Readonly<Record<string, Bounds>> = { a: range(a0!, a1!), b: range(b0!, b1!) };
      const [a, b] = [x.param('a', kind), x.param('b', kind)];
      const node =
        (x.unaries as readonly string[]).includes(name) ? x.unary(name as x.Unary, a)
        : (x.comparisons as readonly string[]).includes(name) ? x.compare(name as x.Comparison, a, b)
        : x.binary(name as x.Binary, a, b); // biome-ignore format: a table
      const absent = () => assert.fail('nothing else is mentioned');
      const env = {
        index: absent,
        difference: bounds(0),
        at: absent,
        has: absent,
        param: (one: string) => ranges[one]!,
      };
      const pick = ({ lo, hi }: Bounds): number => {
        const u = next();
        if (u < 0.3 || lo === hi) return lo;
        if (u < 0.6) return hi;
        const inside = Number.isFinite(hi - lo)
          ? lo + next() * (hi - lo)
          : Math.min(hi, Math.max(lo, u * 50));
        return kind === 'int' ? Math.round(inside) : inside;
      };
      for (let round = 0; round < 12; round += 1) {
        const params = { a: pick(ranges.a!), b: pick(ranges.b!) };
        // A mask is refused where a divisor may be 0, so integers are not divided by it.
        if (kind === 'int' && params.b === 0 && (name === 'floordiv' || name === 'rem')) continue;
        const value = evaluate(node, { params } as never);
        const where = () => `${name} of ${params.a} and ${params.b} is ${String(value)}, outside `;
        if (typeof value === 'boolean') {
          const truth = truthOf(node, env);
          if (truth === always ? !value : truth === never && value)
            assert.fail(`${where()}${truth}`);
          continue;
        }
        const { lo, hi, nan } = intervalOf(node, env);
        if (Number.isNaN(value) ? nan : value >= lo && value <= hi) continue;
        assert.fail(
          `${where()}[${lo}, ${hi}]${nan ? ' or NaN' : ''} for ${JSON.stringify(ranges)}`,
        );
      }
    },
  );

const toInt = (value: number): number =>
  Number.isFinite(value) ? Math.trunc(Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), value))) : 7;
