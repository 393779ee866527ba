// Slots of two or three boxes: which masks have a kernel of such, and how a warpgroup asks for a box of keys.

import { walk } from '../../../dsl/expression.ts';
import { boundsText } from '../../bounds.ts';
import { scalarText } from '../../expression.ts';
import { isUnaligned, keyBoundsText, lastText } from '../../keys.ts';
import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { sameForRows } from '../rows.ts';
import { blocksText } from './blocks.ts';
import { distancesText } from './distances.ts';
import { boxKeys, type HopperKnobs, isApart } from './knobs.ts';
import { reversedText, setWords } from './set-words.ts';
import { isLarge, walkOf } from './walks.ts';

/** Why there is no such walk for a pattern, or undefined. */
export const pairsProblem = (
  passes: readonly KernelPass[],
  knobs: HopperKnobs,
): string | undefined =>
  passes.some((pass) => isUnaligned(pass.mask) && walkOf(pass, boxKeys(knobs)).form === 'boxes')
    ? 'boxes of keys at distances from each query are not alike for 64 rows'
    : undefined;

/** Do sets that a mask asks differ within 128 rows, so that warpgroups of 64 may need other keys? */
export function mayAskApart(passes: readonly KernelPass[]): boolean {
  const nodes = passes.flatMap(({ mask }) => [...walk(mask)]);
  const differ = nodes.some((part) => part.op === 'has' && !sameForRows(part, 128));
  return differ && !isLarge(passes);
}

/**
 * The set of tiles that such a mask walks over, if it does: then the kernel is taken untuned. At distances, the keys
 * of the first warpgroup are mostly those of the second, shifted.
 */
export function asksApart(passes: readonly KernelPass[]): 'distances' | 'blocks' | undefined {
  const tiles = passes.find(({ kind }) => kind === 'tiles');
  if (!tiles || !mayAskApart(passes)) return undefined;
  const { form } = walkOf(tiles, 64);
  return form === 'distances' || form === 'blocks' ? form : undefined;
}

/**
 * Is a step on one box or on two? Of blocks a warpgroup has many for itself. Of other keys most boxes follow each other, and
 * the few that are left alone have nothing beside them: a step of their own would be in the way of all others.
 */
export const stepsDiffer = ({
  passes,
  knobs,
}: Pick<KernelContext<HopperKnobs>, 'passes' | 'knobs'>): boolean =>
  isApart(knobs) && asksApart(passes) === 'blocks';

/** May a warpgroup work on other boxes of a slot than the first two? */
export const choosesBoxes = (
  context: Pick<KernelContext<HopperKnobs>, 'passes' | 'knobs'>,
): boolean => context.knobs.boxes === 3 || stepsDiffer(context);

/** `struct Visit` and `place_of` of a step on two boxes. */
export const pairText = `// Keys, entries or pools: one box from \`at\` on, another from \`second\` on.
struct Visit {
  Kind kind;
  int at, second;
};
WARPLOOM_DEVICE int place_of(const Visit& visit, int column) {
  return column < box_keys ? visit.at + column : visit.second + column - box_keys;
}`;

/** Functions that the walk needs. */
export function pairsFunctions({ passes, knobs, names }: KernelContext<HopperKnobs>): string {
  const walks = passes.map((pass) => {
    const way = walkOf(pass, boxKeys(knobs));
    if (pass.kind === 'rest') return '';
    const own = `// What the walk leaves of the mask to ask, for a pair and for a box of pairs.
WARPLOOM_DEVICE bool own_${pass.kind}(const Unit& u, int q, int k) {
  return ${scalarText(way.own, names)};
}
WARPLOOM_DEVICE Truth judge_own_${pass.kind}(const Unit& u, Bounds q, Bounds k) {
  return ${boundsText(way.own, names)};
}
`;
    if (way.form === 'list')
      return `${own}// What a mask asks once for each entry of the list.
WARPLOOM_DEVICE bool listed(const Unit& u, int q, int k) {
  return ${scalarText(way.shared, names, 'float', 'set_has_early')};
}
// The keys that are left by what is linear.
${keyBoundsText('linear_columns', way.own, names)}`;
    if (way.form === 'boxes')
      return `${own}// The last key that a query of [q0, q1] may attend to, or one after it.\n${lastText('last_tiles', pass.mask, names)}\n`;
    return `${own}// The keys that are left by what is linear.
${keyBoundsText('linear_keys', way.own, names)}
${askText}
${
  way.form === 'distances'
    ? `${reversedText}\n${distancesText(way, names)}`
    : `${setWords}\n${blocksText(way, names)}`
}`;
  });
  return `${boxesOf}${walks.join('')}`;
}

