// The oracle: dense attention in float64 by the author's own functions, pair by pair. Independent of the
// lift, of plans and of tiles; everything else is measured against it. Slow on purpose.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { restSize } from '../../dsl/definition.ts';
import { diagnostic, PlanError, ShapeError, throwIfAny } from '../../dsl/diagnostic.ts';
import type { ChosenSets } from '../../dsl/estimate/values.ts';
import { type Given, type ParameterValues, parametersOf } from '../../dsl/given.ts';
import { type HeadPatterns, isHeadPatterns } from '../../dsl/heads.ts';
import type { AnyPattern, Pattern } from '../../dsl/pattern.ts';
import { type LaunchShape, type Unit, unitsOf } from '../../dsl/shape.ts';
import { placed } from '../../dsl/steps.ts';
import { checkCallArguments, checkPattern } from '../arguments.ts';
import type { FloatType } from '../dtype.ts';
import { roundTo } from '../half.ts';
import {
  type AttentionInputs,
  type CallInputs,
  type CheckedInputs,
  checkAllInputs,
  checkChosen,
  graphsPerHead,
  passedSets,
} from '../inputs.ts';
import { rowsNeeded } from '../needed-rows.ts';
import { shapeOfEntry } from '../segments.ts';
import type { Tensor } from '../tensor.ts';
import { type Arrows, arrowsOf } from './arrows.ts';
import { estimateReference } from './estimate.ts';
import { dot, rowsOfHead } from './values.ts';

export interface ReferenceOptions {
  /** Only these query rows; all, when left out. With segments they count through all sequences. */
  readonly rows?: readonly number[] | undefined;
}

export interface ReferenceResult<Sets = ChosenSetsData> {
  /** shape: [batch, heads, rows, valueDim], batch 1 with segments; 0 in rows that see nothing. */
  readonly out: Float64Array;
  /** shape: [batch, heads, rows]; natural logarithm, -Infinity in rows that see nothing. */
  readonly lse: Float64Array;
  readonly chosen: Sets;
}

/**
 * Attention as a pattern means it: softmax over the allowed keys of `score(q . k / sqrt(headDim))`, of the
 * stored (rounded) values, and the stand-ins of `.rest`, whose means are rounded to the dtype of k.
 *
 * For byHead, `chosen` is a list, one entry per distinct pattern in the order of first appearance; each
 * estimate sees all heads, so that a head's result is that of its pattern on every head.
 *
 * throws: ShapeError T codes for inputs that do not fit, T010 for a score that is not finite; LiftError
 * L016, L018 for a function that returns another kind of value or throws; PlanError for the estimate.
 */
export function reference<G extends Given, S extends ChosenSets>(
  pattern: Pattern<G, S>,
  inputs: AttentionInputs,
  params?: ParameterValues<G>,
  options?: ReferenceOptions,
): ReferenceResult;
export function reference(
  pattern: HeadPatterns,
  inputs: AttentionInputs<readonly ChosenSetsData[]>,
  params?: ParameterValues,
  options?: ReferenceOptions,
): ReferenceResult<readonly ChosenSetsData[]>;
export function reference(
  pattern: AnyPattern,
  inputs: AttentionInputs,
  params?: ParameterValues,
  options?: ReferenceOptions,
): ReferenceResult;
export function reference(
  pattern: AnyPattern | HeadPatterns,
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>> = {},
  options: ReferenceOptions = {},
): ReferenceResult<ChosenSetsData | readonly ChosenSetsData[]> {
  checkPattern(pattern);
  checkCallArguments(inputs, params, options, ['rows']);
  const perHead = isHeadPatterns(pattern) ? pattern.byHead : undefined;
  const patterns = [...new Set(perHead ?? [pattern as AnyPattern])];
  const definitions = patterns.map(({ definition }) => definition);
  throwIfAny(
    definitions.flatMap(({ findings }) => placed(findings)),
    PlanError,
  );
  const own =
    perHead && patterns.map((one) => [...perHead.keys()].filter((i) => perHead[i] === one));
  const { given, ...call } = checkAllInputs(definitions, inputs, params, own);
  const { shape, segments } = call;
  const [batches = 0, , length = 0] = call.q.shape;
  if (perHead && perHead.length !== shape.heads) {
    const what = `byHead has ${perHead.length} patterns for ${shape.heads} query heads`;
    throw new ShapeError([diagnostic('S007', what, { help: 'give one pattern per query head' })]);
  }
  const rows = options.rows ?? Array.from({ length }, (_, row) => row);
  const outside = rows.find((row) => !(Number.isInteger(row) && row >= 0 && row < length));
  if (outside !== undefined) {
    const help = `rows are whole numbers from 0 to ${length - 1}`;
    throw new ShapeError([diagnostic('T002', `no query row ${outside}`, { help })]);
  }
  const passed = passedSets(inputs.chosen, perHead !== undefined, definitions.length);
  const chosen = definitions.map((definition, i) => {
    const graphs = graphsPerHead(definition, given[i]!.params, shape);
    const sets = passed[i];
    if (!sets) return estimateReference(graphs, call);
    const own = Array.from({ length: shape.heads }, (_, head) => head).filter(
      (head) => !perHead || perHead[head] === patterns[i],
    );
    const needed = () => rowsNeeded(definition, graphs[0]!, given[i]!.params, shape, own);
    checkChosen(definition.name, graphs[0]!, sets, shape, needed);
    return sets;
  });
  const { heads, valueDim } = shape;
  const out = new Float64Array(batches * heads * rows.length * valueDim);
  const lse = new Float64Array(batches * heads * rows.length);
  for (const unit of unitsOf(shape)) {
    const i = perHead ? patterns.indexOf(perHead[unit.head]!) : 0;
    const definition = definitions[i]!;
    const own = shapeOfEntry(shape, segments, unit.batch);
    const arrows = arrowsOf(definition, given[i]!, chosen[i]!, own, unit);
    const size = restSize(definition, parametersOf(given[i]!.params, unit.head));
    const head = headOf(call, unit, size);
    const start = segments?.q[unit.batch] ?? 0;
    const first = ((segments ? 0 : unit.batch) * heads + unit.head) * rows.length;
    for (const [j, packed] of rows.entries()) {
      const row = packed - start;
      if (row < 0 || row >= own.qLen) continue;
      const at = first + j;
      lse[at] = attendRow(head, arrows, own, row, out.subarray(at * valueDim));
    }
  }
  return { out, lse, chosen: perHead ? chosen : chosen[0]! };
}

