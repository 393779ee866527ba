// Named buffers laid one after another into one block, so that a call allocates once.

import type { Buffer } from '../../codegen/kernel.ts';

/** What vector loads and zone maps may rely on. */
const alignment = 256;

export interface Layout {
  readonly bytes: number;
  readonly offsets: Readonly<Record<string, number>>;
}

export function layoutOf(buffers: readonly Buffer[]): Layout {
  const offsets: Record<string, number> = {};
  let bytes = 0;
  for (const { name, bytes: own } of buffers) {
    offsets[name] = bytes;
    // An empty buffer has a place too: launches name it.
    bytes += Math.ceil(Math.max(1, own) / alignment) * alignment;
  }
  return { bytes, offsets };
}

/** Sets the places of a layout's buffers from an address on. */
export function placeLayout(
  places: Record<string, number>,
  { offsets }: Layout,
  address: number,
): void {
  for (const name of Object.keys(offsets)) places[name] = address + offsets[name]!;
}
