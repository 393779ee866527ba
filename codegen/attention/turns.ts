// Units that two kernels share out between them: one attends by what heads chose, the other to the hull of their mask,
// and which does is known on the device alone. Each has a list of its own units, made before it runs.

import { devicePrimitives } from '../device.ts';
import type { Buffer, Kernel, Place, Step } from '../kernel.ts';
import { type Field, Struct } from '../struct.ts';
import type { CallFacts, Turn } from './call.ts';

/** What a kernel that has turns reads. */
export const turnFields: readonly Field[] = [
  {
    name: 'turn',
    type: 'address',
    pointer: 'const int*',
    comment: 'how many units this launch attends to, then which',
  },
];

const threads = 32;

const params = new Struct('Arguments', [
  { name: 'fallen', type: 'address', pointer: 'const u32*', comment: '[batch, heads]' },
  { name: 'turn', type: 'address', pointer: 'int*', comment: '[1 + units]' },
  { name: 'head_list', type: 'address', pointer: 'const int*', comment: 'null: all heads' },
  { name: 'head_count', type: 'i32', comment: 'units are [batch, head_count]' },
  { name: 'heads', type: 'i32' },
  { name: 'units', type: 'i32' },
  { name: 'wanted', type: 'i32', comment: '1: those that fell back; 0: the others' },
]); // biome-ignore format: one field a line

const source = (): string => `${devicePrimitives()}
// ---- kernel ----

${params.text}

// One warp lists the units of a launch, in their order.
extern "C" __global__ void __launch_bounds__(${threads})
take_turns(const __grid_constant__ Arguments p) {
  int count = 0;
  for (int first = 0; first < p.units; first += ${threads}) {
    const int unit = first + (int)threadIdx.x;
    bool is_own = false;
    if (unit < p.units) {
      int head = unit % p.head_count;
      if (p.head_list) head = p.head_list[head];
      is_own = (p.fallen[unit / p.head_count * p.heads + head] != 0) == (p.wanted != 0);
    }
    const u32 own = __ballot_sync(FULL_WARP, is_own);
    if (is_own) p.turn[1 + count + __popc(own & (1u << threadIdx.x) - 1u)] = unit;
    count += __popc(own);
  }
  if (threadIdx.x == 0) p.turn[0] = count;
}
`;

const takeTurnsKernel = (): Kernel => ({
  name: 'take_turns',
  source: source(),
  threads,
  sharedBytes: 0,
  params,
});

/** Memory for the list of a launch, and the launch that makes it. Reads the buffer `fallen`. */
export function turnOf(
  turn: Turn,
  { shape, headList }: Pick<CallFacts, 'shape' | 'headList'>,
): { readonly buffers: Readonly<Record<string, Place>>; workspace: Buffer; before: Step } {
  const whole = (buffer: string): Place => ({ buffer, offset: 0 });
  const headCount = headList?.length ?? shape.heads;
  const units = shape.batch * headCount;
  return {
    buffers: { turn: whole('turn') },
    workspace: { name: 'turn', bytes: 4 * (1 + units) },
    before: {
      op: 'launch',
      kernel: takeTurnsKernel(),
      grid: [1, 1, 1],
      args: {
        ...{ head_count: headCount, heads: shape.heads, units },
        ...{ wanted: Number(turn === 'hull') },
        ...(headList ? {} : { head_list: 0 }),
      },
      buffers: {
        ...{ fallen: whole('fallen'), turn: whole('turn') },
        ...(headList ? { head_list: whole('head_list') } : {}),
      },
    },
  };
}
