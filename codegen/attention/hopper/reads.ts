// What a consumer is told: by slots and tasks, in shared memory.

import { scalarText } from '../../expression.ts';
import { when } from '../../text.ts';
import type { KernelContext } from '../backend.ts';
import type { HopperKnobs, SharedLayout } from './knobs.ts';
import { boxesArgument, type Traits } from './traits.ts';

/** `wait_for_k`, `release_q`, `next_task`, `is_plain`, `read_place` and `read_mask` of a consumer. */
export function readsText(
  { knobs, score, names }: KernelContext<HopperKnobs>,
  { outReplacesQ }: SharedLayout,
  traits: Traits,
): string {
  const { paired, chooses, pipelined } = traits;
  const { speculative, qBuffers } = knobs;
  const ramp = score?.ramp;
  return `${when(
    paired,
    `  // Lane 0 tells what a slot holds, the one that lets go of it: the others read what nobody writes.
  const Held* held_keys = nullptr;
`,
  )}  // What the step is.
  auto wait_for_k = [&]() {
${when(paired, '    held_keys = lane == 0 ? &c.slots[k_slot].held : &c.nothing;\n', '    k_matrix = further_on(k_first, k_slot * (k_bytes >> 4));\n    pin(k_matrix);\n')}    barrier_wait(c.slots[k_slot].k_full, k_parity);
${
  paired
    ? `    const u64 word = __shfl_sync(FULL_WARP, held_keys->told[group], 0);
    k_matrix = k_first & ~0xffffffffull | (u32)word;
    what = (int)(word >> 32) & 31;
    asked = (u32)(word >> 40);
${when(chooses, '    box = (int)(asked >> 8);\n')}`
    : '    what = told(lane == 0 ? c.slots[k_slot].held.what : 0);\n'
}  };
  // Is nothing masked${when(traits.endsRuns, ' but first keys')}?
  auto is_plain = [&]() { return (what & PIECE_FULL) != 0; };
  auto buffer_of = [&](int number) { return ${qBuffers === 2 ? 'number & 1' : '0'}; };
  auto release_q = [&](int number) {
    __syncwarp();
${when(!outReplacesQ, '    if (lane == 0) barrier_arrive(c.q_empty[buffer_of(number)][group]);\n')}  };
  auto task_of = [&](int number) -> Task& { return c.tasks[number % task_count]; };
  // Waits for the next task: what it orders.
  auto next_task = [&]() -> Order {
    barrier_wait(c.q_full[buffer_of(received)][group], ${qBuffers === 2 ? 'received >> 1' : 'received'} & 1);
    const Order order = (Order)__shfl_sync(FULL_WARP, (int)task_of(received).order, 0);
${when(
  qBuffers === 2,
  `    q_matrix = q_first + (u64)(__shfl_sync(FULL_WARP, received & 1, 0) * groups * q_group_bytes >> 4);
`,
)}${
  ramp
    ? `    if (order == COMPUTE) {
      const Unit& u = task_of(received).unit;
      slope_factor(is_steep(u) ? 0.f : ${scalarText(ramp.slope, names)}, slope);
    }
`
    : ''
}    ++received;
${when(
  pipelined && speculative,
  `    if (order == FINISH) {
      release_q(received - 1);
      if (elected) barrier_arrive(c.done[(received - 1) % task_count]);
    }
`,
)}    return order;
  };
${paired ? pairedReads(traits) : singleReads(traits)}`;
}

/** Reads of a kernel whose slots have boxes. */
const pairedReads = ({ mixed, chooses, asksPlace }: Traits): string => {
  const parameter = when(mixed, 'auto boxes');
  const used = mixed ? '    const u32 used = boxes.value == 2 ? 3u : 1u;\n' : '';
  const all = mixed ? 'used' : '3u';
  return `  u32 keep[score_blocks / 4];  // of the step: the keys that the walk lets through
  bool ready = false;          // no more than those decides
  // Where the keys of the step are.
  auto read_place = [&](${parameter}) {
    at = told(held_keys->at[${chooses ? 'box' : '0'}]);
    second = told(held_keys->at[${chooses ? 'min(box + 1, slot_boxes - 1)' : '1'}]);
  };
  // Which of them the walk lets through.
  auto read_mask = [&](${parameter}) {
${when(!asksPlace, `    read_place(${when(mixed, 'boxes')});\n`)}${used}    ready = (~(asked >> 2) & asked & ${all}) == 0u;
    const u32 some = asked & ~kept(asked);  // boxes that are told key by key
#pragma unroll
    for (int i = 0; i < ${mixed ? 'boxes.value' : '2'}; ++i) {
      const u64 known = some >> i & 1u ? held_keys->keep[group][i] : 0ull - (asked >> i & 1u);  // none where it does not ask
      const u64 keys = __shfl_sync(FULL_WARP, known, 0);
#pragma unroll
      for (int word = 0; word < box_keys / 32; ++word) keep[i * (box_keys / 32) + word] = (u32)(keys >> 32 * word);
    }
  };
`;
};

/** Reads of a kernel whose slots have one box, which is where all warpgroups work on. */
const singleReads = ({
  asksPlace,
}: Traits): string => `  // Where the keys of the step are${when(!asksPlace, ', which only masks ask')}.
  auto ${asksPlace ? 'read_place' : 'read_mask'} = [&]() { at = told(lane == 0 ? c.slots[k_slot].held.at : 0); };
`;

/** Has a masked step something to read? */
export const maskReads = ({ paired, asksPlace }: Traits): boolean => paired || !asksPlace;

/** The place of a step where others than masks ask for it: read while its products are under way. */
export const placeRead = ({ asksPlace }: Traits, boxes: string, indent: string): string =>
  when(asksPlace, `${indent}read_place(${boxes});\n`);

/** All that is read of the step that begins a task. */
export const firstReads = (traits: Traits, indent: string): string => {
  const two = boxesArgument(traits, 'Number<2>()');
  return `${placeRead(traits, two, indent)}${when(maskReads(traits), `${indent}if (!is_plain()) read_mask(${two});\n`)}`;
};
