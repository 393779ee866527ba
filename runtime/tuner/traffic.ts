// What of a choice decides how often keys and values come from memory: how many rows share a tile of them, and in which
// order tiles are drawn. At its limit of power a chip pays for that with its clock, which a race does not see: choices
// that move as much compare there as they do alone, others may not. (An H200, causal attention: at 128K tiles of 192
// rows hold a clock 3 % higher than those of 128, at 16K the order `longest` one that is 6 % lower.)

import type { Choice } from '../../codegen/attention/choice.ts';

/** The same for choices that move about as much. */
const trafficOf = ({ backend, knobs }: Choice): string =>
  `${backend} ${knobs.qTile} ${'work' in knobs ? knobs.work : ''}`;

/** Those that move about as much together, in the order in which they come. */
export function byTraffic<Item>(
  items: readonly Item[],
  choiceOf: (item: Item) => Choice,
): Item[][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const name = trafficOf(choiceOf(item));
    groups.set(name, [...(groups.get(name) ?? []), item]);
  }
  return [...groups.values()];
}

/** The first of each, the second of each, and so on: a short search has some of all. */
export function alternating(choices: readonly Choice[]): Choice[] {
  const groups = byTraffic(choices, (choice) => choice);
  const longest = Math.max(0, ...groups.map(({ length }) => length));
  return Array.from({ length: longest }, (_, i) =>
    groups.flatMap((group) => group.slice(i, i + 1)),
  ).flat();
}
