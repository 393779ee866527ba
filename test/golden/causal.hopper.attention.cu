// ---- kernel ----

constexpr int head_dim = 128, value_dim = 128;
constexpr int q_tile = 192, k_tile = 80, stages = 2, q_buffers = 2, tile_heads = 1;
constexpr int early_quarters = 0;  // of a step's scores: those that become weights before the last P V is waited for
constexpr int groups = 3;  // warpgroups that compute, 64 rows each
constexpr int row_blocks = 1;  // of 16 query rows, each warp
constexpr int score_blocks = 10, value_blocks = 16;  // of 8 columns
constexpr int key_steps = 5;  // of 16, along the sum of P V
// Bytes in shared memory, where tiles lie in slabs of 64 columns, 128 bytes a row, swizzled.
constexpr int q_bytes = 16384, q_group_bytes = 16384, out_group_bytes = 16384;  // of a warpgroup
constexpr int k_bytes = 20480, v_bytes = 20480;


struct Arguments {
  TensorMap q_map;  // boxes of the rows of a warpgroup
  TensorMap k_map;  // a slot of rows
  TensorMap v_map;  // a slot of rows
  TensorMap out_map;  // boxes of the rows of a warpgroup
  u16* out;  // [batch, heads, q_len, value_dim]
  i64 out_batch;
  i64 out_head;
  i64 out_row;
  float* lse;  // [batch, heads, q_len], natural
  u64* error;  // the lowest (unit, row) that is not a number
  i64 lse_head;  // rows of one head
  float scale;  // 1 / sqrt(head_dim)
  int tiles;  // of queries, per unit
  int first_tile;  // query tiles count from the first position
  int* counter;  // tiles drawn so far; 0 between launches
  int units;  // heads of all batch entries, those of a tile as one
  int section;  // units whose keys and values fit L2 together
  int heads;
  int kv_heads;
  int q_len;
  int k_len;
  int head_count;  // heads of this launch
  const int* head_list;  // which; null: all
  const int* params;  // [heads or 1, parameters]
  int params_stride;  // 0: the same for all heads
};

struct Unit {
  int batch, head, kv_head;
  int q_len, k_len;
  int offset;  // position of row 0 among the keys
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
  return u;
}

// What a step works on: keys, entries of the list of columns, or pools.
enum Kind { TILE, COLUMNS, STAND_INS, NOTHING };

// May query q attend to key k in this pass?
WARPLOOM_DEVICE bool allowed_tiles(const Unit& u, int q, int k) {
  return (k <= q);
}

// The same for all pairs of a box at once.
WARPLOOM_DEVICE Truth judge_tiles(const Unit& u, Bounds q, Bounds k) {
  return truth_le(k, q);
}

WARPLOOM_DEVICE int keys_tiles(const Unit& u, int q0, int q1, int k) {
  i64 low = k, high = NO_MEMBER - 1;
  high = min(high, q1 - (0ll));
  if (low > high) return NO_MEMBER;
  return (int)low;
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
  walk.base = first - first % k_tile;
  const int from = walk.base + lane * k_tile, to = min(from + k_tile, u.k_len) - 1;
  const bool there = from < u.k_len;
  const Truth truth = there ? judge_tiles(u, {q0, q1}, {from, to}) : truth_of(false);
  const bool whole = from + k_tile <= u.k_len;
  walk.may = __ballot_sync(FULL_WARP, truth.may);
  walk.full = __ballot_sync(FULL_WARP, there && !truth.may_not && whole);
  walk.next = walk.base + 32 * k_tile;
  return true;
}

