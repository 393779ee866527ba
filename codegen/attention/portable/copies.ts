// Copies of the portable kernel: Q, K and V into shared memory by cp.async. What lies outside becomes zeros.

import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';

/** `copy_rows` for Q, `copy_k` and `copy_v` for a visit. */
export const copiesText = ({ passes }: KernelContext): string =>
  [
    '// ---- copies: global to shared memory, 16 bytes a thread ----',
    copyRowsText,
    ...(passes.some(({ kind }) => kind === 'columns') ? [copyListedText] : []),
    copyText(passes, 'k'),
    copyText(passes, 'v'),
  ].join('\n\n');

const copyRowsText = `// Copies rows [first, first + rows) of a tensor, those outside [0, count) as zeros.
template <int rows, int dim, int pitch>
WARPLOOM_DEVICE void copy_rows(u32 to, const u16* from, i64 stride, int first, int count) {
  constexpr int chunks = (dim + 15) / 16 * 2, total = rows * chunks;
  constexpr bool even = threads % chunks == 0 && total % threads == 0 && dim % 16 == 0;
  if (even && first >= 0 && first + rows <= count) {
    const int row = threadIdx.x / chunks, chunk = threadIdx.x % chunks;
    const u16* source = from + (first + row) * stride + chunk * 8;
    to += row * pitch + chunk * 16;
#pragma unroll
    for (int i = 0; i < total / threads; ++i) {
      copy_async_16(to + i * (threads / chunks) * pitch, source);
      source += (threads / chunks) * stride;
    }
    return;
  }
  // A loop where only the first and the last tile come here: unrolled, it was an eighth of the time to compile.
#pragma unroll(even ? 1 : (total + threads - 1) / threads)
  for (int i = 0; i < (total + threads - 1) / threads; ++i) {
    const int at = i * threads + (int)threadIdx.x, row = at / chunks, chunk = at % chunks;
    if (total % threads != 0 && at >= total) break;
    const bool real = dim % 16 == 0 || chunk * 8 < dim, valid = real && (u32)(first + row) < (u32)count;
    copy_async_16(to + row * pitch + chunk * 16, from + (valid ? (first + row) * stride + chunk * 8 : 0), valid);
  }
}`;

const copyListedText = `// Copies the rows that a list names: entries [first, first + rows), those from \`count\` on as zeros.
template <int rows, int dim, int pitch>
WARPLOOM_DEVICE void copy_listed(u32 to, const u16* from, i64 stride, const int* list, int first, int count) {
  constexpr int chunks = (dim + 15) / 16 * 2, total = rows * chunks;
#pragma unroll
  for (int i = 0; i < (total + threads - 1) / threads; ++i) {
    const int at = i * threads + (int)threadIdx.x, row = at / chunks, chunk = at % chunks;
    if (total % threads != 0 && at >= total) break;
    const bool real = dim % 16 == 0 || chunk * 8 < dim, valid = real && first + row < count;
    copy_async_16(to + row * pitch + chunk * 16, from + (valid ? list[first + row] * stride + chunk * 8 : 0), valid);
  }
}`;

/** Copies of a step: K or V rows of each kind of visit into a slot. */
function copyText(passes: readonly KernelPass[], which: 'k' | 'v'): string {
  const [dim, pitch] = which === 'k' ? ['head_dim', 'k_pitch'] : ['value_dim', 'v_pitch'];
  const template = `<k_tile, ${dim}, ${pitch}>`;
  const cases = passes.map(({ kind }) => {
    if (kind === 'tiles')
      return `  if (visit.kind == TILE)
    copy_rows${template}(to, ${which}, p.${which}_row, visit.at, u.k_len);`;
    if (kind === 'columns')
      return `  if (visit.kind == COLUMNS)
    copy_listed${template}(to, ${which}, p.${which}_row, p.columns_list + (i64)index * p.columns_capacity, visit.at, p.columns_count[index]);`;
    return `  if (visit.kind == STAND_INS)
    copy_rows${template}(to, p.pool_${which} + (i64)(u.batch * p.kv_heads + u.kv_head) * p.pools * ${dim}, ${dim}, visit.at, p.pools);`;
  });
  return `WARPLOOM_DEVICE void copy_${which}(const Unit& u, const Arguments& p, int index, const Visit& visit, const u16* ${which}, u32 to) {
${cases.join('\n')}
  copy_commit();
}`;
}
