// The mask on the scores of a step, as CUDA C: -inf where it is false. It is asked for each element where that is
// cheap, else in a way that asks it fewer times, or in fewer places of the text.

import type { Expression } from '../../dsl/expression.ts';
import { boundsText } from '../bounds.ts';
import { isQuick, scalarText } from '../expression.ts';
import type { Names } from '../names.ts';
import type { KernelContext } from './backend.ts';
import { loadsText, splitLoads } from './loads.ts';
import type { KernelPass } from './passes.ts';
import { splitByRows } from './rows.ts';
import { visitKinds } from './walk.ts';

/** Row by row; by boxes where a warp has one row block; or what a walk left of each pass to ask. */
export type MaskWay = 'rows' | 'boxes' | { readonly left: readonly Expression[] };

/** `mask_scores`. Needs `Scores` and elements.ts. */
export function maskText({ passes, knobs, names }: KernelContext, way: MaskWay): string {
  if (way === 'rows') return looped(passes, knobs.kTile / 4, names);
  if (way !== 'boxes') return kept(passes, way.left);
  return isCheap(passes) ? direct : boxed(passes, names);
}

/**
 * -inf where the mask is false. A mask that costs much is asked in a loop that leaves bits, which are then
 * applied, so that its text is not repeated for every accumulator.
 */
const looped = (passes: readonly KernelPass[], steps: number, names: Names): string => {
  const word = steps > 32 ? 'u64' : 'u32';
  const own = ownMasks(passes, [], names);
  const ofQuery = `  QueryLoads of_query[row_blocks][2];
#pragma unroll
  for (int i = 0; i < row_blocks; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) of_query[i][half] = load_of_query(u, q + 16 * i + 8 * half);
`;
  const ask = own.hasLoads
    ? own.call('q + 16 * i + 8 * half', 'of_key, of_query[i][half]')
    : 'allowed(u, visit, q + 16 * i + 8 * half, key)';
  return `${own.hasLoads ? `${own.text}\n` : ''}// -inf where the mask is false. The bits of a row are found in a small loop and then applied, so that the
// mask's text is not repeated for every accumulator.
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
  ${word} bits[row_blocks][2] = {};
${own.hasLoads ? ofQuery : ''}#pragma unroll 1
  for (int j = 0; j < score_blocks * 2; ++j) {
    const int key = key_of(u, p, index, visit, column + (j >> 1) * 8 + (j & 1));
${own.hasLoads ? '    const KeyLoads of_key = load_of_key(u, key);\n' : ''}#pragma unroll
    for (int i = 0; i < row_blocks; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) bits[i][half] |= (${word})${ask} << j;
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

const direct = `// -inf where the mask is false, in the first score blocks.
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
}`;

/** By the kind of a visit. */
const byKind = (
  passes: readonly KernelPass[],
  text: (kind: KernelPass['kind'], i: number) => string | undefined,
): string =>
  passes
    .flatMap(({ kind }, i) => {
      const line = text(kind, i);
      return line === undefined
        ? []
        : [`  if (visit.kind == ${visitKinds[kind]}) return ${line};\n`];
    })
    .join('');

/** `allowed_own`: the mask of a pass, or a part of it, given what it asks of the key alone and of the query alone. */
interface OwnMasks {
  readonly text: string;
  /** Whether there is any of that: \`KeyLoads\` and \`QueryLoads\` (loads.ts). */
  readonly hasLoads: boolean;
  /** Of `key` for a query. */
  readonly call: (q: string, loads: string) => string;
}

/** `parts`: of the masks of passes, where it is less than all of them. Pools are asked as ever. */
function ownMasks(
  passes: readonly KernelPass[],
  parts: readonly (Expression | undefined)[],
  names: Names,
): OwnMasks {
  const masks = passes.map(({ kind, mask }, i) =>
    kind === 'rest' ? undefined : (parts[i] ?? mask),
  );
  const loads = splitLoads(masks.filter((mask) => mask !== undefined));
  const [parameters, given] = loads
    ? [', const KeyLoads& of_key, const QueryLoads& of_query', ', of_key, of_query']
    : ['', ''];
  const left = [...(loads?.masks ?? masks.filter((mask) => mask !== undefined))];
  const isAsked = (i: number): boolean =>
    masks[i] !== undefined && (loads ?? parts[i]) !== undefined;
  const functions = passes.map(({ kind }, i) => {
    const mask = masks[i] && left.shift();
    if (!mask || !isAsked(i)) return '';
    return `WARPLOOM_DEVICE bool own_${kind}(const Unit& u, int q, int k${parameters}) {
  return ${scalarText(mask, names)};
}
`;
  });
  const asked = byKind(passes, (kind, i) => {
    if (!isAsked(i)) return 'allowed(u, visit, q, key)';
    return `${parts[i] ? '' : 'key < u.k_len && '}own_${kind}(u, q, key${given})`;
  });
  return {
    text: `${loads ? loadsText(loads, names) : ''}${functions.join('')}WARPLOOM_DEVICE bool allowed_own(const Unit& u, const Visit& visit, int q, int key${parameters}) {
${asked}  return true;
}
`,
    hasLoads: loads !== undefined,
    call: (q, own) => `allowed_own(u, visit, ${q}, key${loads ? `, ${own}` : ''})`,
  };
}

/**
 * The same by boxes of 16 rows and 32 keys, which lanes judge first: most are allowed or refused whole. In the
 * others a lane asks for one key, row after row; what the rows of a warp share is asked once. For a row block a warp.
 */
const boxed = (passes: readonly KernelPass[], names: Names): string => {
  const splits = passes.map(({ kind, mask }) =>
    kind === 'rest' ? undefined : splitByRows(mask, rowsOfWarp),
  );
  const some = splits.some((split) => split !== undefined);
  const own = ownMasks(
    passes,
    splits.map((split) => split?.own),
    names,
  );
  const parts = passes.map(({ kind }, i) => {
    const split = splits[i];
    if (!split) return '';
    return `// What the rows of a warp share of the mask.
