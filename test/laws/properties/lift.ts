// Laws 1 and 12 as properties: the lift of printed random arrows, from their text alone and from files.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { attentionKernel } from '../../../codegen/attention/kernel.ts';
import { type Binding, pointEnvironment } from '../../../dsl/analysis/binding.ts';
import { fold, specialise } from '../../../dsl/analysis/specialise.ts';
import { BitSet } from '../../../dsl/chosen.ts';
import { inspect } from '../../../dsl/definition.ts';
import { render } from '../../../dsl/diagnostic.ts';
import { applyBinary, applyComparison, applyUnary, evaluate } from '../../../dsl/evaluate.ts';
import * as x from '../../../dsl/expression.ts';
import { canonical, type Expression } from '../../../dsl/expression.ts';
import type { Pattern } from '../../../dsl/pattern.ts';
import { printArrow } from '../../../dsl/print.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import { compileTile } from '../../../runtime/cpu/mask.ts';
import { arbitraryCase, arbitraryMask, arbitraryScore, numbersFrom } from '../../arbitraries.ts';
import { declarations, fillSet, nativeOf, patternOf } from '../arbitraries.ts';
import { arbitraryStyle, printStyled, type Style } from '../styles.ts';

const plain = { rest: undefined, knobs: {} } as const;

/** The lifted mask and score; throws with the rendered findings. */
function formsOf(pattern: Pattern): { mask: Expression; score: Expression | undefined } {
  const { lifted, findings } = inspect(pattern.definition);
  assert.equal(findings.map(render).join('\n'), '');
  return lifted!;
}

const bare = (part: Expression): Expression => {
  if (part.op === 'float') return part.args[0];
  // Neither is -0 another integer than 0.
  return part.op === 'const' && Number.isInteger(part.value)
    ? x.int((part.value as number) + 0)
    : part;
};

/** A number operation over literals alone is a literal; over integers it is one of integers. */
function asWrittenOnce(part: Expression): Expression {
  const [a, b] = x.children(part).map(bare) as [Expression, Expression];
  const literal = (value: number) => (part.kind === 'int' ? x.int(value) : x.real(value));
  switch (part.op) {
    case 'unary': {
      if (a.op === 'const') return literal(applyUnary(part.name, a.value as number));
      const rounds = part.name === 'floor' || part.name === 'ceil' || part.name === 'trunc';
      if (rounds && a.kind === 'int') return a;
      if (part.name === 'floor' && a.op === 'binary' && a.name === 'div') {
        const [over, under] = a.args.map(bare) as [Expression, Expression];
        if (over.kind === 'int' && under.kind === 'int') return x.binary('floordiv', over, under);
      }
      return x.unary(part.name, a);
    }
    case 'binary':
      if (a.op === 'const' && b.op === 'const')
        return literal(applyBinary(part.name, a.value as number, b.value as number));
      return x.binary(part.name, a, b);
    case 'compare':
      if (a.op === 'const' && b.op === 'const')
        return x.bool(applyComparison(part.name, a.value as number, b.value as number));
      return x.compare(part.name, a, b);
    case 'select':
      return x.select(part.args[0], b, bare(part.args[2]));
    default:
      return part;
  }
}

/** An expression as its text shows it: JavaScript writes the integer 2 and the float 2 alike. */
const asWritten = (node: Expression): Expression =>
  bare(x.rebuild(node, (part) => bare(fold(asWrittenOnce(part)))));

const textOf = (node: Expression): string => canonical(asWritten(node));

/** The literal -0 is a float to the lift, and no index: 0 in its place. */
const withoutMinusZero = (node: Expression): Expression =>
  x.rebuild(node, (part) => {
    const isNegative = part.op === 'unary' && part.name === 'neg' && part.kind === 'int';
    return isNegative && part.args[0].op === 'const' && part.args[0].value === 0 ? x.int(0) : part;
  });

