// What an author's schedule states of the knobs of a kernel, in the terms of choices: single values, and lists that a
// tuner chooses from. A knob that a back-end does not have is left aside there.

import type { Knobs } from '../../dsl/schedule.ts';
import type { Choice } from './choice.ts';
import type { StatedKnobs } from './hopper/knobs.ts';

/** A stated knob is one of these, but for the name of the softmax. */
const sameNames = [
  ...['qTile', 'kTile', 'warps', 'stages', 'blocks'],
  ...['qBuffers', 'pingPong', 'boxes', 'headsPerTile', 'work'],
] as const;

/** The knobs of the tile itself: who states one of them has stated the tile. */
const tileNames: ReadonlySet<string> = new Set(['qTile', 'kTile', 'warps', 'stages']);

type Value = number | boolean | string;

/** The knobs that are stated, by the name that choices have for them, and the values that each may have. */
export function statedIn(knobs: Knobs): [name: string, values: readonly Value[]][] {
  const all: [string, unknown][] = sameNames.map((name) => [name, knobs[name as keyof Knobs]]);
  const { softmax } = knobs;
  all.push(['speculative', softmax && [softmax].flat().map((one) => one === 'speculative')]);
  return all.flatMap(([name, value]) =>
    value === undefined ? [] : [[name, [value].flat() as Value[]] as const],
  ) as [string, Value[]][];
}

/** The first value of each. */
export const firstStated = (knobs: Knobs): StatedKnobs =>
  Object.fromEntries(statedIn(knobs).map(([name, [value]]) => [name, value]));

/** Is the tile itself stated, whatever else? */
export const hasTile = (knobs: Knobs): boolean =>
  statedIn(knobs).some(([name]) => tileNames.has(name));

/** Whether the author's word is the last: a tile is stated, and no list leaves a choice. */
export const statesTile = (knobs: Knobs): boolean =>
  hasTile(knobs) && statedIn(knobs).every(([, values]) => values.length === 1);

/** Text for what an author states or leaves to the tuner: what is best within it is best for it alone. */
export const statedText = (knobs: Knobs): string => JSON.stringify(statedIn(knobs));

/** Whether a choice is among those that an author states, as far as its back-end knows the knobs. */
export const isStated = (knobs: Knobs, choice: Choice): boolean =>
  statedIn(knobs).every(([name, values]) => {
    const own = (choice.knobs as unknown as Record<string, Value | undefined>)[name];
    return own === undefined || values.includes(own);
  });

/** The stated knobs that a choice does not have: they are of another back-end. */
export const leftAside = (knobs: Knobs, choice: Choice): string[] =>
  statedIn(knobs).flatMap(([name]) =>
    name in choice.knobs ? [] : [name === 'speculative' ? 'softmax' : name],
  );
