// The generated Hopper kernel keeps the rules of the device in every order of its threads and copies, and needs
// what stands in it: without a wait, with another count, phase, stride or bound the emulator finds a fault, or
// the numbers are others.

import { describe, expect, it } from 'vitest';
import type { Step } from '../../codegen/kernel.ts';
import { KernelFault } from '../../runtime/emulator/fault.ts';
import { type EmulatorOptions, runEmulated } from '../../runtime/emulator/run.ts';
import {
  buffersOf,
  equals,
  listOf,
  type Mutant,
  mutantsOf,
  unusedChanges,
  type Variant,
  variants,
} from './emulator-mutants.ts';

/** WARPLOOM_RUNS=1000 takes every mutant, and so many orders. */
const runs = Number(process.env.WARPLOOM_RUNS ?? 0);
const orders = Math.max(12, runs);
const mostMutants = Math.max(48, runs);
const timeoutMs = 240_000 + orders * 2000;

interface Subject {
  readonly source: string;
  /** All results of the kernel with this text. */
  readonly bitsOf: (text: string, options?: EmulatorOptions) => Promise<string>;
  readonly right: string;
}

async function subjectOf(variant: Variant): Promise<Subject> {
  const list = listOf(variant);
  const buffers = buffersOf(variant);
  const isAttention = (one: Step) => one.op === 'launch' && one.kernel.name === 'attention';
  const step = list.steps.find(isAttention);
  const source = step?.op === 'launch' ? step.kernel.source : '';
  const bitsOf = async (text: string, options: EmulatorOptions = {}): Promise<string> => {
    const steps = list.steps.map((one) =>
      one.op === 'launch' && isAttention(one)
        ? { ...one, kernel: { ...one.kernel, source: text } }
        : one,
    );
    const own = { processes: 1, ...options };
    const { out, lse, error, counter } = await runEmulated({ ...list, steps }, buffers, own);
    return Buffer.concat([out!, lse!, error!, counter!]).toString('base64');
  };
  return { source, bitsOf, right: await bitsOf(source) };
}

/** Works on all of them, as many at a time as there are usually cores. */
async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all([worker(), worker()]);
}

/** Those that mean something else, of a text. */
const mutantsWithMeaning = (source: string): Mutant[] =>
  mutantsOf(source).filter(
    ({ why, after }) => !equals.some(([what, before]) => what.test(why) && before.test(after)),
  );

/** Those that neither a fault nor other numbers give away. */
async function missedOf({ bitsOf, right }: Subject, mutants: readonly Mutant[]): Promise<string[]> {
  const missed: string[] = [];
  await each(mutants, async ({ why, source }) => {
    // What one order hides another shows.
    for (let seed = 0; seed < 3; seed += 1) {
      const found = await bitsOf(source, { seed, seconds: 30 }).catch((error: unknown) => error);
      if (found === right) continue;
      if (typeof found !== 'string') expect(found, why).toBeInstanceOf(KernelFault);
      return;
    }
    missed.push(why);
  });
  return missed;
}

/** At most about so many of them, from all over. */
function someOf<Item>(items: readonly Item[], most: number): readonly Item[] {
  const every = Math.max(1, Math.floor(items.length / most));
  return items.filter((_, i) => i % every === 0);
}

const turns = await subjectOf(variants.turns);
const narrow = await subjectOf(variants.narrow);
const ramp = await subjectOf(variants.ramp);
const pairs = await subjectOf(variants.pairs);
const apart = await subjectOf(variants.apart);

describe('a Hopper kernel', () => {
  it.each([
    ['with turns', turns, orders],
    ['with one place for queries and output', narrow, Math.ceil(orders / 4)],
    ['with one more step of products', ramp, Math.ceil(orders / 4)],
    ['with two boxes a slot', pairs, Math.ceil(orders / 2)],
    ['whose warpgroups ask for keys apart', apart, orders],
  ] as const)(
    '%s gives the same bits in any order of its threads and copies',
    { timeout: timeoutMs },
    async (_, { source, bitsOf, right }, count) => {
      const seeds = Array.from({ length: count }, (__, i) => i + 1);
      await each(seeds, async (seed) =>
        expect(await bitsOf(source, { seed }), `seed ${seed}`).toBe(right),
      );
    },
  );

  const needed = mutantsWithMeaning(turns.source);

  it('needs each wait, count, phase and stride', { timeout: timeoutMs }, async () => {
    expect(needed.length).toBeGreaterThan(100);
    expect(await missedOf(turns, someOf(needed, mostMutants))).toEqual([]);
  });

  it.each([
    ['one place for queries and output', narrow, [turns], 5],
    ['one more step of products', ramp, [turns], 5],
    ['two boxes a slot', pairs, [turns], 20],
    ['keys for each warpgroup', apart, [turns, pairs], 5],
  ] as const)(
    'needs what others do not have: with %s',
    { timeout: timeoutMs },
    async (_, subject, others, least) => {
      const placeOf = ({ name, after }: Mutant): string => `${after} ${name}`;
      const known = new Set(others.flatMap(({ source }) => mutantsOf(source).map(placeOf)));
      const own = mutantsWithMeaning(subject.source).filter((one) => !known.has(placeOf(one)));
      expect(own.length).toBeGreaterThan(least);
      expect(await missedOf(subject, someOf(own, mostMutants / 2))).toEqual([]);
    },
  );

  it('has a place for each change', () => {
    const sources = [turns, narrow, ramp, pairs, apart].map(({ source }) => source);
    expect(unusedChanges(sources)).toEqual([]);
  });
});
