// The copier of a Hopper block: a warp, one lane of which orders the copies of K and V into their slots. What all
// lanes know to be the same needs no vote before a copy.

import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { boxKeys, type HopperKnobs, isApart, slabsOf, slotKeys } from './knobs.ts';
import { sourceOf } from './maps.ts';

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

/** What a piece of each kind is copied from: a map, and where in it a unit has its rows. */
function sourceText(which: 'k' | 'v', { passes, knobs }: KernelContext<HopperKnobs>): string {
  const choose = (of: (kind: KernelPass['kind']) => string): string =>
    passes
      .map(({ kind }, i) =>
        i === passes.length - 1
          ? of(kind)
          : `(piece.what & PIECE_KIND) == ${visitKinds[kind]} ? ${of(kind)} : `,
      )
      .join('');
  const map = (suffix: string) => choose((kind) => `p.${sourceOf[kind]}${which}${suffix}`);
  return `    const TensorMap& whole = ${map('_map')};
${isApart(knobs) ? `    const TensorMap& apart = ${map('_box_map')};\n` : ''}    const int head = ${choose((kind) => (kind === 'columns' ? 'same(task.index)' : 'same(task.unit.kv_head)'))}, batch = ${choose((kind) => (kind === 'columns' ? '0' : 'same(task.unit.batch)'))};
`;
}

function slotText(which: 'k' | 'v', context: KernelContext<HopperKnobs>): string {
  const { headDim, valueDim, knobs } = context;
  const dim = which === 'k' ? headDim : valueDim;
  const full = `c.${which}_full[${which}_slot]`;
  const apart = isApart(knobs);
  const copies = (indent: string): string =>
    boxText(
      'whole',
      'to',
      full,
      dim,
      slotKeys(knobs),
      'piece.at, head, 0, batch',
      'KEEP_IN_CACHE',
      indent,
    );
  const bytes = apart ? `${which}_bytes / slot_boxes * PIECE_BOXES(piece.what)` : `${which}_bytes`;
  const kept = apart
    ? `    if (lane < 2 * groups) (&c.held[k_slot].keep[0][0])[lane] = keep;\n`
    : '';
  const more = apart
    ? '      c.held[k_slot].more[0] = piece.more[0];\n      c.held[k_slot].more[1] = piece.more[1];\n'
    : '';
  const held = `${kept}    if (lane == 0) {
      c.held[k_slot].at = piece.at;
      c.held[k_slot].what = piece.what;
${more}    }
    __syncwarp();
`;
  // All that is known before the slot is free is found out before: a slot waits for its copy.
  return `  auto fill_${which} = [&](const Piece& piece) {
    const Task& task = c.tasks[piece.task];
${sourceText(which, context)}    const u32 to = tiles.${which} + ${which}_slot * ${which}_bytes;
    barrier_wait(c.${which}_empty[${which}_slot], ${which}_parity);
${which === 'k' ? held : ''}    if (elect_one()) {
      barrier_arrive_expect(${full}, ${bytes});
${apart ? apartText(full, dim, knobs, copies('        ')) : copies('      ')}
    }
    __syncwarp();
    next_slot(${which}_slot, ${which}_parity);
  };`;
}

/** The copies of a slot of boxes: in one where they follow each other and fill it, else slab by slab. */
function apartText(full: string, dim: number, knobs: HopperKnobs, whole: string): string {
  const bytes = boxKeys(knobs) * 128;
  const [column, part] = dim % 64 === 0 ? ['0', 'slab'] : ['slab * 64', '0'];
  const follows = Array.from(
    { length: knobs.boxes - 1 },
    (_, i) => ` && piece.more[${i}] == piece.at + ${i + 1} * box_keys`,
  ).join('');
  return `      if (PIECE_BOXES(piece.what) == slot_boxes${follows}) {
${whole}
      } else {
#pragma unroll
        for (int box = 0; box < slot_boxes; ++box)
#pragma unroll
          for (int slab = 0; slab < ${slabsOf(dim)}; ++slab)
            if (box < PIECE_BOXES(piece.what))
              copy_box(to + slab * ${knobs.boxes * bytes} + box * ${bytes}, apart, ${full}, ${column}, box == 0 ? piece.at : piece.more[box - 1], head, ${part}, batch, KEEP_IN_CACHE);
      }`;
}

/** `next_slot`, `order_copies`. Needs `Control` and `Tiles`. */
export const copierText = (
  context: KernelContext<HopperKnobs>,
): string => `// ---- the copier: one lane orders the copies of keys and values ----

WARPLOOM_DEVICE int same(int x) { return __shfl_sync(FULL_WARP, x, 0); }

WARPLOOM_DEVICE void next_slot(int& slot, u32& parity) {
  if (++slot == stages) {
    slot = 0;
    parity ^= 1;
  }
}

WARPLOOM_DEVICE void order_copies(const Arguments& p, Control& c, const Tiles& tiles) {
  const int lane = threadIdx.x & 31;
  int k_slot = 0, v_slot = 0;
  u32 k_parity = 1, v_parity = 1, parity = 0;
${isApart(context.knobs) ? '  u64 keep = 0ull;  // of the piece, a part of it in each of the first lanes\n' : ''}${slotText('k', context)}
${slotText('v', context)}
  // K of a step is ordered before V of the step before: it is let go earlier.
  Piece owed = {};
  bool owes = false;
#pragma unroll 1
  for (int place = 0;;) {
    barrier_wait(c.piece_full[place], parity);
    const Piece& next = c.queue[place];
    Piece piece;
    piece.at = same(next.at);
    piece.what = same(next.what);
    piece.task = same(next.task);
${isApart(context.knobs) ? '    piece.more[0] = same(next.more[0]);\n    piece.more[1] = same(next.more[1]);\n    if (lane < 2 * groups) keep = (&next.keep[0][0])[lane];\n' : ''}    __syncwarp();
    if (lane == 0) barrier_arrive(c.piece_empty[place]);
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
  }
}`;