const masks = arbitraryMask(declarations).map(withoutMinusZero);
const expressions = fc.record({
  mask: masks,
  score: fc.option(arbitraryScore(declarations).map(withoutMinusZero), { nil: undefined }),
});

/** A printed arrow without a file lifts to the expression that it was printed from. */
export const textLifts = () =>
  fc.property(expressions, ({ mask, score }) => {
    const forms = formsOf(patternOf({ mask, score, ...plain }, { lifted: true }));
    assert.equal(textOf(forms.mask), textOf(mask));
    assert.equal(forms.score && textOf(forms.score), score && textOf(score));
  });

/** Modules of patterns in a folder of this project, so that their imports resolve; removed at the end. */
export class Modules {
  readonly #folder = mkdtempSync(join(import.meta.dirname, '.modules-'));
  #count = 0;

  /** Writes patterns as a module of authors' code, one `.mask` (and `.score`) a pattern, and loads it. */
  async load(
    sources: readonly { readonly mask: string; readonly score?: string | undefined }[],
  ): Promise<Pattern[]> {
    const text = [
      `import { pattern } from '../../../../dsl/index.ts';`,
      `import { estimate, given } from '../../written.ts';`,
      ...sources.map(
        ({ mask, score }, i) =>
          `export const p${i} = pattern('random', given).estimate(estimate as never)\n` +
          `  .mask(${mask} as never)${score === undefined ? '' : `\n  .score(${score} as never)`};`,
      ),
    ].join('\n');
    const path = join(this.#folder, `m${this.#count++}.ts`);
    writeFileSync(path, text);
    const module = (await import(pathToFileURL(path).href)) as Record<string, Pattern>;
    return sources.map((_, i) => module[`p${i}`]!);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A printed arrow in a file lifts to the expression that it was printed from. */
export const filesLift = (modules: Modules) =>
  fc.asyncProperty(fc.array(expressions, { minLength: 1, maxLength: 8 }), async (list) => {
    const sources = list.map(({ mask, score }) => ({
      mask: printArrow(mask, declarations),
      score: score && printArrow(score, declarations),
    }));
    for (const [i, pattern] of (await modules.load(sources)).entries()) {
      const forms = formsOf(pattern);
      const { mask, score } = list[i]!;
      assert.equal(textOf(forms.mask), textOf(mask));
      assert.equal(forms.score && textOf(forms.score), score && textOf(score));
    }
  });

/** What a native arrow is called with at a point. */
function callOf({ captured, sets, params }: Binding) {
  const tensors = Object.entries(captured).map(([name, tensor]) => [
    name,
    { at: (...indices: number[]) => tensor.at(indices) },
  ]);
  const chosen = Object.entries(sets).map(([name, set]) => [
    name,
    { has: (a: number, b?: number) => set.has(a, b) },
  ]);
  return Object.fromEntries([...Object.entries(params), ...tensors, ...chosen]) as never;
}

/** Arrow, definition and compiled tile function agree at every pair; scores at a few logits each. */
export const meaningsAgree = () =>
  fc.property(
    arbitraryCase({ tile: 8 }),
    fc.option(arbitraryScore(declarations), { nil: undefined }),
    ({ mask, binding }, score) => {
      const { shape, unit, params } = binding;
      const { qLen, kLen } = shape;
      const offset = queryOffset(shape);
      const [native, nativeScore] = [nativeOf(mask), score && nativeOf(score)];
      const given = callOf(binding);
      const special = specialise(mask, shape, unit, params);
      const specialScore = score && specialise(score, shape, unit, params);
      const scores = new Float32Array(qLen * kLen).map((_, i) => ((i * 37) % 101) / 4 - 12);
      const logits = scores.slice();
      const keys = Int32Array.from({ length: kLen }, (_, i) => kLen - 1 - i);
      compileTile(special, specialScore, binding)(scores, kLen, offset, qLen, 0, kLen, undefined);
      const listed = new Float32Array(qLen * kLen);
      compileTile(special, undefined, binding)(listed, kLen, offset, qLen, 0, kLen, keys);
      for (let q = offset; q < kLen; q += 1) {
        for (let k = 0; k < kLen; k += 1) {
          const at = (q - offset) * kLen + k;
          const env = pointEnvironment(binding, q, k, logits[at]);
          const pair = { ...env.index } as never;
          const wanted = native(pair, given);
          assert.equal(evaluate(mask, env), wanted);
          assert.equal(evaluate(special, env), wanted);
          assert.equal(listed[at + (kLen - 1 - 2 * k)] !== -Infinity, wanted);
          if (!wanted) assert.equal(scores[at], -Infinity);
          else if (!score) assert.equal(scores[at], logits[at]);
          else {
            const value = nativeScore!(pair, given);
            assert.ok(Object.is(evaluate(score, env), value));
            assert.equal(scores[at], Math.fround(value as number));
          }
        }
      }
    },
  );

/** Compiled sets of two axes answer as the sets do, at and beyond the edges of any domain. */
export const compiledSetsAgree = () =>
  fc.property(
    fc.record({
      rowFrom: fc.integer({ min: -3, max: 3 }),
      rows: fc.nat(4),
      columns: fc.constantFrom(0, 1, 31, 32, 33, 63, 64, 65),
    }),
    fc.integer({ min: -2, max: 30 }),
    fc.nat(),
    (domain, shift, seed) => {
      const blocks = fillSet(new BitSet({ ...domain, arity: 2 }), numbersFrom(seed));
      const [rows, keys] = [12, 72];
      const shape = {
        batch: 1,
        heads: 1,
        kvHeads: 1,
        qLen: rows,
        kLen: keys,
        headDim: 1,
        valueDim: 1,
      };
      const unit = { batch: 0, head: 0, kvHead: 0 };
      const binding = { shape, unit, params: {}, captured: {}, sets: { blocks } };
      const mask = x.has('blocks', [x.index('q'), x.binary('sub', x.index('k'), x.int(shift))]);
      const scores = new Float32Array(rows * keys);
      compileTile(mask, undefined, binding)(scores, keys, -4, rows, 0, keys, undefined);
      for (const [at, score] of scores.entries()) {
        const [q, k] = [Math.floor(at / keys) - 4, at % keys];
        assert.equal(score === 0, blocks.has(q, k - shift));
      }
    },
  );

/** The CUDA C of the attention of a pattern. */
const kernelOf = (pattern: Pattern): string =>
  attentionKernel({
    declarations,
    mask: formsOf(pattern).mask,
    score: undefined,
    fixed: {},
    gather: undefined,
    restSize: undefined,
    perGroup: new Set(),
    dtype: 'bf16',
    headDim: 16,
    valueDim: 16,
    segments: false,
    knobs: { qTile: 16, kTile: 16, warps: 1, stages: 1, blocks: 1 },
  }).kernel.source;

/** Renamed and reformatted, a mask keeps its canonical text, and its kernel every letter. */
export const writingChangesNothing = (modules: Modules) =>
  fc.asyncProperty(
    fc.array(fc.tuple(masks, arbitraryStyle, arbitraryStyle), { minLength: 1, maxLength: 6 }),
    async (list) => {
      const sources = list.flatMap(([mask, ...styles]) =>
        styles.map((style: Style) => ({ mask: printStyled(mask, declarations, style) })),
      );
      const made = await modules.load(sources);
      const texts = made.map((pattern) => textOf(formsOf(pattern).mask));
      const kernels = made.map(kernelOf);
      for (const [i, [mask]] of list.entries()) {
        assert.equal(texts[2 * i], textOf(mask));
        assert.equal(texts[2 * i + 1], textOf(mask));
        assert.equal(kernels[2 * i + 1], kernels[2 * i]);
        // The name of the pattern, its files, and names of the printed styles (test/laws/styles.ts).
        assert.doesNotMatch(kernels[2 * i]!, /\brandom\b|\.ts\b|\$1|\blocal\d|\bpair\./);
      }
    },
  );
