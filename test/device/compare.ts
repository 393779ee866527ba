// The facts that the emulator encodes, on a real GPU: `npm run test:primitives`, or from the bundle
// `./warploom test:primitives`. Every case of test/device/primitives is run by both, and compared to the bit:
// layouts of fragments, descriptors, swizzles, boxes that leave their tensor, phases of barriers. Prints one line a
// case, then the chip and its driver; ends with 1 where one differs.

import { parseArgs } from 'node:util';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { openDevice } from '../../runtime/device.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { barrierCases } from './primitives/barriers.ts';
import { boxCases } from './primitives/boxes.ts';
import { difference, type PrimitiveCase, runCase } from './primitives/case.ts';
import { productCases } from './primitives/products.ts';
import { warpCases } from './primitives/warps.ts';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  console.log(`Primitives on a GPU of compute capability 9.0, compared with the emulator's to the bit.
  --device cuda      cuda:1
  --only product     cases whose names have this in them`);
  process.exit(0);
}

// Boxes last: one that a GPU refuses would take the device with it.
const cases = [...warpCases, ...barrierCases, ...productCases, ...boxCases].filter(({ name }) =>
  name.includes(values.only),
);

/** The machine of a device, opened anew: after a fault the old one refuses everything. */
async function openMachine(): Promise<{ device: GpuDevice; machine: Machine }> {
  const device = await openDevice(values.device);
  if (device instanceof GpuDevice && device.machine.arch === 'sm_90a')
    return { device, machine: device.machine };
  console.error(`the cases need a GPU of compute capability 9.0; ${values.device} is none`);
  process.exit(1);
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

const { device, machine } = await openMachine();
// A kernel that hangs would hang all that follows.
const watch = (name: string) =>
  setTimeout(() => {
    console.log(`${name}: does not end`);
    process.exit(1);
  }, 60_000);
let failures = 0;
for (const one of cases) {
  const timer = watch(one.name);
  const wrong = await check(machine, one);
  clearTimeout(timer);
  if (wrong !== undefined) failures += 1;
  console.log(`${one.name}: ${wrong ?? 'the same'}`);
}
const { chip = device.name, driver = 'no driver' } = machine.chip ?? {};
const day = new Date().toISOString().slice(0, 10);
console.log(`${cases.length} cases, ${failures} differ; ${chip}, CUDA driver ${driver}, ${day}`);
process.exit(failures > 0 || cases.length === 0 ? 1 : 0);