const boxesOf = `// The queries of a warpgroup: none where the last is before the first.
WARPLOOM_DEVICE Bounds rows_of(const Task& task, int group) {
  const int first = task.start + group * 64;
  return {max(first, task.unit.offset), min(first + 63, task.unit.k_len - 1)};
}

// A box of keys. By a bit for each warpgroup: who asks for it, and for whom no more than \`keep\` decides its pairs.
struct Box {
  int at;
  u32 asked, ready;
  u64 keep[groups];  // the keys that a warpgroup may attend to, so far
};
#define WHOLE_BOX (~0ull >> (64 - box_keys))

// Who asks for a box, for whom it is ready, and for whom all keys of it are, or all but the first: two bits each.
WARPLOOM_DEVICE u32 asking(const Box& own) {
  u32 whole = 0u, later = 0u;
#pragma unroll
  for (int group = 0; group < groups; ++group) {
    whole |= own.keep[group] == WHOLE_BOX ? 1u << group : 0u;
    later |= own.keep[group] == (WHOLE_BOX & ~1ull) ? 1u << group : 0u;
  }
  const u32 ready = own.ready & own.asked;
  return own.asked | ready << 2 | (ready & whole) << 4 | (ready & later) << 6;
}

// The place of the n-th bit that is set.
WARPLOOM_DEVICE int nth_bit(u32 bits, int n) {
  int place = 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const int below = __popc(bits >> place & ((1u << step) - 1));
    if (n < below) continue;
    n -= below;
    place += step;
  }
  return place;
}
WARPLOOM_DEVICE Box box_of_lane(const Box& box, int lane) {
  Box other;
  other.at = __shfl_sync(FULL_WARP, box.at, lane);
  other.asked = __shfl_sync(FULL_WARP, box.asked, lane);
  other.ready = __shfl_sync(FULL_WARP, box.ready, lane);
#pragma unroll
  for (int group = 0; group < groups; ++group) other.keep[group] = __shfl_sync(FULL_WARP, box.keep[group], lane);
  return other;
}
// Lanes 16 and up have asked for the boxes of the first 16 lanes in the name of the second warpgroup.
WARPLOOM_DEVICE void join_halves(Box& box) {
  const Box other = box_of_lane(box, (threadIdx.x & 31) | 16);
  box.asked |= other.asked;
  box.ready |= other.ready;
  box.keep[1] = other.keep[1];
  if ((threadIdx.x & 31) >= 16) box.asked = 0u;
}

`;

const askText = `// Asks for a box in the name of a warpgroup. \`bits\`: its keys that are members.
WARPLOOM_DEVICE void ask_box(const Unit& u, const Task& task, int group, int at, u64 bits, Box& box) {
  const Bounds rows = rows_of(task, group);
  const int from = max(at, 0), to = min(at + box_keys, u.k_len) - 1;
  if (from > to || rows.lo > rows.hi) return;
  const Truth truth = judge_own_tiles(u, rows, {from, to});
  bits &= ~0ull >> (63 - (to - at)) & ~0ull << (from - at);
  if (!truth.may || bits == 0ull) return;
  box.asked = 1u << group;
  box.ready = truth.may_not ? 0u : 1u << group;
  box.keep[0] = group == 0 ? bits : 0ull;
  box.keep[1] = group == 1 ? bits : 0ull;
}
`;