// The next step of the tile with queries [q0, q1]; NOTHING when there is none.
WARPLOOM_DEVICE Visit advance(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  while (walk.pass < 1) {
    Kind kind = NOTHING;
    int base = 0;
    if (walk.pass == 0) {
      while (walk.may == 0)
        if (!judge_group_tiles(u, p, index, q0, q1, walk)) break;
      kind = TILE;
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

// ---- what the roles of a block share ----

// One tile of queries of one unit, or what to do instead.
enum Order { COMPUTE, FINISH, STOP };  // FINISH: end what you have, then ask again
struct Task {
  Unit unit;
  int index;   // of the unit in this launch
  int start;   // position of the tile's first row
  int q0, q1;  // positions of its first and last query
  Order order;
  int number;  // of the tile among all of the launch
  bool careful;  // a second attempt: weights relative to the highest score so far
  int failed;    // weights of a first attempt left the range of floats
};

// Where the keys and the values of a step are, and what they are: a kind of visit, and flags.
struct alignas(16) Piece {
  int what, head, batch, at;
};
#define PIECE_KIND 3
#define PIECE_FULL 4   // every pair is allowed
#define PIECE_LAST 8   // of its tile
#define PIECE_STOP 16  // no more at all

constexpr int queue_length = 4, task_count = 8;

// Keys of a step, and its values: full when copies have landed, and empty when every warp that computes has let go of them.
struct Slot {
  u64 k_full, k_empty, v_full, v_empty;
  Piece held;  // what the keys are
};
struct Control {
  Slot slots[stages];
  u64 q_full[q_buffers][groups], q_empty[q_buffers][groups];
  u64 piece_full[queue_length], piece_empty[queue_length];
  u64 begun;  // the first keys of the block have landed
  Piece queue[queue_length];  // from the walk to the copies
  Task tasks[task_count];
  u64 done[task_count];       // every warpgroup has stored its outputs of the task
};
// The next place of a ring; its barriers change parity from round to round.
WARPLOOM_DEVICE void next_place(int& place, u32& parity, int length) {
  const bool wraps = place == length - 1;
  place = wraps ? 0 : place + 1;
  parity ^= (u32)wraps;
}
// What lane 0 knows: by the shuffle all know that the others have the same.
WARPLOOM_DEVICE int told(int word) { return __shfl_sync(FULL_WARP, word, 0); }

struct Tiles {
  u32 q, k, v, out;
};

// A tile has rows of one head.
WARPLOOM_DEVICE int query_of(int row) { return row; }
WARPLOOM_DEVICE int head_of(const Unit& u, int row) { return u.head; }

// The last key that a query of [q0, q1] may attend to, or one after it.
WARPLOOM_DEVICE int last_tiles(const Unit& u, int q0, int q1) { return clamp_int(min((i64)u.k_len - 1, (i64)(q1 - 0ll))); }

// ---- the walker: one warp draws tasks and walks over their keys ----

WARPLOOM_DEVICE void walk_tasks(const Arguments& p, Control& c, const Tiles& tiles) {
  const int lane = threadIdx.x & 31;
  const int total = p.units * p.tiles;
  int count = 0;           // tasks so far
  int drawn = -1;          // the last tile drawn; none is left when it is beyond the last one
  int again = -1;          // a tile that is to be done again
  u32 pushed = 0;          // pieces so far

  auto push = [&](Piece piece) {
    if (lane == 0) {
      const int place = pushed % queue_length;
      barrier_wait(c.piece_empty[place], (pushed / queue_length & 1) ^ 1);
      c.queue[place] = piece;
      barrier_arrive(c.piece_full[place]);
    }
    ++pushed;
  };
  // Waits until a task is done. The number of its tile if its weights left the range of floats, else -1.
  auto settle = [&](int which) {
    if (which < 0) return -1;
    Task& task = c.tasks[which % task_count];
    barrier_wait(c.done[which % task_count], which / task_count & 1);
    const int number = task.order == COMPUTE && task.failed ? task.number : -1;
    __syncwarp();
    if (lane == 0 && task.order == COMPUTE) task.order = STOP;  // it is settled; others may still be read
    __syncwarp();
    return number;
  };
  // Writes the next task; false when there is none.
  auto pick = [&]() -> bool {
    int number = again >= 0 ? again : settle(count - task_count);
    again = -1;
    const bool careful = number >= 0;
    // The first tile of a block is that of its own number, so that none waits for the counter before it has work.
    if (!careful && drawn < total) {
      if (lane == 0) drawn = drawn < 0 ? (int)blockIdx.x : (int)gridDim.x + atomicAdd(p.counter, 1);
      drawn = __shfl_sync(FULL_WARP, drawn, 0);
    }
    if (!careful && drawn >= total) return false;
    if (!careful) number = drawn;
    // So many units at a time that their keys stay in L2; of those the last tiles first, the longest under a
    // causal mask.
    const int section = number / (p.section * p.tiles), in_section = number - section * p.section * p.tiles;
    const int units = min(p.section, p.units - section * p.section);
    const int tile = in_section / units, index = (section * p.section + in_section % units) * tile_heads;
    if (lane == 0) {
      Task& task = c.tasks[count % task_count];
      const Unit u = load_unit(p, index);
      const int start = (p.first_tile + p.tiles - 1 - tile) * q_tile;
      task.unit = u;
      task.index = index;
      task.start = start;
      task.q0 = max(start, u.offset);
      task.q1 = min(start + q_tile, u.k_len) - 1;
      task.order = COMPUTE;
      task.number = number;
      task.careful = careful;
      task.failed = 0;
    }
    __syncwarp();
    return true;
  };
  // Each warpgroup gets the task, and its rows of Q, as soon as it has room for them.
  auto publish = [&](Order order) {
    if (elect_one()) {
      Task& task = c.tasks[count % task_count];
      if (order != COMPUTE) task.order = order;
      const int buffer = count & 1;
#pragma unroll
      for (int group = 0; group < groups; ++group) {
        u64& full = c.q_full[buffer][group];
        barrier_wait(c.q_empty[buffer][group], (count >> 1 & 1) ^ 1);
        if (order == COMPUTE) {
          const u32 to = tiles.q + (buffer * groups + group) * q_group_bytes;
          const int row = task.start + query_of(group * 64) - task.unit.offset;
          barrier_arrive_expect(full, q_bytes);
          copy_box(to, p.q_map, full, 0, row, head_of(task.unit, group * 64), 0, task.unit.batch, DROP_FROM_CACHE);
        } else {
          barrier_arrive(full);
        }
      }
    }
    ++count;
  };
  // The keys of the task that was picked, step by step. A tile that the mask refuses wholly has one step.
  auto walk_keys = [&]() {
    const Task& task = c.tasks[count % task_count];
    const Unit& u = task.unit;
    Walk walk = {0, 0, 0, 0, 0};
    // Kind and flags of a visit, and where it is.
    auto piece_of = [&](const Visit& visit) -> int2 { return make_int2((int)visit.kind | (visit.full ? PIECE_FULL : 0), visit.at); };
    // The last keys come first: under a causal mask each row has its own among them, and so a reference.
    int last = max(last_tiles(u, task.q0, task.q1), 0) / k_tile * k_tile;
    const Truth truth = judge_tiles(u, {task.q0, task.q1}, {last, min(last + k_tile, u.k_len) - 1});
    int2 piece = piece_of({truth.may ? TILE : NOTHING, last, !truth.may_not && last + k_tile <= u.k_len});
    if (!truth.may) last = -1;
    auto following = [&]() -> int2 {
      Visit visit;
      do visit = advance(u, p, task.index, task.q0, task.q1, walk);
      while (visit.kind == TILE && visit.at == last);
      return piece_of(visit);
    };
    bool first = true;
#pragma unroll 1
    for (;;) {  // the walk is here once: it is long, and compilers take their time for it
      const int2 next = following();
      const bool ends = (next.x & PIECE_KIND) == NOTHING;
      if (ends && (piece.x & PIECE_KIND) == NOTHING) piece = make_int2(TILE, 0);
      if ((piece.x & PIECE_KIND) != NOTHING) {
        push({piece.x | (ends ? PIECE_LAST : 0), u.kv_head, u.batch, piece.y});
        if (first) publish(COMPUTE);
        first = false;
      }
      if (ends) break;
      piece = next;
    }
  };
#pragma unroll 1
  for (;;) {
    const bool picked = pick();
    if (count == 0) __syncthreads();  // all have met: barriers are ready
    if (picked) {
      walk_keys();
      continue;
    }
    // What is still at work may have to be done again, the oldest first.
    publish(FINISH);
#pragma unroll 1
    for (int i = task_count; i > 0 && again < 0; --i) again = settle(count - i);
    if (again < 0) break;
  }
  publish(STOP);
  push({PIECE_STOP});
  // The last block out leaves the counter as it found it: as many drew from it as there are tiles.
  if (lane == 0 && drawn == total + (int)gridDim.x - 1) atomicAdd(p.counter, -total);
}

// ---- the copiers: a warp for keys and one for values, of each one lane orders the copies ----

// What the step is, as lane 0 reads it, the one that gives the place back.
WARPLOOM_DEVICE Piece told(const Piece& piece) {
  const Piece rows = (threadIdx.x & 31) == 0 ? piece : Piece{};
  return {told(rows.what), told(rows.head), told(rows.batch), told(rows.at)};
}

template <bool keys>
WARPLOOM_DEVICE void order_copies(const Arguments& p, Control& c, const Tiles& tiles) {
  const int lane = threadIdx.x & 31;
  int slot = 0, place = 0;
  u32 slot_parity = 1, parity = 0;
  bool begins = true;
#pragma unroll 1
  for (;;) {
    barrier_wait(c.piece_full[place], parity);
    const Piece rows = told(c.queue[place]);
    if (lane == 0) barrier_arrive(c.piece_empty[place]);
    next_place(place, parity, queue_length);
    if (rows.what & PIECE_STOP) break;
    // All that is known before the slot is free is found out before: a slot waits for its copy.
    const u32 to = keys ? tiles.k + slot * k_bytes : tiles.v + slot * v_bytes;
    // All blocks begin at once, and what they copy comes in turns: first keys would wait for all that is needed after them.
    if (!keys && begins) barrier_wait(c.begun, 0);
    u64& full = keys ? c.slots[slot].k_full : c.slots[slot].v_full;
    barrier_wait(keys ? c.slots[slot].k_empty : c.slots[slot].v_empty, slot_parity);
    // The copies first, which take longest: their bytes count when they are expected, before or after they come.
    if (elect_one()) {
      copy_box(to, (keys ? p.k_map : p.v_map), full, 0, rows.at, rows.head, 0, rows.batch, KEEP_IN_CACHE);
    }
    if (keys && lane == 0) c.slots[slot].held = rows;
    if (lane == 0) barrier_arrive_expect(full, (keys ? k_bytes : v_bytes));
    if (keys && begins) {
      barrier_wait(full, 0);
      if (lane == 0) barrier_arrive(c.begun);
    }
    begins = false;
    next_place(slot, slot_parity, stages);
  }
}

// ---- scores: keys, masks and score functions ----

WARPLOOM_DEVICE int key_of(const Unit& u, const Arguments& p, int index, const Visit& visit, int column) {
  if (visit.kind == TILE) return place_of(visit, column);
  return u.k_len;
}

WARPLOOM_DEVICE bool allowed(const Unit& u, const Visit& visit, int q, int key) {
  if (visit.kind == TILE) return allowed_tiles(u, q, key);
  return false;
}

typedef float Scores[row_blocks][score_blocks][4];

// -inf where the mask is false, in the first score blocks.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (!allowed(u, visit, q + 16 * i + 8 * half, key)) s[i][j][half * 2 + e] = NEGATIVE_INFINITY;
    }
}


typedef u32 Weights[row_blocks][key_steps][4];
typedef float Output[row_blocks][value_blocks][4];
typedef float RowValues[row_blocks][2];

// ---- products: steps of 16 along the sum; accumulators as those of mma.sync, 16 rows a warp ----

// d = a b^T: both in shared memory, in rows along the sum.
WARPLOOM_DEVICE void multiply_scores(float (&d)[1][10][4], u64 a, u64 b) {
  asm volatile(
      "{\n.reg .pred p;\n.reg .b64 a, b;\nsetp.ne.b32 p, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, %40, %41, p, 1, 1, 0, 0;\n"
      "setp.ne.b32 p, 1, 0;\nadd.s64 a, %40, 2;\nadd.s64 b, %41, 2;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 4;\nadd.s64 b, %41, 4;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 6;\nadd.s64 b, %41, 6;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 512;\nadd.s64 b, %41, 640;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 514;\nadd.s64 b, %41, 642;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 516;\nadd.s64 b, %41, 644;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n"
      "add.s64 a, %40, 518;\nadd.s64 b, %41, 646;\nwgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39}, a, b, p, 1, 1, 0, 0;\n}\n"
      : "=f"(d[0][0][0]), "=f"(d[0][0][1]), "=f"(d[0][0][2]), "=f"(d[0][0][3]), "=f"(d[0][1][0]), "=f"(d[0][1][1]), "=f"(d[0][1][2]), "=f"(d[0][1][3]), "=f"(d[0][2][0]), "=f"(d[0][2][1]), "=f"(d[0][2][2]), "=f"(d[0][2][3]), "=f"(d[0][3][0]), "=f"(d[0][3][1]), "=f"(d[0][3][2]), "=f"(d[0][3][3]), 
        "=f"(d[0][4][0]), "=f"(d[0][4][1]), "=f"(d[0][4][2]), "=f"(d[0][4][3]), "=f"(d[0][5][0]), "=f"(d[0][5][1]), "=f"(d[0][5][2]), "=f"(d[0][5][3]), "=f"(d[0][6][0]), "=f"(d[0][6][1]), "=f"(d[0][6][2]), "=f"(d[0][6][3]), "=f"(d[0][7][0]), "=f"(d[0][7][1]), "=f"(d[0][7][2]), "=f"(d[0][7][3]), 
        "=f"(d[0][8][0]), "=f"(d[0][8][1]), "=f"(d[0][8][2]), "=f"(d[0][8][3]), "=f"(d[0][9][0]), "=f"(d[0][9][1]), "=f"(d[0][9][2]), "=f"(d[0][9][3])
      : "l"(a), "l"(b));
}

// d += a b: a in registers, b in shared memory with its rows along the sum.
WARPLOOM_DEVICE void multiply_values(float (&d)[1][16][4], const u32 (*a)[4], u64 b) {
  asm volatile(
      "{\n.reg .pred p;\n.reg .b64 b;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %84, p, 1, 1, 1;\n"
      "add.s64 b, %84, 128;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%68, %69, %70, %71}, b, p, 1, 1, 1;\n"
      "add.s64 b, %84, 256;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%72, %73, %74, %75}, b, p, 1, 1, 1;\n"
      "add.s64 b, %84, 384;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%76, %77, %78, %79}, b, p, 1, 1, 1;\n"
      "add.s64 b, %84, 512;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%80, %81, %82, %83}, b, p, 1, 1, 1;\n}\n"
      : "+f"(d[0][0][0]), "+f"(d[0][0][1]), "+f"(d[0][0][2]), "+f"(d[0][0][3]), "+f"(d[0][1][0]), "+f"(d[0][1][1]), "+f"(d[0][1][2]), "+f"(d[0][1][3]), "+f"(d[0][2][0]), "+f"(d[0][2][1]), "+f"(d[0][2][2]), "+f"(d[0][2][3]), "+f"(d[0][3][0]), "+f"(d[0][3][1]), "+f"(d[0][3][2]), "+f"(d[0][3][3]), 
        "+f"(d[0][4][0]), "+f"(d[0][4][1]), "+f"(d[0][4][2]), "+f"(d[0][4][3]), "+f"(d[0][5][0]), "+f"(d[0][5][1]), "+f"(d[0][5][2]), "+f"(d[0][5][3]), "+f"(d[0][6][0]), "+f"(d[0][6][1]), "+f"(d[0][6][2]), "+f"(d[0][6][3]), "+f"(d[0][7][0]), "+f"(d[0][7][1]), "+f"(d[0][7][2]), "+f"(d[0][7][3]), 
        "+f"(d[0][8][0]), "+f"(d[0][8][1]), "+f"(d[0][8][2]), "+f"(d[0][8][3]), "+f"(d[0][9][0]), "+f"(d[0][9][1]), "+f"(d[0][9][2]), "+f"(d[0][9][3]), "+f"(d[0][10][0]), "+f"(d[0][10][1]), "+f"(d[0][10][2]), "+f"(d[0][10][3]), "+f"(d[0][11][0]), "+f"(d[0][11][1]), "+f"(d[0][11][2]), "+f"(d[0][11][3]), 
        "+f"(d[0][12][0]), "+f"(d[0][12][1]), "+f"(d[0][12][2]), "+f"(d[0][12][3]), "+f"(d[0][13][0]), "+f"(d[0][13][1]), "+f"(d[0][13][2]), "+f"(d[0][13][3]), "+f"(d[0][14][0]), "+f"(d[0][14][1]), "+f"(d[0][14][2]), "+f"(d[0][14][3]), "+f"(d[0][15][0]), "+f"(d[0][15][1]), "+f"(d[0][15][2]), "+f"(d[0][15][3])
      : "r"(a[0][0]), "r"(a[0][1]), "r"(a[0][2]), "r"(a[0][3]), "r"(a[1][0]), "r"(a[1][1]), "r"(a[1][2]), "r"(a[1][3]), "r"(a[2][0]), "r"(a[2][1]), "r"(a[2][2]), "r"(a[2][3]), "r"(a[3][0]), "r"(a[3][1]), "r"(a[3][2]), "r"(a[3][3]), "r"(a[4][0]), "r"(a[4][1]), "r"(a[4][2]), "r"(a[4][3]), "l"(b));
}

// ---- softmax: a row lies in the four lanes of a quad ----

WARPLOOM_DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
  return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}
