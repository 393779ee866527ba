// Packed sequences that are none: cumulative lengths that do not fit, and patterns that cannot be packed.

import { describe, expect, it } from 'vitest';
import { count, f32, fixed, i32 } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { tensor } from '../../runtime/tensor.ts';
import { attend, refusedByBoth, takenByBoth } from './cases.ts';

const plain = pattern('plain', { window: count.default(3) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);

// The tensors of the cases have 5 queries and 7 keys.
const good = { q: [0, 2, 5], k: [0, 3, 7] };
const bad = (segments: unknown, inputs = {}) =>
  refusedByBoth('T012', plain, { segments, ...inputs });
const misfit = (segments: unknown, inputs = {}) =>
  refusedByBoth('T002', plain, { segments, ...inputs });

describe('segments that fit', () => {
  it.each([
    good,
    { q: Int32Array.from(good.q), k: Int32Array.from(good.k) },
    { q: [0, 0, 5, 5], k: [0, 0, 7, 7] },
  ])('are taken: %o', async (segments) => {
    await takenByBoth(plain, { segments });
  });

  it('may say nothing of keys where they are as many as queries', async () => {
    const [k, v] = [2, 3].map((seed) => tensor.random([1, 2, 5, 8], { seed }));
    await takenByBoth(plain, { k, v, segments: { q: [0, 1, 5] } });
  });

  it('leave the name to a pattern that declares a tensor of it', async () => {
    const own = pattern('own', { segments: i32('q') }).mask(
      ({ row, k }, { segments }) => k <= segments.at(row),
    );
    const segments = tensor(Int32Array.of(0, 1, 2, 3, 4), { shape: [5] });
    await takenByBoth(own, { segments });
  });
});

describe('T012: cumulative lengths', () => {
  it('are lists', async () => {
    expect(await bad([0, 2, 5])).toMatchInlineSnapshot(`
      "error[T012]: 'segments' has no list q
        = help: give cumulative lengths: segments: { q: [0, 5, 12] }"
    `);
    expect(await bad({ q: 5 })).toMatchInlineSnapshot(`
      "error[T012]: segments.q is no list of numbers
        = help: give cumulative lengths: [0, 5, 12]"
    `);
  });

  it('begin with 0', async () => {
    expect(await bad({ ...good, q: [2, 5] })).toMatchInlineSnapshot(`
      "error[T012]: segments.q starts at 2
        = help: begin with 0, then where each sequence ends"
    `);
    expect(await bad({ ...good, q: [] })).toMatchInlineSnapshot(`
      "error[T012]: segments.q is empty
        = help: begin with 0, then where each sequence ends"
    `);
  });

  it('never descend', async () => {
    expect(await bad({ ...good, k: [0, 4, 3] })).toMatchInlineSnapshot(`
      "error[T012]: segments.k descends from 4 to 3 at 2
        = help: give cumulative lengths, not the length of each sequence"
    `);
  });

  it('are whole numbers', async () => {
    expect(await bad({ ...good, q: [0, 2.5, 5] })).toMatchInlineSnapshot(`
      "error[T012]: segments.q has 2.5 at 1, which is no whole number
        = help: entries are numbers of rows"
    `);
    expect(await bad({ ...good, q: [0, '2', 5] })).toMatchInlineSnapshot(`
      "error[T012]: segments.q has a string at 1, which is no whole number
        = help: entries are numbers of rows"
    `);
  });
});

describe('T002: cumulative lengths', () => {
  it('end with the rows of the tensors', async () => {
    expect(await misfit({ ...good, q: [0, 2, 4] })).toMatchInlineSnapshot(`
      "error[T002]: segments.q ends at 4, and q has 5 rows
        = help: its last entry is the number of rows, 5"
    `);
    expect(await misfit({ q: good.q })).toMatchInlineSnapshot(`
      "error[T002]: segments.q ends at 5, and k has 7 rows
        = help: give segments.k where the keys are not as many as the queries"
    `);
  });

  it('are of as many sequences of queries as of keys', async () => {
    expect(await misfit({ ...good, k: [0, 7] })).toMatchInlineSnapshot(`
      "error[T002]: segments.q has 2 sequences and segments.k has 1
        = help: give both the same number of entries; a sequence may be empty"
    `);
  });

  it('stand for the batch', async () => {
    const [q, k, v] = [
      [4, 5],
      [2, 7],
      [2, 7],
    ].map(([heads, rows]) => tensor.zeros([2, heads!, rows!, 8]));
    expect(await misfit(good, { q, k, v })).toMatchInlineSnapshot(`
      "error[T002]: segments with a batch size of 2, expected 1
        = help: pack the sequences one after another: q is [1, heads, all rows, headDim]"
    `);
  });

  it('know no axes of captured tensors that differ from sequence to sequence', async () => {
    const biased = (dim: 'k' | 'head') =>
      pattern('biased', { bias: f32('batch', dim) })
        .mask(({ q, k }) => k <= q)
        .score(({ s, k, head, batch }, { bias }) => s + bias.at(batch, k) + bias.at(batch, head));
    const bias = (size: number) => tensor.zeros([2, size]);
    const inputs = { segments: good, bias: bias(7) };
    expect(await refusedByBoth('T002', biased('k'), inputs)).toMatchInlineSnapshot(`
      "error[T002]: 'bias' has the axis 'k', which differs from segment to segment
        = help: it is declared as [batch, k]: leave 'k' out, or call once per sequence"
    `);
    await takenByBoth(biased('head'), { segments: good, bias: bias(4) });
  });

  it('are one for each row of captured tensors', async () => {
    const biased = pattern('biased', { bias: f32('batch') })
      .mask(({ q, k }) => k <= q)
      .score(({ s, batch }, { bias }) => s + bias.at(batch));
    const inputs = { segments: good, bias: tensor.zeros([1]) };
    expect(await refusedByBoth('T002', biased, inputs)).toMatchInlineSnapshot(`
      "error[T002]: 'bias' has 1 along 'batch', expected 2 as the call has
        = help: it is declared as [batch]"
    `);
  });
});

it('T005: segments have lists of queries and keys alone', async () => {
  expect(
    await refusedByBoth('T005', plain, { segments: { ...good, v: good.k } }),
  ).toMatchInlineSnapshot(`
    "error[T005]: 'segments' has no list 'v'
      = help: it has q and k"
  `);
});

describe('E007: an estimate with segments', () => {
  const chosen = pattern('chosen', { block: fixed(2) })
    .estimate(({ q, k }, { block }) => ({
      blocks: q.pool(block).dot(k.pool(block)).causal().topk(1),
    }))
    .mask(
      ({ q, k }, { block, blocks }) =>
        k <= q && blocks.has(Math.floor(q / block), Math.floor(k / block)),
    );

  it('is refused', async () => {
    expect(await refusedByBoth('E007', chosen, { segments: good })).toMatchInlineSnapshot(`
      "error[E007]: 'chosen' has an estimate, and the call has segments
        = help: call it once per sequence, or leave the estimate out"
    `);
  });

  it('is two things that go alone', async () => {
    await attend(chosen);
    await takenByBoth(plain, { segments: good });
  });
});
