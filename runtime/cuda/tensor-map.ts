// Tensor maps: how the tensor memory accelerator of Hopper and later sees a tensor. Its words for the
// driver's numbers.

import type { CudaDevice } from './native.ts';

const types = { u8: 0, u16: 1, u32: 2, i32: 3, fp16: 6, fp32: 7, bf16: 9 } as const;
const swizzles = { 0: 0, 32: 1, 64: 2, 128: 3 } as const;
const promotions = { 0: 0, 64: 1, 128: 2, 256: 3 } as const;

/** A tensor of 1 to 5 axes, the fastest first. */
export interface TensorMap {
  readonly type: keyof typeof types;
  /** Aligned to 16 bytes. */
  readonly address: number;
  readonly sizes: readonly number[];
  /** Bytes from one index to the next, of every axis but the fastest; multiples of 16. */
  readonly strides: readonly number[];
  /** Elements of one copy, at most 256 along an axis. */
  readonly box: readonly number[];
  /** Bytes of the swizzled rows in shared memory; 0 for none. */
  readonly swizzle?: keyof typeof swizzles;
  /** How much of a line is fetched into L2 at once, in bytes; 0 for no more than asked for. */
  readonly promotion?: keyof typeof promotions;
}

/** The 128 bytes of the map; elements outside the tensor are 0. throws: DeviceError R006. */
export const encodeTensorMap = (device: CudaDevice, map: TensorMap): Uint8Array =>
  device.tensorMap(inDriversNumbers(map));

/** The map as the driver counts kinds. */
export function inDriversNumbers({ type, swizzle = 0, promotion = 0, ...map }: TensorMap): object {
  return {
    ...map,
    type: types[type],
    swizzle: swizzles[swizzle],
    promotion: promotions[promotion],
  };
}
