// One small kernel for each rule that every kernel has to keep, with a line that breaks it and one that does not.

import type { FaultCase, FaultyLaunch } from './emulator-faults.ts';
import { bytesOf, int, kernelOf, launch, pointer } from './emulator-kernels.ts';

export const portableCases: Record<string, FaultCase> = {
  'a read past the end of a buffer': {
    kind: 'out-of-bounds',
    body: 'LINE',
    wrong: 'p.out[0] = p.data[p.n + 1];',
    right: 'p.out[threadIdx.x] = p.data[p.n - 1];',
    says: "reads 4 bytes at byte 260 of 'data', which has 256 bytes",
  },
  'a write before the start of a buffer': {
    kind: 'out-of-bounds',
    body: 'LINE',
    wrong: 'p.out[-1 - (int)threadIdx.x] = 0;',
    right: 'p.out[threadIdx.x] = 0;',
    says: "writes 4 bytes at byte -4 of 'out'",
  },
  'a copy from past the end of a buffer': {
    kind: 'out-of-bounds',
    body: 'LINE\n copy_wait<0>();',
    wrong:
      'copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data + 4 * threadIdx.x, true);',
    right:
      'copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data + 4 * threadIdx.x, threadIdx.x < 16);',
    says: "reads 16 bytes at byte 256 of 'data'",
  },
  'a wild pointer': {
    kind: 'out-of-bounds',
    body: 'LINE',
    wrong: '*(int*)0x1234 = 1;',
    right: 'p.out[threadIdx.x] = 1;',
  },
  'a write past the end of shared memory': {
    kind: 'out-of-bounds',
    body: 'u32* all = (u32*)shared;\n LINE',
    wrong: 'all[225 + threadIdx.x] = 1;',
    right: 'all[224 + threadIdx.x] = 1;',
  },
  'a row of a matrix past the end of shared memory': {
    kind: 'out-of-bounds',
    body: 'for (int i = 0; i < 32; ++i) shared[threadIdx.x * 32 + i] = 0;\n __syncthreads();\n u32 f[4];\n LINE',
    wrong: 'load_matrices(f, shared_address(shared) + 528 + threadIdx.x * 16);',
    right: 'load_matrices(f, shared_address(shared) + 512 + threadIdx.x * 16);',
    says: 'reads 16 bytes at byte 1024 of the dynamic shared memory',
  },
  'a vector at an address that is not its multiple': {
    kind: 'misaligned',
    body: 'uint4 v = make_uint4(1, 2, 3, 4);\n LINE',
    wrong: 'if (threadIdx.x == 0) *(uint4*)(p.out + 1) = v;',
    right: 'if (threadIdx.x == 0) *(uint4*)(p.out + 4) = v;',
  },
  'a copy to an address that is not its multiple': {
    kind: 'misaligned',
    body: 'if (threadIdx.x == 0) {\n LINE\n } copy_wait<0>();',
    wrong: 'copy_async_16(shared_address(shared) + 8, p.data, true);',
    right: 'copy_async_16(shared_address(shared) + 16, p.data, true);',
  },
  'a read of shared memory that nothing wrote': {
    kind: 'uninitialised',
    body: 'u32* all = (u32*)shared;\n LINE\n __syncthreads();\n p.out[threadIdx.x] = all[threadIdx.x];',
    wrong: 'if (threadIdx.x != 5) all[threadIdx.x] = 1;',
    right: 'all[threadIdx.x] = 1;',
    says: 'reads byte 20 of shared memory, which nothing wrote',
  },
  'a read of a static shared variable that nothing wrote': {
    kind: 'uninitialised',
    body: '__shared__ int before;\n LINE\n __syncthreads();\n p.out[threadIdx.x] = before;',
    wrong: '',
    right: 'if (threadIdx.x == 0) before = 1;',
  },
  'a read of a buffer that nothing wrote': {
    kind: 'uninitialised',
    body: 'LINE',
    wrong: 'p.out[threadIdx.x] += 1;',
    right: 'p.out[threadIdx.x] = 1; p.out[threadIdx.x] += 1;',
    says: "of 'out', which nothing wrote",
  },
  'a read before the wait': {
    kind: 'pending-copy',
    body: `copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data, true);
  copy_commit();
  LINE
  p.out[threadIdx.x] = ((u32*)shared)[4 * threadIdx.x];`,
    wrong: 'copy_wait<1>();',
    right: 'copy_wait<0>();',
  },
  'a wait for a group that is not closed': {
    kind: 'pending-copy',
    body: `copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data, true);
  LINE
  copy_wait<0>();
  p.out[threadIdx.x] = ((u32*)shared)[4 * threadIdx.x];`,
    wrong: '',
    right: 'copy_commit();',
  },
  'a write to where a copy goes': {
    kind: 'pending-copy',
    body: `copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data, true);
  LINE
  copy_wait<0>();`,
    wrong: '((u32*)shared)[4 * threadIdx.x + 3] = 1;',
    right: '((u32*)shared)[128 + threadIdx.x] = 1;',
  },
  'a copy whose source is overwritten': {
    kind: 'race',
    body: `p.out[threadIdx.x] = 0;
  __syncwarp();
  if (threadIdx.x == 0) copy_async_16(shared_address(shared), p.out, true);
  copy_commit();
  LINE
  copy_wait<0>();
  __syncwarp();
  p.out[threadIdx.x] = 2;`,
    wrong: 'if (threadIdx.x == 0) p.out[3] = 1;',
    right: 'if (threadIdx.x == 0) p.out[4] = 1;',
    says: 'whose source was overwritten',
  },
  'a copy that others read without a barrier': {
    kind: 'race',
    body: `u32* all = (u32*)shared;
  for (int i = 0; i < 4; ++i) all[4 * threadIdx.x + i] = 0;
  __syncwarp();
  copy_async_16(shared_address(shared) + 16 * threadIdx.x, p.data, true);
  copy_commit();
  copy_wait<0>();
  LINE
  p.out[threadIdx.x] = all[4 * (threadIdx.x ^ 1)];`,
    wrong: '',
    right: '__syncwarp();',
  },
  'a shared write that another thread reads': {
    kind: 'race',
    body: `u32* all = (u32*)shared;
  all[threadIdx.x] = 0;
  __syncthreads();
  all[threadIdx.x] = 1;
  LINE
  p.out[threadIdx.x] = all[threadIdx.x ^ 32];`,
    wrong: '__syncwarp();',
    right: '__syncthreads();',
    threads: 64,
    says: 'of shared memory, which thread',
  },
  'a shared read that another thread overwrites': {
    kind: 'race',
    body: `u32* all = (u32*)shared;
  all[threadIdx.x] = 1;
  __syncthreads();
  p.out[threadIdx.x] = all[0];
  LINE
  if (threadIdx.x == 63) all[0] = 2;`,
    wrong: '',
    right: '__syncthreads();',
    threads: 64,
    says: 'writes byte 0 of shared memory, which thread',
  },
  'a sum that a shuffle does not order': {
    kind: 'race',
    body: `u32* all = (u32*)shared;
  all[threadIdx.x] = 0;
  __syncwarp();
  all[threadIdx.x] = 1;
  LINE
  p.out[threadIdx.x] = all[threadIdx.x ^ 1];`,
    wrong: '__shfl_sync(FULL_WARP, 1, 0);',
    right: '__syncwarp();',
  },
  'a plain write beside an atomic one': {
    kind: 'race',
    body: `u32* all = (u32*)shared;
  if (threadIdx.x == 0) all[0] = 0;
  __syncthreads();
  if (threadIdx.x == 1) all[0] = 0;
  LINE
  atomicAdd(all, 1u);
  __syncthreads();
  p.out[threadIdx.x] = all[0];`,
    wrong: '',
    right: '__syncthreads();',
    threads: 64,
  },
  'a global write that another thread of the block reads': {
    kind: 'race',
    body: `p.out[threadIdx.x] = 0;
  __syncthreads();
  p.out[threadIdx.x] = 1;
  LINE
  const u32 next = p.out[(threadIdx.x + 1) % 64];
  __syncthreads();
  p.out[threadIdx.x] = next;`,
    wrong: '',
    right: '__syncthreads();',
    threads: 64,
  },
  'two blocks that write the same': {
    kind: 'race',
    body: 'LINE',
    wrong: 'p.out[threadIdx.x] = blockIdx.x;',
    right: 'p.out[threadIdx.x + 32 * blockIdx.x] = blockIdx.x;',
    blocks: 2,
    options: { processes: 1 },
    says: 'of block 0 wrote',
  },
  'a barrier that half of a warp does not reach': {
    kind: 'divergence',
    body: 'LINE',
    wrong: 'if (threadIdx.x < 16)\n __syncthreads();\n else\n __syncthreads();',
    right: '__syncthreads();',
  },
  'a barrier that waits for a warp in a shuffle': {
    kind: 'deadlock',
    body: 'LINE\n __syncthreads();',
    wrong: 'if (threadIdx.x == 40) __syncthreads(); else __syncwarp();',
    right: '__syncwarp();',
    threads: 64,
    says: 'warp 1, lanes 0 to 7: __syncwarp at line',
  },
  'a vote of lanes that have ended': {
    kind: 'deadlock',
    body: 'LINE\n p.out[threadIdx.x] = __ballot_sync(FULL_WARP, 1);',
    wrong: 'if (threadIdx.x >= 16) return;',
    right: '',
    says: 'threads that have ended: 16',
  },
  'lanes in different instructions': {
    kind: 'divergence',
    body: 'LINE',
    wrong: 'if (threadIdx.x < 16) __ballot_sync(FULL_WARP, 1); else __shfl_sync(FULL_WARP, 1, 0);',
    right: '__ballot_sync(FULL_WARP, 1); __shfl_sync(FULL_WARP, 1, 0);',
  },
  'a mask without its own lane': {
    kind: 'divergence',
    body: 'LINE',
    wrong: '__syncwarp(0xffff);',
    right: 'if (threadIdx.x < 16) __syncwarp(0xffff);',
  },
  'a shuffle from a lane outside of the mask': {
    kind: 'divergence',
    body: 'LINE',
    wrong: 'if (threadIdx.x < 16) __shfl_xor_sync(0xffff, 1, 16);',
    right: 'if (threadIdx.x < 16) __shfl_xor_sync(0xffff, 1, 8);',
  },
  'an index outside of an array in registers': {
    kind: 'undefined',
    body: 'float sums[4] = {};\n for (int i = 0; i < p.n; ++i) {\n LINE\n }\n p.out[threadIdx.x] = (u32)sums[1];',
    wrong: 'sums[i] += 1.f;',
    right: 'sums[i & 3] += 1.f;',
    says: 'index 4 of',
  },
  'a sum that leaves int32': {
    kind: 'undefined',
    body: 'LINE',
    wrong: 'p.out[threadIdx.x] = (u32)(p.n * 100000000);',
    right: 'p.out[threadIdx.x] = (u32)p.n * 100000000u;',
    says: 'a product overflows',
  },
  'an assertion': {
    kind: 'assert',
    body: 'LINE',
    wrong: 'assert(threadIdx.x < 31);',
    right: 'assert(threadIdx.x < 32);',
    says: 'assert(threadIdx.x < 31)',
  },
  'a loop without an end': {
    kind: 'timeout',
    body: 'p.out[threadIdx.x] = 0;\n LINE',
    wrong: 'while (((volatile u32*)p.out)[threadIdx.x] == 0) {}',
    right: 'while (((volatile u32*)p.out)[threadIdx.x] == 1) {}',
    options: { seconds: 1 },
    says: 'takes longer than 1 s',
  },
  'a recursion without an end': {
    kind: 'crash',
    body: 'LINE',
    wrong: 'p.out[threadIdx.x] = deep(p.n, p.data);',
    right: 'p.out[threadIdx.x] = deep(0, p.data);',
  },
};

const data = Uint32Array.from({ length: 64 }, (_, i) => i);
const deep = `
static __device__ __noinline__ u32 deep(int n, const u32* data) {
  volatile u32 large[1000];
  large[n & 3] = data[0];
  return n == 0 ? large[0] : deep(n + 1, data) + large[n & 3];
}`;

export function portableLaunch(
  { body, threads = 32, blocks = 1 }: FaultCase,
  line: string,
): FaultyLaunch {
  const kernel = kernelOf('faulty', {
    fields: [pointer('data', 'const u32'), pointer('out', 'u32'), int('n')],
    // Every body uses the shared memory that it wants.
    body: `  extern __shared__ __align__(128) u8 shared[];\n  ${body.replace('LINE', line)}`,
    threads,
    sharedBytes: 1024,
    before: body.includes('LINE') && line.includes('deep(') ? deep : '',
  });
  const list = launch(kernel, { n: 64 }, [blocks, 1, 1]);
  return { kernel, list, buffers: { data: bytesOf(data), out: { bytes: 256 } } };
}
