// The rounds of a walk that has no set to go by: boxes of a list, and boxes judged as a whole. In each round lane i has a
// box for the first warpgroup, and lane 16 + i has it for the second.

import type { KernelPass } from '../passes.ts';

/** Entries of the list of columns, a few boxes at a time. Needs `linear_columns`. */
export const listText = `    {
      const int entries = p.columns_count[task.index];
      const int* list = p.columns_list + (i64)task.index * p.columns_capacity;
      const int most = linear_columns(u, task.q0, task.q1).hi;
      constexpr int parts = box_keys / 32, boxes = 4;  // so many boxes are asked for at a time
      int key[boxes * parts];
      auto load = [&](int base) {
#pragma unroll
        for (int i = 0; i < boxes * parts; ++i) {
          const int entry = base + i * 32 + lane;
          key[i] = entry < entries ? list[entry] : -1;
        }
      };
      load(0);
      bool ends = entries <= 0 || __shfl_sync(FULL_WARP, key[0], 0) > most;
#pragma unroll 1
      for (int base = 0; !ends; base += boxes * box_keys) {
        bool keeps[boxes * parts][groups];  // all are asked before the first vote: the words come from far
#pragma unroll
        for (int i = 0; i < boxes * parts; ++i)
#pragma unroll
          for (int group = 0; group < groups; ++group)
            keeps[i][group] = (key[i] >= 0) & listed(u, task.start + group * 64, max(key[i], 0));
        load(base + boxes * box_keys);
        // Half of the lanes have a box each for the first warpgroup, half for the second.
        Box box = {};
#pragma unroll
        for (int i = 0; i < boxes * parts; ++i)
#pragma unroll
          for (int group = 0; group < groups; ++group) {
            const u32 word = __ballot_sync(FULL_WARP, keeps[i][group]);
            if (lane == i / parts + 16 * group) box.keep[group] |= (u64)word << (i % parts * 32);
          }
        const Bounds rows = rows_of(task, lane >> 4);
        box.at = base + (lane & 15) * box_keys;
        if ((lane & 15) < boxes && box.at < entries && (box.keep[0] | box.keep[1]) != 0ull && rows.lo <= rows.hi) {
          const Truth truth = judge_own_columns(u, rows, {list[box.at], list[min(box.at + box_keys, entries) - 1]});
          if (truth.may) box.asked = 1u << (lane >> 4);
          if (!truth.may_not) box.ready = 1u << (lane >> 4);
        }
        join_halves(box);
        ends = base + boxes * box_keys >= entries || __shfl_sync(FULL_WARP, key[0], 0) > most;
        take(box, ends);
      }
    }
`;

/** Box by box, each judged as a whole. */
export function boxesText({ kind }: KernelPass): string {
  const tiles = kind === 'tiles';
  const start = tiles
    ? `      // The last keys come first: under a causal mask each row has its own among them, and so a reference.
      const int last = max(last_tiles(u, task.q0, task.q1), 0) / k_tile * k_tile;
      bool is_last = true;
`
    : '';
  const found = tiles
    ? `        int found = last;
        if (!is_last) found = keys_tiles(u, task.q0, task.q1, next);
        const bool none = found >= u.k_len;
        const int base = none ? 0 : found - found % box_keys, from = base + place * box_keys;
        const Bounds keys = {from, min(from + box_keys, u.k_len) - 1};
        const bool there = !none && from < u.k_len && (is_last ? place < 2 : from != last && from != last + box_keys);
        next = is_last ? 0 : base + 16 * box_keys;
        is_last = false;
        ends = none || next >= u.k_len;`
    : `        constexpr i64 width = box_keys * (i64)pool_size;
        const int found = keys_rest(u, task.q0, task.q1, next);
        const bool none = found >= u.k_len;
        const i64 start = found - found % width, from = start + place * width;
        const int base = (int)(start / pool_size);
        const bool there = !none && from < u.k_len;
        const Bounds keys = there ? Bounds{(int)from, (int)min(from + width, (i64)u.k_len) - 1} : Bounds{0, 0};
        next = clamp_int(start + 16 * width);
        ends = none || next >= u.k_len;`;
  return `    {
      // Half of the lanes judge a box each for the first warpgroup, half for the second.
      const int place = lane & 15;
      const Bounds rows = rows_of(task, lane >> 4);
${start}      bool ends = false;
#pragma unroll 1
      for (int next = 0; !ends;) {
${found}
        Box box = {base + place * box_keys, 0u, 0u, {}};
        if (there && rows.lo <= rows.hi) {
          const Truth truth = judge_${kind}(u, rows, keys);
          if (truth.may) box.asked = 1u << (lane >> 4);
          if (!truth.may_not) box.ready = 1u << (lane >> 4);
          box.keep[lane >> 4] = WHOLE_BOX >> (box_keys - 1 - (keys.hi - keys.lo)${tiles ? '' : ' / pool_size'});
        }
        join_halves(box);
        take(box, ends);
      }
    }
`;
}
