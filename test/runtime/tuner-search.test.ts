// The search for the fastest choice, on a simulated device: it finds it under drift, blames who is to blame, and
// ends in time.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import { legalKnobs } from '../../codegen/attention/legal.ts';
import { NoReferenceError, type SearchProgress, search } from '../../runtime/tuner/search.ts';
import { Standing } from '../../runtime/tuner/standing.ts';
import { heldOf, slotOf, timeAlone } from '../../runtime/tuner/sustained.ts';
import { type Fault, SimulatedDevice, type SimulatedKernel } from './tuner-simulated.ts';

const all = legalKnobs({
  headDim: 128,
  valueDim: 128,
  arch: 'sm_90a',
  blockSharedBytes: 232_448,
});
const faults: Fault[] = [
  'refused',
  'spills',
  'throws',
  'hangs',
  'hangs later',
  'wrong',
  'unsteady',
];

/** Numbers in 0 .. 1. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

interface Made {
  readonly choices: readonly Choice[];
  readonly kernels: Map<string, SimulatedKernel>;
  readonly device: SimulatedDevice;
}

interface Case {
  readonly seed: number;
  readonly count: number;
  readonly phase: number;
  readonly periodMs: number;
  readonly faulty: number;
}

/** A field of kernels; the first is the untuned one, the second the reference: they are well. */
function make({ seed, count, phase, periodMs, faulty }: Case): Made {
  const random = numbers(seed);
  const choices = all.slice(0, count);
  const kernels = new Map(
    choices.map((choice, i): [string, SimulatedKernel] => {
      const ms = 3 * (1 + 0.6 * random() ** 1.5);
      const isFaulty = i > 1 && random() < faulty;
      const fault = faults[Math.floor(random() * faults.length)]!;
      return [choiceName(choice), { ms, ...(isFaulty && { fault }) }];
    }),
  );
  const drift = { share: 0.08, periodMs, phase };
  const device = new SimulatedDevice({ kernels, drift, noise: 0.006, random });
  return { choices, kernels, device };
}

const arbitraryCase = fc.record({
  seed: fc.integer({ min: 1, max: 1e9 }),
  count: fc.integer({ min: 2, max: 100 }),
  phase: fc.double({ min: 0, max: 1, noNaN: true }),
  periodMs: fc.double({ min: 300, max: 60_000, noNaN: true }),
  faulty: fc.constantFrom(0, 0.1, 0.3),
});

function run({ choices, device }: Made, more: Partial<Parameters<typeof search>[0]> = {}) {
  const [untuned, reference] = choices as [Choice, Choice];
  const common = { bench: device, clock: device, choices, untuned, reference };
  return search({ ...common, budgetMs: 30_000, loadMs: 300, ...more });
}

test('finds the best within 2 % while the clock drifts by 8 %, and never one that is at fault', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCase, async (one) => {
      const made = make(one);
      const { best, isComplete } = await run(made);
      const good = [...made.kernels.values()].filter(({ fault }) => fault === undefined);
      const fastest = Math.min(...good.map(({ ms }) => ms));
      const { ms, fault } = made.kernels.get(best.name)!;
      expect(fault).toBeUndefined();
      if (isComplete) expect(ms / fastest).toBeLessThan(1.02);
      expect(made.device.now()).toBeLessThan(33_000);
    }),
    { numRuns: 150, seed: 5 },
  ));

