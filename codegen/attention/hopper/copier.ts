// The copier of a Hopper block: one thread orders the copies of K and V into their slots.

import type { KernelContext } from '../backend.ts';
import { visitKinds } from '../walk.ts';
import { type HopperKnobs, slabsOf } from './knobs.ts';

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
    return `${indent}copy_box(${to}${offset}, p.${map}, ${barrier}, ${slab * 64}, ${where}, ${cache});`;
  }).join('\n');
}

function slotText(
  which: 'k' | 'v',
  { passes, headDim, valueDim, knobs }: KernelContext<HopperKnobs>,
): string {
  const dim = which === 'k' ? headDim : valueDim;
  const to = `tiles.${which} + ${which}_slot * ${which}_bytes`;
  const full = `c.${which}_full[${which}_slot]`;
  const where = 'piece.at, 0, u.kv_head, u.batch';
  const boxed = passes.filter(({ kind }) => kind !== 'columns');
  const cases = boxed.map(({ kind }) => {
    const map = kind === 'rest' ? `pool_${which}_map` : `${which}_map`;
    const copies = boxText(map, to, full, dim, knobs.kTile, where, 'KEEP_IN_CACHE', '    ');
    return boxed.length === 1
      ? copies
      : `    if ((piece.what & PIECE_KIND) == ${visitKinds[kind]}) {\n${copies.replace(/^/gm, '  ')}\n    }`;
  });
  const fill = `    const Unit& u = c.tasks[piece.task].unit;
${which === 'k' ? '    c.held[k_slot] = piece;\n' : ''}    barrier_arrive_expect(${full}, ${which}_bytes);
${cases.join('\n')}
`;
  const gathered = boxed.length < passes.length;
  return `  auto fill_${which} = [&](const Piece& piece) {
    barrier_wait(c.${which}_empty[${which}_slot], ${which}_parity);
${gathered ? `    if ((piece.what & PIECE_KIND) != COLUMNS) {\n${fill.replace(/^(?=.)/gm, '  ')}    }\n` : fill}    next_slot(${which}_slot, ${which}_parity);
  };`;
}

/** The loop over the pieces of the walk: `fill_k` and `fill_v` in their order. */
export const piecesText = (
  release: string,
): string => `  // K of a step is ordered before V of the step before: it is let go earlier.
  Piece owed;
  bool owes = false;
#pragma unroll 1
  for (int place = 0;;) {
    barrier_wait(c.piece_full[place], parity);
    const Piece piece = c.queue[place];
    ${release}
    if (++place == queue_length) {
      place = 0;
      parity ^= 1;
    }
    if (piece.what & PIECE_STOP) break;
    const bool is_keys = !(piece.what & PIECE_NONE);
    if (is_keys) fill_k(piece);
    if (owes) fill_v(owed);
    owed = piece;
    owes = is_keys;
  }`;

/** `next_slot`, `order_copies`. Needs `Control` and `Tiles`. */
export const copierText = (
  context: KernelContext<HopperKnobs>,
): string => `// ---- the copier: one thread orders the copies of keys and values ----

WARPLOOM_DEVICE void next_slot(int& slot, u32& parity) {
  if (++slot == stages) {
    slot = 0;
    parity ^= 1;
  }
}

WARPLOOM_DEVICE void order_copies(const Arguments& p, Control& c, const Tiles& tiles) {
  int k_slot = 0, v_slot = 0;
  u32 k_parity = 1, v_parity = 1, parity = 0;
${slotText('k', context)}
${slotText('v', context)}
${piecesText('barrier_arrive(c.piece_empty[place]);')}
}`;
