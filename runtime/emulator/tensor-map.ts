// Tensor maps of the emulated device: 128 bytes in place of the driver's, whose form is not public.
// device/tensor-map.h reads them; what the driver refuses, it refuses.

import type { BoxMap } from '../../codegen/kernel.ts';

const mark = 0x70616d6c6f6f6c77n;
const elementBytes = { fp16: 2, bf16: 2 } as const;

/** Where the address of the tensor goes. */
export const addressInMap = 8;

/** The bytes of a map, all but the address. */
export function emulatedMap({ type, sizes, strides, box, swizzle }: BoxMap): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, mark, true);
  const words = [sizes.length, elementBytes[type], swizzle, 0];
  for (const [i, word] of words.entries()) view.setUint32(16 + 4 * i, word, true);
  for (const [i, size] of sizes.entries()) view.setUint32(32 + 4 * i, size, true);
  for (const [i, stride] of strides.entries()) view.setBigUint64(56 + 8 * i, BigInt(stride), true);
  for (const [i, extent] of box.entries()) view.setUint32(88 + 4 * i, extent, true);
  return bytes;
}
