// Mean keys or values of aligned pools, in the dtype of the tensor: what stands in for dropped keys. Each is the number
// of that dtype nearest to the mean, on every device: where one in single precision falls on the other side of a tie,
// an element is off by all that a dtype's last bit is worth, and a score by more than rounding of its own.

import { devicePrimitives } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { Struct } from '../struct.ts';

const params = new Struct('Arguments', [
  {
    name: 'rows',
    type: 'address',
    pointer: 'const u16*',
    comment: '[batch, kv_heads, k_len, dim]',
  },
  { name: 'batch_stride', type: 'i64' },
  { name: 'head_stride', type: 'i64' },
  { name: 'row_stride', type: 'i64' },
  { name: 'means', type: 'address', pointer: 'u16*', comment: '[batch, kv_heads, pools, dim]' },
  { name: 'kv_heads', type: 'i32' },
  { name: 'k_len', type: 'i32' },
  { name: 'pools', type: 'i32' },
  { name: 'dim', type: 'i32' },
  { name: 'size', type: 'i32', comment: 'keys of a pool; the last may be shorter' },
]);

/** One block for each pool of each KV head. A block has a thread for each number of a row. */
export function poolsKernel(dtype: 'fp16' | 'bf16'): Kernel {
  const source = `${devicePrimitives('numbers', 'doubles')}
// ---- kernel ----

${params.text}

extern "C" __global__ void __launch_bounds__(256)
mean_of_pools(const __grid_constant__ Arguments p) {
  const int pool = blockIdx.x % p.pools, unit = blockIdx.x / p.pools;
  const int batch = unit / p.kv_heads, head = unit % p.kv_heads;
  const int from = pool * p.size, to = min(from + p.size, p.k_len);
  const int d = threadIdx.x;
  if (d >= p.dim) return;
  const u16* rows = p.rows + batch * p.batch_stride + head * p.head_stride + d;
  double sum = 0.;
  for (int key = from; key < to; ++key) sum += float_of_${dtype}(rows[(i64)key * p.row_stride]);
  const u32 mean = pack_${dtype}(odd_float_of(sum / (to - from)), 0.f);
  p.means[(i64)blockIdx.x * p.dim + d] = (u16)mean;
}
`;
  return { name: 'mean_of_pools', source, threads: 256, sharedBytes: 0, params };
}
