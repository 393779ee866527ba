// Units of the small kernels that run before attention, [batch, heads of the launch]: where a unit finds what query
// heads share, a set or a KV head.

import type { Place } from '../kernel.ts';
import type { Field } from '../struct.ts';
import type { CallFacts } from './call.ts';

export const ownerFields: readonly Field[] = [
  { name: 'head_list', type: 'address', pointer: 'const int*', comment: 'null: all heads' },
  { name: 'head_count', type: 'i32', comment: 'units are [batch, head_count]' },
  { name: 'groups', type: 'i32', comment: 'of query heads that share, in a batch entry' },
  { name: 'group', type: 'i32', comment: 'query heads of one' },
];

/** `owner_of`. Needs `Arguments` with the fields. */
export const ownerText = `// Whose a unit is: a group of query heads in a batch entry.
struct Owner {
  int batch, group;
};
WARPLOOM_DEVICE Owner owner_of(const Arguments& p, int unit) {
  int head = unit % p.head_count;
  if (p.head_list) head = p.head_list[head];
  return {unit / p.head_count, head / p.group};
}`;

/** The fields for a launch over all units; `group` query heads share. */
export function ownersOf(
  { shape, headList }: Pick<CallFacts, 'shape' | 'headList'>,
  group: number,
): { args: Record<string, number>; buffers: Record<string, Place> } {
  return {
    args: {
      head_count: headList?.length ?? shape.heads,
      groups: shape.heads / group,
      group,
      ...(headList ? {} : { head_list: 0 }),
    },
    buffers: headList ? { head_list: { buffer: 'head_list', offset: 0 } } : {},
  };
}