test('says what became of every choice, and tells of the bad ones at once', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCase, async (one) => {
      const made = make({ ...one, faulty: 0.3 });
      const bad: Standing[] = [];
      const { standings, isComplete } = await run(made, {
        onBad: (standing) => bad.push(standing),
      });
      const wanted = {
        refused: ['refused'],
        'compiles for ever': ['waiting'],
        spills: ['refused'],
        throws: ['fails'],
        hangs: ['hangs'],
        // It may be left behind before it does, and only a winner is asked twice.
        'hangs later': ['hangs', 'slower'],
        'hangs at last': ['hangs', 'slower', 'racing'],
        'hangs for long': ['hangs', 'slower', 'racing'],
        wrong: ['wrong'],
        unsteady: ['wrong', 'slower', 'racing'],
      } as const;
      for (const { name, state } of standings) {
        const { fault } = made.kernels.get(name)!;
        if (state === 'waiting' && !isComplete) continue;
        if (fault) expect(wanted[fault]).toContain(state);
        else expect(['racing', 'slower']).toContain(state);
      }
      const states = ['fails', 'hangs', 'wrong'];
      expect(bad.map(({ name }) => name).sort()).toEqual(
        standings
          .filter(({ state }) => states.includes(state))
          .map(({ name }) => name)
          .sort(),
      );
      const resets = bad.filter(({ state }) => state !== 'wrong').length;
      expect(made.device.resets).toBe(resets);
    }),
    { numRuns: 60, seed: 6 },
  ));

test('the same seed gives the same search', async () => {
  const one = { seed: 9, count: 60, phase: 0.3, periodMs: 4000, faulty: 0.1 };
  const [a, b] = [await run(make(one)), await run(make(one))];
  expect(a.standings.map(({ times }) => times)).toEqual(b.standings.map(({ times }) => times));
});

