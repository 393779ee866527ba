// ---- kernel ----

constexpr int head_dim = 128, value_dim = 128;
constexpr int q_tile = 128, k_tile = 64, threads = 128, stages = 1;
constexpr int row_blocks = 2;  // of 16 query rows, each warp
constexpr int score_blocks = 8, value_blocks = 16;  // of 8 columns
constexpr int head_steps = 8, key_steps = 4;  // of 16, along the sums
constexpr int q_pitch = 272, k_pitch = q_pitch, v_pitch = 272, out_pitch = v_pitch;  // bytes of a row
constexpr int q_bytes = q_tile * 272, k_bytes = k_tile * k_pitch, v_bytes = k_tile * v_pitch;


struct Arguments {
  const u16* q;  // [batch, heads, q_len, head_dim]
  const u16* k;  // [batch, kv_heads, k_len, head_dim]
  const u16* v;  // [batch, kv_heads, k_len, value_dim]
  u16* out;  // [batch, heads, q_len, value_dim]
  i64 q_batch;
  i64 q_head;
  i64 q_row;
  i64 k_batch;
  i64 k_head;
  i64 k_row;
  i64 v_batch;
  i64 v_head;
  i64 v_row;
  i64 out_batch;
  i64 out_head;
  i64 out_row;
  float* lse;  // [batch, heads, q_len], natural
  u64* error;  // the lowest (unit, row) that is not a number
  i64 lse_head;  // rows of one head
  float scale;  // 1 / sqrt(head_dim)
  int tiles;  // of queries, per unit
  int first_tile;  // query tiles count from the first position
  const int* columns_list;  // [units, capacity], ascending
  const int* columns_count;  // [units]
  int columns_capacity;
  int heads;
  int kv_heads;
  int q_len;
  int k_len;
  int head_count;  // heads of this launch
  const int* head_list;  // which; null: all
  const int* params;  // [heads or 1, parameters]
  int params_stride;  // 0: the same for all heads
  const u32* set_columns_bits;  // [units, rows, stride]
  int set_columns_stride;
  int set_columns_row_from;
  int set_columns_rows;
  int set_columns_columns;
  const u32* set_distances_bits;  // [units, rows, stride]
  int set_distances_stride;
  int set_distances_row_from;
  int set_distances_rows;
  int set_distances_columns;
};

struct Unit {
  int batch, head, kv_head;
  int q_len, k_len;
  int offset;  // position of row 0 among the keys
  int param_verticals;
  int param_slashes;
  int param_probe;
  int param_grain;
  SetView set_columns;
  SetView set_distances;
};

WARPLOOM_DEVICE Unit load_unit(const Arguments& p, int index) {
  Unit u;
  u.batch = index / p.head_count;
  u.head = index % p.head_count;
  if (p.head_list) u.head = p.head_list[u.head];
  u.kv_head = u.head / (p.heads / p.kv_heads);
  u.q_len = p.q_len;
  u.k_len = p.k_len;
  u.offset = u.k_len - u.q_len;
  const int* params = p.params + (i64)u.head * p.params_stride;
  u.param_verticals = params[0];
  u.param_slashes = params[1];
  u.param_probe = params[2];
  u.param_grain = params[3];
  u.set_columns = {p.set_columns_bits + (i64)(u.batch * p.heads + u.head) * p.set_columns_rows * p.set_columns_stride, p.set_columns_stride, p.set_columns_row_from, p.set_columns_rows, p.set_columns_columns};
  u.set_distances = {p.set_distances_bits + (i64)(u.batch * p.heads + u.head) * p.set_distances_rows * p.set_distances_stride, p.set_distances_stride, p.set_distances_row_from, p.set_distances_rows, p.set_distances_columns};
  return u;
}

// What a step works on: keys, entries of the list of columns, or pools.
enum Kind { TILE, COLUMNS, STAND_INS, NOTHING };

// May query q attend to key k in this pass?
WARPLOOM_DEVICE bool allowed_tiles(const Unit& u, int q, int k) {
  return ((k <= q) && set_has(u.set_distances, 0, ((((floor_div(q, 64) + 1) * 64) - 1) - k)));
}

// The same for all pairs of a box at once.
WARPLOOM_DEVICE Truth judge_tiles(const Unit& u, Bounds q, Bounds k) {
  return truth_and(truth_le(k, q), set_truth(u.set_distances, bounds_of(0), bounds_sub(bounds_sub(bounds_mul(bounds_add(bounds_floor_div(q, bounds_of(64)), bounds_of(1)), bounds_of(64)), bounds_of(1)), k)));
}

