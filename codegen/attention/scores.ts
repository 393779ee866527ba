// The scores of a step where a warp has them: in the accumulators of its products. A block is 16 rows by 8
// columns; lane l has rows l / 4 and l / 4 + 8 of it, columns l % 4 * 2 and the next. mma.sync and wgmma agree on
// that. The row blocks of a warp follow each other.

import { isQuick } from '../expression.ts';
import type { KernelContext } from './backend.ts';
import type { KernelPass } from './passes.ts';
import { visitKinds } from './walk.ts';

/**
 * `Scores` and `mask_scores`; `apply_score` and `weigh_pools` where needed. Needs elements.ts before it.
 * `by` says how masks are asked: row by row, or by boxes where a warp has one row block.
 */
export function scoresText(
  { passes, score, knobs }: KernelContext,
  by: 'rows' | 'boxes' = 'rows',
): string {
  const asked = by === 'rows' ? looped(knobs.kTile / 4) : boxed(passes);
  const mask = by === 'boxes' && isCheap(passes) ? direct : asked;
  const sections = [scoresType, mask];
  if (score?.value) sections.push(applyText(passes));
  if (passes.some(({ kind }) => kind === 'rest')) sections.push(weighText);
  return `${sections.join('\n\n')}\n`;
}

const scoresType = 'typedef float Scores[row_blocks][score_blocks][4];';

/**
 * -inf where the mask is false. A mask that costs much is asked in a loop that leaves bits, which are then
 * applied, so that its text is not repeated for every accumulator.
 */
const looped = (steps: number): string => {
  const word = steps > 32 ? 'u64' : 'u32';
  return `// -inf where the mask is false. The bits of a row are found in a small loop and then applied, so that the
// mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  ${word} bits[row_blocks][2] = {};
#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
#pragma unroll
    for (int i = 0; i < row_blocks; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) bits[i][half] |= (${word})allowed(u, visit, q + 16 * i + 8 * half, key) << j;
  }
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int j = 0; j < score_blocks * 2; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if (!(bits[i][half] >> j & 1u)) s[i][j >> 1][half * 2 + (j & 1)] = NEGATIVE_INFINITY;
}`;
};

const direct = `// -inf where the mask is false.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int key = key_of(u, p, index, visit, column + j * 8 + e);
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (!allowed(u, visit, q + 16 * i + 8 * half, key)) s[i][j][half * 2 + e] = NEGATIVE_INFINITY;
    }
}`;

/**
 * The same by boxes of 16 rows and 32 keys, which lanes judge first: most are allowed or refused whole. In the
 * others a lane asks for one key, row after row. For a row block a warp.
 */
const boxed = (passes: readonly KernelPass[]): string => {
  const judged = passes.map(({ kind }) => {
    const test = `  if (visit.kind == ${visitKinds[kind]})`;
    if (kind === 'rest') return `${test} return {true, true};`;
    return `${test} return judge_${kind}(u, q, {from, to});`;
  });
  return `// What a box of queries and keys can be.
WARPLOOM_DEVICE Truth judge_box(const Unit& u, const Visit& visit, Bounds q, int from, int to) {
${judged.join('\n')}
  return {true, true};
}

// -inf where the mask is false. Lanes judge boxes of 16 rows and 32 keys, most of which are allowed or refused
// whole; in the others each lane asks for one key, row after row.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  constexpr int boxes = (k_tile + 31) / 32;
  const int lane = threadIdx.x & 31, own = lane >> 2, first = q - own;
  Truth truth = {false, true};
  if (lane < boxes) {
    const int from = key_of(u, p, index, visit, lane * 32);
    const int to = key_of(u, p, index, visit, min(lane * 32 + 31, k_tile - 1));
    if (from < u.k_len) truth = judge_box(u, visit, {first, first + 15}, from, min(to, u.k_len - 1));
    if (to >= u.k_len) truth.may_not = true;
  }
  const u32 some = __ballot_sync(FULL_WARP, truth.may), mixed = some & __ballot_sync(FULL_WARP, truth.may_not);
  u32 bits[boxes][2];  // of this lane's two rows
#pragma unroll
  for (int box = 0; box < boxes; ++box) bits[box][0] = bits[box][1] = some >> box & 1u ? FULL_WARP : 0u;
#pragma unroll 1
  for (u32 left = mixed; left != 0; left &= left - 1) {
    const int box = __ffs(left) - 1;
    const int key = box * 32 + lane < k_tile ? key_of(u, p, index, visit, box * 32 + lane) : u.k_len;
    u32 found[2] = {0u, 0u};
#pragma unroll 1
    for (int r = 0; r < 16; ++r) {
      const u32 word = __ballot_sync(FULL_WARP, allowed(u, visit, first + r, key));
      if (r == own) found[0] = word;
      if (r == own + 8) found[1] = word;
    }
#pragma unroll
    for (int i = 0; i < boxes; ++i)
      if (i == box) {
        bits[i][0] = found[0];
        bits[i][1] = found[1];
      }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int j = 0; j < score_blocks; ++j) {
      const u32 pairs = bits[j >> 2][half] >> column >> (j & 3) * 8;
      if (!(pairs & 1u)) s[0][j][half * 2] = NEGATIVE_INFINITY;
      if (!(pairs & 2u)) s[0][j][half * 2 + 1] = NEGATIVE_INFINITY;
    }
}`;
};

/** May the text of a mask be repeated for every accumulator? */
const isCheap = (passes: readonly KernelPass[]): boolean =>
  passes.length === 1 && passes.every(({ kind, mask }) => kind === 'tiles' && isQuick(mask));

function applyText(passes: readonly KernelPass[]): string {
  // Entries of a list are keys of their own; of tiles and pools the first of a lane is enough.
  const isListed = passes.some(({ kind }) => kind === 'columns');
  const key = isListed
    ? `
      const int key = key_of(u, p, index, visit, column + j * 8 + e);`
    : '';
  const place = isListed ? 'key, 0' : 'visit.at + column, j * 8 + e';
  return `// Products become the author's scores.
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {${key}
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& value = s[i][j][half * 2 + e];
          value = score(u, value, q + 16 * i + 8 * half, ${place});
        }
    }
}`;
}

const weighText = `// A mean key stands for so many: the exponent of 2 gains log2(size).
WARPLOOM_DEVICE void weigh_pools(const Unit& u, float scale, const Visit& visit, int column, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int from = (visit.at + column + j * 8 + e) * pool_size;
      const int size = max(1, min(pool_size, u.k_len - from));
      const float more = __log2f((float)size) / scale;
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        s[i][j][e] += more;
        s[i][j][2 + e] += more;
      }
    }
}`;
