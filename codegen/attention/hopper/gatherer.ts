// The gatherer of a Hopper block: two warps that copy listed rows of K and V into slots, 16 bytes a thread, in
// the form that boxes have there. Boxes cannot gather; everything else is the copier's.

import { firstRowText } from '../addresses.ts';
import type { KernelContext } from '../backend.ts';
import { padded } from '../tiles.ts';
import { piecesText } from './copier.ts';
import type { HopperKnobs } from './knobs.ts';

/** Threads that gather: the last two warps of the warpgroup that does not compute. */
export const gatherThreads = 64;

function fillText(which: 'k' | 'v', dim: number): string {
  return `  auto fill_${which} = [&](const Piece& piece) {
    // Also for a slot that is not filled here: a barrier tells this phase from the one before, not from older ones.
    barrier_wait(c.${which}_empty[${which}_slot], ${which}_parity);
    if ((piece.what & PIECE_KIND) == COLUMNS) {
      const Task& task = c.tasks[piece.task];
      const Unit& u = task.unit;
      gather<${padded(dim) / 8}, ${dim}>(tiles.${which} + ${which}_slot * ${which}_bytes, ${firstRowText(which, false)}, p.${which}_row,
          p.columns_list + (i64)task.index * p.columns_capacity, piece.at, p.columns_count[task.index]);
      if (thread == 0) {
${which === 'k' ? '        c.held[k_slot] = piece;\n' : ''}        barrier_arrive(c.${which}_full[${which}_slot]);
      }
    }
    next_slot(${which}_slot, ${which}_parity);
  };`;
}

/** `gather_columns`. Needs `Control`, `Tiles` and `next_slot`. */
export const gathererText = ({
  headDim,
  valueDim,
}: KernelContext<HopperKnobs>): string => `// ---- the gatherer: two warps copy listed keys and values ----

// Entries [first, first + k_tile) of a list as rows of a tile; from \`count\` on they are zeros. Products see
// the rows when this returns.
template <int chunks, int dim>
WARPLOOM_DEVICE void gather(u32 to, const u16* from, i64 stride, const int* list, int first, int count) {
#pragma unroll 4
  for (int at = threadIdx.x & ${gatherThreads - 1}; at < k_tile * chunks; at += ${gatherThreads}) {
    const int row = at / chunks, chunk = at % chunks;
    const bool valid = first + row < count && chunk * 8 < dim;
    const u32 place = row * 128 + (chunk >> 3) * (k_tile * 128) + (((chunk & 7) ^ (row & 7)) << 4);
    copy_async_16(to + place, from + (valid ? list[first + row] * stride + chunk * 8 : 0), valid);
  }
  copy_commit();
  copy_wait<0>();
  shared_written();
  threads_wait(4 + groups, ${gatherThreads});
}

WARPLOOM_DEVICE void gather_columns(const Arguments& p, Control& c, const Tiles& tiles) {
  const int thread = threadIdx.x & ${gatherThreads - 1};
  int k_slot = 0, v_slot = 0;
  u32 k_parity = 1, v_parity = 1, parity = 0;
${fillText('k', headDim)}
${fillText('v', valueDim)}
${piecesText(`threads_wait(4 + groups, ${gatherThreads});  // all have read it
    if (thread == 0) barrier_arrive(c.piece_empty[place]);`)}
}`;
