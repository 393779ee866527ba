// Specs that must not compile: each line below a `@ts-expect-error` is a type error, and the comment says
// why. `tsc --noEmit` is the test, for an error that no longer is one fails it; nothing here is run.

import { z } from 'zod';
import {
  antidiagonal,
  byHead,
  compile,
  count,
  divergence,
  f32,
  fixed,
  i32,
  openDevice,
  pattern,
  reference,
  tensor,
  where,
} from '../../index.ts';

const given = {
  window: count.default(4),
  block: fixed(64),
  doc: i32('batch', 'k'),
  slope: f32('head'),
} as const;
const start = pattern('p', given);
const estimated = start.estimate(({ q, k }) => ({
  columns: q.dot(k).causal().softmax().sumPerKey().topk(4),
  blocks: q.pool(64).dot(k.pool(64)).topk(4),
}));
const finished = estimated.mask(({ q, k }, { columns }) => k <= q && columns.has(k));

export const masks = [
  // @ts-expect-error: a pair has no key by this name
  start.mask(({ key }) => key < 4),
  // @ts-expect-error: nothing of this name is declared
  start.mask(({ k }, { sinks }) => k < sinks),
  // @ts-expect-error: only a score sees the logit
  start.mask(({ s }) => s > 0),
  // @ts-expect-error: a mask gives a boolean
  start.mask(({ q, k }) => q - k),
  // @ts-expect-error: one index for a tensor of two dimensions
  start.mask(({ k }, { doc }) => doc.at(k) === 0),
  // @ts-expect-error: two indices for a tensor of one dimension
  start.mask(({ k, head }, { slope }) => slope.at(head, k) > 0),
  // @ts-expect-error: a captured tensor is read with .at
  start.mask(({ k }, { doc }) => doc[k] === 0),
  // @ts-expect-error: a captured tensor is no number
  start.mask(({ k }, { doc }) => k < doc),
  // @ts-expect-error: a number has no .at
  start.mask(({ k }, { window }) => window.at(k) > 0),
  // @ts-expect-error: sets exist only behind .estimate
  start.mask(({ k }, { columns }) => columns.has(k)),
  // @ts-expect-error: two coordinates for a set of single keys
  estimated.mask(({ q, k }, { columns }) => columns.has(q, k)),
  // @ts-expect-error: one coordinate for a set of blocks
  estimated.mask(({ k }, { blocks }) => blocks.has(k)),
  // @ts-expect-error: the estimate returns no set of this name
  estimated.mask(({ k }, { distances }) => distances.has(k)),
  // @ts-expect-error: a set is asked with .has
  estimated.mask(({ k }, { columns }) => columns.at(k)),
  start.mask((pair) => {
    // @ts-expect-error: pairs are read, not written
    pair.k = 4;
    return true;
  }),
];

export const steps = [
  // @ts-expect-error: the estimate comes before the mask
  finished.estimate(({ q, k }) => ({ more: q.dot(k).topk(1) })),
  // @ts-expect-error: a second estimate
  estimated.estimate(({ q, k }) => ({ more: q.dot(k).topk(1) })),
  // @ts-expect-error: a second mask
  finished.mask(() => true),
  // @ts-expect-error: a score comes after the mask
  start.score(({ s }) => s),
  // @ts-expect-error: a score gives a number
  finished.score(({ s }) => s > 0),
  // @ts-expect-error: stand-ins for keys need values as well
  finished.rest(({ k }) => ({ keys: k.pool(64) })),
  // @ts-expect-error: queries are not stood in for
  finished.rest(({ q, v }) => ({ keys: q.pool(64), values: v.pool(64) })),
  // @ts-expect-error: no knob of this name
  finished.schedule({ tile: 64 }),
  // @ts-expect-error: gather names no set
  finished.schedule({ gather: 'rows' }),
  // @ts-expect-error: a pattern without an estimate has nothing to gather
  start.mask(() => true).schedule({ gather: 'columns' }),
  // @ts-expect-error: an order of tiles is ascending or descending
  finished.schedule({ order: 'random' }),
  // @ts-expect-error: a list of spans, not one number
  finished.visit(({ tile }) => tile.q0),
  // @ts-expect-error: a parameter is a number
  finished.with({ window: '4' }),
  // @ts-expect-error: no parameter of this name
  finished.with({ windows: 4 }),
  // @ts-expect-error: a captured tensor has no default
  finished.with({ doc: 4 }),
  // @ts-expect-error: patterns are combined with patterns
  finished.and(({ q, k }: { q: number; k: number }) => k <= q),
  // @ts-expect-error: a definition is frozen
  () => (finished.definition.knobs = {}),
];

export const declared = [
  // @ts-expect-error: a text is no number
  pattern('p', { window: z.string() }),
  // @ts-expect-error: a number alone says neither bounds nor whether it is fixed
  pattern('p', { window: 64 }),
  // @ts-expect-error: what cannot be left out cannot be null either
  pattern('p', { window: z.number().nullable() }),
  // @ts-expect-error: a constant is a number or a schema
  fixed('64'),
  // @ts-expect-error: dimensions have names
  i32(2),
];

