// Law 14 for estimates: every code of group E has a bad pattern that gives it, and the mended one.

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { antidiagonal, count, divergence, fixed, pattern, where } from '../../dsl/index.ts';
import { attend, oracle, refused, takenByBoth, tensors } from './cases.ts';

// Untyped, as JavaScript has them: most of what is tried here is a type error as well.
// biome-ignore lint/suspicious/noExplicitAny: what is tested
type Loose = any;
type Program = (inputs: { q: Loose; k: Loose }, numbers: Loose) => Loose;

/** A pattern whose estimate gives a set of single keys, whatever it is asked for. */
const keys = (program: Program, given: Loose = {}) =>
  (pattern('keys', given) as Loose)
    .estimate((inputs: Loose, numbers: Loose) => ({ keys: program(inputs, numbers) }))
    .mask(({ q, k }: Loose, { keys }: Loose) => k <= q && keys.has(k));
const blocks = (program: Program, given: Loose = {}) =>
  (pattern('blocks', given) as Loose)
    .estimate((inputs: Loose, numbers: Loose) => ({ blocks: program(inputs, numbers) }))
    .mask(({ q, k }: Loose, { blocks }: Loose) => k <= q && blocks.has(q >> 1, k >> 1));
const sums: Program = ({ q, k }) => q.dot(k).causal().softmax().sumPerKey();

describe('E001: a size that must be fixed', () => {
  it('the block of a pool', async () => {
    const make = (block: unknown) =>
      blocks(({ q, k }, { block }) => q.pool(block).dot(k.pool(block)).topk(2), { block });
    expect(
      await refused('E001', () => attend(make(z.int().min(1).default(2)))),
    ).toMatchInlineSnapshot(`
      "error[E001]: a size in the estimate of 'blocks' comes from 'block', which is not fixed
        = help: declare it as block: fixed(2)"
    `);
    await takenByBoth(make(fixed(2)));
  });

  it.each<[string, Program]>([
    ['last', ({ q, k }, { n }) => q.last(n).dot(k).softmax().sumPerKey().topk(2)],
    ['dilate', (inputs, { n }) => sums(inputs, {}).topk(2).dilate(n)],
    ['the pool of sums', (inputs, { n }) => sums(inputs, {}).pool(n).topk(2)],
  ])('the size of %s', async (_, program) => {
    await refused('E001', () => attend(keys(program, { n: count.default(4) })));
    await takenByBoth(keys(program, { n: fixed(4) }));
  });

  it('the pools of stand-ins', async () => {
    const make = (size: unknown) =>
      (pattern('rest', { size } as Loose) as Loose)
        .mask(({ q, k }: Loose) => k <= q && q - k < 3)
        .rest(({ k, v }: Loose, { size }: Loose) => ({ keys: k.pool(size), values: v.pool(size) }));
    await refused('E001', () => attend(make(z.int().min(1).default(2))));
    await takenByBoth(make(fixed(2)));
  });
});

describe('E002: weights behind exp() have no scale', () => {
  it('a divergence of them', async () => {
    const make = (how: 'exp' | 'softmax') =>
      keys((inputs) => {
        const other = inputs.q.last(2).dot(inputs.k).causal()[how]().sumPerKey();
        const verdict = divergence(sums(inputs, {}), other).below(0.2);
        return where(verdict, sums(inputs, {}).topk(2), 'none');
      });
    expect(await refused('E002', () => attend(make('exp')))).toMatchInlineSnapshot(`
      "error[E002]: divergence of weights behind exp(), whose factor is open
        --> estimates.test.ts:L:C
        |
      N |         const verdict = divergence(sums(inputs, {}), other).below(0.2);
        |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = help: use softmax()"
    `);
    await takenByBoth(make('softmax'));
  });
});

