// The matchers of `warploom/testing`, on patterns that pass and on ones that must not.

import { expect, test } from 'vitest';
import { BitSet } from '../../dsl/chosen.ts';
import { count, fixed, pattern } from '../../dsl/index.ts';
import { aShape, causal, documents, verticalSlash } from '../../patterns/index.ts';
import { tensor } from '../../runtime/tensor.ts';
import { planText } from '../../runtime/testing/index.ts';

test('a plan reads as one line for each tile of queries', async () => {
  const text = await planText(aShape, { qLen: 300, params: { sinks: 16, window: 70 } });
  expect(text).toMatchInlineSnapshot(`
    "a-shape: qLen 300, kLen 300, head 0 of 1, tiles of 64 queries x 64 keys
    tiles (ranges): k <= q && (k < 16 || q - k < 70)
    q 0..63     [0, 64) 1 partial
    q 64..127   [0, 128) 2 partial
    q 128..191  [0, 192) 3 partial
    q 192..255  [0, 256) 4 partial
    q 256..299  [0, 64) 1 partial, [128, 300) 3 partial"
  `);
});

test('a plan of sets names its columns and its unaligned tiles', async () => {
  const line = (columns: number) => ({ rowFrom: 0, rows: 1, columns, arity: 1 }) as const;
  const [columns, distances] = [new BitSet(line(256)), new BitSet(line(319))];
  for (const c of [3, 7, 100, 101]) columns.add(0, c);
  distances.addRange(0, 0, 64);
  distances.addRange(0, 90, 154);
  const set = (one: BitSet, axis: string) => ({
    ...{ axes: [{ axis, size: 1 }], perGroup: false },
    ...{ units: [one], dense: [false] },
  });
  const chosen = { columns: set(columns, 'k'), distances: set(distances, 'distance') };
  expect(await planText(verticalSlash, { qLen: 256, chosen })).toMatchInlineSnapshot(`
    "vertical-slash: qLen 256, kLen 256, head 0 of 1, tiles of 64 queries x 64 keys
    tiles (distances): k <= q && distances.has((Math.floor(q / 64) + 1) * 64 - 1 - k)
    columns (columns): k <= q && !distances.has((Math.floor(q / 64) + 1) * 64 - 1 - k) && columns.has(k)
    q 0..63     [0, 64) 1 partial
    q 64..127   [0, 38) 1 full, [64, 128) 1 partial
    q 128..191  [38, 102) 1 full, [128, 192) 1 partial, [3, 8) 1 full of 2 columns
    q 192..255  [102, 166) 1 full, [192, 256) 1 partial, [3, 102) 1 full of 4 columns"
  `);
});

test('the plan of a pattern is its golden', async () => {
  await expect(causal).toMatchPlan({ qLen: 100, kLen: 200 });
  await expect(aShape).toMatchPlan({ qLen: 500, params: { sinks: 64, window: 128 } });
});

test('coverage is proved for sizes and captured tensors', async () => {
  await expect(aShape).toBeCovered({ qLen: 1000, kLen: 1300, params: { sinks: 5, window: 300 } });
  const doc = tensor(
    Int32Array.from({ length: 300 }, (_, k) => Math.floor(k / 70)),
    { shape: [1, 300] },
  );
  await expect(documents).toBeCovered({ qLen: 300, captured: { doc } });
});

test('a stated schedule that misses a pair is refused', async () => {
  const narrow = causal.visit(({ tile, span }) => span(0, tile.q1));
  await expect(expect(narrow).toBeCovered({ qLen: 100 })).rejects.toThrow(/allows \(q=/);
});

test('a good pattern agrees with the oracle', async () => {
  await expect(aShape).toAgreeWithOracle({ runs: 30, seed: 3, longest: 70, tile: 16 });
  for (const runs of [0, -1, 1.5])
    await expect(expect(aShape).toAgreeWithOracle({ runs })).rejects.toThrow('from 1');
});

// Differs from its mask on the device alone: the lifted form is asked for at points, the oracle everywhere.
test('a pattern that differs is reported with the smallest call', async () => {
  let calls = 0;
  const wrong = pattern('wrong').mask(({ q, k }) => k <= q);
  const { mask } = wrong.definition;
  const impure = (pair: { q: number; k: number }) => (calls++ >= 0 ? pair.k < pair.q : true);
  await expect(wrong).toAgreeWithOracle({ runs: 2, seed: 1, longest: 20, tile: 8 });
  if (mask.op !== 'arrow') throw new Error('a mask of one arrow');
  Object.assign(mask.arrow, { fn: impure });
  const again = expect(wrong).toAgreeWithOracle({ runs: 50, seed: 1, longest: 20, tile: 8 });
  await expect(again).rejects.toThrow(
    /differ; seed 1, after \d+ calls, shrunk to\nshape \{"batch":1/,
  );
});

test('findings are told with their code and frame', () => {
  expect(aShape).toLift();
  expect(aShape).toHaveNoFindings();
  const odd = pattern('odd', { n: count.default(2) }).mask(({ q }, { n }) => q % n === 0);
  expect(() => expect(odd).toLift()).toThrow(/error\[L\d{3}\]/);
  expect(odd).not.toHaveNoFindings();
});

test('random calls respect what a schema allows', async () => {
  const even = pattern('even', {
    half: count.refine((n) => n % 2 === 0).default(4),
    size: fixed(8),
  }).mask(({ q, k }, { half, size }) => k <= q && q - k < half * size);
  await expect(even).toAgreeWithOracle({ runs: 20, seed: 2, longest: 40, tile: 16 });
  await expect(even).toAgreeWithOracle({ runs: 5, seed: 2, longest: 40, params: { half: [2, 6] } });
});
