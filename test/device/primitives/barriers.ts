// Barriers: phases and their parities, counts of arrivals and of bytes, the barriers of a block, and the share of
// registers. Where one were otherwise, a kernel would hang, or a number be missing.

import type { BoxMap } from '../../../codegen/kernel.ts';
import { bytesOf, kernelOf, launch, map, pointer } from '../../runtime/emulator-kernels.ts';
import type { PrimitiveCase } from './case.ts';

const primitives = ['shared', 'barrier', 'tensor-copy', 'warpgroup'];

/** Two halves of a block hand one word back and forth, by phases of two mbarriers. */
const rounds = 9;
const phases: PrimitiveCase = {
  name: 'mbarriers: phases and parities',
  list: launch(
    kernelOf('phases', {
      fields: [pointer('out', 'u32')],
      body: `  __shared__ u64 full, empty, fresh;
  __shared__ u32 word;
  if (threadIdx.x == 0) {
    barrier_init(full, 64);
    barrier_init(empty, 2);
    barrier_init(fresh, 1);
    barrier_init_done();
    word = 1;
  }
  __syncthreads();
  barrier_wait(fresh, 1);  // before the first phase: over already
  const bool makes = threadIdx.x < 64;
  for (int round = 0; round < ${rounds}; ++round) {
    if (makes) {
      barrier_wait(empty, (round & 1) ^ 1);
      if (threadIdx.x == 0) word = word * 3 + (u32)round;
      barrier_arrive(full);
    } else {
      barrier_wait(full, round & 1);
      const u32 seen = word;
      p.out[round * 64 + threadIdx.x - 64] = seen;
      __syncwarp();
      barrier_arrive_if((threadIdx.x & 31) == 0, empty);
    }
  }`,
      threads: 128,
      primitives,
    }),
  ),
  inputs: {},
  outputs: {
    out: bytesOf(
      Uint32Array.from({ length: rounds * 64 }, (_, at) => {
        let word = 1;
        for (let round = 0; round <= at >> 6; round += 1) word = (Math.imul(word, 3) + round) >>> 0;
        return word;
      }),
    ),
  },
};

/** A phase that waits for three arrivals, and for the bytes of two boxes that two of them expect. */
const words = Uint32Array.from({ length: 64 * 32 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 0);
const rowsOf: BoxMap = {
  type: 'bf16',
  sizes: [64, 64, 1, 1, 1],
  strides: [128, 8192, 8192, 8192],
  box: [64, 8, 1, 1, 1],
  swizzle: 128,
  promotion: 256,
};
const bytes: PrimitiveCase = {
  name: 'mbarriers: arrivals and bytes together',
  list: launch(
    kernelOf('expected', {
      fields: [map('box'), pointer('out', 'uint4')],
      body: `  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u64 full;
  const u32 first = shared_address(shared) + 1023u & ~1023u;
  if (threadIdx.x == 0) {
    tensor_map_prefetch(p.box);
    barrier_init(full, 3);
    barrier_init_done();
  }
  __syncthreads();
  for (int round = 0; round < 4; ++round) {
    if (threadIdx.x == 32) {
      barrier_arrive_expect(full, 1024);
      copy_box(first, p.box, full, 0, 16 * round, 0, 0, 0, KEEP_IN_CACHE);
    }
    if (threadIdx.x == 64) {
      copy_box(first + 1024, p.box, full, 0, 16 * round + 8, 0, 0, 0, DROP_FROM_CACHE);
      barrier_arrive_expect(full, 1024);
    }
    if (threadIdx.x == 96) barrier_arrive(full);
    barrier_wait(full, round & 1);
    if (threadIdx.x < 128) p.out[round * 128 + threadIdx.x] = shared_load(first + 16 * threadIdx.x);
    __syncthreads();
  }`,
      threads: 128,
      sharedBytes: 4096,
      primitives,
    }),
    {},
    [1, 1, 1],
    { box: { buffer: 'tensor', offset: 0, ...rowsOf } },
  ),
  inputs: { tensor: bytesOf(words) },
  outputs: {
    out: bytesOf(
      // Chunk c of row r lies at chunk c ^ (r % 8).
      Uint32Array.from(words, (_, at) => {
        const [row, chunk, word] = [at >> 5, (at >> 2) & 7, at & 3];
        return words[(row << 5) | ((chunk ^ (row & 7)) << 2) | word]!;
      }),
    ),
  },
};

/** Warpgroups take turns, and some only arrive. */
const turns: PrimitiveCase = {
  name: 'barriers of a block: turns',
  list: launch(
    kernelOf('turns', {
      fields: [pointer('out', 'u32')],
      body: `  __shared__ u32 word;
  const int group = threadIdx.x >> 7;
  if (threadIdx.x == 0) word = 5;
  __syncthreads();
  if (group == 2) threads_arrive(1, 256);
  for (int round = 0; round < 4; ++round) {
    threads_wait(1 + group, 256);
    if ((threadIdx.x & 127) == 0) {
      word = word * 7 + (u32)group;
      p.out[round * 3 + group] = word;
    }
    threads_wait(4 + group, 128);
    threads_arrive(1 + (group + 1) % 3, 256);
  }`,
      threads: 384,
      primitives,
    }),
  ),
  inputs: {},
  outputs: {
    out: bytesOf(
      Uint32Array.from({ length: 12 }, (_, at) => {
        let word = 5;
        for (let turn = 0; turn <= at; turn += 1) word = (Math.imul(word, 7) + (turn % 3)) >>> 0;
        return word;
      }),
    ),
  },
};

const registers: PrimitiveCase = {
  name: 'setmaxnreg: what one warpgroup gives others take',
  list: launch(
    kernelOf('registers', {
      fields: [pointer('out', 'u32')],
      body: `  const int group = __shfl_sync(FULL_WARP, (int)threadIdx.x >> 7, 0);
  if (group == 2) {
    registers_give<24>();
    p.out[threadIdx.x] = 7;
  } else {
    registers_take<240>();
    p.out[threadIdx.x] = 9;
  }`,
      threads: 384,
      primitives,
    }),
  ),
  inputs: {},
  outputs: { out: bytesOf(Uint32Array.from({ length: 384 }, (_, at) => (at < 256 ? 9 : 7))) },
};

export const barrierCases: readonly PrimitiveCase[] = [phases, bytes, turns, registers];
