// The copiers of a Hopper block: two warps, one lane of each orders the copies of K or of V into their slots, so that
// neither waits for the other's slot: one warp for both cannot keep up with boxes that lie apart. What all lanes know to be
// the same needs no vote before a copy.

import type { KernelContext } from '../backend.ts';
import { boxKeys, type HopperKnobs, isApart, slabsOf, slotKeys } from './knobs.ts';
import { byKind, sourceOf } from './maps.ts';
import { choosesBoxes } from './pairs.ts';

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

/** What pieces of each kind are copied from: slots, or boxes of a slab. */
const mapOf = ({ passes }: KernelContext<HopperKnobs>, suffix: '_map' | '_box_map'): string =>
  byKind(
    passes,
    'rows.what',
    (kind) => `(keys ? p.${sourceOf[kind]}k${suffix} : p.${sourceOf[kind]}v${suffix})`,
  );

/** The copies of a piece into its slot. */
function slotText(dim: number, context: KernelContext<HopperKnobs>, indent: string): string {
  const { knobs, passes } = context;
  const apart = isApart(knobs);
  const where = `${apart ? 'rows.at[0]' : 'rows.at'}, rows.head, 0, rows.batch`;
  const copies = boxText(
    apart || passes.length > 1 ? 'whole' : mapOf(context, '_map'),
    'to',
    'full',
    dim,
    slotKeys(knobs),
    where,
    'KEEP_IN_CACHE',
    apart ? `${indent}  ` : indent,
  );
  return apart ? apartText(dim, knobs, copies, indent) : copies;
}

/** The copies of a slot of boxes: in one where they follow each other and fill it, else slab by slab. */
function apartText(dim: number, knobs: HopperKnobs, whole: string, indent: string): string {
  const bytes = boxKeys(knobs) * 128;
  const [column, part] = dim % 64 === 0 ? ['0', 'slab'] : ['slab * 64', '0'];
  const follows = Array.from(
    { length: knobs.boxes - 1 },
    (_, i) => ` && rows.at[${i + 1}] == rows.at[0] + ${i + 1} * box_keys`,
  ).join('');
  return `${indent}if (PIECE_BOXES(rows.what) == slot_boxes${follows}) {
${whole}
${indent}} else {
#pragma unroll
${indent}  for (int box = 0; box < slot_boxes; ++box)
#pragma unroll
${indent}    for (int slab = 0; slab < ${slabsOf(dim)}; ++slab)
${indent}      if (box < PIECE_BOXES(rows.what))
${indent}        copy_box(to + slab * ${knobs.boxes * bytes} + box * ${bytes}, apart, full, ${column}, rows.at[box], rows.head, ${part}, rows.batch, KEEP_IN_CACHE);
${indent}}`;
}

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

/**
 * What a slot holds, for the warps that compute, by the lane that fills it. A piece of boxes is read until then, and given
 * back: most of its words are of no use.
 */
function heldText(context: KernelContext<HopperKnobs>): string {
  if (!isApart(context.knobs)) return '    if (keys && lane == 0) c.slots[slot].held = rows;\n';
  return `    if (keys && lane == 0) {
      Held& held = c.slots[slot].held;
      const u64 begin = (u32)matrix_descriptor(to, 16, 1024);
#pragma unroll
      for (int group = 0; group < groups; ++group) held.told[group] = words[group] + begin;
#pragma unroll
      for (int box = 0; box < slot_boxes; ++box) held.at[box] = rows.at[box];
      // Most steps need no more than that: their boxes are kept.
      const u32 asks = (u32)rows.what >> 8;
      if (asks & ~kept(asks) & 0x030303u)
#pragma unroll
        for (int group = 0; group < groups; ++group)
#pragma unroll
          for (int box = 0; box < 2; ++box)
            if (words[group] >> (40 + box) & 1u) held.keep[group][box] = next.keep[group][box];
      barrier_arrive(given_back);
    }
`;
}

/** `told` and `order_copies`. Needs `Control` and `Tiles`. */
export function copierText(context: KernelContext<HopperKnobs>): string {
  const { knobs } = context;
  const apart = isApart(knobs);
  const rows = apart ? 'Rows' : 'Piece';
  const boxes = choosesBoxes(context) ? ' / slot_boxes * PIECE_BOXES(rows.what)' : '';
  const places = Array.from({ length: knobs.boxes }, (_, box) => `told(rows.at[${box}])`);
  return `// ---- the copiers: a warp for keys and one for values, of each one lane orders the copies ----

// What the step is, as lane 0 reads it, the one that gives the place back.
WARPLOOM_DEVICE ${rows} told(const ${rows}& piece) {
  const ${rows} rows = (threadIdx.x & 31) == 0 ? piece : ${rows}{};
  return {told(rows.what), told(rows.head), told(rows.batch), ${apart ? `{${places.join(', ')}}` : 'told(rows.at)'}};
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
    ${apart ? 'const Piece& next = c.queue[place];\n    const Rows rows = told(next)' : 'const Piece rows = told(c.queue[place])'};
${
  apart
    ? `    u64 words[groups] = {};
    if (keys && lane == 0)
#pragma unroll
      for (int group = 0; group < groups; ++group) words[group] = next.told[group];
    u64& given_back = c.piece_empty[place];
    if (!keys && lane == 0) barrier_arrive(given_back);
`
    : '    if (lane == 0) barrier_arrive(c.piece_empty[place]);\n'
}    next_place(place, parity, queue_length);
    if (rows.what & PIECE_STOP) break;
    // All that is known before the slot is free is found out before: a slot waits for its copy.
    const u32 to = keys ? tiles.k + slot * k_bytes : tiles.v + slot * v_bytes;
${apart || context.passes.length > 1 ? `    const TensorMap& whole = ${mapOf(context, '_map')};\n` : ''}${apart ? `    const TensorMap& apart = ${mapOf(context, '_box_map')};\n` : ''}    // All blocks begin at once, and what they copy comes in turns: first keys would wait for all that is needed after them.
    if (!keys && begins) barrier_wait(c.begun, 0);
    u64& full = keys ? c.slots[slot].k_full : c.slots[slot].v_full;
    barrier_wait(keys ? c.slots[slot].k_empty : c.slots[slot].v_empty, slot_parity);
    // The copies first, which take longest: their bytes count when they are expected, before or after they come.
    if (elect_one()) {
${copiesText(context)}
    }
${heldText(context)}    if (lane == 0) barrier_arrive_expect(full, (keys ? k_bytes : v_bytes)${boxes});
    if (keys && begins) {
      barrier_wait(full, 0);
      if (lane == 0) barrier_arrive(c.begun);
    }
    begins = false;
    next_place(slot, slot_parity, stages);
  }
}`;
}