WARPLOOM_DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(FULL_WARP, x, 1);
  return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

// Sums from which on a reference moves, and those that a speculation must stay between.
#define LARGE_SUM 1.0995116e12f  // 2^40
#define MOST_SUM 1.2379401e27f   // 2^90
#define LEAST_SUM 8.6736174e-19f  // 2^-60

struct Softmax {
  float reference[2];  // log2 of what the weights of a row are relative to
  float sum[2][2];     // of weights in even and in odd columns
  float factor[2];     // that the outputs so far are yet to be multiplied by

  __device__ __forceinline__ void begin() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      reference[half] = NEGATIVE_INFINITY;
      sum[half][0] = sum[half][1] = 0.f;
    }
  }

  // What the exponents of a row are less of: its reference, or 0 where it has seen nothing and all its scores are -inf.
  __device__ __forceinline__ void find_origins(float (&origin)[2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) origin[half] = reference[half] == NEGATIVE_INFINITY ? 0.f : reference[half];
  }

  // The scores of some blocks become weights 2^(scale * s - origin).
  template <int from, int to>
  __device__ __forceinline__ void weigh(float scale, const float (&origin)[2], Scores& s) {
    const float first = -origin[0], second = -origin[1];
#pragma unroll
    for (int j = from; j < to; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[0][j][e] = exp2_fast(fmaf(s[0][j][e], scale, e < 2 ? first : second));
        sum[e >> 1][e & 1] += s[0][j][e];
      }
  }

  // Has the references follow the highest scores. One that lifts weights to at most 2^8 is not followed
  // (FlashAttention-4). Did any of the warp's move?
  template <int blocks = score_blocks>
  __device__ __forceinline__ bool climb(float scale, const Scores& s) {
    bool moved = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = fmaxf(s[0][0][2 * half], s[0][0][2 * half + 1]);
#pragma unroll
      for (int j = 1; j < blocks; ++j) high = fmaxf(high, fmaxf(s[0][j][2 * half], s[0][j][2 * half + 1]));
      high = quad_max(high) * scale;
      const float before = reference[half];
      const bool move = high > before && !(high - before <= 8.f);
      factor[half] = move ? exp2_fast(before - high) : 1.f;
      reference[half] = move ? high : before;
      sum[half][0] *= factor[half];
      sum[half][1] *= factor[half];
      moved = moved || move;
    }
    return __any_sync(FULL_WARP, moved);
  }

  // Before the first step that does not look for the highest score: a row without one yet is relative to 0.
  __device__ __forceinline__ void keep() {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (reference[half] == NEGATIVE_INFINITY) reference[half] = 0.f;
  }

  // Has a sum of any row of the warp grown large?
  __device__ __forceinline__ bool grows() const {
    return __any_sync(FULL_WARP, fmaxf(fmaxf(sum[0][0], sum[0][1]), fmaxf(sum[1][0], sum[1][1])) > LARGE_SUM);
  }

  // Moves the references of such rows, by powers of two.
  __device__ __forceinline__ void follow() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float most = quad_max(fmaxf(sum[half][0], sum[half][1]));
      if (!(most < MOST_SUM)) sum[half][0] = POSITIVE_INFINITY;  // it stays so, and the task is done again
      const int exponent = min(max((__float_as_int(most) >> 23) - 127, 0), 126);
      factor[half] = __int_as_float((127 - exponent) << 23);
      reference[half] += (float)exponent;
      sum[half][0] *= factor[half];
      sum[half][1] *= factor[half];
    }
  }

  __device__ __forceinline__ void rescale(Output& out) {
#pragma unroll
    for (int j = 0; j < value_blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[0][j][e] *= factor[e >> 1];
  }
};

