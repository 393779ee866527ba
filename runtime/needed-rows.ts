// Which rows of its chosen sets a call has a use for. The question itself is dsl/analysis/relevance.ts's.

import { rowsThatMatter } from '../dsl/analysis/relevance.ts';
import { type Definition, lifted } from '../dsl/definition.ts';
import { domainOf } from '../dsl/estimate/domain.ts';
import type { NeededRows } from '../dsl/estimate/needed.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import type { BoundParameters } from '../dsl/given.ts';
import type { LaunchShape } from '../dsl/shape.ts';

/** The rows of the sets of a call that can change its mask. */
export function rowsNeeded(
  definition: Definition,
  graph: EstimateGraph,
  params: BoundParameters,
  shape: LaunchShape,
  heads: readonly number[],
): NeededRows {
  const { mask } = lifted(definition);
  const domains = Object.fromEntries(
    Object.entries(graph).map(([name, node]) => [name, domainOf(node, shape)]),
  );
  return rowsThatMatter({ mask, domains, shape, params, heads });
}
