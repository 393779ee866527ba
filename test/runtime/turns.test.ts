// Long work leaves room for others: timers run meanwhile, progress is told, a signal ends it.

import { describe, expect, it } from 'vitest';
import { pattern } from '../../dsl/pattern.ts';
import { compile, openDevice, tensor } from '../../index.ts';
import { draw } from '../../runtime/draw.ts';
import { explain } from '../../runtime/explain.ts';
import { inTurns } from '../../runtime/turns.ts';
import { refused } from '../diagnostics/cases.ts';

/** So many turns, each of them as long as one may be. */
function* busy(turns: number): Generator<number, string, void> {
  for (let i = 0; i < turns; i += 1) {
    const start = performance.now();
    while (performance.now() - start < 25);
    yield i / turns;
  }
  return 'done';
}

describe('work in turns', () => {
  it('ends with its result, and tells how far it is', async () => {
    const told: number[] = [];
    expect(await inTurns(busy(4), { onTurn: (share) => told.push(share) })).toBe('done');
    expect(told).toEqual([0, 0.25, 0.5, 0.75]);
  });

  it('lets timers run in between', async () => {
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    await inTurns(busy(8));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
  });
});

// Far longer than a turn, one mask as the other.
const shape = {
  batch: 1,
  heads: 1,
  kvHeads: 1,
  qLen: 2 ** 28,
  kLen: 2 ** 28,
  headDim: 64,
  valueDim: 64,
};
const masks = {
  'intervals alone can judge': pattern('bits').mask(({ q, k }) => (q ^ k) % 3 === 0),
  'has a stated schedule': pattern('stated')
    .mask(({ q, k }) => k <= q && q - k < 4096)
    .visit(({ tile, span }) => span(Math.max(0, tile.q0 - 4096), tile.q1 + 1)),
  'comparisons decide': pattern('near').mask(({ q, k }) => k <= q && q - k < 4096),
};

describe.each(Object.entries(masks))('a mask that %s', (_, mask) => {
  it.each([
    ['explained', explain, { exact: true }],
    ['drawn', draw, {}],
  ] as const)('is %s until a signal ends it', async (_name, look, options) => {
    const stopping = new AbortController();
    const told = new Set<string>();
    const call = look(
      mask,
      { shape },
      {},
      {
        ...options,
        signal: stopping.signal,
        onProgress: (share: number, step: string) => {
          expect(share).toBeLessThanOrEqual(1);
          told.add(step);
          stopping.abort(new Error('seen enough'));
        },
      },
    );
    await expect(call).rejects.toThrow('seen enough');
    expect([...told]).toEqual(['plan']);
  });
});

// The CPU plans by the schedule, kernels find their keys by the mask: both prove that the one does what the other says.
describe.each(['cpu', 'emulated:sm_80', 'emulated:sm_90a'])('a call on %s', (name) => {
  it('proves a stated schedule until a signal ends it', async () => {
    const stated = pattern('stated')
      .mask(({ q, k }) => k <= q && (q ^ k) % 3 === 0)
      .visit(({ tile, span }) => span(0, tile.q1 + 1));
    await using device = await openDevice(name);
    const dtype = name === 'cpu' ? 'fp32' : 'fp16';
    const all = tensor.zeros([1, 1, 2 ** 16, 64], { dtype });
    const attend = await compile(stated, { heads: 1, headDim: 64, dtype, device });
    const stopping = new AbortController();
    const told: number[] = [];
    const onProgress = (share: number): void => {
      told.push(share);
      if (told.length === 3) stopping.abort(new Error('seen enough'));
    };
    const call = attend({ q: all, k: all, v: all }, {}, { signal: stopping.signal, onProgress });
    await expect(call).rejects.toThrow('seen enough');
    expect(told).toEqual(told.toSorted((a, b) => a - b));
  });

  it('refuses a schedule that is wrong, every time', async () => {
    const late = pattern('late')
      .mask(({ q, k }) => k <= q)
      .visit(({ tile, span }) => span(0, tile.q1));
    await using device = await openDevice(name);
    const dtype = name === 'cpu' ? 'fp32' : 'fp16';
    const some = tensor.zeros([1, 1, 64, 64], { dtype });
    const attend = await compile(late, { heads: 1, headDim: 64, dtype, device });
    for (let time = 0; time < 2; time += 1)
      await refused('S003', () => attend({ q: some, k: some, v: some }));
  });
});
