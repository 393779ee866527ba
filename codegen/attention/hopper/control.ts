// What the roles of a Hopper block tell each other in shared memory: barriers, what the slots hold, and the
// tiles of queries that are worked on.

import type { KernelContext } from '../backend.ts';
import { groupsOf, type HopperKnobs } from './knobs.ts';

/** Steps that the walk may be ahead of the copies. A tile drawn too early would wait for the ones before it. */
const queueLength = 4;

/** Tasks that are remembered: what the walk is ahead by, two that are computed, and one in between. */
const taskCount = 8;

/** `Task`, `Piece` and `Control`. Needs `Unit` and `Visit`. */
export const controlText = ({ knobs }: KernelContext<HopperKnobs>): string => {
  const { speculative } = knobs;
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
};
#define PIECE_KIND 3
#define PIECE_FULL 4   // every pair is allowed
#define PIECE_LAST 8   // of its tile
#define PIECE_NONE 16  // no more until others follow: only V of the step before
#define PIECE_STOP 32  // no more at all

constexpr int queue_length = ${queueLength}, task_count = ${taskCount};

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
  const barriers = 4 * knobs.stages + 2 * knobs.qBuffers * groups + 2 * queueLength + taskCount;
  const pieces = queueLength + knobs.stages;
  const task = Math.ceil(unitBytes / 8) * 8 + 32;
  return 8 * barriers + 12 * pieces + taskCount * task + 16;
}
