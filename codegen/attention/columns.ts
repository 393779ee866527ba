// The members of a chosen set of keys as a list: what the column pass of a kernel walks.

import { devicePrimitives } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { Struct } from '../struct.ts';
import { ownerFields, ownerText } from './owners.ts';

const threads = 1024;

const params = new Struct('Arguments', [
  { name: 'bits', type: 'address', pointer: 'const u32*', comment: '[set units, stride]' },
  { name: 'list', type: 'address', pointer: 'int*', comment: '[units, capacity], ascending' },
  { name: 'count', type: 'address', pointer: 'int*', comment: '[units]' },
  ...ownerFields,
  { name: 'stride', type: 'i32', comment: 'words of a set' },
  { name: 'capacity', type: 'i32' },
]);

const source = (): string => `${devicePrimitives()}
// ---- kernel ----

${params.text}
${ownerText}

// One block a unit. Each thread takes a word of 32 keys; a scan of their counts gives it its places.
extern "C" __global__ void __launch_bounds__(${threads})
list_columns(const __grid_constant__ Arguments p) {
  __shared__ int warp_counts[32];
  __shared__ int before;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const Owner owner = owner_of(p, blockIdx.x);
  const u32* bits = p.bits + (i64)(owner.batch * p.groups + owner.group) * p.stride;
  int* list = p.list + (i64)blockIdx.x * p.capacity;
  if (threadIdx.x == 0) before = 0;
  for (int first = 0; first < p.stride; first += ${threads}) {
    const int word = first + (int)threadIdx.x;
    u32 members = word < p.stride ? bits[word] : 0u;
    const int own = __popc(members);
    int sum = own;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(FULL_WARP, sum, step);
      if (lane >= step) sum += other;
    }
    __syncthreads();
    if (lane == 31) warp_counts[warp] = sum;
    __syncthreads();
    int at = before + sum - own;
    for (int i = 0; i < warp; ++i) at += warp_counts[i];
    for (; members != 0; members &= members - 1, ++at)
      if (at < p.capacity) list[at] = word * 32 + __ffs(members) - 1;
    __syncthreads();
    if (threadIdx.x == ${threads - 1}) before = at;
  }
  __syncthreads();
  if (threadIdx.x == 0) p.count[blockIdx.x] = min(before, p.capacity);
}
`;

/** One block per unit of the launch. */
export const columnsKernel = (): Kernel => ({
  name: 'list_columns',
  source: source(),
  threads,
  sharedBytes: 0,
  params,
});
