// Cases of single primitives: what is run, and what has to come out to the bit. The emulator is held to them
// everywhere, and a GPU by test/device/compare.ts.

import type { LaunchList } from '../../../codegen/kernel.ts';
import type { Machine } from '../../../runtime/cuda/machine.ts';

export interface PrimitiveCase {
  readonly name: string;
  readonly list: LaunchList;
  /** By name: what goes in. */
  readonly inputs: Readonly<Record<string, Uint8Array>>;
  /** By name: what comes out, by the model of the case. */
  readonly outputs: Readonly<Record<string, Uint8Array>>;
}

/** Runs a case; buffers that are only written begin as bytes of 0. */
export async function runCase(
  machine: Machine,
  { list, inputs, outputs }: PrimitiveCase,
): Promise<Record<string, Uint8Array>> {
  const sizes = Object.entries({ ...outputs, ...inputs }).map(
    ([name, { length }]) => [name, machine.alloc(length)] as const,
  );
  const places = Object.fromEntries(sizes.map(([name, { address }]) => [name, address]));
  for (const [name, { address, bytes }] of sizes)
    await machine.upload(address, inputs[name] ?? new Uint8Array(bytes));
  machine.run(await machine.prepare(list), places);
  await machine.synchronize();
  const results: Record<string, Uint8Array> = {};
  for (const [name, { address, bytes }] of sizes) {
    if (!(name in outputs)) continue;
    results[name] = new Uint8Array(bytes);
    await machine.download(address, results[name]);
  }
  for (const [, range] of sizes) machine.free(range);
  return results;
}

/** Where two results differ first, in words of 32 bits, or undefined. */
export function difference(
  got: Readonly<Record<string, Uint8Array>>,
  wanted: Readonly<Record<string, Uint8Array>>,
): string | undefined {
  for (const [name, bytes] of Object.entries(wanted)) {
    const [a, b] = [got[name]!, bytes].map((of) => new Uint32Array(of.slice().buffer));
    const at = b!.findIndex((word, i) => a![i] !== word);
    if (at < 0) continue;
    const count = b!.filter((word, i) => a![i] !== word).length;
    const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}`;
    return `${name}[${at}] is ${hex(a![at]!)}, not ${hex(b![at]!)}; ${count} of ${b!.length} words differ`;
  }
  return undefined;
}

/** Random integers in [0, below). */
export function integersFrom(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 12345;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
