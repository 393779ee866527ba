// The portable attention kernel (sm_80 and later) as CUDA C: cp.async copies, ldmatrix, mma.sync, an
// online softmax in registers. Sections in the order in which a block runs them.
// Sources: FlashAttention-2 (Dao, 2023); online softmax (Milakov and Gimelshein, 2018).

import type { Expression } from '../../dsl/expression.ts';
import { scalarText } from '../expression.ts';
import type { Names } from '../names.ts';
import type { KernelPass } from './passes.ts';
import { padded, pitchOf, type TileKnobs } from './tiles.ts';

export interface KernelShape {
  readonly dtype: 'fp16' | 'bf16';
  readonly headDim: number;
  readonly valueDim: number;
  readonly knobs: TileKnobs;
  readonly segments: boolean;
}

const log2OfE = '1.4426950408889634f';

/** All sizes by name, so that the text below reads without arithmetic. */
export function constantsText(
  { headDim, valueDim, knobs }: KernelShape,
  restSize?: number,
): string {
  const { qTile, kTile, warps, stages } = knobs;
  const rows = qTile / warps / 16;
  return `constexpr int head_dim = ${headDim}, value_dim = ${valueDim};
constexpr int q_tile = ${qTile}, k_tile = ${kTile}, threads = ${warps * 32}, stages = ${stages};
constexpr int row_blocks = ${rows};  // of 16 query rows, each warp
constexpr int score_blocks = ${kTile / 8}, value_blocks = ${padded(valueDim) / 8};  // of 8 columns
constexpr int head_steps = ${padded(headDim) / 16}, key_steps = ${kTile / 16};  // of 16, along the sums
constexpr int q_pitch = ${pitchOf(headDim)}, k_pitch = q_pitch, v_pitch = ${pitchOf(valueDim)}, out_pitch = v_pitch;  // bytes of a row
constexpr int q_bytes = q_tile * ${Math.max(pitchOf(headDim), pitchOf(valueDim))}, k_bytes = k_tile * k_pitch, v_bytes = k_tile * v_pitch;
${restSize === undefined ? '' : `constexpr int pool_size = ${restSize};\n`}`;
}

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

const copyListedText = `
// Copies the rows that a list names: entries [first, first + rows), those from \`count\` on as zeros.
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
}
`;

/** Copies of Q, K and V into shared memory; what lies outside becomes zeros. */
export function copiesText(passes: readonly KernelPass[]): string {
  const listed = passes.some(({ kind }) => kind === 'columns');
  return `// ---- copies: global to shared memory, 16 bytes a thread ----

// Copies rows [first, first + rows) of a tensor, those outside [0, count) as zeros.
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
#pragma unroll
  for (int i = 0; i < (total + threads - 1) / threads; ++i) {
    const int at = i * threads + (int)threadIdx.x, row = at / chunks, chunk = at % chunks;
    if (total % threads != 0 && at >= total) break;
    const bool real = dim % 16 == 0 || chunk * 8 < dim, valid = real && (u32)(first + row) < (u32)count;
    copy_async_16(to + row * pitch + chunk * 16, from + (valid ? (first + row) * stride + chunk * 8 : 0), valid);
  }
}
${listed ? copyListedText : ''}
${copyText(passes, 'k')}

${copyText(passes, 'v')}`;
}

/** The score function and the masks, on the accumulators of a warp. */
export function scoresText(
  passes: readonly KernelPass[],
  score: Expression | undefined,
  names: Names,
): string {
  const keys = passes.map(({ kind }) => {
    if (kind === 'tiles') return '  if (visit.kind == TILE) return visit.at + column;';
    if (kind === 'columns')
      return `  if (visit.kind == COLUMNS) {
    const int entry = visit.at + column;
    return entry < p.columns_count[index] ? p.columns_list[(i64)index * p.columns_capacity + entry] : u.k_len;
  }`;
    return '  if (visit.kind == STAND_INS) return visit.at + column;';
  });
  const masks = passes.map(({ kind }) => {
    if (kind === 'rest')
      return '  if (visit.kind == STAND_INS) return key * pool_size < u.k_len && stands_in(u, q, key);';
    const name = kind === 'tiles' ? 'TILE' : 'COLUMNS';
    return `  if (visit.kind == ${name}) return key < u.k_len && allowed_${kind}(u, q, key);`;
  });
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const scoreFunction = score
    ? `
// The author's score: \`s\` is the scaled logit.
WARPLOOM_DEVICE float score(const Unit& u, float s, int q, int k) {
  return ${scalarText(score, names)};
}
`
    : '';
  const unit = score ? 'natural units' : 'units of the plain product';
  const addend = score ? '__logf((float)size)' : '__logf((float)size) / p.scale';
  return `// ---- scores: keys, masks and score functions ----

WARPLOOM_DEVICE int key_of(const Unit& u, const Arguments& p, int index, const Visit& visit, int column) {
${keys.join('\n')}
  return u.k_len;
}

WARPLOOM_DEVICE bool allowed(const Unit& u, const Visit& visit, int q, int key) {
${masks.join('\n')}
  return false;
}
${scoreFunction}
typedef float Scores[row_blocks][score_blocks][4];

// -inf where the mask is false. The bits of a row are found in a small loop and then applied, so that the
// mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  u32 bits[row_blocks][2] = {};
#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
#pragma unroll
    for (int i = 0; i < row_blocks; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) bits[i][half] |= (u32)allowed(u, visit, q + 16 * i + 8 * half, key) << j;
  }
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks * 2; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (!(bits[i][half] >> j & 1u)) s[i][j >> 1][half * 2 + (j & 1)] = NEGATIVE_INFINITY;
}
${
  score
    ? `
// Products become the author's scores, in ${unit}.
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& value = s[i][j][half * 2 + e];
          value = score(u, value * p.scale, q + 16 * i + 8 * half, key);
        }
    }
}
`
    : ''
}${
  hasRest
    ? `