/** A block of keys that may be stood in for. */
interface Pool {
  readonly from: number;
  readonly to: number;
  readonly key: Float64Array;
  readonly value: Float64Array;
}

/** The vectors of one query head. */
interface Head {
  readonly q: readonly Float64Array[];
  readonly k: readonly Float64Array[];
  readonly v: readonly Float64Array[];
  readonly pools: readonly Pool[];
}

function headOf(
  { q, k, v, segments }: CheckedInputs,
  { batch, head, kvHead }: Unit,
  size: number | undefined,
): Head {
  const rowsOf = (tensor: Tensor, of: number, starts: readonly number[] | undefined) =>
    starts
      ? rowsOfHead(tensor, 0, of).slice(starts[batch], starts[batch + 1])
      : rowsOfHead(tensor, batch, of);
  const keys = rowsOf(k, kvHead, segments?.k);
  const values = rowsOf(v, kvHead, segments?.k);
  const pools: Pool[] = [];
  for (let from = 0; size !== undefined && from < keys.length; from += size) {
    const to = Math.min(keys.length, from + size);
    const key = mean(keys.slice(from, to), k.dtype as FloatType);
    pools.push({ from, to, key, value: mean(values.slice(from, to), v.dtype as FloatType) });
  }
  return { q: rowsOf(q, head, segments?.q), k: keys, v: values, pools };
}

/** The mean of vectors, rounded to a dtype as kernels store it. */
function mean(vectors: readonly Float64Array[], dtype: FloatType): Float64Array {
  return vectors[0]!.map((_, d) =>
    roundTo(dtype, vectors.reduce((sum, vector) => sum + vector[d]!, 0) / vectors.length),
  );
}

/** One row: writes its output and returns its LSE. */
function attendRow(
  { q, k, v, pools }: Head,
  arrows: Arrows,
  { headDim, kLen, valueDim }: LaunchShape,
  row: number,
  out: Float64Array,
): number {
  const query = q[row]!;
  const scale = 1 / Math.sqrt(headDim);
  const logits: number[] = [];
  const values: Float64Array[] = [];
  const add = (logit: number, value: Float64Array) => {
    // A score of -Infinity leaves the pair out.
    if (logit === -Infinity) return;
    logits.push(logit);
    values.push(value);
  };
  const allowed = new Uint8Array(kLen);
  for (let key = 0; key < kLen; key++) {
    if (!arrows.mask(row, key)) continue;
    allowed[key] = 1;
    add(arrows.score(row, key, dot(query, k[key]!) * scale), v[key]!);
  }
  // A pool stands in when all its keys are in the hull and none is allowed.
  for (const { from, to, key, value } of pools) {
    let isDropped = true;
    for (let at = from; isDropped && at < to; at++) {
      isDropped = allowed[at] === 0 && arrows.hull(row, at);
    }
    if (!isDropped) continue;
    const logit = arrows.scoreStandIn(dot(query, key) * scale);
    add(logit + Math.log(to - from), value);
  }
  let maximum = -Infinity;
  for (const logit of logits) maximum = Math.max(maximum, logit);
  if (maximum === -Infinity) return -Infinity;
  let sum = 0;
  for (const [i, logit] of logits.entries()) {
    const weight = Math.exp(logit - maximum);
    sum += weight;
    for (let d = 0; d < valueDim; d++) out[d]! += weight * values[i]![d]!;
  }
  for (let d = 0; d < valueDim; d++) out[d]! /= sum;
  return maximum + Math.log(sum);
}