WARPLOOM_DEVICE int keys_tiles_1(const Unit& u, int q0, int q1, int k, int most) {
  // distances.has((Math.floor(q / 64) + 1) * 64 - 1 - k)
  const Bounds q = {q0, q1};
  const Bounds row = bounds_of(0);
  const Bounds rest = bounds_add(bounds_of(63), bounds_mul(bounds_of(64), bounds_floor_div(q, bounds_of(64))));
  const int found = set_previous(u.set_distances, row.lo, row.hi, clamp_int((i64)rest.hi - k), clamp_int((i64)rest.lo - most));
  return found < 0 ? NO_MEMBER : max(k, clamp_int((i64)rest.lo - found));
}
WARPLOOM_DEVICE int keys_tiles(const Unit& u, int q0, int q1, int k) {
  i64 low = k, high = NO_MEMBER - 1;
  high = min(high, q1 - (0ll));
  if (low > high) return NO_MEMBER;
  const int found = keys_tiles_1(u, q0, q1, (int)low, (int)high);
  return found > high ? NO_MEMBER : found;
}

// May query q attend to key k in this pass?
WARPLOOM_DEVICE bool allowed_columns(const Unit& u, int q, int k) {
  return (((k <= q) && !set_has(u.set_distances, 0, ((((floor_div(q, 64) + 1) * 64) - 1) - k))) && set_has(u.set_columns, 0, k));
}

// The same for all pairs of a box at once.
WARPLOOM_DEVICE Truth judge_columns(const Unit& u, Bounds q, Bounds k) {
  return truth_and(truth_and(truth_le(k, q), truth_not(set_truth(u.set_distances, bounds_of(0), bounds_sub(bounds_sub(bounds_mul(bounds_add(bounds_floor_div(q, bounds_of(64)), bounds_of(1)), bounds_of(64)), bounds_of(1)), k)))), set_truth(u.set_columns, bounds_of(0), k));
}

// Keys, entries or pools from `at` on.
struct Visit {
  Kind kind;
  int at;
  bool full;  // every pair is allowed: no mask is evaluated
};
WARPLOOM_DEVICE int place_of(const Visit& visit, int column) { return visit.at + column; }

// Where the walk is: tiles already judged (one bit each, from `base` on), and where to go on.
struct Walk {
  int pass, next, base;
  u32 may, full;
};

WARPLOOM_DEVICE bool judge_group_tiles(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  const int lane = threadIdx.x & 31;
  if (walk.next >= u.k_len) return false;
  const int first = keys_tiles(u, q0, q1, walk.next);
  if (first >= u.k_len) return false;
  walk.base = first;
  const int from = walk.base + lane * k_tile, to = min(from + k_tile, u.k_len) - 1;
  const bool there = from < u.k_len;
  const Truth truth = there ? judge_tiles(u, {q0, q1}, {from, to}) : truth_of(false);
  const bool whole = from + k_tile <= u.k_len;
  walk.may = __ballot_sync(FULL_WARP, truth.may);
  walk.full = __ballot_sync(FULL_WARP, there && !truth.may_not && whole);
  const int run = __ffs(~(walk.may & walk.full | 1u)) - 1;
  if (run > 0) walk.may &= (1u << run) - 1;
  walk.next = walk.base + (run > 0 ? run : 32) * k_tile;
  return true;
}

WARPLOOM_DEVICE bool judge_group_columns(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  const int lane = threadIdx.x & 31;
  const int count = p.columns_count[index];
  if (walk.next >= count) return false;
  walk.base = walk.next;
  const int* list = p.columns_list + (i64)index * p.columns_capacity;
  const int from = walk.base + lane * k_tile, to = min(from + k_tile, count) - 1;
  const bool there = from < count;
  const Truth truth = there ? judge_columns(u, {q0, q1}, {list[from], list[to]}) : truth_of(false);
  const bool whole = from + k_tile <= count;
  walk.may = __ballot_sync(FULL_WARP, truth.may);
  walk.full = __ballot_sync(FULL_WARP, there && !truth.may_not && whole);
  walk.next = walk.base + 32 * k_tile;
  return true;
}

// The next step of the tile with queries [q0, q1]; NOTHING when there is none.
WARPLOOM_DEVICE Visit advance(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  while (walk.pass < 2) {
    Kind kind = NOTHING;
    int base = 0;
    if (walk.pass == 0) {
      while (walk.may == 0)
        if (!judge_group_tiles(u, p, index, q0, q1, walk)) break;
      kind = TILE;
      base = walk.base;
    }
    else if (walk.pass == 1) {
      while (walk.may == 0)
        if (!judge_group_columns(u, p, index, q0, q1, walk)) break;
      kind = COLUMNS;
      base = walk.base;
    }
    if (walk.may != 0) {
      const int tile = __ffs(walk.may) - 1;
      walk.may &= walk.may - 1;
      return {kind, base + tile * k_tile, (walk.full >> tile & 1u) != 0};
    }
    walk = {walk.pass + 1, 0, 0, 0, 0};
  }
  return {NOTHING, 0, true};
}

