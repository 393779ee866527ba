// Laws 3 and 6 as properties of the built-in patterns, with random parameters, scalar or one per head.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Choice } from '../../../codegen/attention/choice.ts';
import { BitSet, type ChosenSetsData } from '../../../dsl/chosen.ts';
import type { NeededRows } from '../../../dsl/estimate/needed.ts';
import type { EstimateGraph } from '../../../dsl/estimate/trace.ts';
import type { AnyPattern } from '../../../dsl/pattern.ts';
import type { Knobs } from '../../../dsl/schedule.ts';
import { patterns } from '../../../patterns/index.ts';
import { compile } from '../../../runtime/attend.ts';
import { estimateSets } from '../../../runtime/cpu/estimate/index.ts';
import { readChosen } from '../../../runtime/cuda/sets.ts';
import type { Device } from '../../../runtime/device.ts';
import { checkInputs, graphsPerHead } from '../../../runtime/inputs.ts';
import { rowsNeeded } from '../../../runtime/needed-rows.ts';
import { planCall } from '../../../runtime/plans.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';
import {
  arbitraryCalls,
  type CallOptions,
  type CallSample,
  tensorsOfCall,
} from '../../../runtime/testing/calls.ts';
import { boundOfKernels, disagreementsOfSets } from '../../sets.ts';
import { arbitraryKnobs } from '../arbitraries.ts';
import { checkCoverage } from './coverage.ts';

const mass = [0.05, 0.5, 0.9, 1];

/** Fixed numbers small enough for small shapes, and budgets that leave something out. */
const stated: Readonly<Record<string, NonNullable<CallOptions['params']>>> = {
  'vertical-slash': {
    probe: [64, 16, 5],
    grain: [64, 16, 8],
    verticals: [0, 5, 31, 40],
    slashes: [0, 9, 101, 110],
  },
  'block-sparse': { block: [64, 16, 5], blocksPerRow: [0, 1, 2, 3, 100] },
  'x-attention': { block: [16, 32], stride: [4, 8], mass },
  'flex-prefill': { block: [16, 32, 128], mass, tau: [0, 0.1, 1] },
  'flash-prefill': {
    block: [128, 16, 32],
    tile: [32, 16, 8],
    share: [0, 0.1, 0.5, 1],
    tail: [0, 5, 20],
  },
  'nsa-selection': { block: [64, 16, 5], blocksPerQuery: [0, 1, 2, 5], window: [0, 3, 16] },
  'alibi-softcap': { cap: [50, 5, 0.5] },
};

export interface BuiltInCall {
  readonly name: string;
  readonly call: CallSample;
  readonly knobs: Knobs;
}

/** A built-in pattern with its own schedule but for the tile sizes. */
function patternOf({ name, knobs }: BuiltInCall): AnyPattern {
  const { definition } = patterns.get(name)!;
  const { gather: _, ...tiles } = knobs;
  return { name, definition: { ...definition, knobs: { ...definition.knobs, ...tiles } } };
}

/** Random calls of all built-in patterns (or those named). */
export const builtInCalls = (
  names: readonly string[] = [...patterns.keys()],
  sizes: CallOptions = { longest: 70, tile: 16, groups: 4 },
): fc.Arbitrary<BuiltInCall> =>
  fc.oneof(
    ...names.map((name) =>
      fc.record({
        name: fc.constant(name),
        call: arbitraryCalls(patterns.get(name)!.definition, { ...sizes, params: stated[name] }),
        knobs: arbitraryKnobs,
      }),
    ),
  );

