// Chosen sets of a call that no estimate made: empty ones to fill in.

import { BitSet, type ChosenSetsData } from '../../../dsl/chosen.ts';
import { traceSets } from '../../../dsl/definition.ts';
import { domainOf } from '../../../dsl/estimate/domain.ts';
import { axesOfChosen, isPerGroup } from '../../../dsl/estimate/node.ts';
import { defaultOf, isTensorInput } from '../../../dsl/given.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import type { AnyPattern } from '../../../index.ts';

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