// ---- copies: global to shared memory, 16 bytes a thread ----

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
  // A loop where only the first and the last tile come here: unrolled, it was an eighth of the time to compile.
#pragma unroll(even ? 1 : (total + threads - 1) / threads)
  for (int i = 0; i < (total + threads - 1) / threads; ++i) {
    const int at = i * threads + (int)threadIdx.x, row = at / chunks, chunk = at % chunks;
    if (total % threads != 0 && at >= total) break;
    const bool real = dim % 16 == 0 || chunk * 8 < dim, valid = real && (u32)(first + row) < (u32)count;
    copy_async_16(to + row * pitch + chunk * 16, from + (valid ? (first + row) * stride + chunk * 8 : 0), valid);
  }
}

// Copies the rows that a list names: entries [first, first + rows), those from `count` on as zeros.
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

WARPLOOM_DEVICE void copy_k(const Unit& u, const Arguments& p, int index, const Visit& visit, const u16* k, u32 to) {
  if (visit.kind == TILE)
    copy_rows<k_tile, head_dim, k_pitch>(to, k, p.k_row, visit.at, u.k_len);
  if (visit.kind == COLUMNS)
    copy_listed<k_tile, head_dim, k_pitch>(to, k, p.k_row, p.columns_list + (i64)index * p.columns_capacity, visit.at, p.columns_count[index]);
  copy_commit();
}

WARPLOOM_DEVICE void copy_v(const Unit& u, const Arguments& p, int index, const Visit& visit, const u16* v, u32 to) {
  if (visit.kind == TILE)
    copy_rows<k_tile, value_dim, v_pitch>(to, v, p.v_row, visit.at, u.k_len);
  if (visit.kind == COLUMNS)
    copy_listed<k_tile, value_dim, v_pitch>(to, v, p.v_row, p.columns_list + (i64)index * p.columns_capacity, visit.at, p.columns_count[index]);
  copy_commit();
}

// ---- scores: keys, masks and score functions ----

WARPLOOM_DEVICE int key_of(const Unit& u, const Arguments& p, int index, const Visit& visit, int column) {
  if (visit.kind == TILE) return place_of(visit, column);
  if (visit.kind == COLUMNS) {
    const int entry = place_of(visit, column);
    return entry < p.columns_count[index] ? p.columns_list[(i64)index * p.columns_capacity + entry] : u.k_len;
  }
  return u.k_len;
}

typedef float Scores[row_blocks][score_blocks][4];

// What the mask asks of a key alone, and of a query alone.
struct KeyLoads {
};
struct QueryLoads {
  int value_0;
};
// Columns and rows of a tile that there are not have those of the nearest: integers are proved for no others.
WARPLOOM_DEVICE KeyLoads load_of_key(const Unit& u, int key) {
  return {};
}
WARPLOOM_DEVICE QueryLoads load_of_query(const Unit& u, int row) {
  const int q = min(max(row, u.offset), u.k_len - 1);
  return {(((floor_div(q, 64) + 1) * 64) - 1)};
}
WARPLOOM_DEVICE bool own_tiles(const Unit& u, int q, int k, const KeyLoads& of_key, const QueryLoads& of_query) {
  return ((k <= q) && set_has(u.set_distances, 0, (of_query.value_0 - k)));
}
WARPLOOM_DEVICE bool own_columns(const Unit& u, int q, int k, const KeyLoads& of_key, const QueryLoads& of_query) {
  return (((k <= q) && !set_has(u.set_distances, 0, (of_query.value_0 - k))) && set_has(u.set_columns, 0, k));
}
WARPLOOM_DEVICE bool allowed_own(const Unit& u, const Visit& visit, int q, int key, const KeyLoads& of_key, const QueryLoads& of_query) {
  if (visit.kind == TILE) return key < u.k_len && own_tiles(u, q, key, of_key, of_query);
  if (visit.kind == COLUMNS) return key < u.k_len && own_columns(u, q, key, of_key, of_query);
  return true;
}

// -inf where the mask is false. The bits of a lane's rows, eight apart, are found in a small loop and then applied, so that
// the mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  u32 bits[2 * row_blocks] = {};
  QueryLoads of_query[2 * row_blocks];
#pragma unroll
  for (int r = 0; r < 2 * row_blocks; ++r) of_query[r] = load_of_query(u, q + 8 * r);
#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
    const KeyLoads of_key = load_of_key(u, key);
#pragma unroll
    for (int r = 0; r < 2 * row_blocks; ++r) bits[r] |= (u32)allowed_own(u, visit, q + 8 * r, key, of_key, of_query[r]) << j;
  }
#pragma unroll
  for (int r = 0; r < 2 * row_blocks; ++r)