describe('E003: estimate steps that do not fit together', () => {
  it.each<[string, Program]>([
    ['topk of vectors', ({ k }) => k.topk(2)],
    ['last of the keys', ({ q, k }) => q.dot(k.last(2)).softmax().sumPerKey().topk(2)],
    ['pool of weights', ({ q, k }) => q.dot(k).softmax().pool(2).topk(2)],
    ['pool of distances', ({ q, k }) => q.dot(k).softmax().sumPerDistance().pool(2).topk(2)],
    ['dot without vectors', ({ q }) => q.dot(3).topk(2)],
    ['softmax of weights', ({ q, k }) => q.dot(k).softmax().softmax().topk(2)],
    ['sums of scores', ({ q, k }) => q.dot(k).sumPerKey().topk(2)],
    ['groups of scores', ({ q, k }) => q.dot(k).sumPerGroup().topk(2)],
    ['distances of pools', ({ q, k }) => q.pool(2).dot(k).softmax().sumPerDistance().topk(2)],
    ['blocks of pools', ({ q, k }) => q.pool(2).dot(k).softmax().sumPerBlock(2).topk(2)],
    ['above of scores', ({ q, k }) => q.dot(k).above(0.5)],
    ['cover of scores', ({ q, k }) => q.dot(k).cover(0.5)],
    ['dilate of sums', (inputs) => sums(inputs, {}).dilate(2)],
    ['causal of weights', ({ q, k }) => q.dot(k).softmax().causal().topk(2)],
    ['a verdict that is none', (inputs) => where(true as Loose, sums(inputs, {}).topk(1), 'none')],
    [
      'no set on either side',
      (inputs) => where(divergence(sums(inputs, {}), sums(inputs, {})).below(1), 'none', 'none'),
    ],
    [
      'sets of different axes',
      (inputs) => {
        const own = sums(inputs, {});
        return where(divergence(own, own).below(1), own.topk(1), own.pool(2).topk(1) as Loose);
      },
    ],
    [
      'sums over different axes',
      (inputs) => {
        const own = sums(inputs, {});
        return where(divergence(own, own.pool(2)).below(1), own.topk(1), 'none');
      },
    ],
    ['blocks of half cells', ({ q, k }) => antidiagonal(q, k, { stride: 4, block: 6 }).topk(1)],
    ['options that are none', (inputs) => sums(inputs, {}).topk(1, 5)],
    ['an option that is none', (inputs) => sums(inputs, {}).topk(1, { alway: { first: 1 } })],
    ['members that are none', (inputs) => sums(inputs, {}).topk(1, { always: { foo: 1 } })],
    ['a number for members', ({ q, k }) => q.dot(k).softmax().cover(0.5, { always: 5 })],
    ['an option of another step', ({ q, k }) => q.dot(k).softmax().cover(0.5, { of: 'sum' })],
    ['cells of no size', ({ q, k }) => antidiagonal(q, k, undefined as Loose).topk(1)],
    ['a step that is none', ({ q }) => q.max().topk(1)],
    ['a program that throws', () => JSON.parse('{')],
  ])('%s', async (_, program) => {
    await refused('E003', () => attend(keys(program)));
  });

  it('says what fits', async () => {
    const make = (program: Program) => () => attend(keys(program));
    expect(
      await refused(
        'E003',
        make(({ q, k }) => q.dot(k).sumPerKey().topk(2)),
      ),
    ).toMatchInlineSnapshot(`
      "error[E003]: sumPerKey needs weights, and gets 'dot'
        --> estimates.test.ts:L:C
        |
      N |         make(({ q, k }) => q.dot(k).sumPerKey().topk(2)),
        |                                     ^^^^^^^^^^^
        = help: apply .sumPerKey to weights"
    `);
    expect(
      await refused(
        'E003',
        make(({ q }) => q.max().topk(1)),
      ),
    ).toMatchInlineSnapshot(`
      "error[E003]: the estimate of 'keys' throws: q.max is not a function
        --> estimates.test.ts:L:C
        |
      N |         make(({ q }) => q.max().topk(1)),
        |                           ^^^^^
        = help: build it from q and k with the steps of the estimate language"
    `);
    await takenByBoth(keys(({ q, k }) => q.dot(k).softmax().sumPerKey().topk(2)));
  });

  it('heads of one KV head with different numbers for their one set', async () => {
    const shared = keys((inputs, { n }) => sums(inputs, {}).sumPerGroup().topk(n), {
      n: count.default(2),
    });
    const bad = () => attend(shared, {}, { n: [1, 2, 3, 3] });
    expect(await refused('E003', bad)).toMatchInlineSnapshot(`
      "error[E003]: 'keys' is one set per KV head, and its heads have different numbers
        = help: give the query heads of a KV head the same parameters"
    `);
    await takenByBoth(shared, {}, { n: [1, 1, 3, 3] });
  });
});

describe('E004: an estimate that is not a number', () => {
  it('a key of NaN that the estimate reads', async () => {
    const { k } = tensors();
    k.data[3 * 8] = Number.NaN;
    const make = keys((inputs) => sums(inputs, {}).topk(2));
    expect(await refused('E004', () => attend(make, { k }))).toMatchInlineSnapshot(`
      "error[E004]: dot below softmax() of the estimate is NaN at row 3, column 3 of head 0 of batch 0
        = help: look for NaN, infinities and overflow in q and k of that head"
    `);
    await refused('E004', () => oracle(make, { k }));
    await takenByBoth(make);
  });
});

