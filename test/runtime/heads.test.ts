// Whose numbers, whose pattern, whose spans: what a call has per head or per tile reaches the right one.

import { expect, it } from 'vitest';
import { byHead, count, pattern } from '../../dsl/index.ts';
import { attend, takenByBoth } from '../diagnostics/cases.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const window = pattern('window', { window: count.default(2) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);

it('a head with its own number gives what that number gives to all heads', async () => {
  const own = [1, 2, 3, 7];
  const mixed = await (await attend(window, {}, { window: own })).out.read();
  for (const [head, one] of own.entries()) {
    const all = await (await attend(window, {}, { window: one })).out.read();
    const of = (values: typeof all) => [...values.subarray(head * 40, (head + 1) * 40)];
    expect(of(mixed)).toEqual(of(all));
  }
});

it('every head runs its own pattern of byHead', async () => {
  await takenByBoth(byHead([window, causal, causal, window]) as never);
});

it('a stated schedule is asked tile by tile, from the first query on', async () => {
  const stated = causal
    .visit(({ tile, span }) => span(0, tile.q1 + 1))
    .schedule({ qTile: 2, kTile: 2 });
  await takenByBoth(stated);
});
