// The walk of one query tile over its keys, as CUDA C: which tiles of which pass come next, and whether
// all of their pairs are allowed. Every warp walks for itself, its 32 lanes judging 32 tiles at once.

import { mentions } from '../../dsl/expression.ts';
import { boundsText } from '../bounds.ts';
import { scalarText } from '../expression.ts';
import { isUnaligned, keysText } from '../keys.ts';
import type { Names } from '../names.ts';
import type { KernelPass } from './passes.ts';

/** The members of `Kind`. */
export const visitKinds: Record<KernelPass['kind'], string> = {
  tiles: 'TILE',
  columns: 'COLUMNS',
  rest: 'STAND_INS',
};

/** `Kind`, and the masks of the passes: for a pair, for a box, and the search for its keys. */
export function masksText(passes: readonly KernelPass[], names: Names): string {
  return [
    `// What a step works on: keys, entries of the list of columns, or pools.
enum Kind { ${Object.values(visitKinds).join(', ')}, NOTHING };`,
    ...passes.map((pass) => passText(pass, names)),
  ].join('\n\n');
}

/** `struct Visit`, `place_of`, `struct Walk` and `advance`. Needs the masks. */
export function walkText(passes: readonly KernelPass[]): string {
  return [
    `// Keys, entries or pools from \`at\` on.
struct Visit {
  Kind kind;
  int at;
  bool full;  // every pair is allowed: no mask is evaluated
};
WARPLOOM_DEVICE int place_of(const Visit& visit, int column) { return visit.at + column; }

// Where the walk is: tiles already judged (one bit each, from \`base\` on), and where to go on.
struct Walk {
  int pass, next, base;
  u32 may, full;
};`,
    ...passes.map(groupText),
    advanceText(passes),
  ].join('\n\n');
}

/** Mask and judge of one pass, and the search for its keys. */
function passText(pass: KernelPass, names: Names): string {
  const { kind, mask } = pass;
  return [
    `// May query q attend to key k in this pass?
WARPLOOM_DEVICE bool allowed_${kind}(const Unit& u, int q, int k) {
  return ${scalarText(mask, names)};
}`,
    `// The same for all pairs of a box at once.
WARPLOOM_DEVICE Truth judge_${kind}(const Unit& u, Bounds q, Bounds k) {
  return ${boundsText(mask, names)};
}`,
    ...(kind === 'columns' ? [] : [keysText(`keys_${kind}`, mask, names)]),
    ...(pass.kind === 'rest' ? [standsInText(pass.size)] : []),
  ].join('\n\n');
}

/** A pool stands in for a row that drops all of its keys. */
const standsInText = (size: number): string => `// Do queries drop all keys of a pool?
WARPLOOM_DEVICE Truth judge_pool(const Unit& u, Bounds q, int pool) {
  return judge_rest(u, q, {pool * ${size}, min(pool * ${size} + ${size}, u.k_len) - 1});
}
// Does query q?
WARPLOOM_DEVICE bool stands_in(const Unit& u, int q, int pool) {
  const int from = pool * ${size}, to = min(from + ${size}, u.k_len) - 1;
  const Truth dropped = judge_pool(u, bounds_of(q), pool);
  if (!dropped.may_not) return true;
  if (!dropped.may) return false;
  for (int k = from; k <= to; ++k)
    if (!allowed_rest(u, q, k)) return false;
  return true;
}`;

