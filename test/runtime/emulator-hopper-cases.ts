// One small kernel for each rule of Hopper's copies, barriers and products, with a line that breaks it and one
// that does not. A tile of 64 x 64 elements lies in shared memory at `first`.

import type { BoxMap } from '../../codegen/kernel.ts';
import { productText } from '../../codegen/wgmma.ts';
import type { FaultCase, FaultyLaunch } from './emulator-faults.ts';
import { bytesOf, int, kernelOf, launch, map, pointer } from './emulator-kernels.ts';

/** A barrier of so many arrivals that everyone knows of. */
const barrier = (arrivals: number): string =>
  `if (threadIdx.x == 0) {\n barrier_init(full, ${arrivals});\n barrier_init_done();\n}\n __syncthreads();`;
const load = `if (threadIdx.x == 0) {
  barrier_arrive_expect(full, 8192);
  copy_box(first, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);
}`;
const store = 'store_box(p.result, first, 0, 0, 0, 0, 0);';
/** Ordinary code writes the tile. */
const fill = `for (int i = threadIdx.x; i < 2048; i += 128) ((u32*)shared)[i] = i;`;
const tileIsThere = `${fill}\n shared_written();\n __syncthreads();`;
const product = 'begin_product(s, matrix, matrix);';
const taken = 'p.out[threadIdx.x] = (u32)s[0][0][0];';