// A mean key stands for so many: log(size) is added, in ${unit}.
WARPLOOM_DEVICE void weigh_pools(const Unit& u, const Arguments& p, const Visit& visit, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int from = (visit.at + column + j * 8 + e) * pool_size;
      const int size = max(1, min(pool_size, u.k_len - from));
      const float more = ${addend};
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        s[i][j][e] += more;
        s[i][j][2 + e] += more;
      }
    }
}
`
    : ''
}`;
}

/** Products and softmax of a step. */
export function productsText({ dtype }: KernelShape): string {
  return `// ---- products: Q K^T and P V, fragments from shared memory ----

// Lane l loads row l % 16 of a fragment's 16 rows, and 16-byte chunk l / 16 of its two.
WARPLOOM_DEVICE u32 fragment_address(u32 tile, int pitch, int row) {
  const int lane = threadIdx.x & 31;
  return tile + (row + (lane & 15)) * pitch + (lane >> 4) * 16;
}

// K is the second operand as it lies: its 16 keys by two chunks in another order.
WARPLOOM_DEVICE u32 key_address(u32 tile) {
  const int lane = threadIdx.x & 31;
  return tile + ((lane & 7) + (lane >> 4) * 8) * k_pitch + (lane >> 3 & 1) * 16;
}

WARPLOOM_DEVICE void multiply_scores(u32 q_address, u32 k_address, Scores& s) {
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks; ++j) s[i][j][0] = s[i][j][1] = s[i][j][2] = s[i][j][3] = 0.f;
#pragma unroll
  for (int step = 0; step < head_steps; ++step) {
    u32 q[row_blocks][4];
#pragma unroll
    for (int i = 0; i < row_blocks; ++i) load_matrices(q[i], q_address + 16 * i * q_pitch + step * 32);
#pragma unroll
    for (int n = 0; n < score_blocks / 2; ++n) {
      u32 k[4];
      load_matrices(k, k_address + 16 * n * k_pitch + step * 32);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        multiply_${dtype}(s[i][2 * n], q[i], k[0], k[1]);
        multiply_${dtype}(s[i][2 * n + 1], q[i], k[2], k[3]);
      }
    }
  }
}

typedef u32 Weights[row_blocks][key_steps][4];
typedef float Output[row_blocks][value_blocks][4];
typedef float RowValues[row_blocks][2];

WARPLOOM_DEVICE void multiply_values(const Weights& weights, u32 v_address, Output& out) {
#pragma unroll
  for (int step = 0; step < key_steps; ++step)
#pragma unroll
    for (int n = 0; n < value_blocks / 2; ++n) {
      u32 v[4];
      load_matrices_transposed(v, v_address + 16 * step * v_pitch + n * 32);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        multiply_${dtype}(out[i][2 * n], weights[i][step], v[0], v[1]);
        multiply_${dtype}(out[i][2 * n + 1], weights[i][step], v[2], v[3]);
      }
    }
}

// ---- softmax: one step of the online softmax; a row lies in the four lanes of a quad ----

WARPLOOM_DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
  return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}
WARPLOOM_DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(FULL_WARP, x, 1);
  return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

// Scores become weights 2^(scale * (s - highest)). A new highest score that lifts weights to at most 2^8
// is not taken: fp32 sums bear it, and what was summed up so far need not be scaled (FlashAttention-4).
// \`checked\`: a row may have nothing but -inf, and then stays empty.
template <bool checked>
WARPLOOM_DEVICE void absorb(float scale, Scores& s, RowValues& highest, RowValues& sum, Weights& weights, Output& out) {
  float base[row_blocks][2], factor[row_blocks][2];
  bool rescale = false;
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = NEGATIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < score_blocks; ++j) high = fmaxf(high, fmaxf(s[i][j][2 * half], s[i][j][2 * half + 1]));
      high = quad_max(high);
      const float before = highest[i][half];
      const bool lift = high > before && !((high - before) * scale <= 8.f);
      const float now = lift ? high : before;
      base[i][half] = checked && now == NEGATIVE_INFINITY ? 0.f : now * scale;
      factor[i][half] = lift ? exp2_fast(before * scale - base[i][half]) : 1.f;
      highest[i][half] = now;
      rescale = rescale || lift;
    }
  if (__any_sync(FULL_WARP, rescale)) {
#pragma unroll
    for (int i = 0; i < row_blocks; ++i) {
      sum[i][0] *= factor[i][0];
      sum[i][1] *= factor[i][1];
#pragma unroll
      for (int j = 0; j < value_blocks; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) out[i][j][e] *= factor[i][e >> 1];
    }
  }
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[i][j][e] = exp2_fast(fmaf(s[i][j][e], scale, -base[i][e >> 1]));
        sum[i][e >> 1] += s[i][j][e];
      }
      weights[i][j >> 1][(j & 1) * 2] = pack_${dtype}(s[i][j][0], s[i][j][1]);
      weights[i][j >> 1][(j & 1) * 2 + 1] = pack_${dtype}(s[i][j][2], s[i][j][3]);
    }
}`;
}