/** `judge_group_<kind>`: the next group of tiles, judged; false at the end of the pass. */
function groupText(pass: KernelPass): string {
  const head = `WARPLOOM_DEVICE bool judge_group_${pass.kind}(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  const int lane = threadIdx.x & 31;`;
  const unaligned = pass.kind === 'tiles' && isUnaligned(pass.mask);
  const truth = {
    tiles: `  const int from = walk.base + lane * k_tile, to = min(from + k_tile, u.k_len) - 1;
  const bool there = from < u.k_len;
  const Truth truth = there ? judge_tiles(u, {q0, q1}, {from, to}) : truth_of(false);
  const bool whole = from + k_tile <= u.k_len;`,
    columns: `  const int count = p.columns_count[index];
  if (walk.next >= count) return false;
  walk.base = walk.next;
  const int* list = p.columns_list + (i64)index * p.columns_capacity;
  const int from = walk.base + lane * k_tile, to = min(from + k_tile, count) - 1;
  const bool there = from < count;
  const Truth truth = there ? judge_columns(u, {q0, q1}, {list[from], list[to]}) : truth_of(false);
  const bool whole = from + k_tile <= count;`,
    rest: `  const int from = clamp_int(walk.base + (i64)lane * width);
  const int to = (int)min(from + (i64)width, (i64)u.k_len) - 1;
  const bool there = from < u.k_len;
  const Truth truth = there ? judge_rest(u, {q0, q1}, {from, to}) : truth_of(false);
  const bool whole = from + (i64)width <= u.k_len;`,
  }[pass.kind];
  // Pools may be so large that a group of their tiles reaches beyond int.
  const width = pass.kind === 'rest' ? ['  constexpr i64 width = (i64)k_tile * pool_size;'] : [];
  const first =
    pass.kind === 'columns'
      ? []
      : [
          '  if (walk.next >= u.k_len) return false;',
          `  const int first = keys_${pass.kind}(u, q0, q1, walk.next);`,
          '  if (first >= u.k_len) return false;',
          unaligned
            ? '  walk.base = first;'
            : `  walk.base = first - first % ${pass.kind === 'rest' ? '(int)min(width, (i64)NO_MEMBER)' : 'k_tile'};`,
        ];
  // A tile that starts where its keys start is taken; those after it as long as they are full, since
  // otherwise the next one may start later.
  const after = unaligned
    ? `  const int run = __ffs(~(walk.may & walk.full | 1u)) - 1;
  if (run > 0) walk.may &= (1u << run) - 1;
  walk.next = walk.base + (run > 0 ? run : 32) * k_tile;`
    : pass.kind === 'rest'
      ? '  walk.next = clamp_int(walk.base + 32 * width);'
      : '  walk.next = walk.base + 32 * k_tile;';
  return [
    head,
    ...width,
    ...first,
    ...(pass.kind === 'tiles' && passesOver(pass) ? [passedOverText] : []),
    truth,
    '  walk.may = __ballot_sync(FULL_WARP, truth.may);',
    '  walk.full = __ballot_sync(FULL_WARP, there && !truth.may_not && whole);',
    after,
    '  return true;',
    '}',
  ].join('\n');
}

/**
 * Are there keys to pass over? The search for keys knows nothing of tensors: documents would be looked for tile by tile,
 * while nobody computes.
 */
const passesOver = ({ mask }: KernelPass): boolean => !isUnaligned(mask) && mentions(mask, 'at');

/** As many tiles at a time as bounds of tensors are known for. */
const passedOverText = `  // Keys that the mask refuses wholly are passed over, many tiles at a time.
  constexpr int wide_keys = (MOST_ZONES - 1) * ZONE / k_tile * k_tile;
  const i64 wide_from = walk.base + (i64)lane * wide_keys, wide_to = min(wide_from + wide_keys, (i64)u.k_len) - 1;
  const bool may = wide_from <= wide_to && judge_tiles(u, {q0, q1}, {(int)wide_from, (int)wide_to}).may;
  const u32 wide = __ballot_sync(FULL_WARP, may);
  if (wide == 0u) {
    walk.next = clamp_int(walk.base + 32ll * wide_keys);
    return true;
  }
  walk.base += (__ffs(wide) - 1) * wide_keys;`;

function advanceText(passes: readonly KernelPass[]): string {
  const cases = passes.map(({ kind }, i) => {
    const unit = kind === 'rest' ? 'walk.base / pool_size' : 'walk.base';
    return `    ${i === 0 ? '' : 'else '}if (walk.pass == ${i}) {
      while (walk.may == 0)
        if (!judge_group_${kind}(u, p, index, q0, q1, walk)) break;
      kind = ${visitKinds[kind]};
      base = ${unit};
    }`;
  });
  return `// The next step of the tile with queries [q0, q1]; NOTHING when there is none.
WARPLOOM_DEVICE Visit advance(const Unit& u, const Arguments& p, int index, int q0, int q1, Walk& walk) {
  while (walk.pass < ${passes.length}) {
    Kind kind = NOTHING;
    int base = 0;
${cases.join('\n')}
    if (walk.may != 0) {
      const int tile = __ffs(walk.may) - 1;
      walk.may &= walk.may - 1;
      return {kind, base + tile * k_tile, (walk.full >> tile & 1u) != 0};
    }
    walk = {walk.pass + 1, 0, 0, 0, 0};
  }
  return {NOTHING, 0, true};
}`;
}