// Scores become the first operand of P V: the accumulators of a row as they lie.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void pack(const Scores& s, Weights& weights) {
#pragma unroll
  for (int j = 0; j < blocks; ++j) {
    weights[0][j >> 1][(j & 1) * 2] = pack_bf16(s[0][j][0], s[0][j][1]);
    weights[0][j >> 1][(j & 1) * 2 + 1] = pack_bf16(s[0][j][2], s[0][j][3]);
  }
}

// ---- the consumers: 64 rows of queries for each warpgroup ----

// References have moved in a step, and outputs are to follow: told with what the step is, since loops end by both.
#define STEP_MOVES 32
WARPLOOM_DEVICE void consume(const Arguments& p, Control& c, const Tiles& tiles, int group) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
  // This lane's rows are `row` and `row + 8`; its columns are `column` and the next of every eight.
  const int row = group * 64 + warp * 16 + (lane >> 2), column = (lane & 3) * 2;
  const bool elected = (threadIdx.x & 127) == 0;
  // All from the first tile on: compilers find again what they do not keep from step to step, then by an addition.
  const u64 first = matrix_descriptor(tiles.q, 16, 1024);
  const u64 q_first = further_on(first, group * q_group_bytes >> 4);
  const u64 k_first = further_on(first, tiles.k - tiles.q >> 4);
  const u64 v_first = further_on(first, tiles.v - tiles.q >> 4, 10224);
  const float scale = p.scale * 1.4426950216293335f;  // makes exponents of 2 of scores
  u64 q_matrix = q_first;
  int k_slot = 0, v_slot = 0;
  u32 k_parity = 0, v_parity = 0;
  int received = 0;  // tasks so far
  if (group == groups - 1) threads_arrive(1, 256);  // the first warpgroup begins
  Scores s;
  Weights weights;
  Output out;
  Softmax softmax;
  Task* task = nullptr;
  int at = 0, what = 0;  // of the step: what its K slot holds
  u64 k_matrix = 0;      // where that is, or what this warpgroup works on of it

  auto multiply_q_k = [&]() {
    products_begin();
    multiply_scores(s, found_anew(q_matrix, v_slot), k_matrix);
    products_commit();
  };
  auto multiply_p_v = [&]() {
    u64 v_matrix = further_on(v_first, v_slot * (v_bytes >> 4));
    pin(v_matrix);
    barrier_wait(c.slots[v_slot].v_full, v_parity);
    pin(out);
    pin(weights);
    products_begin();
    multiply_values(out, weights[0], v_matrix);
    products_commit();
  };
  auto release_k = [&]() { barrier_arrive_if(lane == 0, c.slots[k_slot].k_empty); };
  // The weights of the step are there, and the next step is to multiply its values with them.
  auto go_on = [&]() {
    v_slot = k_slot, v_parity = k_parity;
    next_place(k_slot, k_parity, stages);
  };
  auto scores_done = [&]() { pin(s); };
  auto outputs_done = [&]() {
    pin(out);
    pin(weights);
    barrier_arrive_if(lane == 0, c.slots[v_slot].v_empty);
  };
  // What the step is.
  auto wait_for_k = [&]() {
    k_matrix = further_on(k_first, k_slot * (k_bytes >> 4));
    pin(k_matrix);
    barrier_wait(c.slots[k_slot].k_full, k_parity);
    what = told(lane == 0 ? c.slots[k_slot].held.what : 0);
  };
  // Is nothing masked?
  auto is_plain = [&]() { return (what & PIECE_FULL) != 0; };
  auto buffer_of = [&](int number) { return number & 1; };
  auto release_q = [&](int number) {
    __syncwarp();
    if (lane == 0) barrier_arrive(c.q_empty[buffer_of(number)][group]);
  };
  auto task_of = [&](int number) -> Task& { return c.tasks[number % task_count]; };
  // Waits for the next task: what it orders.
  auto next_task = [&]() -> Order {
    barrier_wait(c.q_full[buffer_of(received)][group], received >> 1 & 1);
    const Order order = (Order)__shfl_sync(FULL_WARP, (int)task_of(received).order, 0);
    q_matrix = q_first + (u64)(__shfl_sync(FULL_WARP, received & 1, 0) * groups * q_group_bytes >> 4);
    ++received;
    if (order == FINISH) {
      release_q(received - 1);
      if (elected) barrier_arrive(c.done[(received - 1) % task_count]);
    }
    return order;
  };
  // Where the keys of the step are, which only masks ask.
  auto read_mask = [&]() { at = told(lane == 0 ? c.slots[k_slot].held.at : 0); };
  // The author's mask on the products of a step that has one.
  auto mask = [&]() {
    const Visit visit = {TILE, at, (what & PIECE_FULL) != 0};
    mask_scores(task->unit, p, task->index, visit, task->start + query_of(row), column, s);
  };
  // One step: this tile's Q K^T and the last one's P V are under way together.
  auto step = [&](bool careful) {
    wait_for_k();
    threads_wait(1 + group, 256);
    multiply_q_k();
    multiply_p_v();
    threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);
    const bool grows = softmax.grows();
    products_wait<1>();
    scores_done();
    constexpr int blocks = score_blocks, early = blocks * early_quarters / 4;
    float origin[2] = {softmax.reference[0], softmax.reference[1]};
    // Whatever few steps do stands in one branch, since compilers put it between what all of them do: a jump over each part
    // of it would wait for instructions each time. The first weights, made before the last P V is waited for, stand in both:
    // where branches have met, ptxas waits as soon as the exponents are there.
    if (careful || grows || !is_plain()) {
      if (!is_plain()) read_mask();
      release_k();
      if (!is_plain()) mask();
      const bool moves = careful ? softmax.climb(scale, s) : grows;
      if (!careful && grows) softmax.follow();
      if (moves) what |= STEP_MOVES;
      softmax.find_origins(origin);
      softmax.weigh<0, early>(scale, origin, s);
    } else {
      release_k();
      softmax.weigh<0, early>(scale, origin, s);
    }
    products_wait<0>();
    outputs_done();
    softmax.weigh<early, blocks>(scale, origin, s);
    pack(s, weights);
    go_on();
  };
  // Sums become outputs, and leave through shared memory.
  auto finish = [&](int number, bool alone) {
    Task& done = task_of(number);
    const Unit& u = done.unit;
    const float total[2] = {quad_sum(softmax.sum[0][0] + softmax.sum[0][1]), quad_sum(softmax.sum[1][0] + softmax.sum[1][1])};
    bool failed = false;
    const bool speculated = !alone && !done.careful;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int output_row = done.start + query_of(row) + 8 * half - u.offset;
      const bool inside = output_row >= 0 && output_row < u.q_len;
      const float inverse = total[half] > 0.f ? __fdividef(1.f, total[half]) : total[half] == 0.f ? 0.f : total[half];  // NaN stays
      float largest = 0.f;  // NaN where an output is
#pragma unroll
      for (int j = 0; j < value_blocks; ++j)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          out[0][j][e] *= inverse;
          largest = max_or_nan(largest, fabsf(out[0][j][e]));
        }
      bool good = total[half] < POSITIVE_INFINITY && largest <= POSITIVE_INFINITY;
      if (speculated) {
        failed = failed || (inside && !(good && largest < POSITIVE_INFINITY && total[half] < MOST_SUM && total[half] > LEAST_SUM));
        good = true;
      }
      if (!inside) continue;
      if (column == 0)
        p.lse[((i64)u.batch * p.heads + head_of(u, row)) * p.lse_head + output_row] =
            total[half] > 0.f ? (softmax.reference[half] + __log2f(total[half])) * 0.6931471805599453f : total[half] == 0.f ? NEGATIVE_INFINITY : total[half];
      if (!good) atomicMin(p.error, (u64)(u.batch * p.heads + head_of(u, row)) << 32 | (u32)output_row);
    }
    if (__any_sync(FULL_WARP, failed) && lane == 0) atomicOr(&done.failed, 1);
    const u32 staged = tiles.out + group * out_group_bytes;
    if (elected) {
      store_wait_read();  // what was staged before has left
      if (done.careful) store_wait();  // the first attempt must not be stored after this one
    }
    threads_wait(4 + group, 128);
    const int matrix = lane >> 3, matrix_row = warp * 16 + (matrix & 1) * 8 + (lane & 7);
