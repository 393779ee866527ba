// The copiers of a Hopper block: two warps, one lane of each orders the copies of K or of V into their slots, so that
// neither waits for the other's slot. What all lanes know to be the same needs no vote before a copy.

import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { boxKeys, type HopperKnobs, isApart, slabsOf, slotKeys } from './knobs.ts';
import { sourceOf } from './maps.ts';
import { distancesOf } from './members.ts';

/** Boxes of a whole row are one copy where parts of 64 columns divide it. */
export const copiesOf = (dim: number): number => (dim % 64 === 0 ? 1 : slabsOf(dim));

/** The copies of one box of rows; `where` are its coordinates after the column. */
export function boxText(
  map: string,
  to: string,
  barrier: string,
  dim: number,
  rows: number,
  where: string,
  cache: string,
  indent: string,
): string {
  return Array.from({ length: copiesOf(dim) }, (_, slab) => {
    const offset = slab === 0 ? '' : ` + ${slab * rows * 128}`;
    return `${indent}copy_box(${to}${offset}, ${map}, ${barrier}, ${slab * 64}, ${where}, ${cache});`;
  }).join('\n');
}

/** What pieces of each kind are copied from: maps, and where in them a unit has its rows. */
function sourceText({ passes, knobs }: KernelContext<HopperKnobs>): string {
  const choose = (of: (kind: KernelPass['kind']) => string): string =>
    passes
      .map(({ kind }, i) =>
        i === passes.length - 1
          ? of(kind)
          : `(piece.what & PIECE_KIND) == ${visitKinds[kind]} ? ${of(kind)} : `,
      )
      .join('');
  const map = (suffix: string) =>
    choose((kind) => `(keys ? p.${sourceOf[kind]}k${suffix} : p.${sourceOf[kind]}v${suffix})`);
  return `    const TensorMap& whole = ${map('_map')};
${isApart(knobs) ? `    const TensorMap& apart = ${map('_box_map')};\n` : ''}    const int head = ${choose((kind) => (kind === 'columns' ? 'same(task.index)' : 'same(task.unit.kv_head)'))}, batch = ${choose((kind) => (kind === 'columns' ? '0' : 'same(task.unit.batch)'))};
`;
}

/** The copies of a piece into its slot. */
function slotText(dim: number, { knobs }: KernelContext<HopperKnobs>, indent: string): string {
  const apart = isApart(knobs);
  const where = `${apart ? 'piece.at[0]' : 'piece.at'}, head, 0, batch`;
  const copies = boxText(
    'whole',
    'to',
    'full[slot]',
    dim,
    slotKeys(knobs),
    where,
    'KEEP_IN_CACHE',
    apart ? `${indent}  ` : indent,
  );
  return apart ? apartText(dim, knobs, copies, indent) : copies;
}

/**
 * What a slot holds, for the warps that compute, by the lane that fills it. A piece of boxes is read until then, and given
 * back: most of its words are of no use.
 */
const heldText = (context: KernelContext<HopperKnobs>): string =>
  isApart(context.knobs)
    ? `    if (keys && lane == 0) {
      Held& held = c.held[slot];
#pragma unroll
      for (int group = 0; group < groups; ++group) held.told[group] = words[group];
#pragma unroll
      for (int box = 0; box < slot_boxes; ++box) held.at[box] = piece.at[box];
      // Most steps need no more than that: all keys of a box are kept${distancesOf(context) ? ', or all but the first' : ''}.
      if (piece.asks & ~(piece.asks >> 4${distancesOf(context) ? ' | piece.asks >> 6' : ''}) & 0x030303u)
#pragma unroll
        for (int i = 0; i < slot_boxes * groups; ++i)
          if (i < PIECE_BOXES(piece.what) * groups) (&held.keep[0][0])[i] = (&next.keep[0][0])[i];
      barrier_arrive(given_back);
    }
`
    : `    if (keys && lane == 0) {
      c.held[slot].at = piece.at;
      c.held[slot].what = piece.what;
    }
`;

/** What each warpgroup is told of them, by the lane that has read what it asks. */
const wordsText = `    u64 words[groups];
#pragma unroll
    for (int group = 0; group < groups; ++group) {
      const u32 asked = asked_of(piece.asks, group);
      words[group] = (u64)((u32)piece.what & 31u | asked << 8) << 32 |
                     (u32)matrix_descriptor(to + (asked >> 8) * box_keys * 128, 16, 1024);
    }
`;

