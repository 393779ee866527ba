// The README says what the code says, where a machine can compare the two.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { LaunchList } from '../codegen/kernel.ts';
import { codes } from '../dsl/diagnostic.ts';
import { causal, patterns } from '../patterns/index.ts';
import { compile } from '../runtime/attend.ts';
import { GpuDevice } from '../runtime/cuda/device.ts';
import { KernelFault } from '../runtime/emulator/fault.ts';
import { EmulatedMachine } from '../runtime/emulator/machine.ts';
import { tensor } from '../runtime/tensor.ts';
import { say } from './cli/command.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

it('the README lists every diagnostic code with its meaning, and no other', () => {
  const rows = [...readme.matchAll(/^\| `([A-Z]\d{3})` \| (.+) \|$/gm)].map(([, code, meaning]) => [
    code,
    meaning,
  ]);
  expect(rows).toEqual(Object.entries(codes));
});

it('the README names every built-in pattern', () => {
  expect([...patterns.keys()].filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});

it('the README shows what explain says of a plan', async () => {
  const words = 'explain a-shape --length 131072 --dtype bf16';
  expect(readme).toContain(words);
  const { code, out } = await say(...words.split(' '));
  expect(code).toBe(0);
  // What follows depends on the NVRTC of this machine.
  const [plan] = out.split('\nkernels for');
  expect(readme).toContain(plan);
});

/** Its attention kernels take V without a wait. */
class HastyMachine extends EmulatedMachine {
  override prepare(list: LaunchList) {
    const wait = 'barrier_wait(c.slots[v_slot].v_full, v_parity);';
    const steps = list.steps.map((step) => {
      if (step.op !== 'launch') return step;
      const { kernel } = step;
      expect(kernel.source.split(wait)).toHaveLength(2);
      return { ...step, kernel: { ...kernel, source: kernel.source.replace(wait, '') } };
    });
    return super.prepare({ ...list, steps });
  }
}

it('the README shows what the emulator says of a missing wait, but for the numbers of lines', async () => {
  const device = new GpuDevice(new HastyMachine('sm_90a'));
  const attend = await compile(causal, { heads: 1, headDim: 64, dtype: 'bf16', device });
  // One tile of queries, so that its block is the first to say it.
  const make = (rows: number, seed: number) =>
    tensor.random([1, 1, rows, 64], { seed, dtype: 'bf16' });
  const fault = await attend({ q: make(40, 1), k: make(300, 2), v: make(300, 3) })
    .then(({ out }) => out.read())
    .catch((error: unknown) => error);
  await device.dispose();
  expect(fault).toBeInstanceOf(KernelFault);
  const said = (fault as KernelFault).message
    .replace(/ line \d+: /, ' line n: ')
    .replace(/ of line \d+ /, ' of line m ')
    .replace(/^\d+ \| /m, 'n | ');
  expect(/^```\n(race: [^`]*)\n```$/m.exec(readme)?.[1]).toBe(said);
});