start.estimate(({ q, k }, numbers) => {
  const scores = q.dot(k).causal();
  const weights = scores.softmax();
  const open = scores.exp();
  const sums = weights.sumPerKey();
  const set = sums.topk(4);
  const blockSet = weights.topk(4);
  const verdict = divergence(sums, sums).below(0.1);
  const wrong = [
    // @ts-expect-error: vectors have no size to choose by
    q.topk(4),
    // @ts-expect-error: keys have no last queries
    k.last(64),
    // @ts-expect-error: pools are made of tokens, not of distances
    weights.sumPerDistance().pool(64),
    // @ts-expect-error: weights are not pooled, sums are
    weights.pool(64),
    // @ts-expect-error: pooled queries have no distance to a key
    q.pool(64).dot(k).softmax().sumPerDistance(),
    // @ts-expect-error: the queries are blocks already
    q.pool(64).dot(k).softmax().sumPerBlock(64),
    // @ts-expect-error: scores are logits: take softmax() or exp() before sums
    scores.sumPerKey(),
    // @ts-expect-error: heads are summed as weights
    scores.sumPerGroup(),
    // @ts-expect-error: a share of a logit means nothing
    scores.above(0.5),
    // @ts-expect-error: nor does its mass
    scores.cover(0.5),
    // @ts-expect-error: weights are causal from their scores on
    weights.causal(),
    // @ts-expect-error: weights are normalised once
    weights.softmax(),
    // @ts-expect-error: a set of two axes has no one direction to grow in
    blockSet.dilate(64),
    // @ts-expect-error: a set is chosen already
    set.topk(4),
    // @ts-expect-error: sums behind exp() have an open factor
    divergence(sums, open.sumPerKey()),
    // @ts-expect-error: sums of keys and of distances cannot be compared
    divergence(sums, weights.sumPerDistance()),
    // @ts-expect-error: a divergence is no verdict yet
    where(divergence(sums, sums), set, 'none'),
    // @ts-expect-error: both sides choose from the same axes
    where(verdict, set, blockSet),
    // @ts-expect-error: a score is no set
    where(verdict, sums, 'none'),
    // @ts-expect-error: 'none' is the only word for no set
    where(verdict, set, 'all'),
    // @ts-expect-error: of pools there are mean and max
    q.pool(64, 'sum'),
    // @ts-expect-error: a dot product of vectors
    q.dot(scores),
    // @ts-expect-error: an antidiagonal needs both sizes
    antidiagonal(q, k, { stride: 8 }),
    // @ts-expect-error: members are forced at the first or last places
    sums.topk(4, { always: { middle: 1 } }),
    // @ts-expect-error: topk has no capacity, it has a count
    sums.topk(4, { capacity: 8 }),
    // @ts-expect-error: an estimate sees the numbers, not the captured tensors
    q.last(numbers.doc),
  ];
  return { set, wrong: wrong as never };
});

// @ts-expect-error: an estimate returns sets
start.estimate(({ q, k }) => ({ columns: q.dot(k).softmax().sumPerKey() }));
// @ts-expect-error: with names
start.estimate(({ q, k }) => q.dot(k).topk(4));

export async function calls(): Promise<unknown[]> {
  const device = await openDevice('cpu');
  const sizes = { heads: 4, headDim: 64, dtype: 'fp16', device } as const;
  const attend = await compile(finished, sizes);
  const x = tensor.zeros([1, 4, 8, 64], { dtype: 'fp16' });
  const inputs = { q: x, k: x, v: x };
  const { chosen } = await attend(inputs);
  return [
    // @ts-expect-error: heads are said
    compile(finished, { headDim: 64, dtype: 'fp16' }),
    // @ts-expect-error: attention has no integers
    compile(finished, { ...sizes, dtype: 'i32' }),
    // @ts-expect-error: a pattern without its mask
    compile(estimated, sizes),
    // @ts-expect-error: a list of patterns needs byHead
    compile([finished, finished], sizes),
    // @ts-expect-error: byHead takes patterns
    byHead([4]),
    // @ts-expect-error: v is missing
    attend({ q: x, k: x }),
    // @ts-expect-error: tensors, not arrays
    attend({ ...inputs, v: [1, 2, 3] }),
    // @ts-expect-error: a number, or one per head
    attend(inputs, { window: '4' }),
    // @ts-expect-error: no parameter of this name
    attend(inputs, { windows: 4 }),
    // @ts-expect-error: captured tensors stand beside q, k and v
    attend(inputs, { doc: x }),
    // @ts-expect-error: a set is no tensor
    chosen.columns.read(),
    // @ts-expect-error: no such step
    attend(inputs, {}, { onProgress: (share, step: 'compile') => void [share, step] }),
    // @ts-expect-error: the oracle takes rows as numbers
    reference(finished, inputs, {}, { rows: 4 }),
    // @ts-expect-error: no such layout
    tensor([1], { layout: 'dhsb' }),
    // @ts-expect-error: no such dtype
    tensor([1], { dtype: 'fp8' }),
    // @ts-expect-error: random integers would be of no distribution
    tensor.random([2], { dtype: 'i32' }),
    // @ts-expect-error: values are read when they are there
    x.read().length,
    // @ts-expect-error: shapes do not change
    x.shape.push(1),
  ];
}