/** The copies of a slot of boxes: in one where they follow each other and fill it, else slab by slab. */
function apartText(dim: number, knobs: HopperKnobs, whole: string, indent: string): string {
  const bytes = boxKeys(knobs) * 128;
  const [column, part] = dim % 64 === 0 ? ['0', 'slab'] : ['slab * 64', '0'];
  const follows = Array.from(
    { length: knobs.boxes - 1 },
    (_, i) => ` && piece.at[${i + 1}] == piece.at[0] + ${i + 1} * box_keys`,
  ).join('');
  return `${indent}if (PIECE_BOXES(piece.what) == slot_boxes${follows}) {
${whole}
${indent}} else {
#pragma unroll
${indent}  for (int box = 0; box < slot_boxes; ++box)
#pragma unroll
${indent}    for (int slab = 0; slab < ${slabsOf(dim)}; ++slab)
${indent}      if (box < PIECE_BOXES(piece.what))
${indent}        copy_box(to + slab * ${knobs.boxes * bytes} + box * ${bytes}, apart, full[slot], ${column}, piece.at[box], head, ${part}, batch, KEEP_IN_CACHE);
${indent}}`;
}

/** What a copier reads of a piece before it hands it back. */
const readText = (knobs: HopperKnobs): string =>
  isApart(knobs)
    ? `#pragma unroll
    for (int box = 0; box < slot_boxes; ++box) piece.at[box] = told(next.at[box]);
    piece.asks = keys && lane == 0 ? next.asks : 0u;
`
    : '    piece.at = told(next.at);\n';

/** The copies of one kind of rows; of both where they are alike. */
function copiesText(context: KernelContext<HopperKnobs>): string {
  const { headDim, valueDim } = context;
  if (headDim === valueDim) return slotText(headDim, context, '      ');
  return `      if (keys) {
${slotText(headDim, context, '        ')}
      } else {
${slotText(valueDim, context, '        ')}
      }`;
}

/** `order_copies`. Needs `Control` and `Tiles`. */
export function copierText(context: KernelContext<HopperKnobs>): string {
  const { knobs } = context;
  const boxes = isApart(knobs) ? ' / slot_boxes * PIECE_BOXES(piece.what)' : '';
  return `// ---- the copiers: a warp for keys and one for values, of each one lane orders the copies ----

WARPLOOM_DEVICE int same(int x) { return __shfl_sync(FULL_WARP, x, 0); }
// What one lane reads alone, the one that gives the place back.
WARPLOOM_DEVICE int told(const int& x) { return same((threadIdx.x & 31) == 0 ? x : 0); }

template <bool keys>
WARPLOOM_DEVICE void order_copies(const Arguments& p, Control& c, const Tiles& tiles) {
  const int lane = threadIdx.x & 31;
  u64(&full)[stages] = keys ? c.k_full : c.v_full, (&empty)[stages] = keys ? c.k_empty : c.v_empty;
  int slot = 0, place = 0;
  u32 slot_parity = 1, parity = 0;
  bool begins = true;
#pragma unroll 1
  for (;;) {
    barrier_wait(c.piece_full[place], parity);
    const Piece& next = c.queue[place];
    Piece piece;
    piece.what = told(next.what);
    piece.task = told(next.task);
${readText(knobs)}    __syncwarp();
${
  isApart(knobs)
    ? `    u64& given_back = c.piece_empty[place];
    if (!keys && lane == 0) barrier_arrive(given_back);
`
    : '    if (lane == 0) barrier_arrive(c.piece_empty[place]);\n'
}    next_place(place, parity, queue_length);
    if (piece.what & PIECE_STOP) break;
    // All that is known before the slot is free is found out before: a slot waits for its copy.
    const Task& task = c.tasks[piece.task];
${sourceText(context)}    const u32 to = keys ? tiles.k + slot * k_bytes : tiles.v + slot * v_bytes;
${isApart(knobs) ? wordsText : ''}    // All blocks begin at once, and what they copy comes in turns: first keys would wait for all that is needed after them.
    if (!keys && begins) barrier_wait(c.begun, 0);
    barrier_wait(empty[slot], slot_parity);
    // The copies first, which take longest: their bytes count when they are expected, before or after they come.
    if (elect_one()) {
${copiesText(context)}
    }
${heldText(context)}    __syncwarp();  // all lanes have read the task
    if (lane == 0) barrier_arrive_expect(full[slot], (keys ? k_bytes : v_bytes)${boxes});
    if (keys && begins) {
      barrier_wait(full[slot], 0);
      if (lane == 0) barrier_arrive(c.begun);
    }
    begins = false;
    next_place(slot, slot_parity, stages);
  }
}`;
}