describe('E005: an estimate that returns no sets', () => {
  const make = (result: (inputs: Loose) => unknown) =>
    (pattern('none') as Loose).estimate(result).mask(({ q, k }: Loose) => k <= q);

  it.each([
    ['nothing', () => undefined],
    ['an empty object', () => ({})],
    ['a number', () => 4],
  ])('%s', async (_, result) => {
    await refused('E005', () => attend(make(result)));
  });

  it('sums that nothing was chosen from', async () => {
    const bad = make((inputs) => ({ keys: sums(inputs, {}) }));
    expect(await refused('E005', () => attend(bad))).toMatchInlineSnapshot(`
      "error[E005]: 'keys' of the estimate is not a chosen set
        = help: end it with topk, above or cover"
    `);
    await takenByBoth(make((inputs) => ({ keys: sums(inputs, {}).topk(2) })));
  });
});

describe('E006: a budget outside its range', () => {
  it.each<[string, Program]>([
    ['topk(-1)', (inputs) => sums(inputs, {}).topk(-1)],
    ['topk(1.5)', (inputs) => sums(inputs, {}).topk(1.5)],
    ['topk(NaN)', (inputs) => sums(inputs, {}).topk(Number.NaN)],
    ["topk('2')", (inputs) => sums(inputs, {}).topk('2')],
    ['above(1.1)', (inputs) => sums(inputs, {}).above(1.1)],
    ['cover(-0.1)', (inputs) => sums(inputs, {}).cover(-0.1)],
    ['a capacity of half', (inputs) => sums(inputs, {}).cover(0.5, { capacity: 0.5 })],
    ['always.first of -1', (inputs) => sums(inputs, {}).topk(2, { always: { first: -1 } })],
    ['pool(0)', (inputs) => sums(inputs, {}).pool(0).topk(1)],
    ['last(0)', ({ q, k }) => q.last(0).dot(k).softmax().sumPerKey().topk(1)],
    ['dilate(2.5)', (inputs) => sums(inputs, {}).topk(1).dilate(2.5)],
  ])('%s', async (_, program) => {
    await refused('E006', () => attend(keys(program)));
  });

  it('a number of the call', async () => {
    const make = keys((inputs, { mass }) => sums(inputs, {}).cover(mass), {
      mass: z.number().default(0.5),
    });
    expect(await refused('E006', () => attend(make, {}, { mass: 1.5 }))).toMatchInlineSnapshot(
      `
      "error[E006]: cover(1.5): a budget outside its range
        --> estimates.test.ts:L:C
        |
      N |    const make = keys((inputs, { mass }) => sums(inputs, {}).cover(mass), {
        |                                                             ^^^^^^^^^^^
        = help: give a number from 0 to 1"
    `,
    );
    await takenByBoth(make, {}, { mass: 1 });
  });
});

describe('E008: a summary that is not pools of k and v of one size', () => {
  const make = (summary: (inputs: Loose) => unknown) =>
    keys((inputs) => sums(inputs, {}).topk(1)).rest(summary);

  it.each<[string, (inputs: Loose) => unknown]>([
    ['two sizes', ({ k, v }) => ({ keys: k.pool(2), values: v.pool(3) })],
    ['keys for values', ({ k }) => ({ keys: k.pool(2), values: k.pool(2) })],
    ['no pools', ({ k, v }) => ({ keys: k, values: v })],
    ['nothing', () => undefined],
  ])('%s', async (_, summary) => {
    await refused('E008', () => attend(make(summary)));
  });

  it('says what to write', async () => {
    const sizes = (a: number, b: number) =>
      make(({ k, v }) => ({ keys: k.pool(a), values: v.pool(b) }));
    expect(await refused('E008', () => attend(sizes(2, 3)))).toMatchInlineSnapshot(`
      "error[E008]: rest needs keys and values that are pools of k and v of one size
        = help: write ({ k, v }) => ({ keys: k.pool(64), values: v.pool(64) })"
    `);
    await takenByBoth(sizes(2, 2));
  });

  it('a pool of no keys', async () => {
    await refused('E006', () =>
      attend(make(({ k, v }) => ({ keys: k.pool(0), values: v.pool(0) }))),
    );
  });
});

describe('E009: a score that stand-ins cannot have', () => {
  const near = pattern('near')
    .estimate(({ q, k }) => ({ columns: q.dot(k).softmax().sumPerKey().topk(1) }))
    .mask(({ q, k }, { columns }) => k <= q && columns.has(k))
    .rest(({ k, v }) => ({ keys: k.pool(2), values: v.pool(2) }));

  it('a penalty on the distance', async () => {
    const bad = near.score(({ s, q, k }) => s - (q - k) / 8);
    expect(await refused('E009', () => attend(bad))).toMatchInlineSnapshot(`
      "error[E009]: the score of 'near' depends on positions, and stand-ins have none
        --> estimates.test.ts:L:C
        |
      N |     const bad = near.score(({ s, q, k }) => s - (q - k) / 8);
        |                                             ^^^^^^^^^^^^^^^
        = help: use only s, head and parameters in a score beside .rest"
    `);
    await refused('E009', () => oracle(bad));
    await takenByBoth(near.score(({ s, head }) => s / (head + 1)));
  });
});
