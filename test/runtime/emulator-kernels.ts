// Small kernels for the tests of the emulator, written as the generators write theirs.

import { devicePrimitives } from '../../codegen/device.ts';
import type { BoxMap, Kernel, LaunchList, Place, Step } from '../../codegen/kernel.ts';
import { type Field, type FieldValues, Struct } from '../../codegen/struct.ts';

/** A kernel of the given body over pointers `a`, `b`, ... and numbers. */
export function kernelOf(
  name: string,
  {
    fields,
    body,
    threads = 32,
    sharedBytes = 0,
    primitives = ['shared', 'async-copy', 'matrix', 'numbers', 'float-bits'],
    before = '',
  }: {
    readonly fields: readonly Field[];
    readonly body: string;
    readonly threads?: number;
    readonly sharedBytes?: number;
    readonly primitives?: readonly string[];
    readonly before?: string;
  },
): Kernel {
  const params = new Struct('Params', fields);
  const source = [
    devicePrimitives(...primitives),
    '// ---- kernel ----',
    params.text,
    before,
    `extern "C" __global__ void __launch_bounds__(${threads}, 1) ${name}(const __grid_constant__ Params p) {`,
    body,
    '}',
    '',
  ].join('\n');
  return { name, source, threads, sharedBytes, params };
}

export const pointer = (name: string, type: string): Field => ({
  name,
  type: 'address',
  pointer: `${type}*`,
});
export const int = (name: string): Field => ({ name, type: 'i32' });
export const map = (name: string): Field => ({ name, type: 'map' });

/** One launch, whose address fields are buffers of the same name. */
export function launch(
  kernel: Kernel,
  args: FieldValues = {},
  grid: readonly [number, number, number] = [1, 1, 1],
  maps: Readonly<Record<string, Place & BoxMap>> = {},
): LaunchList {
  const addresses = kernel.params.fields.filter(({ type }) => type === 'address');
  const step: Step = {
    op: 'launch',
    kernel,
    grid,
    args,
    buffers: Object.fromEntries(addresses.map(({ name }) => [name, { buffer: name, offset: 0 }])),
    maps,
  };
  return { workspace: [], steps: [step] };
}

/** The bytes of numbers. */
export const bytesOf = (
  values: Float32Array | Uint16Array | Uint32Array | Int32Array,
): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
export const floats = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
export const words = (bytes: Uint8Array): Uint32Array =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/**
 * C = A B of bf16, fp32 out: a tile of 32 x 32 by 4 warps, k in steps of 16 through two stages of
 * asynchronous copies. Sizes are multiples of the tile. The marked lines are what the tests take away.
 */
export const matmulLines = {
  wait: 'copy_wait<1>();',
  arrived: '__syncthreads();  // the stage has arrived',
  lastWait: 'copy_wait<0>();',
  free: '__syncthreads();  // the stage is free again',
};

export function matmul(change: (text: string) => string = (text) => text): Kernel {
  const body = `
  extern __shared__ __align__(128) u8 shared[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int row0 = blockIdx.y * 32, column0 = blockIdx.x * 32;
  // A stage holds 32 rows of A and 16 of B, in chunks of 16 bytes; A's rows swap theirs to spread banks.
  const u32 base = shared_address(shared);
  float sums[2][4] = {};
  auto a_at = [&](int stage, int row, int chunk) {
    return base + stage * 2048 + row * 32 + ((chunk ^ (row >> 2 & 1)) << 4);
  };
  auto b_at = [&](int stage, int row, int chunk) {
    return base + stage * 2048 + 1024 + row * 64 + ((chunk ^ (row >> 1 & 3)) << 4);
  };
  auto load = [&](int stage, int k) {
    if (warp < 2) {
      const int row = threadIdx.x >> 1, chunk = threadIdx.x & 1;
      copy_async_16(a_at(stage, row, chunk), p.a + (i64)(row0 + row) * p.k + k + chunk * 8, true);
    } else {
      const int t = threadIdx.x - 64, row = t >> 2, chunk = t & 3;
      copy_async_16(b_at(stage, row, chunk), p.b + (i64)(k + row) * p.n + column0 + chunk * 8, true);
    }
    copy_commit();
  };
  const int row = (warp & 1) * 16, column = (warp >> 1) * 16;
  load(0, 0);
  for (int k = 0, stage = 0; k < p.k; k += 16, stage ^= 1) {
    if (k + 16 < p.k) {
      load(stage ^ 1, k + 16);
      ${matmulLines.wait}
    } else {
      ${matmulLines.lastWait}
    }
    ${matmulLines.arrived}
    u32 a[4], b[4];
    load_matrices(a, a_at(stage, row + (lane & 15), lane >> 4));
    load_matrices_transposed(b, b_at(stage, lane & 15, column / 8 + (lane >> 4)));
    multiply_bf16(sums[0], a, b[0], b[1]);
    multiply_bf16(sums[1], a, b[2], b[3]);
    ${matmulLines.free}
  }
  const int g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int j = 0; j < 2; j++) {
    float* out = p.c + (i64)(row0 + row + g) * p.n + column0 + column + 8 * j + 2 * t;
    *(float2*)out = make_float2(sums[j][0], sums[j][1]);
    *(float2*)(out + 8 * p.n) = make_float2(sums[j][2], sums[j][3]);
  }`;
  return kernelOf('matmul', {
    fields: [
      pointer('a', 'const u16'),
      pointer('b', 'const u16'),
      pointer('c', 'float'),
      int('n'),
      int('k'),
    ],
    body: change(body),
    threads: 128,
    sharedBytes: 4096,
  });
}