export const hopperCases: Record<string, FaultCase> = {
  'a box that is read before it is there': {
    kind: 'pending-copy',
    body: `${barrier(1)} ${load}\n LINE\n p.out[threadIdx.x] = shared[threadIdx.x];\n barrier_wait(full, 0);`,
    wrong: '',
    right: 'barrier_wait(full, 0);',
  },
  'a wait for the phase before': {
    kind: 'pending-copy',
    body: `${barrier(1)} ${load}\n LINE\n p.out[threadIdx.x] = shared[threadIdx.x];\n barrier_wait(full, 0);`,
    wrong: 'barrier_wait(full, 1);',
    right: 'barrier_wait(full, 0);',
  },
  'a wait for a phase that never ends': {
    kind: 'deadlock',
    body: `${barrier(1)} ${load}\n barrier_wait(full, 0);\n LINE`,
    wrong: 'barrier_wait(full, 1);',
    right: '',
    says: 'phase 1 of the mbarrier',
  },
  'a box with fewer bytes than are expected': {
    kind: 'deadlock',
    body: `${barrier(1)} if (threadIdx.x == 0) {
  LINE
  copy_box(first, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);
}
 barrier_wait(full, 0);`,
    wrong: 'barrier_arrive_expect(full, 8192 + 128);',
    right: 'barrier_arrive_expect(full, 8192);',
    says: 'lacks 0 of 1 arrivals and 128 bytes',
  },
  'a box without a fence after its barrier was made': {
    kind: 'fence',
    body: `if (threadIdx.x == 0) {\n barrier_init(full, 1);\n LINE\n}\n __syncthreads(); ${load}\n barrier_wait(full, 0);`,
    wrong: '',
    right: 'barrier_init_done();',
    says: 'with no fence.mbarrier_init',
  },
  'a barrier that another thread made, unmet': {
    kind: 'race',
    body: `if (threadIdx.x == 0) barrier_init(full, 128);\n LINE\n barrier_arrive(full);\n barrier_wait(full, 0);`,
    wrong: '__syncwarp();',
    right: '__syncthreads();',
    says: 'which thread 0 initialised',
  },
  'a barrier that nobody made': {
    kind: 'barrier',
    body: `${barrier(1)} LINE`,
    wrong: 'barrier_arrive(empty);',
    right: 'if (threadIdx.x == 5) barrier_arrive(full);',
    says: 'where no mbarrier was initialised',
  },
  'an arrival too many': {
    kind: 'barrier',
    body: `${barrier(1)} if (threadIdx.x == 0) barrier_arrive_expect(full, 8192);
  __syncthreads();
  LINE
  if (threadIdx.x == 0) copy_box(first, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);
  barrier_wait(full, 0);`,
    wrong: 'if (threadIdx.x == 1) barrier_arrive(full);',
    right: '',
    says: 'arrives once more',
  },
  'a phase that ends unseen': {
    kind: 'barrier',
    body: `if (threadIdx.x == 0) {\n barrier_init(full, 1);\n barrier_init(empty, 127);\n}\n __syncthreads();
  if (threadIdx.x == 127) {
    barrier_arrive(full);
    LINE
    barrier_arrive(full);
  } else {
    barrier_wait(full, 0);
    barrier_arrive(empty);
  }`,
    wrong: '',
    right: 'barrier_wait(empty, 0);',
    says: 'has seen the end of phase 0',
  },
  'a barrier read as a number': {
    kind: 'barrier',
    body: `${barrier(1)} LINE`,
    wrong: 'p.out[threadIdx.x] = (u32)full;',
    right: 'p.out[threadIdx.x] = 0;',
  },
  'more bytes than a phase can count': {
    kind: 'barrier',
    body: `${barrier(1)} LINE`,
    wrong: 'if (threadIdx.x == 0) barrier_arrive_expect(full, 1 << 20);',
    right: 'if (threadIdx.x == 0) barrier_arrive_expect(full, (1 << 20) - 1);',
  },
  'a block that ends before its box is there': {
    kind: 'pending-copy',
    body: `${barrier(1)} ${load}\n LINE`,
    wrong: '',
    right: 'barrier_wait(full, 0);',
  },
  'a box at an odd place': {
    kind: 'misaligned',
    body: `${barrier(1)} if (threadIdx.x == 0) {\n barrier_arrive_expect(full, 8192);\n LINE\n}\n barrier_wait(full, 0);`,
    wrong: 'copy_box(first + 64, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);',
    right: 'copy_box(first + 128, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);',
  },
  'a box past the end of shared memory': {
    kind: 'out-of-bounds',
    body: `${barrier(1)} if (threadIdx.x == 0) {\n barrier_arrive_expect(full, 8192);\n LINE\n}\n barrier_wait(full, 0);`,
    wrong: 'copy_box(first + 9216, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);',
    right: 'copy_box(first + 8192, p.tile, full, 0, 0, 0, 0, 0, KEEP_IN_CACHE);',
  },
  'something else for a tensor map': {
    kind: 'descriptor',
    body: `TensorMap none = {};\n LINE`,
    wrong: 'tensor_map_prefetch(none);',
    right: 'tensor_map_prefetch(p.tile);',
  },
  'a box into a tile that is still read': {
    kind: 'race',
    body: `${barrier(1)} ${tileIsThere}
  p.out[threadIdx.x] = shared[threadIdx.x];
  LINE
  ${load}\n barrier_wait(full, 0);`,
    wrong: '__syncwarp();',
    right: '__syncthreads();',
  },
  'a box over what ordinary code has written': {
    kind: 'fence',
    body: `${barrier(1)} ${fill}\n LINE\n __syncthreads(); ${load}\n barrier_wait(full, 0);`,
    wrong: '',
    right: 'shared_written();',
    says: 'with no fence.proxy.async',
  },
  'a box that the same launch has written': {
    kind: 'fence',
    body: `${barrier(1)} LINE\n __syncthreads(); ${load}\n barrier_wait(full, 0);`,
    wrong: 'if (threadIdx.x == 5) p.data[5] = 1;',
    right: 'if (threadIdx.x == 5) p.out[5] = p.data[5];',
    says: 'in the same launch',
  },
  'a stored box that begins before its tensor': {
    kind: 'box',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n LINE\n store_commit();\n store_wait();\n}`,
    wrong: 'store_box(p.result, first, 0, -1, 0, 0, 0);',
    right: 'store_box(p.result, first, 0, 63, 0, 0, 0);',
    says: 'stores a box from (0, -1, 0, 0, 0) on',
  },
  'a stored box that begins before the last axis of its tensor': {
    kind: 'box',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n LINE\n store_commit();\n store_wait();\n}`,
    wrong: 'store_box(p.result, first, 0, 0, 0, 0, -1);',
    right: 'store_box(p.result, first, 0, 0, 0, 0, 1);',
    says: 'stores a box from (0, 0, 0, 0, -1) on',
  },
  'a stored box without a fence': {
    kind: 'fence',
    body: `${fill}\n LINE\n __syncthreads();\n if (threadIdx.x == 0) {\n ${store}\n store_commit();\n store_wait_read();\n}`,
    wrong: '',
    right: 'shared_written();',
    says: 'with no fence.proxy.async',
  },
  'a stored box written once more after the fence': {
    kind: 'fence',
    body: `${fill}\n shared_written();\n LINE\n __syncthreads();\n if (threadIdx.x == 0) {\n ${store}\n store_commit();\n store_wait_read();\n}`,
    wrong: 'if (threadIdx.x == 5) shared[20] = 7;',
    right: 'if (threadIdx.x == 5) {\n shared[20] = 7;\n shared_written();\n}',
  },
  'a stored box that others are still writing': {
    kind: 'race',
    body: `${fill}\n shared_written();\n LINE\n if (threadIdx.x == 127) {\n ${store}\n store_commit();\n store_wait_read();\n}`,
    wrong: '',
    right: 'threads_wait(1, 128);',
  },
  'a stored box overwritten on its way': {
    kind: 'pending-read',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n ${store}\n store_commit();\n LINE\n shared[0] = 1;\n store_wait_read();\n}`,
    wrong: '',
    right: 'store_wait_read();',
  },
  'a wait for a store that is not committed': {
    kind: 'pending-read',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n ${store}\n LINE\n store_wait_read();\n shared[0] = 1;\n}`,
    wrong: '',
    right: 'store_commit();',
  },
  'a thread that ends before its store has left': {
    kind: 'pending-read',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n ${store}\n store_commit();\n LINE\n}`,
    wrong: '',
    right: 'store_wait_read();',
  },
  'two stores to one place': {
    kind: 'race',
    body: `${tileIsThere} if (threadIdx.x == 0) {\n ${store}\n store_commit();\n LINE\n ${store}\n store_commit();\n store_wait();\n}`,
    wrong: 'store_wait_read();',
    right: 'store_wait();',
  },
  'sums that are read before they are there': {
    kind: 'pending-product',
    body: `${tileIsThere} float s[1][8][4];
  products_begin();\n ${product}\n products_commit();
  LINE
  ${taken}\n products_wait<0>();`,
    wrong: 'products_wait<1>();',
    right: 'products_wait<0>();',
    says: 'reads a register that the product',
  },
  'sums of the newer of two products': {
    kind: 'pending-product',
    body: `${tileIsThere} float s[1][8][4], newer[1][8][4];
  products_begin();\n ${product}\n products_commit();
  begin_product(newer, matrix, matrix);\n products_commit();
  products_wait<1>();
  LINE
  products_wait<0>();`,
    wrong: 'p.out[threadIdx.x] = (u32)newer[0][0][0];',
    right: taken,
  },
  'a product that is not committed': {
    kind: 'pending-product',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n ${product}\n LINE\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: 'products_commit();',
  },
  'a factor that changes under a product': {
    kind: 'pending-product',
    body: `${tileIsThere} float s[1][8][4] = {};\n u32 a[4] = {1, 2, 3, 4};
  products_begin();\n add_registers(s, a, matrix);\n products_commit();
  LINE
  a[2] = 7;\n products_wait<0>();\n p.out[threadIdx.x] = a[2] + (u32)s[0][0][0];`,
    wrong: '',
    right: 'products_wait<0>();',
    says: 'writes a register that the product',
  },
  'a thread that ends without its product': {
    kind: 'pending-product',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n ${product}\n products_commit();\n LINE`,
    wrong: '',
    right: 'products_wait<0>();',
  },
  'registers without a fence': {
    kind: 'fence',
    body: `${tileIsThere} float s[1][8][4] = {};\n LINE\n add_product(s, matrix, matrix);\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: 'products_begin();',
    says: 'with no wgmma.fence',
  },
  'registers that may be added to, without a fence': {
    kind: 'fence',
    body: `${tileIsThere} float s[1][8][4] = {};\n LINE\n multiply_product(s, matrix, matrix, p.n > 0);\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: 'products_begin();',
    says: 'with no wgmma.fence',
  },
  'registers that are read between two products': {
    kind: 'fence',
    body: `${tileIsThere} float s[1][8][4];
  products_begin();\n ${product}\n products_commit();\n products_wait<0>();\n ${taken}
  LINE
  add_product(s, matrix, matrix);\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: 'products_begin();',
  },
  'a factor without a proxy fence': {
    kind: 'fence',
    body: `${fill}\n LINE\n __syncthreads();\n float s[1][8][4];\n products_begin();\n ${product}\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: 'shared_written();',
    says: 'with no fence.proxy.async',
  },
  'a factor that others are still writing': {
    kind: 'race',
    body: `${fill}\n shared_written();\n LINE\n float s[1][8][4];\n products_begin();\n ${product}\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '',
    right: '__syncthreads();',
  },
  'a factor that nobody wrote': {
    kind: 'uninitialised',
    body: `LINE\n float s[1][8][4];\n products_begin();\n ${product}\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: '__syncthreads();',
    right: tileIsThere,
  },
  'a factor that is overwritten under a product': {
    kind: 'pending-read',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n ${product}\n products_commit();
  LINE
  __syncthreads();\n shared[threadIdx.x] = 1;\n products_wait<0>();`,
    wrong: '',
    right: 'products_wait<0>();',
  },
  'a factor that another warp still multiplies by': {
    kind: 'pending-read',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n ${product}\n products_commit();
  if (threadIdx.x < 96) threads_wait(2, 128);
  products_wait<0>();
  LINE
  if (threadIdx.x >= 96) threads_wait(2, 128);`,
    wrong: 'if (threadIdx.x == 127) shared[0] = 1;',
    right: 'if (threadIdx.x == 127) shared[12000] = 1;',
  },
  'a factor that another warp has multiplied by, unmet': {
    kind: 'race',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n ${product}\n products_commit();\n products_wait<0>();
  LINE
  if (threadIdx.x == 127) shared[0] = 1;`,
    wrong: '',
    right: '__syncthreads();',
    says: 'read for warp 0, with no barrier between',
  },
  'a descriptor with a base offset': {
    kind: 'descriptor',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n LINE\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: 'begin_product(s, matrix | 1ull << 49, matrix);',
    right: product,
  },
  'a product of three warps': {
    kind: 'divergence',
    body: `${tileIsThere} float s[1][8][4];\n LINE\n products_begin();`,
    wrong: 'if (threadIdx.x < 96) products_begin();',
    right: 'if (threadIdx.x < 128) products_begin();',
  },
  'warps that multiply by different tiles': {
    kind: 'divergence',
    body: `${tileIsThere} float s[1][8][4];\n products_begin();\n LINE\n products_commit();\n products_wait<0>();\n ${taken}`,
    wrong: 'begin_product(s, matrix, matrix + (threadIdx.x >> 5));',
    right: 'begin_product(s, matrix, matrix + (threadIdx.x >> 7));',
  },
  'a share of registers in odd numbers': {
    kind: 'registers',
    body: 'LINE',
    wrong: 'registers_give<100>();',
    right: 'registers_give<104>();',
  },
  'registers given that were not had': {
    kind: 'registers',
    body: 'registers_give<64>();\n LINE',
    wrong: 'registers_give<72>();',
    right: 'registers_take<72>();',
    says: 'lowers its registers to 72 a thread, of which it has 64',
  },
  'registers that nobody has given': {
    kind: 'deadlock',
    body: 'if (threadIdx.x < 128) registers_take<192>();\n else {\n LINE\n}',
    wrong: 'registers_give<160>();',
    right: 'registers_give<152>();',
    threads: 384,
    says: 'setmaxnreg, for registers that others hold',
  },
  'a barrier that no block has': {
    kind: 'barrier',
    body: 'LINE',
    wrong: 'threads_wait(16, 128);',
    right: 'threads_wait(15, 128);',
  },
  'a barrier for parts of warps': {
    kind: 'barrier',
    body: 'LINE',
    wrong: 'threads_wait(1, 127);',
    right: 'threads_wait(1, 128);',
  },
  'a barrier with two counts': {
    kind: 'barrier',
    body: 'if (threadIdx.x < 64) threads_wait(1, 128);\n else {\n LINE\n}',
    wrong: 'threads_arrive(1, 96);',
    right: 'threads_arrive(1, 128);',
    says: 'while others came with',
  },
  'a barrier that too few come to': {
    kind: 'deadlock',
    body: 'if (threadIdx.x < 64) threads_wait(1, 128);\n else {\n LINE\n}',
    wrong: 'if (threadIdx.x < 96) threads_arrive(1, 128);',
    right: 'if (threadIdx.x < 128) threads_arrive(1, 128);',
    says: 'barrier 1 of the block, where 96 of 128 threads are',
  },
};

/** 64 x 64 elements as they are and as boxes see them. */
const tile: BoxMap = {
  type: 'bf16',
  sizes: [64, 64, 1, 1, 1],
  strides: [128, 8192, 8192, 8192],
  box: [64, 64, 1, 1, 1],
  swizzle: 128,
  promotion: 256,
};

const step = { dtype: 'bf16', columns: 64 } as const;
const productsBefore = [
  productText({ ...step, name: 'begin_product', from: 'shared', result: 'overwritten' }),
  productText({ ...step, name: 'add_product', from: 'shared', result: 'added' }),
  productText({ ...step, name: 'multiply_product', from: 'shared', result: 'either' }),
  productText({ ...step, name: 'add_registers', from: 'registers', result: 'added' }),
].join('\n');

export function hopperLaunch({ body, threads = 128 }: FaultCase, line: string): FaultyLaunch {
  const kernel = kernelOf('faulty', {
    fields: [map('tile'), map('result'), pointer('data', 'u16'), pointer('out', 'u32'), int('n')],
    body: `  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u64 full, empty;
  const u32 first = shared_address(shared);
  const u64 matrix = matrix_descriptor(first, 16, 1024);
  ${body.replace('LINE', line)}`,
    threads,
    sharedBytes: 16384,
    primitives: ['shared', 'barrier', 'tensor-copy', 'warpgroup'],
    before: productsBefore,
  });
  const maps = {
    tile: { buffer: 'data', offset: 0, ...tile },
    result: { buffer: 'stored', offset: 0, ...tile },
  };
  const data = Uint16Array.from({ length: 4096 }, (_, i) => i);
  const buffers = {
    data: bytesOf(data),
    stored: { bytes: 8192 },
    out: { bytes: 4 * threads },
  };
  return { kernel, list: launch(kernel, { n: 64 }, [1, 1, 1], maps), buffers };
}