#pragma unroll
    for (int j = 0; j < value_blocks; j += 2) {
      const int chunk = (j & 7) + (matrix >> 1);
      store_matrices(staged + matrix_row * 128 + (j >> 3) * 8192 + ((chunk ^ (matrix_row & 7)) << 4),
                     pack_bf16(out[0][j][0], out[0][j][1]),
                     pack_bf16(out[0][j][2], out[0][j][3]),
                     pack_bf16(out[0][j + 1][0], out[0][j + 1][1]),
                     pack_bf16(out[0][j + 1][2], out[0][j + 1][3]));
    }
    const int first = done.start + query_of(group * 64) - u.offset;  // of the tile; the task may be gone when its outputs are stored
    shared_written();
    threads_wait(4 + group, 128);
    if (first < 0) {
      // A box must not begin before its tensor.
      u16* to = p.out + (i64)u.batch * p.out_batch + (i64)head_of(u, group * 64) * p.out_head;
#pragma unroll 1
      for (int at = threadIdx.x & 127; at < 64 * (value_dim / 8); at += 128) {
        const int r = at / (value_dim / 8), chunk = at % (value_dim / 8);
        const int output_row = first + query_of(r);
        if (output_row >= 0 && output_row < u.q_len)
          *(uint4*)(to + (i64)(head_of(u, r) - u.head) * p.out_head + (i64)output_row * p.out_row + chunk * 8) =
              shared_load(staged + r * 128 + (chunk >> 3) * 8192 + (((chunk & 7) ^ (r & 7)) << 4));
      }
    }
    if (elected) {
      if (first >= 0 && first < u.q_len) {
        store_box(p.out_map, staged, 0, first, head_of(u, group * 64), 0, u.batch);
      }
      store_commit();
      barrier_arrive(c.done[number % task_count]);
    }
    __syncwarp();
  };

  Order order = next_task();
  bool begun = false;  // the first product of the task is done