/** The kernel itself. */
export function mainText(
  { dtype, knobs, segments }: KernelShape,
  passes: readonly KernelPass[],
  hasScore: boolean,
): string {
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const rowsBefore = segments ? ' + (i64)u.q_start * p.q_row' : '';
  const keysBefore = (which: string): string =>
    segments ? ` + (i64)u.k_start * p.${which}_row` : '';
  const batch = segments ? '0ll' : '(i64)u.batch';
  const scale = hasScore ? log2OfE : `p.scale * ${log2OfE}`;
  const apply = [
    ...(hasScore
      ? ['    apply_score(u, p, task.index, visits[0], task.start + row, column, s);']
      : []),
    ...(hasRest
      ? ['    if (visits[0].kind == STAND_INS) weigh_pools(u, p, visits[0], column, s);']
      : []),
  ];
  const checked = hasScore
    ? `    if (!visits[0].full) mask_scores(u, p, task.index, visits[0], task.start + row, column, s);
    Weights weights;
    absorb<true>(scale, s, highest, sum, weights, out);`
    : `    Weights weights;
    if (visits[0].full) {
      absorb<false>(scale, s, highest, sum, weights, out);
    } else {
      mask_scores(u, p, task.index, visits[0], task.start + row, column, s);
      absorb<true>(scale, s, highest, sum, weights, out);
    }`;
  const firstTile = segments
    ? `    const int start = (floor_div(u.k_len - 1, q_tile) - tile) * q_tile;`
    : '    const int start = (p.first_tile + p.tiles - 1 - tile) * q_tile;';
  return `// ---- the kernel: one block, one tile of queries of one unit ----

// What a block works on. It lies in shared memory: masks and the walk need it, full tiles do not, and the
// registers belong to the accumulators.
struct Task {
  Unit unit;
  int index;   // of the unit in this launch
  int start;   // position of the tile's first row
  int q0, q1;  // positions of its first and last query
  const u16 *k, *v;
};

extern "C" __global__ void __launch_bounds__(threads, ${knobs.blocks})
attention(const __grid_constant__ Arguments p) {
  extern __shared__ __align__(128) u8 shared[];
  __shared__ Task task;
  const u32 q_shared = shared_address(shared), k_shared = q_shared + q_bytes, v_shared = k_shared + stages * k_bytes;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  if (threadIdx.x == 0) {
    const int index = blockIdx.x / p.tiles, tile = blockIdx.x % p.tiles;
    const Unit u = load_unit(p, index);
    // The last tiles come first: under a causal mask they are the longest. Tiles are anchored at multiples
    // of their size among the positions, so the first may begin before row 0.
${firstTile}
    task.unit = u;
    task.index = index;
    task.start = start;
    task.q0 = max(start, u.offset);
    task.q1 = min(start + q_tile, u.k_len) - 1;
    task.k = p.k + ${batch.replace('u.batch', 'u.batch')} * p.k_batch + (i64)u.kv_head * p.k_head${keysBefore('k')};
    task.v = p.v + ${batch} * p.v_batch + (i64)u.kv_head * p.v_head${keysBefore('v')};
  }
  __syncthreads();
  const Unit& u = task.unit;
${segments ? '  if (task.q1 < task.q0) return;  // this sequence has fewer tiles\n' : ''}
  // This lane's rows are \`row\` and \`row + 8\` of each block of 16; its columns start at \`column\`.
  const int row = warp * 16 * row_blocks + (lane >> 2), column = (lane & 3) * 2;
  const u32 q_address = fragment_address(q_shared, q_pitch, warp * 16 * row_blocks);

  Walk walk = {0, 0, 0, 0, 0};
  Visit visits[stages + 1];  // of this step and those whose copies are under way
#pragma unroll
  for (int i = 0; i < stages; ++i) visits[i] = advance(u, p, task.index, task.q0, task.q1, walk);

  copy_rows<q_tile, head_dim, q_pitch>(
      q_shared, p.q + ${batch} * p.q_batch + (i64)u.head * p.q_head${rowsBefore}, p.q_row, task.start - u.offset, u.q_len);
  copy_k(u, p, task.index, visits[0], task.k, k_shared);
#pragma unroll
  for (int i = 1; i < stages; ++i) {
    copy_v(u, p, task.index, visits[i - 1], task.v, v_shared + (i - 1) * v_bytes);
    copy_k(u, p, task.index, visits[i], task.k, k_shared + i * k_bytes);
  }

  const float scale = ${scale};
  RowValues highest, sum;
  Output out;
#pragma unroll
  for (int i = 0; i < row_blocks; ++i) {
    highest[i][0] = highest[i][1] = NEGATIVE_INFINITY;
    sum[i][0] = sum[i][1] = 0.f;
#pragma unroll
    for (int j = 0; j < value_blocks; ++j) out[i][j][0] = out[i][j][1] = out[i][j][2] = out[i][j][3] = 0.f;
  }

  // V of the newest visit is loaded under Q K^T, K of the next one under the softmax and P V.
  int slot = 0;
#pragma unroll 1
  while (visits[0].kind != NOTHING) {
    const int newest = stages == 1 ? 0 : (slot + stages - 1) % stages;
    copy_wait<2 * (stages - 1)>();
    __syncthreads();
    copy_v(u, p, task.index, visits[stages - 1], task.v, v_shared + newest * v_bytes);
    // While there are no scores yet, registers are free for it.
    visits[stages] = advance(u, p, task.index, task.q0, task.q1, walk);
    Scores s;
    multiply_scores(q_address, key_address(k_shared + slot * k_bytes), s);
${apply.join('\n')}${apply.length > 0 ? '\n' : ''}    copy_wait<2 * (stages - 1)>();
    __syncthreads();
    copy_k(u, p, task.index, visits[stages], task.k, k_shared + slot * k_bytes);
${checked}
    multiply_values(weights, fragment_address(v_shared + slot * v_bytes, v_pitch, 0), out);
#pragma unroll
    for (int i = 0; i < stages; ++i) visits[i] = visits[i + 1];
    slot = stages == 1 ? 0 : (slot + 1) % stages;
  }
  copy_wait<0>();
  __syncthreads();

  // Rows without a key give 0 and -inf. The output is staged where Q was, each warp its own rows.
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 16 * i + 8 * half, output_row = task.start + r - u.offset;
      const float total = quad_sum(sum[i][half]);
      const float inverse = total > 0.f ? 1.f / total : total == 0.f ? 0.f : total;  // NaN stays
      bool good = total < POSITIVE_INFINITY;
#pragma unroll
      for (int j = 0; j < value_blocks; ++j) {
        const float a = out[i][j][2 * half] * inverse, b = out[i][j][2 * half + 1] * inverse;
        good = good && a == a && b == b;
        *(u32*)(shared + r * out_pitch + j * 16 + column * 2) = pack_${dtype}(a, b);
      }
      if (output_row < 0 || output_row >= u.q_len) continue;
      if (column == 0)
        p.lse[(${batch} * p.heads + u.head) * p.lse_head + ${segments ? 'u.q_start + ' : ''}output_row] =
            total > 0.f ? highest[i][half] * scale * 0.6931471805599453f + __logf(total) : total == 0.f ? NEGATIVE_INFINITY : total;
      if (!good) atomicMin(p.error, (u64)(u.batch * p.heads + u.head) << 32 | (u32)output_row);
    }
  __syncthreads();
  u16* to = p.out + ${batch} * p.out_batch + (i64)u.head * p.out_head${segments ? ' + (i64)u.q_start * p.out_row' : ''};
#pragma unroll
  for (int first = 0; first < q_tile * (value_dim / 8); first += threads) {
    const int at = first + (int)threadIdx.x, r = at / (value_dim / 8), chunk = at % (value_dim / 8);
    const int output_row = task.start + r - u.offset;
    if (r < q_tile && output_row >= 0 && output_row < u.q_len)
      *(uint4*)(to + (i64)output_row * p.out_row + chunk * 8) = *(const uint4*)(shared + r * out_pitch + chunk * 16);
  }
}
`;
}
