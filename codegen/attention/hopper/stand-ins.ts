// Which pools stand in for which queries of a step: found by a warp of its own, a step or two ahead, where bits of 32 pools
// are found at once. Warps that compute would judge pool after pool, each for itself, while products wait.

import type { KernelContext } from '../backend.ts';
import { appliedText } from '../masks/applied.ts';
import { queriesOf } from '../tiles.ts';
import { wordsText } from '../words.ts';
import { groupsOf, type HopperKnobs, isApart } from './knobs.ts';

type Context = Pick<KernelContext<HopperKnobs>, 'knobs' | 'passes' | 'names'>;

/** Does a warp of its own judge stand-ins? Pieces of boxes say by themselves which keys they keep. */
export const judgesApart = ({ knobs, passes, names }: Context): boolean =>
  !isApart(knobs) && poolWordsOf(passes, names) !== undefined;

/** `pools_for`: the pools that stand in for a query, of 32. */
function poolWordsOf(passes: Context['passes'], names: Context['names']): string | undefined {
  const rest = passes.find((pass) => pass.kind === 'rest');
  return rest && wordsText('pools_for', rest.mask, { size: rest.size, multiple: 1 }, names);
}

/** Steps of stand-ins that are judged and not yet computed. */
const places = 2;

const wordsOf = ({ kTile }: HopperKnobs): number => Math.ceil(kTile / 32);

/** Members of `Control`, and their bytes. */
export const judgedFields = `  u64 judged_full[judged_places], judged_empty[judged_places];
  u32 judged[judged_places][q_tile][judged_words];  // of each query the pools that stand in for it
`;
export const judgedBytes = (knobs: HopperKnobs): number =>
  places * (16 + queriesOf(knobs) * wordsOf(knobs) * 4);

export const judgedConstants = (knobs: HopperKnobs): string =>
  `constexpr int judged_places = ${places}, judged_words = ${wordsOf(knobs)};  // of stand-ins: steps, and of 32 pools each\n`;

export const judgedBarriers = (
  knobs: HopperKnobs,
): string => `    for (int i = 0; i < judged_places; ++i) {
      barrier_init(control.judged_full[i], 32);
      barrier_init(control.judged_empty[i], ${128 * groupsOf(knobs)});
    }
`;

/** `judge_stand_ins`, the role of the warp, and `keep_stand_ins`. Needs `Control`, `Scores` and `told`. */
export const standInsText = ({
  passes,
  names,
}: Context): string => `// ---- the judge of stand-ins: a warp that finds which pools stand in for which queries ----

${poolWordsOf(passes, names)}

WARPLOOM_DEVICE void judge_stand_ins(Control& c) {
  const int lane = threadIdx.x & 31;
  int place = 0, to = 0;
  u32 parity = 0, to_parity = 1;
#pragma unroll 1
  for (;;) {
    barrier_wait(c.piece_full[place], parity);
    const Piece rows = told(c.queue[place]);
    __syncwarp();
    if (lane == 0) barrier_arrive(c.piece_empty[place]);
    next_place(place, parity, queue_length);
    if (rows.what & PIECE_STOP) break;
    if ((rows.what & PIECE_KIND) != STAND_INS || (rows.what & PIECE_FULL)) continue;
    const Task& task = c.tasks[rows.what >> 8];
    const Unit& u = task.unit;
    barrier_wait(c.judged_empty[to], to_parity);
#pragma unroll 1
    for (int from = 0; from < q_tile; from += 32) {
      // Each lane has a query.
      if (from + lane < q_tile) {
#pragma unroll
        for (int i = 0; i < judged_words; ++i)
          c.judged[to][from + lane][i] = pools_for(u, task.start + from + lane, rows.at + i * 32);
      }
    }
    barrier_arrive(c.judged_full[to]);  // each lane for what it has written
    next_place(to, to_parity, judged_places);
  }
}

// -inf where a pool does not stand in for a query.
WARPLOOM_DEVICE void keep_stand_ins(const u32 (&judged)[q_tile][judged_words], int query, int column, Scores& s) {
${appliedText('judged_words', 'score_blocks', 'judged[query + 8 * half][box]')}
}`;
