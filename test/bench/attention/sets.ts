// Chosen sets of a call that no estimate made: empty ones to fill in, and copies in the memory of a device.

import { BitSet, type ChosenSetsData } from '../../../dsl/chosen.ts';
import { traceSets } from '../../../dsl/definition.ts';
import { domainOf } from '../../../dsl/estimate/domain.ts';
import { axesOfChosen, isPerGroup } from '../../../dsl/estimate/node.ts';
import { defaultOf, isTensorInput } from '../../../dsl/given.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { AnyPattern, Device } from '../../../index.ts';
import { Block } from '../../../runtime/cuda/block.ts';
import { DeviceSet, wordsOfSet } from '../../../runtime/cuda/sets.ts';

/** The sets that a pattern chooses for each head of a call by its default numbers, without members. */
export function emptySets({ definition }: AnyPattern, shape: LaunchShape): ChosenSetsData {
  const numbers: Record<string, number> = {};
  for (const [name, entry] of Object.entries(definition.given))
    if (!isTensorInput(entry)) numbers[name] = defaultOf(entry)!;
  return Object.fromEntries(
    Object.entries(traceSets(definition, numbers)).map(([name, node]) => {
      const domain = domainOf(node, shape);
      const perGroup = isPerGroup(node);
      const count = shape.batch * (perGroup ? shape.kvHeads : shape.heads);
      const units = Array.from({ length: count }, () => new BitSet(domain));
      const dense = units.map(() => false);
      return [name, { axes: axesOfChosen(node), perGroup, units, dense }];
    }),
  );
}

/** The same sets where a device reads them without a copy for every call. */
export async function setsOn(device: Device, sets: ChosenSetsData): Promise<ChosenSetsData> {
  if (device.kind === 'cpu') return sets;
  const placed: Record<string, DeviceSet> = {};
  for (const [name, set] of Object.entries(sets)) {
    const { domain, words, most } = wordsOfSet(set);
    const block = new Block(device.machine, words.byteLength);
    await device.machine.upload(block.address, words);
    const { axes, perGroup, units } = set;
    const facts = { axes, perGroup, domain, count: units.length, most };
    placed[name] = new DeviceSet(facts, { block, bits: 0, dense: undefined });
  }
  return placed;
}
