// Devices as the verbs use them: tensors brought over, work timed by both clocks, facts for a program.
// Which device a name means is runtime/device.ts's.

import type { GpuDevice } from '../cuda/device.ts';
import { Gpu } from '../cuda/gpu.ts';
import { type Device, deviceKinds, openDevice } from '../device.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { Tensor } from '../tensor.ts';
import { UsageError } from './failure.ts';

/** What --help says of --device. */
export const deviceHelp = `where to run: ${deviceKinds.join(', ')}; cuda:1 is the second GPU (default: the best there is)`;

/** What --help says of --threads. */
export const threadsHelp =
  'worker threads of the CPU device; 0 works without any (default: one per core)';

/** Opens what the flags name. Throws UsageError for threads of a device that has none, and what `openDevice` throws. */
export async function openNamed({
  device: name,
  threads,
}: {
  readonly device?: string;
  readonly threads?: number;
}): Promise<Device> {
  if (threads === undefined) return openDevice(name);
  const device = await openDevice(name, { threads });
  if (device.kind === 'cpu') return device;
  await device.dispose();
  throw new UsageError(
    `--threads on ${device.name}`,
    'the CPU device alone has worker threads: --device cpu, or leave --threads out',
  );
}

/** Work done once, by two clocks. */
export interface Timed<Value> {
  readonly value: Value;
  /** From the call until the device is done. */
  readonly hostMs: number;
  /** Of `hostMs`, until the call returned: the device may still have been at work. */
  readonly callMs: number;
  /** Between events before and after; a GPU alone has them. */
  readonly deviceMs?: number;
}

/** Times work that is enqueued on an idle device, until the device is done. */
export async function timeOn<Value>(
  device: Device,
  work: () => Promise<Value>,
): Promise<Timed<Value>> {
  if (device.kind !== 'cpu') await device.synchronize();
  const events = eventsOf(device);
  const start = performance.now();
  const from = events?.event();
  const value = await work();
  const to = events?.event();
  const callMs = performance.now() - start;
  if (device.kind !== 'cpu') await device.synchronize();
  const hostMs = performance.now() - start;
  if (!events) return { value, hostMs, callMs };
  const deviceMs = await events.elapsed(from!, to!);
  events.drop(from!);
  events.drop(to!);
  return { value, hostMs, callMs, deviceMs };
}

const eventsOf = (device: Device) =>
  device.kind !== 'cpu' && device.machine instanceof Gpu ? device.machine.device : undefined;

/** Copies of q, k, v and all captured tensors on a device. throws: DeviceError R007. */
export async function uploaded(
  { chosen: _, ...tensors }: AttentionInputs,
  device: GpuDevice,
): Promise<AttentionInputs> {
  const there: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(tensors))
    there[name] = await device.upload(tensor as Tensor);
  return there as unknown as AttentionInputs;
}

/** A device as plain data. */
export function deviceData(device: Device) {
  if (device.kind === 'cpu') {
    const { kind, threads, products } = device;
    return { kind, threads, products };
  }
  const { kind, name, machine, properties } = device;
  return { kind, name, arch: machine.arch, ...(properties && { chip: properties }) };
}
