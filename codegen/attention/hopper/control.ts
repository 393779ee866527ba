// What the roles of a Hopper block tell each other in shared memory: barriers, what the slots hold, and the
// tiles of queries that are worked on.

import { mentions } from '../../../dsl/expression.ts';
import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import { groupsOf, type HopperKnobs, isApart } from './knobs.ts';
import { distancesOf } from './members.ts';
import { choosesBoxes, stepsDiffer } from './pairs.ts';
import { judgedBytes, judgedConstants, judgedFields, judgesApart } from './stand-ins.ts';

/** What the size of `Control` depends on; the passes of all kernels of a form are not known before there is one. */
type Shared = Pick<KernelContext<HopperKnobs>, 'knobs'> &
  Partial<Pick<KernelContext<HopperKnobs>, 'passes'>>;

/**
 * Steps that the walk may be ahead of the copies. A tile drawn too early would wait for the ones before it; a walk
 * that looks for its keys, in sets or tensors, goes by fits and starts.
 */
function queueLength({ knobs, passes = [] }: Shared): number {
  if (isApart(knobs)) return 12;
  return passes.some(({ mask }) => mentions(mask, 'has') || mentions(mask, 'at')) ? 8 : 4;
}

/**
 * Tasks that are remembered: two that are computed, the one that is walked over, and what lies between. Pieces of
 * boxes leave less room for them, and so do judged stand-ins.
 */
const taskCount = ({ boxes }: Pick<HopperKnobs, 'boxes'>, judges: boolean): number =>
  boxes > 1 || judges ? 4 : 8;

/** `Task`, `Piece`, `Control` and `next_place`. Needs `Unit` and `Visit`. */
export const controlText = (context: KernelContext<HopperKnobs>): string => {
  const { knobs } = context;
  const { speculative } = knobs;
  const judges = judgesApart(context);
  return `// ---- what the roles of a block share ----

// One tile of queries of one unit, or what to do instead.
enum Order { COMPUTE, FINISH, STOP };  // FINISH: end what you have, then ask again
struct Task {
  Unit unit;
  int index;   // of the unit in this launch
  int start;   // position of the tile's first row
  int q0, q1;  // positions of its first and last query
  Order order;
${
  speculative
    ? `  int number;  // of the tile among all of the launch
  bool careful;  // a second attempt: weights relative to the highest score so far
  int failed;    // weights of a first attempt left the range of floats
`
    : ''
}};

${isApart(knobs) ? pieceOfBoxes(stepsDiffer(context), choosesBoxes(context), distancesOf(context) !== undefined) : pieceOfOne(judges)}
constexpr int queue_length = ${queueLength(context)}, task_count = ${taskCount(knobs, judges)};
${judges ? judgedConstants(knobs) : ''}
// Keys of a step, and its values: full when copies have landed, and empty when every warp that computes has let go of them.
struct Slot {
  u64 k_full, k_empty, v_full, v_empty;
  ${isApart(knobs) ? 'Held' : 'Piece'} held;  // what the keys are
};
struct Control {
  Slot slots[stages];
${isApart(knobs) ? '  Held nothing;  // what lanes read that tell nothing: nobody writes it\n' : ''}  u64 q_full[q_buffers][groups], q_empty[q_buffers][groups];
  u64 piece_full[queue_length], piece_empty[queue_length];
  u64 begun;  // the first keys of the block have landed
  Piece queue[queue_length];  // from the walk to the copies
${judges ? judgedFields : ''}  Task tasks[task_count];
${speculative ? '  u64 done[task_count];       // every warpgroup has stored its outputs of the task\n' : ''}};
// The next place of a ring; its barriers change parity from round to round.
WARPLOOM_DEVICE void next_place(int& place, u32& parity, int length) {
  const bool wraps = place == length - 1;
  place = wraps ? 0 : place + 1;
  parity ^= (u32)wraps;
}
// What lane 0 knows: by the shuffle all know that the others have the same.
WARPLOOM_DEVICE int told(int word) { return __shfl_sync(FULL_WARP, word, 0); }`;
};

const flags = `#define PIECE_KIND 3
#define PIECE_FULL 4   // every pair is allowed
#define PIECE_LAST 8   // of its tile
#define PIECE_STOP 16  // no more at all
`;

const pieceOfOne = (
  judges: boolean,
): string => `// Where the keys and the values of a step are, and what they are: a kind of visit, and flags${when(judges, '; from bit 8 on the place of\n// their tile among the tasks')}.
struct alignas(16) Piece {
  int what, head, batch, at;
};
${flags}`;