WARPLOOM_DEVICE bool shared_${kind}(const Unit& u, int q, int k) {
  return ${scalarText(split.shared, names)};
}
WARPLOOM_DEVICE Truth judge_own_${kind}(const Unit& u, Bounds q, Bounds k) {
  return ${boundsText(split.own, names)};
}
`;
  });
  const judged = byKind(passes, (kind, i) =>
    kind === 'rest' ? '{true, false}' : `judge_${splits[i] ? 'own_' : ''}${kind}(u, q, {from, to})`,
  );
  const shared = byKind(passes, (kind, i) =>
    splits[i] ? `key < u.k_len && shared_${kind}(u, q, key)` : undefined,
  );
  const sharedText = `
// The part of the mask that rows of a warp share.
WARPLOOM_DEVICE bool allowed_shared(const Unit& u, const Visit& visit, int q, int key) {
${shared}  return true;
}
`;
  const asksShared = `    if (word != 0u) {
      const int key = box * 32 + lane < keys ? key_of(u, p, index, visit, box * 32 + lane) : u.k_len;
      word = __ballot_sync(FULL_WARP, allowed_shared(u, visit, first_row, key));
    }
`;
  const hasPools = passes.some(({ kind }) => kind === 'rest');
  const loaded = own.hasLoads
    ? `    const KeyLoads of_key = load_of_key(u, key);
    const QueryLoads of_own = load_of_query(u, first_row + (lane & 15));
`
    : '';
  const ask = own.call('first_row + r', 'of_key, loads_of_lane(of_own, r)');
  return `${parts.join('')}${own.text}${judgeBoxText(judged)}${some ? sharedText : ''}
// -inf where the mask is false, in the first score blocks. Lanes judge boxes of 16 rows and 32 keys, most of which
// are allowed or refused whole; in the others each lane asks for one key, row after row.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
${judgeText('    if (to >= u.k_len || first_key < 0) truth.may_not = true;\n')}  // The word of row r and box b lies in lane r + 16 * (b % 2), at b / 2: two registers hold what four boxes allow.
  u32 words[(boxes + 1) / 2] = {};