describe('kernels that need power', () => {
  /** Of a call when the chip does nothing else. */
  const alone = ({ ms, power = 0 }: SimulatedKernel): number => ms / (1 - power);
  const withPower = (one: Case): Made => {
    const made = make(one);
    const random = numbers(one.seed + 1);
    for (const [name, kernel] of made.kernels)
      made.kernels.set(name, { ...kernel, power: 0.1 * random() });
    return made;
  };
  /** A clock that swings by 8 % within a second or two hides what power does to it. */
  const slowly = arbitraryCase.map((one) => ({ ...one, periodMs: one.periodMs + 10_000 }));

  test('are taken for what they do alone, not for what they do among others', () =>
    fc.assert(
      fc.asyncProperty(slowly, async (one) => {
        const made = withPower(one);
        const { best, untuned, standings, isComplete } = await run(made);
        if (!isComplete) return;
        const time = ({ name }: Standing): number => alone(made.kernels.get(name)!);
        const raced = standings.filter(({ state, rounds }) => state === 'racing' && rounds > 2);
        const first = raced.sort((a, b) => a.ratio - b.ratio).slice(0, 1);
        for (const other of [untuned, ...first])
          expect(time(best) / time(other)).toBeLessThan(1.02);
      }),
      { numRuns: 60, seed: 7 },
    ));

  const three = { seed: 11, count: 3, phase: 0, periodMs: 5000, faulty: 0 };
  const rivals = (...kernels: SimulatedKernel[]): Made => {
    const made = make({ ...three, count: kernels.length });
    made.choices.forEach((choice, i) => {
      made.kernels.set(choiceName(choice), kernels[i]!);
    });
    return made;
  };

  test('leave the untuned one where it is when they are faster in a race alone', async () => {
    const made = rivals({ ms: 3 }, { ms: 4 }, { ms: 2.93, power: 0.05 });
    const { best, untuned, standings, isComplete } = await run(made);
    expect([best, isComplete]).toEqual([untuned, true]);
    expect(standings[2]!.ratio).toBeLessThan(0.99);
    // What is timed is timed when the clock has followed.
    const ratio = 2.93 / 0.95 / 3;
    expect(Math.abs(standings[2]!.sustained.ratio - ratio)).toBeLessThan(0.008);
  });

  test('make room for one that was slower than they in the race', async () => {
    const made = rivals({ ms: 3 }, { ms: 2.95 }, { ms: 2.93, power: 0.05 });
    const { best, standings } = await run(made);
    expect(best).toBe(standings[1]);
  });

  test('make room for one that moves keys in another way, although many were faster in the race', async () => {
    const fast = { ms: 2.9, power: 0.05 };
    // All in the order `sections`, but for every fourth.
    const made = rivals({ ms: 3 }, { ms: 4 }, { ms: 2.95 }, ...Array(18).fill({ ms: 4 }));
    const [other, ...ofSections] = [2, 4, 8, 12, 16].map((i) => choiceName(made.choices[i]!));
    for (const name of ofSections) made.kernels.set(name, fast);
    const { best, standings } = await run(made);
    const better = standings.filter(({ ratio }) => ratio < 0.98).map(({ name }) => name);
    expect(better).toEqual(expect.arrayContaining(ofSections));
    expect(best.name).toBe(other);
  });

  test.each([
    ['is faster', [0.96, 0.961, 0.962], 1],
    ['is as fast', [0.974, 0.975, 0.976], 0],
    ['is faster by less than its rounds differ', [0.93, 0.961, 0.99], 0],
    ['has not had all rounds', [0.96, 0.961], 0],
  ])('keep their place unless another %s', (_, ratios, held) => {
    const [winner, other, pace] = all.slice(0, 3).map((choice) => new Standing(choice));
    for (const standing of [winner!, other!, pace!]) standing.end('racing');
    for (const ratio of [0.979, 0.98, 0.981]) winner!.sustained.add(3 * ratio, ratio);
    for (const ratio of ratios) other!.sustained.add(3 * ratio, ratio);
    expect(heldOf(winner!, [winner!, other!], pace!)).toBe([winner, other][held]);
  });

  test('make no room for one that was wrong meanwhile', () => {
    const [winner, other, pace] = all.slice(0, 3).map((choice) => new Standing(choice));
    for (const ratio of [0.98, 0.98, 0.98]) winner!.sustained.add(3 * ratio, ratio);
    for (const ratio of [0.9, 0.9, 0.9]) other!.sustained.add(3 * ratio, ratio);
    for (const standing of [winner!, other!, pace!]) standing.end('racing');
    expect(heldOf(winner!, [winner!, other!], pace!)).toBe(other);
    other!.end('wrong');
    expect(heldOf(winner!, [winner!, other!], pace!)).toBe(winner);
  });

  test.each([
    ['no faster', [1.005, 1.01, 1.03], 2],
    ['faster', [0.985, 0.995, 1.01], 0],
  ])('leave the untuned one in its place where the winner by little is %s', (_, ratios, held) => {
    const [winner, other, pace] = all.slice(0, 3).map((choice) => new Standing(choice));
    for (const standing of [winner!, other!, pace!]) standing.end('racing');
    for (const ratio of [0.989, 0.99, 0.991]) winner!.add(3 * ratio, ratio);
    for (const ratio of ratios) winner!.sustained.add(3 * ratio, ratio);
    expect(heldOf(winner!, [winner!], pace!)).toBe([winner, other, pace][held]);
  });

  test('have their time whatever the race would take', async () => {
    const made = make({ ...three, count: 100 });
    made.choices.forEach((choice, i) => {
      made.kernels.set(choiceName(choice), { ms: 3 + i / 1e4 });
    });
    const { standings } = await run(made, { budgetMs: 14_000 });
    expect(standings.filter(({ sustained }) => sustained.rounds === 3)).toHaveLength(4);
  });

  test.each([
    [0, 225],
    [0.5, 300],
    [1, 375],
  ])(
    'are called for times of chance, and their first third is not seen: %d',
    async (chance, wholeMs) => {
      let now = 0;
      const standing = new Standing(all[0]!);
      standing.add(1, 1);
      // What is called in the first third takes twice as long.
      const run = async (_: Choice, calls: number): Promise<number> => {
        const ms = now < wholeMs / 3 ? 2 : 1;
        now += ms * calls;
        return ms;
      };
      const clock = { now: () => now, random: () => chance };
      const mean = await timeAlone({ run }, standing, 300, clock);
      expect(Math.abs(now - wholeMs)).toBeLessThanOrEqual(wholeMs / 12 + 1);
      // One batch may begin within that third and end after it.
      expect(mean).toBeLessThan(1.3);
    },
  );

  test('are not asked where the budget has no room for it', async () => {
    const made = rivals({ ms: 3 }, { ms: 4 }, { ms: 2.93, power: 0.05 });
    expect([slotOf(5000), slotOf(30_000), slotOf(600_000)]).toEqual([undefined, 300, 400]);
    const { best, standings } = await run(made, { budgetMs: 5000 });
    expect([best, best.sustained.rounds]).toEqual([standings[2], 0]);
  });

  test('that hang when they are called for long are not the best', async () => {
    const made = rivals({ ms: 3 }, { ms: 2.95 }, { ms: 2.9, fault: 'hangs for long' });
    const bad: Standing[] = [];
    const { best, standings, isComplete } = await run(made, { onBad: (one) => bad.push(one) });
    expect([best, bad, isComplete]).toEqual([standings[1], [standings[2]], true]);
  });
});