#pragma unroll
    for (int j = 0; j < score_blocks * 2; ++j)
      if (!(bits[r] >> j & 1u)) s[r >> 1][j >> 1][(r & 1) * 2 + (j & 1)] = NEGATIVE_INFINITY;
}


// ---- products: Q K^T and P V, fragments from shared memory ----

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
        multiply_bf16(s[i][2 * n], q[i], k[0], k[1]);
        multiply_bf16(s[i][2 * n + 1], q[i], k[2], k[3]);
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
        multiply_bf16(out[i][2 * n], weights[i][step], v[0], v[1]);
        multiply_bf16(out[i][2 * n + 1], weights[i][step], v[2], v[3]);
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
// `checked`: a row may have nothing but -inf, and then stays empty.
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
      weights[i][j >> 1][(j & 1) * 2] = pack_bf16(s[i][j][0], s[i][j][1]);
      weights[i][j >> 1][(j & 1) * 2 + 1] = pack_bf16(s[i][j][2], s[i][j][3]);
    }
}

// ---- the kernel: one block, one tile of queries of one unit ----

// What a block works on. It lies in shared memory: masks and the walk need it, full tiles do not, and the
// registers belong to the accumulators.
struct Task {
  Unit unit;
  int index;   // of the unit in this launch
  int start;   // position of the tile's first row
  int q0, q1;  // positions of its first and last query
  const u16 *k, *v;
};

extern "C" __global__ void __launch_bounds__(threads, 2)
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
    const int start = (p.first_tile + p.tiles - 1 - tile) * q_tile;
    task.unit = u;
    task.index = index;
    task.start = start;
    task.q0 = max(start, u.offset);
    task.q1 = min(start + q_tile, u.k_len) - 1;
    task.k = p.k + (i64)u.batch * p.k_batch + (i64)u.kv_head * p.k_head;
    task.v = p.v + (i64)u.batch * p.v_batch + (i64)u.kv_head * p.v_head;
  }
  __syncthreads();
  const Unit& u = task.unit;

  // This lane's rows are `row` and `row + 8` of each block of 16; its columns start at `column`.
  const int row = warp * 16 * row_blocks + (lane >> 2), column = (lane & 3) * 2;
  const u32 q_address = fragment_address(q_shared, q_pitch, warp * 16 * row_blocks);

  Walk walk = {0, 0, 0, 0, 0};
  Visit visits[stages + 1];  // of this step and those whose copies are under way
  visits[0] = advance(u, p, task.index, task.q0, task.q1, walk);

  copy_rows<q_tile, head_dim, q_pitch>(
      q_shared, p.q + (i64)u.batch * p.q_batch + (i64)u.head * p.q_head, p.q_row, task.start - u.offset, u.q_len);
  copy_k(u, p, task.index, visits[0], task.k, k_shared);
#pragma unroll
  for (int i = 1; i < stages; ++i) {
    copy_v(u, p, task.index, visits[i - 1], task.v, v_shared + (i - 1) * v_bytes);
    copy_k(u, p, task.index, visits[i], task.k, k_shared + i * k_bytes);
  }

  const float scale = p.scale * 1.4426950216293335f;
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
    copy_wait<2 * (stages - 1)>();
    __syncthreads();
    copy_k(u, p, task.index, visits[stages], task.k, k_shared + slot * k_bytes);
    Weights weights;
    if (visits[0].full) {
      absorb<false>(scale, s, highest, sum, weights, out);
    } else {
      mask_scores(u, p, task.index, visits[0], task.start + row, column, s);
      absorb<true>(scale, s, highest, sum, weights, out);
    }
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
        *(u32*)(shared + r * out_pitch + j * 16 + column * 2) = pack_bf16(a, b);
      }
      if (output_row < 0 || output_row >= u.q_len) continue;
      if (column == 0)
        p.lse[((i64)u.batch * p.heads + u.head) * p.lse_head + output_row] =
            total > 0.f ? highest[i][half] * scale * 0.6931471805599453f + __logf(total) : total == 0.f ? NEGATIVE_INFINITY : total;
      if (!good) atomicMin(p.error, (u64)(u.batch * p.heads + u.head) << 32 | (u32)output_row);
    }
  __syncthreads();
  u16* to = p.out + (i64)u.batch * p.out_batch + (i64)u.head * p.out_head;
#pragma unroll 4
  for (int first = 0; first < q_tile * (value_dim / 8); first += threads) {
    const int at = first + (int)threadIdx.x, r = at / (value_dim / 8), chunk = at % (value_dim / 8);
    const int output_row = task.start + r - u.offset;
    if (r < q_tile && output_row >= 0 && output_row < u.q_len)
      *(uint4*)(to + (i64)output_row * p.out_row + chunk * 8) = *(const uint4*)(shared + r * out_pitch + chunk * 16);
  }
}
