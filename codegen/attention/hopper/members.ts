// The members of a set of distances as boxes: where each begins, and which keys of it are members. They are the same for
// all tiles of queries, so a warp finds them once for each unit, near ones first.

import { devicePrimitives } from '../../device.ts';
import type { Buffer, Kernel, Place, Step } from '../../kernel.ts';
import { type Field, Struct } from '../../struct.ts';
import type { KernelContext, LaunchRequest } from '../backend.ts';
import { ownerFields, ownersOf, ownerText } from '../owners.ts';
import { boxKeys, type HopperKnobs, isApart } from './knobs.ts';
import { setWords } from './set-words.ts';
import { type BoxWalk, walkOf } from './walks.ts';

/** `struct Member`. */
export const memberText = `// A box of members of a set: the first one, and a bit for each from it on.
struct Member {
  i64 first;
  u64 bits;
};`;

/** The set of distances that a kernel walks over, if it does. */
export function distancesOf({
  passes,
  knobs,
}: Pick<KernelContext<HopperKnobs>, 'passes' | 'knobs'>):
  | (BoxWalk & { readonly form: 'distances' })
  | undefined {
  const tiles = passes.find(({ kind }) => kind === 'tiles');
  const way = isApart(knobs) && tiles ? walkOf(tiles, boxKeys(knobs)) : undefined;
  return way?.form === 'distances' ? way : undefined;
}

/** What the attention kernel has of them. */
export const memberFields: readonly Field[] = [
  {
    name: 'members',
    type: 'address',
    pointer: 'const Member*',
    comment: '[units, capacity], ascending',
  },
  { name: 'members_count', type: 'address', pointer: 'const int*', comment: '[units]' },
  { name: 'members_capacity', type: 'i32' },
];

const params = new Struct('Arguments', [
  { name: 'bits', type: 'address', pointer: 'const u32*', comment: '[set units, stride]' },
  { name: 'members', type: 'address', pointer: 'Member*', comment: '[units, capacity], ascending' },
  { name: 'count', type: 'address', pointer: 'int*', comment: '[units]' },
  ...ownerFields,
  { name: 'rows', type: 'i32', comment: 'of a set: 1, or 0 where it has none' },
  { name: 'columns', type: 'i32', comment: 'members are below' },
  { name: 'capacity', type: 'i32' },
]); // biome-ignore format: one field a line

const source = (keys: number): string => `${devicePrimitives()}
// ---- kernel ----

constexpr int box_keys = ${keys};
${memberText}
${setWords}
${params.text}
${ownerText}

// Forgets members before \`next\`.
WARPLOOM_DEVICE void forget(Words& words, int base, int next) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int past = next - (base + (int)(threadIdx.x & 31) * 4 + i) * 32;
    if (past > 0) words.own[i] = past < 32 ? words.own[i] & FULL_WARP << past : 0u;
  }
}
// The first member in the words but the last two, or NO_MEMBER.
WARPLOOM_DEVICE int first_member(const Words& words, int base) {
  const int lane = threadIdx.x & 31;
  int first = NO_MEMBER;
#pragma unroll
  for (int i = 3; i >= 0; --i)
    if (words.own[i] != 0u && lane * 4 + i < 126) first = (base + lane * 4 + i) * 32 + __ffs(words.own[i]) - 1;
  const u32 found = __ballot_sync(FULL_WARP, first != NO_MEMBER);
  return found == 0u ? NO_MEMBER : __shfl_sync(FULL_WARP, first, __ffs(found) - 1);
}

// A warp a unit: 32 lanes hold the bits of 4096 members.
extern "C" __global__ void __launch_bounds__(32)
list_members(const __grid_constant__ Arguments p) {
  const int lane = threadIdx.x & 31, unit = blockIdx.x;
  const Owner owner = owner_of(p, unit);
  const int stride = (p.columns + 31) / 32, used = p.rows == 0 ? 0 : stride;
  const u32* bits = p.bits + (i64)(owner.batch * p.groups + owner.group) * p.rows * stride;
  Member* members = p.members + (i64)unit * p.capacity;
  Words following = load_words(bits, used, 0);
  int count = 0, next = 0;
#pragma unroll 1
  for (int base = 0; base < used; base += 126) {
    const Words words = following;
    following = load_words(bits, used, base + 126);
    Words left = words;
    forget(left, base, next);
#pragma unroll 1
    for (int first; (first = first_member(left, base)) < p.columns;) {
      const u64 own = bits_at(words, first - base * 32);
      if (lane == 0 && count < p.capacity) members[count] = {first, own};
      ++count;
      next = first + box_keys;
      forget(left, base, next);
    }
  }
  if (lane == 0) p.count[unit] = min(count, p.capacity);
}
`;

/** One block per unit of the launch. */
export const membersKernel = (keys: number): Kernel => ({
  name: 'list_members',
  source: source(keys),
  threads: 32,
  sharedBytes: 0,
  params,
});

/** Memory for the boxes of all units, and the launch that finds them. A box begins where the one before has ended. */
export function members(
  set: string,
  knobs: HopperKnobs,
  { call, units }: LaunchRequest,
): {
  args: Record<string, number>;
  buffers: Record<string, Place>;
  workspace: Buffer[];
  before: Step[];
} {
  const { shape, sets } = call;
  const { domain, perGroup } = sets[set]!;
  const owners = ownersOf(call, perGroup ? shape.heads / shape.kvHeads : 1);
  const keys = boxKeys(knobs);
  const capacity = Math.max(1, Math.ceil(domain.columns / keys));
  const whole = (buffer: string): Place => ({ buffer, offset: 0 });
  return {
    args: { members_capacity: capacity },
    buffers: { members: whole('members'), members_count: whole('members_count') },
    workspace: [
      { name: 'members', bytes: units * capacity * 16 },
      { name: 'members_count', bytes: units * 4 },
    ],
    before: [
      {
        op: 'launch',
        kernel: membersKernel(keys),
        grid: [units, 1, 1],
        args: {
          ...owners.args,
          rows: domain.rows,
          columns: domain.columns,
          capacity,
        },
        buffers: {
          ...owners.buffers,
          bits: whole(`set ${set}`),
          members: whole('members'),
          count: whole('members_count'),
        },
      },
    ],
  };
}