describe('a budget', () => {
  test.each([50, 500, 2000, 5000])('of %d ms is kept, with the best so far', async (budgetMs) => {
    const made = make({ seed: 3, count: 100, phase: 0, periodMs: 5000, faulty: 0 });
    const { best, untuned } = await run(made, { budgetMs });
    // What has begun is finished, and the two that have to be there are compiled and called.
    expect(made.device.now()).toBeLessThan(budgetMs + 150);
    const slower = made.kernels.get(best.name)!.ms / made.kernels.get(untuned.name)!.ms;
    expect(slower).toBeLessThan(1.02);
  });

  test.each([
    [3, 15, 60],
    [3, 2, 8],
    [250, 15, 8],
  ])(
    'has time for calls of %d ms while %d at a time take 4 s to compile',
    async (ms, compilers, least) => {
      const choices = all.slice(0, 200);
      const kernels = new Map(choices.map((choice) => [choiceName(choice), { ms }]));
      const random = numbers(7);
      const device = new SimulatedDevice({ kernels, random, compilers, compileMs: 4000 });
      const { standings } = await run({ choices, kernels, device });
      expect(standings.filter(({ rounds }) => rounds > 0).length).toBeGreaterThanOrEqual(least);
      expect(standings.some(({ rounds }) => rounds >= 3)).toBe(true);
      expect(device.now()).toBeLessThan(31_000);
    },
  );

  test('is not waited out for what is still being compiled', async () => {
    const made = make({ seed: 6, count: 40, phase: 0, periodMs: 5000, faulty: 0 });
    const slow = made.choices.slice(5, 8).map(choiceName);
    for (const name of slow) made.kernels.set(name, { ms: 1, fault: 'compiles for ever' });
    const { best, standings, isComplete } = await run(made);
    expect(made.device.now()).toBeLessThan(31_000);
    expect(standings.filter(({ state }) => state === 'waiting').map(({ name }) => name)).toEqual(
      slow,
    );
    const others = [...made.kernels].filter(([name]) => !slow.includes(name));
    const fastest = Math.min(...others.map(([, { ms }]) => ms));
    expect(made.kernels.get(best.name)!.ms / fastest).toBeLessThan(1.02);
    expect(isComplete).toBe(false);
  });

  // Long calls: a round over all would take all of the time.
  const long = fc.record({
    seed: fc.integer({ min: 1, max: 1e9 }),
    ms: fc.integer({ min: 15, max: 60 }),
  });
  test('that a round over all would use up makes rounds of some', () =>
    fc.assert(
      fc.asyncProperty(long, async ({ seed, ms }) => {
        const made = make({ seed, count: all.length, phase: 0, periodMs: 5000, faulty: 0 });
        for (const [name, kernel] of made.kernels)
          made.kernels.set(name, { ms: (kernel.ms * ms) / 3 });
        const { best, untuned, standings, isComplete } = await run(made);
        expect(standings.length).toBeGreaterThan(200);
        expect([isComplete, best === untuned || best.rounds >= 3]).toEqual([false, true]);
        const slower = made.kernels.get(best.name)!.ms / made.kernels.get(untuned.name)!.ms;
        expect(slower).toBeLessThan(1.005);
      }),
      { numRuns: 30, seed: 8 },
    ));

  test('that is short has what comes first', async () => {
    const made = make({ seed: 3, count: 100, phase: 0, periodMs: 5000, faulty: 0 });
    const { standings, isComplete } = await run(made, { budgetMs: 600 });
    expect(isComplete).toBe(false);
    const tried = standings.map(({ state }) => state !== 'waiting');
    expect(tried.slice(0, 5)).toEqual([true, true, true, true, true]);
    expect(made.device.compiled).toBeLessThan(40);
  });
});