const pieceOfBoxes = (
  mixed: boolean,
  chooses: boolean,
  endsRuns: boolean,
): string => `// Where the boxes of a step are, and what they are: a kind of visit, and flags; and from bit 8 on, a byte for each box, what
// is asked of it: bits 0 and 1 for whether a warpgroup does, 2 and 3 for whether no more than the keys kept decides its
// pairs, 4 and 5 for whether all keys are, 6 and 7 for whether all but the first are, as at the end of a run of members that
// are as many as keys of a box; the lower one of two bits is for the first warpgroup.
struct Rows {
  int what, head, batch, at[slot_boxes];
};
#define NO_KEYS 0x7fffff80  // where a box of zeros begins: beyond all that is copied from
// One step on its way into a slot. For each warpgroup in one word: where in the slot the keys are that it works on, as a
// matrix has it; from bit 32 on kind and flags; from bit 40 on what it asks of these two boxes, in such pairs of bits${chooses ? ', and\n// from bit 48 on the first of them' : ''}.
struct alignas(16) Piece : Rows {
  u64 told[groups];
  u64 keep[groups][2];  // the keys of its two boxes that a warpgroup may attend to, where it asks for them
};
${flags}${when(mixed, '#define PIECE_AS_THEY_ARE 32  // both warpgroups work on the first two boxes, whoever asks\n')}#define PIECE_BOXES(what) ((what) >> 6 & 3)
${when(
  chooses,
  `// Which two boxes a warpgroup works on${mixed ? '' : ' of three'}: these and the next.${when(!mixed, ' Of two each has both, whoever asks.')}
WARPLOOM_DEVICE u32 first_box(u32 what, int group) {
  return (what >> (8 + group) & 0x101u) == 0x100u && ${mixed ? '!(what & PIECE_AS_THEY_ARE)' : 'PIECE_BOXES(what) == 3'} ? 1u : 0u;
}
`,
)}// Boxes that no key of need be told of: all are kept${when(endsRuns, ', or all but the first')}. Of what is asked, where the bits of who asks are.
WARPLOOM_DEVICE u32 kept(u32 asks) { return asks >> 4${when(endsRuns, ' | asks >> 6')}; }
// What a warpgroup is told: kind and flags, and from bit 8 on what it asks of its two boxes, by the bytes of these. Full where
// both that it works on are kept.
WARPLOOM_DEVICE u32 tell(u32 what, u32 boxes) {
  const u32 asks = boxes & 0x55u | boxes >> 7 & 0xaau, whole = asks & kept(asks);
  const u32 needed = ${mixed ? '(what & PIECE_AS_THEY_ARE) != 0u ? 3u : asks & 3u | 1u' : '3u'};
  return what & 31u | ((whole & needed) == needed ? PIECE_FULL : 0u) | asks << 8;
}
// What a slot holds; places are told where keys are in shared memory.
struct Held {
  u64 told[groups];
  int at[slot_boxes];
  u64 keep[groups][2];
};
`;

/** As bytes take room before what is aligned to so many. */
const aligned = (bytes: number, to = 8): number => Math.ceil(bytes / to) * to;

/** No less than the bytes of `Control`; `judges` says whether a warp judges stand-ins. */
export function controlBytes(
  { unitBytes, ...shared }: Pick<KernelContext<HopperKnobs>, 'unitBytes'> & Shared,
  judges = false,
): number {
  const { knobs } = shared;
  const groups = groupsOf(knobs);
  const { speculative } = knobs;
  const barriers =
    4 * knobs.stages +
    2 * knobs.qBuffers * groups +
    2 * queueLength(shared) +
    1 +
    (speculative ? taskCount(knobs, judges) : 0);
  const { boxes } = knobs;
  const told = groups * 24;
  const [piece, held] = isApart(knobs)
    ? [aligned(12 + 4 * boxes + told, 16), aligned(4 * boxes) + told]
    : [16, 16];
  const slots = isApart(knobs) ? knobs.stages + 1 : knobs.stages;
  const pieces = queueLength(shared) * piece + slots * held;
  const task = aligned(unitBytes) + (speculative ? 32 : 24);
  const judged = judges ? judgedBytes(knobs) : 0;
  return 8 * barriers + pieces + judged + taskCount(knobs, judges) * task + 16;
}
