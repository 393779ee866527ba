// What the roles of a Hopper block tell each other in shared memory: barriers, what the slots hold, and the
// tiles of queries that are worked on.

import type { KernelContext } from '../backend.ts';
import { groupsOf, type HopperKnobs, isApart } from './knobs.ts';

/**
 * Steps that the walk may be ahead of the copies. A tile drawn too early would wait for the ones before it; a walk
 * over sets goes by fits and starts.
 */
const queueLength = ({ boxes }: Pick<HopperKnobs, 'boxes'>): number => (boxes > 1 ? 6 : 4);

/** Tasks that are remembered: what the walk is ahead by, two that are computed, and one in between. */
const taskCount = 8;

/** `Task`, `Piece` and `Control`. Needs `Unit` and `Visit`. */
export const controlText = ({ knobs }: KernelContext<HopperKnobs>): string => {
  const { speculative } = knobs;
  const apart = isApart(knobs);
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

// Keys of one step on their way into a slot, and what they are: a kind of visit, and flags.
struct Piece {
  int at, what;
  int task;  // its place among the tasks
${apart ? '  int more[2];              // where its other boxes begin, as the first does at `at`\n  alignas(16) u64 keep[groups][2];  // of the boxes that a warpgroup works on, the keys that it may attend to\n' : ''}};
#define PIECE_KIND 3
#define PIECE_FULL 4   // every pair is allowed
#define PIECE_LAST 8   // of its tile
#define PIECE_NONE 16  // no more until others follow: only V of the step before
#define PIECE_STOP 32  // no more at all
${
  apart
    ? `#define PIECE_OPENS 64  // the first of its tile: two boxes, whoever asks
#define PIECE_BOXES(what) ((what) >> 24)
// What a warpgroup asks: bits 0 and 1 for which of its two boxes, 2 and 3 for which no more than the keys kept decides
// its pairs, 4 and 5 for which all keys are; from bit 6 on the first of its boxes among those of the piece.
WARPLOOM_DEVICE u32 asked_of(int what, int group) { return (u32)what >> (8 + 8 * group) & 255u; }
`
    : ''
}
constexpr int queue_length = ${queueLength(knobs)}, task_count = ${taskCount};

// Slots are full when copies have landed, and empty when every warp that computes has let go of them.
struct Control {
  u64 k_full[stages], k_empty[stages], v_full[stages], v_empty[stages];
  u64 q_full[q_buffers][groups], q_empty[q_buffers][groups];
  u64 piece_full[queue_length], piece_empty[queue_length];
  Piece queue[queue_length];  // from the walk to the copies
  Piece held[stages];         // what each K slot holds
  Task tasks[task_count];
${speculative ? '  u64 done[task_count];       // every warpgroup has stored its outputs of the task\n' : ''}};`;
};

/** No less than the bytes of `Control`. */
export function controlBytes({
  knobs,
  unitBytes,
}: Pick<KernelContext<HopperKnobs>, 'knobs' | 'unitBytes'>): number {
  const groups = groupsOf(knobs);
  const { speculative } = knobs;
  const barriers =
    4 * knobs.stages +
    2 * knobs.qBuffers * groups +
    2 * queueLength(knobs) +
    (speculative ? taskCount : 0);
  const pieces = (queueLength(knobs) + knobs.stages) * (isApart(knobs) ? 64 : 12);
  const task = Math.ceil(unitBytes / 8) * 8 + (speculative ? 32 : 24);
  return 8 * barriers + pieces + taskCount * task + 16;
}