test('Ctrl-C leaves what was measured', async () => {
  const made = make({ seed: 4, count: 60, phase: 0, periodMs: 5000, faulty: 0 });
  const stopping = new AbortController();
  let last: SearchProgress | undefined;
  const onChange = (progress: SearchProgress) => {
    last = progress;
    if (progress.untuned.rounds > 30) stopping.abort();
  };
  const { best, isComplete } = await run(made, { onChange, signal: stopping.signal });
  expect(isComplete).toBe(false);
  expect(last!.best.name).toBe(best.name);
  const { ms } = made.kernels.get(best.name)!;
  const fastest = Math.min(...[...made.kernels.values()].map((kernel) => kernel.ms));
  expect(ms / fastest).toBeLessThan(1.04);
});

test('the untuned choice stays where nothing is faster', async () => {
  const made = make({ seed: 5, count: 20, phase: 0, periodMs: 5000, faulty: 0 });
  made.kernels.set(choiceName(made.choices[0]!), { ms: 2 });
  const { best, untuned } = await run(made);
  expect(best).toBe(untuned);
});

test.each([
  [0, 'wrong'],
  [0, 'hangs'],
  [0, 'refused'],
] as const)('without choice %d, which is %s, nothing is compared', async (at, fault) => {
  const made = make({ seed: 6, count: 10, phase: 0, periodMs: 5000, faulty: 0 });
  made.kernels.set(choiceName(made.choices[at]!), { ms: 3, fault });
  await expect(run(made)).rejects.toThrow(NoReferenceError);
});

test('where nothing is well, nobody is blamed', async () => {
  const made = make({ seed: 6, count: 10, phase: 0, periodMs: 5000, faulty: 0 });
  for (const choice of made.choices)
    made.kernels.set(choiceName(choice), { ms: 3, fault: 'throws' });
  const bad: Standing[] = [];
  await expect(run(made, { onBad: (one) => bad.push(one) })).rejects.toThrow(NoReferenceError);
  expect(bad).toEqual([]);
});

test('an untuned choice that hangs while it is timed is not the best', async () => {
  const made = make({ seed: 8, count: 30, phase: 0, periodMs: 5000, faulty: 0 });
  made.kernels.set(choiceName(made.choices[0]!), { ms: 1, fault: 'hangs at last' });
  const bad: Standing[] = [];
  const { best, untuned, isComplete } = await run(made, { onBad: (one) => bad.push(one) });
  expect([isComplete, bad]).toEqual([false, [untuned]]);
  expect(best).not.toBe(untuned);
});

test('a reference that cannot be run leaves the untuned choice to compare with', async () => {
  const made = make({ seed: 7, count: 10, phase: 0, periodMs: 5000, faulty: 0 });
  made.kernels.set(choiceName(made.choices[1]!), { ms: 3, fault: 'throws' });
  const bad: Standing[] = [];
  const { standings, isComplete } = await run(made, { onBad: (one) => bad.push(one) });
  expect(isComplete).toBe(true);
  expect(standings[1]!.state).toBe('fails');
  expect(bad).toEqual([standings[1]]);
});
