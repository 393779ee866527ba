// The generated Hopper kernel keeps the rules of the device in every order of its threads and copies, and needs
// what stands in it: without a wait, with another count, phase, stride or bound the emulator finds a fault, or
// the numbers are others.

import { describe, expect, it } from 'vitest';
import type { LaunchList } from '../../codegen/kernel.ts';
import { KernelFault } from '../../runtime/emulator/fault.ts';
import { type EmulatorOptions, runEmulated } from '../../runtime/emulator/run.ts';
import { buffersOf, equals, listOf, mutantsOf } from './emulator-mutants.ts';

/** WARPLOOM_RUNS=1000 takes every mutant, and so many orders. */
const runs = Number(process.env.WARPLOOM_RUNS ?? 0);
const orders = Math.max(12, runs);
const mostMutants = Math.max(48, runs);
const timeoutMs = 240_000 + orders * 2000;

const list = listOf();
const buffers = buffersOf();
const step = list.steps.find((one) => one.op === 'launch');
const source = step?.op === 'launch' ? step.kernel.source : '';

const withSource = (text: string): LaunchList => ({
  ...list,
  steps: list.steps.map((one) =>
    one.op === 'fill' ? one : { ...one, kernel: { ...one.kernel, source: text } },
  ),
});

const bitsOf = async (of: LaunchList, options: EmulatorOptions): Promise<string> => {
  const { out, lse, error, counter } = await runEmulated(of, buffers, { processes: 1, ...options });
  return Buffer.concat([out!, lse!, error!, counter!]).toString('base64');
};
const right = await bitsOf(list, {});

/** Works on all of them, as many at a time as there are usually cores. */
async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all([worker(), worker()]);
}

describe('the Hopper kernel', () => {
  it('gives the same bits in any order of its threads and copies', { timeout: timeoutMs }, () =>
    each(
      Array.from({ length: orders }, (_, i) => i + 1),
      async (seed) => expect(await bitsOf(list, { seed }), `seed ${seed}`).toBe(right),
    ),
  );

  it('needs each wait, count, phase and stride', { timeout: timeoutMs }, async () => {
    const isEqual = ({ why, after }: (typeof all)[0]) =>
      equals.some(([what, before]) => what.test(why) && before.test(after));
    const all = mutantsOf(source);
    const needed = all.filter((one) => !isEqual(one));
    expect(needed.length).toBeGreaterThan(100);
    const every = Math.max(1, Math.floor(needed.length / mostMutants));
    const missed: string[] = [];
    await each(
      needed.filter((_, i) => i % every === 0),
      async ({ why, source: text }) => {
        // What one order hides another shows.
        for (let seed = 0; seed < 3; seed += 1) {
          const found = await bitsOf(withSource(text), { seed, seconds: 30 }).catch(
            (error: unknown) => error,
          );
          if (found !== right) {
            if (typeof found !== 'string') expect(found, why).toBeInstanceOf(KernelFault);
            return;
          }
        }
        missed.push(why);
      },
    );
    expect(missed).toEqual([]);
  });
});