#pragma unroll 1
  while (order == COMPUTE) {
    if (!begun) {
      wait_for_k();
      multiply_q_k();
      if (!is_plain()) read_mask();
      products_wait<0>();
      scores_done();
      release_k();
    }
    const int number = received - 1;
    task = &task_of(number);
    softmax.begin();
#pragma unroll
    for (int j = 0; j < value_blocks; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[0][j][e] = 0.f;
    if (!is_plain()) mask();
    float origin[2];
    softmax.climb(scale, s);
    softmax.find_origins(origin);
    softmax.weigh<0, score_blocks>(scale, origin, s);
    pack(s, weights);
    go_on();
    const bool alone = (what & PIECE_LAST) != 0;  // the only step
    const bool careful = __shfl_sync(FULL_WARP, (int)task->careful, 0);
    if (!careful) softmax.keep();
#pragma unroll 1
    while (!(what & PIECE_LAST)) {
      do step(careful); while (!(what & (PIECE_LAST | STEP_MOVES)));
      if (what & STEP_MOVES) softmax.rescale(out);
    }
    release_q(number);
    begun = false;
    order = next_task();
    if (order == COMPUTE) {  // its first Q K^T runs beside this task's last P V
      wait_for_k();
      threads_wait(1 + group, 256);
      multiply_q_k();
      multiply_p_v();
      threads_arrive(1 + (group + 1 == groups ? 0 : group + 1), 256);
      if (!is_plain()) read_mask();
      products_wait<1>();
      scores_done();
      release_k();
      begun = true;
    } else {
      multiply_p_v();
    }
    products_wait<0>();
    outputs_done();
    finish(number, alone);
    if (order == FINISH) order = next_task();
  }
  if (elected) store_wait_read();
}