/** Law 3, exactly: a visited tile has an allowed pair, a full one is full, a partial one is neither. */
export const builtInsClassifyExactly = (names?: readonly string[]) =>
  fc.asyncProperty(
    builtInCalls(names, { longest: 80, tile: 16, groups: 2, kvHeads: 1 }),
    async (one) => {
      const pattern = patternOf(one);
      const inputs = tensorsOfCall(pattern.definition, one.call);
      const planned = await planCall(pattern, inputs, one.call.params);
      for (const plan of planned.parts[0]!.plans.slice(-2)) {
        for (const { visit, allowed, all } of checkCoverage(plan, plan.mask)) {
          if (visit.kind !== 'tile') continue;
          const where = `keys ${visit.from} to ${visit.to}`;
          assert.ok(allowed > 0, `${where} are visited for nothing`);
          assert.equal(
            visit.full,
            allowed === all,
            `${where}: ${allowed} of ${all} pairs are allowed`,
          );
        }
      }
    },
  );

/** The selections under the dilations. */
const undilated = (graph: EstimateGraph): EstimateGraph =>
  Object.fromEntries(
    Object.entries(graph).map(([name, node]) => [name, node.op === 'dilate' ? node.of : node]),
  );

/** Sets with the members of others in the rows that a device need not compute. */
function completed(
  chosen: ChosenSetsData,
  others: ChosenSetsData,
  rows: NeededRows,
): ChosenSetsData {
  return Object.fromEntries(
    Object.entries(chosen).map(([name, set]) => {
      const { axes, perGroup, dense } = set;
      const { from, to } = rows[name]!;
      const units = set.units.map((unit, i) => {
        const { rowFrom, rows: count } = unit.domain;
        if (from === rowFrom && to === rowFrom + count) return unit;
        const result = new BitSet(unit.domain);
        for (let row = rowFrom; row < rowFrom + count; row += 1) {
          const source = row >= from && row < to ? unit : others[name]!.units[i]!;
          for (const column of source.members(row)) result.add(row, column);
        }
        return result;
      });
      return [name, { axes, perGroup, dense, units }];
    }),
  );
}

/** Law 6, of a kernel that is chosen or of a choice: selections agree but for rounding, and attention agrees given equal sets. */
export async function checkBuiltIn(
  device: Device,
  one: BuiltInCall,
  choice?: Choice,
): Promise<void> {
  const { call } = one;
  const pattern = patternOf(one);
  const { definition } = pattern;
  const { heads, kvHeads, headDim, valueDim } = call.shape;
  const { dtype, params } = call;
  const sizes = { heads, kvHeads, headDim, valueDim, dtype, device };
  const attend = await compile(pattern, choice ? { ...sizes, choice } : sizes);
  const inputs = tensorsOfCall(definition, call);
  const result = await attend(inputs, params);
  await readChosen(result.chosen);
  const results = [result];
  if (definition.estimates.length > 0) {
    // Where nothing can be left out a call does not estimate: this does, and the call after it asks what it chose.
    const estimated = await attend.estimate(inputs, params);
    if (Object.values(result.chosen).some(({ dense }) => dense.some(Boolean)))
      results.push(await attend({ ...inputs, chosen: estimated } as never, params));
    const { q, k, shape, params: bound } = checkInputs(definition, inputs, params);
    const graphs = graphsPerHead(definition, bound, shape);
    const graphsOnce = new Map([...new Set(graphs)].map((graph) => [graph, undilated(graph)]));
    const bareGraphs = graphs.map((graph) => graphsOnce.get(graph)!);
    const sets = await estimateSets({ graphs: bareGraphs, q, k, shape });
    const boundOf = boundOfKernels(dtype, shape, 8 * call.scale ** 2 * Math.sqrt(headDim));
    const rows = rowsNeeded(definition, graphs[0]!, bound, shape, [...graphs.keys()]);
    const chosen = completed(estimated, sets, rows);
    for (const [own, as] of [
      [sets, bareGraphs],
      [chosen, graphs],
    ] as const)
      assert.deepEqual(disagreementsOfSets(as, { q, k, shape }, own, boundOf), []);
  }
  for (const one of results) {
    const { disagreements } = await compareWithOracle(pattern, inputs, params, one);
    assert.equal(showDisagreements(disagreements), '');
  }
}

export const builtInsAgree = (device: Device, names?: readonly string[], sizes?: CallOptions) =>
  fc.asyncProperty(builtInCalls(names, sizes), (call) => checkBuiltIn(device, call));