#pragma unroll 1
  for (int box = 0; box < boxes; ++box) {
    u32 word = some >> box & 1u ? FULL_WARP : 0u;
${some ? asksShared : ''}${hasPools ? poolsText : ''}#pragma unroll
    for (int i = 0; i < (boxes + 1) / 2; ++i)
      if (i == box >> 1 && lane >> 4 == (box & 1)) words[i] = word;
  }
#pragma unroll 1
  for (u32 left = mixed; left != 0; left &= left - 1) {
    const int box = __ffs(left) - 1;
    const int key = box * 32 + lane < keys ? key_of(u, p, index, visit, box * 32 + lane) : u.k_len;
${loaded}#pragma unroll ${own.hasLoads ? 4 : 1}
    for (int r = 0; r < 16; ++r) {
      const u32 word = __ballot_sync(FULL_WARP, ${ask});
#pragma unroll
      for (int i = 0; i < (boxes + 1) / 2; ++i)
        if (i == box >> 1 && lane == r + 16 * (box & 1)) words[i] ${some ? '&' : ''}= word;
    }
  }
#pragma unroll
  for (int box = 0; box < boxes; ++box)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const u32 row = __shfl_sync(FULL_WARP, words[box >> 1], own + 8 * half + 16 * (box & 1)) >> column;
#pragma unroll
      for (int j = 4 * box; j < min(4 * box + 4, blocks); ++j) {
        const u32 pairs = row >> (j & 3) * 8;
        if (!(pairs & 1u)) s[0][j][half * 2] = NEGATIVE_INFINITY;
        if (!(pairs & 2u)) s[0][j][half * 2 + 1] = NEGATIVE_INFINITY;
      }
    }
}`;
};

/** Pools differ from each other, hardly from row to row: a lane judges one for all rows of the warp. */
const poolsText = `    if (visit.kind == STAND_INS) {
      const int pool = place_of(visit, box * 32 + lane);
      const bool there = box * 32 + lane < keys && (i64)pool * pool_size < u.k_len;
      const Truth truth = there ? judge_pool(u, {first_row, first_row + 15}, pool) : truth_of(false);
      word = __ballot_sync(FULL_WARP, truth.may);
      if (__any_sync(FULL_WARP, truth.may && truth.may_not)) mixed |= 1u << box;
    }
`;

/**
 * The same where the walk found out which keys a row may attend to by what all rows of a warpgroup share. What is left
 * to ask mostly costs little: then each pair asks it, else by boxes.
 */
const kept = (passes: readonly KernelPass[], left: readonly Expression[]): string => {
  const isPlain = passes.every(({ kind }) => kind !== 'rest') && left.every(isQuick);
  const judged = byKind(passes, (kind) =>
    kind === 'rest' ? '{true, true}' : `judge_own_${kind}(u, q, {from, to})`,
  );
  const asked = byKind(passes, (kind) =>
    kind === 'rest' ? 'allowed(u, visit, q, key)' : `own_${kind}(u, q, key)`,
  );
  const ownText = `${judgeBoxText(judged)}WARPLOOM_DEVICE bool allowed_own(const Unit& u, const Visit& visit, int q, int key) {
${asked}  return true;
}
`;
  return `${isPlain ? '' : ownText}
