// What the emulator calls a fault: one small kernel for each broken rule, beside one that keeps it.

import { describe, expect, it } from 'vitest';
import { type FaultKind, faultKinds, KernelFault } from '../../runtime/emulator/fault.ts';
import { type EmulatorOptions, runEmulated } from '../../runtime/emulator/run.ts';
import { bytesOf, int, kernelOf, launch, pointer, words } from './emulator-kernels.ts';

interface Case {
  readonly kind: FaultKind;
  /** The body of the kernel; `wrong` and `right` stand where it says LINE. */
  readonly body: string;
  readonly wrong: string;
  readonly right: string;
  readonly threads?: number;
  readonly blocks?: number;
  readonly options?: EmulatorOptions;
  /** A part of the message. */
  readonly says?: string;
}

const cases: Record<string, Case> = {
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

function run({ body, threads = 32, blocks = 1, options = {} }: Case, line: string) {
  const kernel = kernelOf('faulty', {
    fields: [pointer('data', 'const u32'), pointer('out', 'u32'), int('n')],
    // Every body uses the shared memory that it wants.
    body: `  extern __shared__ __align__(128) u8 shared[];\n  ${body.replace('LINE', line)}`,
    threads,
    sharedBytes: 1024,
    before: body.includes('LINE') && line.includes('deep(') ? deep : '',
  });
  const list = launch(kernel, { n: 64 }, [blocks, 1, 1]);
  const buffers = { data: bytesOf(data), out: { bytes: 256 } };
  return { kernel, done: runEmulated(list, buffers, options) };
}

describe('a fault', () => {
  it.each(Object.entries(cases))('is %s', async (_, one) => {
    const { kernel, done } = run(one, one.wrong);
    const error = await done.then(
      () => undefined,
      (found: unknown) => found,
    );
    expect(error).toBeInstanceOf(KernelFault);
    const fault = error as KernelFault;
    expect(fault.kind, fault.message).toBe(one.kind);
    if (one.says !== undefined) expect(fault.message).toContain(one.says);
    // The line is one of the body.
    const from = kernel.source.split('\n').findIndex((line) => line.includes('__global__'));
    expect(fault.line, fault.message).toBeGreaterThan(one.kind === 'crash' ? 0 : from);
  });

  it.each(Object.entries(cases))('is not what stands beside %s', async (_, one) => {
    for (const seed of [0, 1, 2]) {
      await run({ ...one, options: { ...one.options, seed } }, one.right).done;
    }
  });

  it.each([
    [[0, 1, 1], 32, 0, 'has 0 blocks along x'],
    [[1, 65536, 1], 32, 0, 'has 65536 blocks along y'],
    [[1, 1, 1], 1056, 0, 'has 1056 threads in a block'],
    [[1, 1, 1], 32, 240_000, 'bytes of shared memory'],
  ] as const)('is a launch of %j blocks of %d threads with %d shared bytes', async (...size) => {
    const [grid, threads, sharedBytes, what] = size;
    const fields = [pointer('data', 'const u32')];
    const kernel = kernelOf('large', { fields, body: '', threads, sharedBytes });
    const done = runEmulated(launch(kernel, {}, grid), { data: bytesOf(data) });
    await expect(done).rejects.toMatchObject({
      kind: 'launch',
      what: expect.stringContaining(what),
    });
  });

  it('has a case for each kind', () => {
    const kinds = new Set(['launch', ...Object.values(cases).map(({ kind }) => kind)]);
    expect([...kinds].sort()).toEqual(Object.keys(faultKinds).sort());
  });

  it('reads like this', async () => {
    const { done } = run(cases['a shared write that another thread reads']!, '');
    const { message } = await done.then(
      () => new Error('no fault'),
      (error: Error) => error,
    );
    // Lines move with the primitives.
    expect(message.replace(/line \d+|^\d+(?= \|)/gm, 'line N')).toBe(
      'race: faulty, block (0, 0, 0), warp 1, lane 0, line N: writes byte 128 of shared memory, ' +
        'which thread 0 read at line N, with no barrier between\nline N | all[threadIdx.x] = 1;',
    );
  });
});

describe('a launch list', () => {
  const add = kernelOf('add', {
    fields: [pointer('from', 'const u32'), pointer('to', 'u32'), int('n')],
    body: '  p.to[threadIdx.x] = p.from[threadIdx.x] + (u32)p.n;',
  });
  const step = (from: string, offset: number, to: string, n: number) =>
    ({
      op: 'launch',
      kernel: add,
      grid: [1, 1, 1],
      args: { n },
      buffers: { from: { buffer: from, offset }, to: { buffer: to, offset: 0 } },
    }) as const;

  it('runs its steps in order, over workspace, fills and offsets', async () => {
    const list = {
      workspace: [{ name: 'between', bytes: 128 }],
      steps: [
        step('data', 128, 'between', 5),
        step('between', 0, 'out', 100),
        { op: 'fill', buffer: 'out', offset: 4, bytes: 4, value: 0xff },
      ],
    } as const;
    const result = await runEmulated(list, { data: bytesOf(data), out: { bytes: 160 } });
    const want = Uint32Array.from({ length: 32 }, (_, i) => (i === 1 ? 0xffffffff : 137 + i));
    expect(words(result.out).slice(0, 32)).toEqual(want);
    // What nothing wrote stays poison.
    expect(words(result.out).slice(32)).toEqual(new Uint32Array(8).fill(0xffffffff));
    expect(result.data).toEqual(bytesOf(data));
  });

  it('names the kernel that reads workspace which no step has written', async () => {
    const list = {
      workspace: [{ name: 'between', bytes: 128 }],
      steps: [step('data', 0, 'out', 0), step('between', 0, 'out', 0)],
    } as const;
    const done = runEmulated(list, { data: bytesOf(data), out: { bytes: 128 } });
    await expect(done).rejects.toThrow("reads byte 0 of 'between', which nothing wrote");
  });

  it('prints what its kernels print', async () => {
    const print = kernelOf('print', {
      fields: [pointer('data', 'const u32')],
      body: '  if (threadIdx.x == 3) printf("%u of %d\\n", p.data[threadIdx.x], 7);',
    });
    let printed = '';
    const onPrint = (text: string) => {
      printed += text;
    };
    await runEmulated(launch(print), { data: bytesOf(data) }, { onPrint });
    expect(printed).toBe('3 of 7\n');
  });

  it('says why a kernel does not compile', async () => {
    const broken = kernelOf('broken', { fields: [pointer('data', 'u32')], body: 'p.dat[0] = 1;' });
    await expect(runEmulated(launch(broken), { data: bytesOf(data) })).rejects.toThrow(
      /broken\.cu:\d+:3: error: .*dat/,
    );
  });
});
