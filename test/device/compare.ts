// The facts that the emulator encodes, on a real GPU. Every case of test/device/primitives is run by both, and
// compared to the bit: layouts of fragments, descriptors, swizzles, boxes that leave their tensor, phases of barriers.

import type { Command } from 'commander';
import { exit, UsageError } from '../../runtime/commands/failure.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { openDevice } from '../../runtime/device.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { addOnlyOption, deviceOption, type Program, worksNamed } from '../programs/program.ts';
import { barrierCases } from './primitives/barriers.ts';
import { boxCases } from './primitives/boxes.ts';
import { difference, type PrimitiveCase, runCase } from './primitives/case.ts';
import { productCases } from './primitives/products.ts';
import { warpCases } from './primitives/warps.ts';

interface Flags {
  readonly device: string;
  readonly only?: readonly string[];
}

// Boxes last: one that a GPU refuses would take the device with it.
const all = [...warpCases, ...barrierCases, ...productCases, ...boxCases];

export const program: Program<Flags> = {
  summary: 'primitives on an H100 or H200, compared with those of the emulator to the bit',
  examples: ['', '--only product'],
  addOptions(command: Command) {
    command.addOption(deviceOption());
    addOnlyOption(command, all);
  },
  async act(_, { device: name, only }) {
    const cases = worksNamed(all, only);
    const { device, machine } = await openMachine(name);
    let failures = 0;
    for (const one of cases) {
      const timer = watch(one);
      const wrong = await check(machine, one);
      clearTimeout(timer);
      if (wrong !== undefined) failures += 1;
      console.log(`${one.name}: ${wrong ?? 'the same'}`);
    }
    const { chip = device.name, driver = 'no driver' } = machine.chip ?? {};
    const day = new Date().toISOString().slice(0, 10);
    console.log(
      `${cases.length} cases, ${failures} differ; ${chip}, CUDA driver ${driver}, ${day}`,
    );
    return failures > 0 ? exit.wrong : exit.fine;
  },
};

/** A kernel that hangs would hang all that follows. */
const watch = ({ name }: PrimitiveCase) =>
  setTimeout(() => {
    console.log(`${name}: does not end`);
    process.exit(exit.wrong);
  }, 60_000);

async function openMachine(name: string): Promise<{ device: GpuDevice; machine: Machine }> {
  const device = await openDevice(name);
  if (device instanceof GpuDevice && device.machine.arch === 'sm_90a')
    return { device, machine: device.machine };
  throw new UsageError(
    `'${name}' is no GPU of compute capability 9.0`,
    '--device cuda on an H100 or H200, or emulated:sm_90a',
  );
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** What is wrong with one case, or undefined. */
async function check(machine: Machine, one: PrimitiveCase): Promise<string | undefined> {
  const emulator = new EmulatedMachine('sm_90a');
  try {
    const emulated = await runCase(emulator, one);
    const real = await runCase(machine, one);
    const wrong = difference(real, emulated);
    return wrong && `on the GPU ${wrong} as emulated`;
  } catch (error) {
    return messageOf(error);
  } finally {
    await emulator.dispose();
  }
}