// ---- the kernel: one block for each multiprocessor, whose warps have their roles ----

extern "C" __global__ void __launch_bounds__(512, 1)
attention(const __grid_constant__ Arguments p) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ Control control;
  const u32 first = shared_address(shared) + 1023u & ~1023u;
  const Tiles tiles = {first, first + 98304, first + 139264, first + 180224};
  if (threadIdx.x == 0) {
    for (Slot& slot : control.slots) {
      barrier_init(slot.k_full, 1);
      barrier_init(slot.v_full, 1);
      barrier_init(slot.k_empty, 4 * groups);
      barrier_init(slot.v_empty, 4 * groups);
    }
    for (int i = 0; i < q_buffers; ++i)
      for (int group = 0; group < groups; ++group) {
        barrier_init(control.q_full[i][group], 1);
        barrier_init(control.q_empty[i][group], 4);
      }
    for (int i = 0; i < queue_length; ++i) {
      barrier_init(control.piece_full[i], 1);
      barrier_init(control.piece_empty[i], 2);
    }
    for (int i = 0; i < task_count; ++i) barrier_init(control.done[i], groups);
    barrier_init(control.begun, 1);
    barrier_init_done();
  } else if (threadIdx.x == 32) {
    tensor_map_prefetch(p.q_map);
    tensor_map_prefetch(p.k_map);
    tensor_map_prefetch(p.v_map);
  }
  const int warp = __shfl_sync(FULL_WARP, (int)threadIdx.x >> 5, 0), group = warp >> 2;
  if (group == groups) {
    registers_give<32>();
    if (warp == 4 * groups) walk_tasks(p, control, tiles);  // it picks its first task before it meets the others
    else __syncthreads();
    if (warp == 4 * groups + 1) order_copies<true>(p, control, tiles);
    if (warp == 4 * groups + 2) order_copies<false>(p, control, tiles);
  } else {
    registers_take<160>();
    __syncthreads();
    consume(p, control, tiles, group);
  }
}
