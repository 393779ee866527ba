// Law 7 for one call: poison. What a mask refuses is never looked at: NaN in keys that no query of the group
// may see, NaN in values of tiles that nobody visits, and huge values in refused places of visited tiles.

import assert from 'node:assert/strict';
import { pointEnvironment } from '../../../dsl/analysis/binding.ts';
import { evaluate } from '../../../dsl/evaluate.ts';
import { hullOf } from '../../../dsl/plan/split.ts';
import { visitsOf } from '../../../dsl/plan/walk.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import type { Device } from '../../../runtime/device.ts';
import { planCall } from '../../../runtime/plans.ts';
import { numbersFrom } from '../../arbitraries.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, huge, largest, overwrite } from '../attention.ts';

/** Which keys of each KV head any of its queries sees, which are in the hull, which are in a visited tile. */
async function viewOf({ pattern, data }: RandomCall) {
  const { shape } = data;
  const { batch, heads, kvHeads, kLen, qLen } = shape;
  const planned = await planCall(patternOf(pattern), inputsOf(data), paramsOf(data));
  const table = () => Array.from({ length: batch * kvHeads }, () => new Uint8Array(kLen));
  const [seen, reached, visited] = [table(), table(), table()];
  /** [batch * heads][row][key] */
  const allowed: Uint8Array[][] = [];
  const offset = queryOffset(shape);
  for (const plan of planned.parts[0]!.plans) {
    const { unit } = plan.binding;
    const group = unit.batch * kvHeads + unit.kvHead;
    const hull = hullOf(plan.mask);
    const rows = Array.from({ length: qLen }, () => new Uint8Array(kLen));
    for (const [row, keys] of rows.entries()) {
      for (let k = 0; k < kLen; k += 1) {
        const env = pointEnvironment(plan.binding, row + offset, k);
        keys[k] = evaluate(plan.mask, env) === true ? 1 : 0;
        if (keys[k]) seen[group]![k] = 1;
        if (keys[k] || evaluate(hull, env) === true) reached[group]![k] = 1;
      }
    }
    allowed[unit.batch * heads + unit.head] = rows;
    for (let tile = 0; tile < plan.tiles; tile += 1) {
      for (const visit of visitsOf(plan, tile)) {
        if (visit.kind === 'tile') visited[group]!.fill(1, visit.from, visit.to);
        // A pool that stands in for no row of the tile is weighed with 0, like a refused key.
        if (visit.kind === 'rest')
          visited[group]!.fill(1, visit.pool * pattern.rest!, (visit.pool + 1) * pattern.rest!);
        if (visit.kind === 'columns') for (const key of visit.keys) visited[group]![key] = 1;
      }
    }
  }
  return { seen, reached, visited, allowed };
}

/**
 * NaN in keys and values that no query may see changes no bit. Values may be NaN in tiles that nobody visits:
 * the CPU device visits the plan's tiles; others have tiles of their own, and their values are huge.
 */
export async function checkUnseen(device: Device, call: RandomCall): Promise<void> {
  const { pattern, data } = call;
  const { kvHeads } = data.shape;
  const [made, inputs, params] = [patternOf(pattern), inputsOf(data), paramsOf(data)];
  const { reached, seen, visited } = await viewOf(call);
  // Stand-ins are made of the hull: what lies outside of it is never in one.
  const needed = pattern.rest === undefined ? seen : reached;
  const k = await overwrite(inputs.k, (b, h, at) =>
    needed[b * kvHeads + h]![at] ? undefined : NaN,
  );
  const v = await overwrite(inputs.v, (b, h, at) => {
    if (needed[b * kvHeads + h]![at]) return undefined;
    const isVisited = device.kind !== 'cpu' || visited[b * kvHeads + h]![at];
    return isVisited ? huge[data.dtype] : NaN;
  });
  const clean = await attendWith(made, data, inputs, params, device);
  assert.deepEqual(await attendWith(made, data, { ...inputs, k, v }, params, device), clean);
}

/** A huge value changes only rows that may see it, beyond rounding. The pattern has no stand-ins. */
export async function checkSpoiled(device: Device, call: RandomCall): Promise<void> {
  const { pattern, data } = call;
  const { kLen, qLen, valueDim } = data.shape;
  const [made, inputs, params] = [patternOf(pattern), inputsOf(data), paramsOf(data)];
  const { allowed } = await viewOf(call);
  const next = numbersFrom(data.seed);
  const spoiled = Array.from({ length: kLen }, () => next() < 0.1);
  const v = await overwrite(inputs.v, (_, __, at) => (spoiled[at] ? huge[data.dtype] : undefined));
  const clean = await attendWith(made, data, inputs, params, device);
  const other = await attendWith(made, data, { ...inputs, v }, params, device);
  // Where a value leaves the range of floats its tile is done again, carefully: the other rows of it are rounded anew.
  const bound = boundOf(data, largest(await inputs.v.read()));
  const { out } = bound;
  const lse = bound.lse + 2 ** -21 * largest(clean.lse.filter(Number.isFinite));
  const sees = (row: number): boolean =>
    allowed[Math.floor(row / qLen)]![row % qLen]!.some((isAllowed, k) => isAllowed && spoiled[k]);
  assertClose(other, clean, { out: Infinity, lse }, { valueDim: 0 });
  assertClose(other, clean, { out, lse }, { valueDim }, (row) => !sees(row));
}