// -inf where the mask is false, in the first score blocks. \`keep\`: a bit for each key that the walk lets through;
// \`ready\`: the mask asks no more.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void mask_scores(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s,
                                 const u32 (&keep)[score_blocks / 4], bool ready) {
  // Keys that all rows lose: at the end of a run of members they are in one word.
#pragma unroll
  for (int word = 0; word < blocks / 4; ++word) {
    if (keep[word] == FULL_WARP) continue;
    const u32 own = keep[word] >> column;
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (!(own >> (j * 8 + e) & 1u)) s[0][word * 4 + j][e] = s[0][word * 4 + j][2 + e] = NEGATIVE_INFINITY;
  }
  if (ready) return;
${isPlain ? passes.map(({ kind }) => pairsText(kind)).join('') : leftBoxesText}}`;
};

/** Asks for each pair what the walk left. Keys of a list are loaded by one lane each. */
const pairsText = (kind: KernelPass['kind']): string => {
  const listed = kind === 'columns';
  return `  if (visit.kind == ${visitKinds[kind]}) {
#pragma unroll
    for (int word = 0; word < blocks / 4; ++word) {
${listed ? '      const int held = key_of(u, p, index, visit, word * 32 + (threadIdx.x & 31));\n' : ''}#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int key = ${listed ? '__shfl_sync(FULL_WARP, held, column + j * 8 + e)' : 'key_of(u, p, index, visit, column + word * 32 + j * 8 + e)'};
#pragma unroll
          for (int half = 0; half < 2; ++half)
            if (!own_${kind}(u, q + 8 * half, key)) s[0][word * 4 + j][half * 2 + e] = NEGATIVE_INFINITY;
        }
    }
  }
`;
};

const judgeBoxText = (
  judged: string,
): string => `// What a box of queries and keys can be, by what its rows are asked each.
WARPLOOM_DEVICE Truth judge_box(const Unit& u, const Visit& visit, Bounds q, int from, int to) {
${judged}  return {true, true};
}
`;

/**
 * Judges the boxes: `some`, those with allowed pairs, and `mixed`, those with others as well. Keys that do not exist
 * are such others where nobody else takes care of them.
 */
const judgeText = (
  edges = '',
): string => `  constexpr int keys = blocks * 8, boxes = (keys + 31) / 32;
  const int lane = threadIdx.x & 31, own = lane >> 2, first_row = q - own;
  Truth truth = {false, true};
  if (lane < boxes) {
    const int first_key = key_of(u, p, index, visit, lane * 32), from = max(first_key, 0);
    const int to = key_of(u, p, index, visit, min(lane * 32 + 31, keys - 1));
    if (from < u.k_len && to >= 0) truth = judge_box(u, visit, {first_row, first_row + 15}, from, min(to, u.k_len - 1));
${edges}  }
  const u32 some = __ballot_sync(FULL_WARP, truth.may);
  u32 mixed = some & __ballot_sync(FULL_WARP, truth.may_not);
`;

/**
 * Lanes judge boxes of 16 rows and 32 keys, most of which are allowed or refused whole; in the others each lane asks
 * for one key, row after row.
 */
const leftBoxesText = `${judgeText()}  u32 bits[boxes][2];  // of this lane's two rows
#pragma unroll
  for (int box = 0; box < boxes; ++box) bits[box][0] = bits[box][1] = some >> box & 1u ? FULL_WARP : 0u;
#pragma unroll 1
  for (u32 left = mixed; left != 0; left &= left - 1) {
    const int box = __ffs(left) - 1;
    const int key = key_of(u, p, index, visit, box * 32 + lane);
    u32 found[2] = {0u, 0u};
#pragma unroll 1
    for (int r = 0; r < 16; ++r) {
      const u32 word = __ballot_sync(FULL_WARP, allowed_own(u, visit, first_row + r, key));
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
  for (int box = 0; box < boxes; ++box) {
    if ((some & ~mixed) >> box & 1u) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int j = 4 * box; j < 4 * box + 4; ++j) {
        const u32 pairs = bits[box][half] >> column >> (j & 3) * 8;
        if (!(pairs & 1u)) s[0][j][half * 2] = NEGATIVE_INFINITY;
        if (!(pairs & 2u)) s[0][j][half * 2 + 1] = NEGATIVE_INFINITY;
      }
  }
`;

/** They begin at a multiple of it among the positions. */
const rowsOfWarp = 16;

/** May the text of a mask be repeated for every accumulator? */
const isCheap = (passes: readonly KernelPass[]): boolean =>
  passes.length === 1 && passes.every(({ kind, mask }) => kind === 'tiles' && isQuick(mask));
