// Law 14 for chosen sets that a call is given, and for those that are written and read: T011.

import { describe, expect, it } from 'vitest';
import { byHead, count, pattern } from '../../dsl/index.ts';
import { readChosen } from '../../runtime/cuda/sets.ts';
import { saveChosen } from '../../runtime/files/chosen.ts';
import { tensor } from '../../runtime/tensor.ts';
import { attend, refused, refusedByBoth, takenByBoth } from './cases.ts';

const { zeros } = tensor;
const window = pattern('window', { window: count.default(4) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);
const columns = pattern('columns', { keep: count.default(2) })
  .estimate(({ q, k }, { keep }) => ({
    columns: q.last(2).dot(k).causal().softmax().sumPerKey().topk(keep),
  }))
  .mask(({ q, k }, { columns }) => k <= q && columns.has(k));

describe('T011: a chosen set that does not fit', () => {
  it('the sets of another pattern', async () => {
    const { chosen } = await attend(columns);
    const other = Object.fromEntries(Object.values(chosen).map((set) => ['other', set]));
    expect(await refusedByBoth('T011', columns, { chosen: other })).toMatchInlineSnapshot(`
      "error[T011]: the chosen sets lack 'columns' of 'columns'
        = help: pass what attend.estimate returned for tensors of these sizes

      error[T011]: 'columns' has no set 'other'
        = help: pass what attend.estimate returned for tensors of these sizes"
    `);
    await takenByBoth(columns, { chosen });
  });

  it('a list for one pattern, and no list for a pattern per head', async () => {
    const { chosen } = await attend(columns);
    const perHead = byHead([columns, columns, columns, columns]) as never;
    await refusedByBoth('T011', columns, { chosen: [chosen] });
    await refusedByBoth('T011', perHead, { chosen });
    await refusedByBoth('T011', perHead, { chosen: [chosen, chosen] });
    await takenByBoth(perHead, { chosen: [chosen] });
  });

  it('sets without rows that other numbers need', async () => {
    const tailed = pattern('tailed', { tail: count.default(4) })
      .estimate(({ q, k }) => ({ keys: q.dot(k).causal().topk(1) }))
      .mask(
        ({ q, k, row, qLen }, { tail, keys }) => k <= q && (row >= qLen - tail || keys.has(q, k)),
      );
    const { chosen } = await attend(tailed, {}, { tail: 4 });
    expect(chosen.keys!.rows).toEqual({ from: 2, to: 3 });
    const params = { tail: 2 };
    expect(await refusedByBoth('T011', tailed, { chosen }, params)).toMatchInlineSnapshot(`
      "error[T011]: 'keys' was chosen for rows 2 to 2 alone, and rows 2 to 4 matter with these numbers
        = help: estimate with the numbers that attention has"
    `);
    await takenByBoth(tailed, { chosen }, { tail: 5 });
    const all = await attend(tailed, {}, { tail: 0 });
    await takenByBoth(tailed, { chosen: all.chosen }, params);
  });

  it('what is passed is no set', async () => {
    await refused('T011', () => attend(columns, { chosen: { columns: 5 } }));
  });

  it.each([null, Number.NaN, 0, '', false])('sets that are %j', async (chosen) => {
    await refusedByBoth('T011', columns, { chosen: chosen as never });
  });

  it('axes of another set', async () => {
    const { chosen } = await attend(columns);
    const withAxes = (axes: unknown) => ({ chosen: { columns: { ...chosen.columns!, axes } } });
    const distance = [{ axis: 'distance', size: 2 }];
    expect(await refusedByBoth('T011', columns, withAxes(distance))).toMatchInlineSnapshot(`
      "error[T011]: 'columns' has the axes distance of 2, expected k
        = help: pass what attend.estimate returned for tensors of these sizes"
    `);
    for (const axes of [5, [5], [null]]) await refusedByBoth('T011', columns, withAxes(axes));
    await takenByBoth(columns, withAxes([{ axis: 'k', size: 1 }]));
  });

  it.each([undefined, 5, { out: zeros([1]) }])('what is written or read is %j', async (sets) => {
    await refused('T011', () => readChosen(sets as never));
    await refused('T011', () => saveChosen('nowhere.safetensors', sets as never));
  });

  it('the sets of a longer call', async () => {
    const inputs = { k: zeros([1, 2, 70, 8]), v: zeros([1, 2, 70, 8]) };
    const { chosen } = await attend(columns, inputs);
    await refusedByBoth('T011', columns, { chosen });
  });

  it('the sets of a call with other heads', async () => {
    const inputs = { q: zeros([1, 2, 5, 8]) };
    const { chosen } = await attend(columns, inputs, {}, { heads: 2 });
    expect(await refusedByBoth('T011', columns, { chosen })).toMatchInlineSnapshot(`
      "error[T011]: 'columns' has 2 units, one per query head; expected 4, one per query head
        = help: pass what attend.estimate returned for tensors of these sizes"
    `);
  });

  it('a pattern without an estimate is given sets', async () => {
    const { chosen } = await attend(columns);
    expect(await refusedByBoth('T011', window, { chosen })).toMatchInlineSnapshot(`
      "error[T011]: 'window' has no set 'columns'
        = help: pass what attend.estimate returned for tensors of these sizes"
    `);
    await takenByBoth(window);
  });
});
