// Does a device's result agree with the float64 oracle? Every row has its own bound, which knows how far
// rounding may move each logit through the score function. Nothing is run on a device here.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { type Definition, lifted } from '../../dsl/definition.ts';
import { mentions } from '../../dsl/expression.ts';
import { type Bound, errorBound, scoreError } from '../bound.ts';
import { readChosen } from '../cuda/sets.ts';
import type { FloatType } from '../dtype.ts';
import type { AttentionInputs, CallInputs } from '../inputs.ts';
import { type ReferenceResult, reference } from '../reference/attention.ts';
import type { Tensor } from '../tensor.ts';

/** A result of `attend`. */
export interface Outcome {
  readonly out: Tensor;
  readonly lse: Tensor;
  readonly chosen: ChosenSetsData;
}

/** One row that differs by more than rounding. */
export interface Disagreement {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
  /** What differs, the two values, and how far they may be apart. */
  readonly what: 'out' | 'lse';
  readonly got: number;
  readonly expected: number;
  readonly bound: number;
}

/** The largest |x| of a tensor. */
async function largest(tensor: Tensor): Promise<number> {
  let most = 0;
  for (const value of await tensor.read()) most = Math.max(most, Math.abs(value));
  return most;
}

/** The largest Euclidean norm of the rows of a tensor. */
async function longest(tensor: Tensor): Promise<number> {
  const values = await tensor.read();
  const dim = tensor.shape.at(-1)!;
  let most = 0;
  for (let at = 0; at < values.length; at += dim) {
    let sum = 0;
    for (let d = at; d < at + dim; d += 1) sum += values[d]! * values[d]!;
    most = Math.max(most, sum);
  }
  return Math.sqrt(most);
}

/** What the score function does to one row. */
interface RowScores {
  /** The largest |score|. */
  most: number;
  /** How far a score moves when its logit moves as far as rounding may take it. */
  moved: number;
}

interface RecordedPair {
  s: number;
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** The definition with a score function that keeps a record of itself. */
function recorded(
  definition: Definition,
  slack: (logit: number) => number,
  rows: Map<string, RowScores>,
): Definition {
  const { score } = definition;
  if (!score) return definition;
  const fn = score.fn as unknown as (pair: object, given: object) => number;
  const record = (pair: RecordedPair, given: object) => {
    const value = fn(pair, given);
    const { s, batch, head } = pair;
    let moved = 0;
    for (const other of [s - slack(s), s + slack(s)]) {
      pair.s = other;
      moved = Math.max(moved, Math.abs(fn(pair, given) - value));
    }
    pair.s = s;
    const row = hasRows(pair) ? pair.row : 'any';
    // Stand-ins count for every row of the head.
    const key = `${batch} ${head} ${row}`;
    const known = rows.get(key) ?? { most: 0, moved: 0 };
    if (value !== -Infinity) {
      known.most = Math.max(known.most, Math.abs(value));
      known.moved = Number.isNaN(moved) ? Infinity : Math.max(known.moved, moved);
    }
    rows.set(key, known);
    return value;
  };
  return { ...definition, score: { ...score, fn: record as never } };
}

/** Stand-ins refuse to tell their row. */
const hasRows = (pair: object): boolean =>
  Object.getOwnPropertyDescriptor(pair, 'row')?.get === undefined;

export interface Comparison {
  readonly oracle: ReferenceResult;
  readonly disagreements: readonly Disagreement[];
}

/**
 * Compares with the oracle on the sets that the device used. At most `limit` disagreements are listed.
 * throws: what `reference` throws.
 */
export async function compareWithOracle(
  { definition }: { readonly definition: Definition },
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>>,
  { out, lse, chosen }: Outcome,
  limit = 8,
): Promise<Comparison> {
  const { q, k, v } = inputs as { q: Tensor; k: Tensor; v: Tensor };
  const [batches = 0, heads = 0, qLen = 0, valueDim = 0] = out.shape;
  const kLen = k.shape[2]!;
  const headDim = q.shape[3]!;
  const dtype = q.dtype as FloatType;
  // Cauchy and Schwarz: |q . k| <= |q| |k|.
  const logit = ((await longest(q)) * (await longest(k))) / Math.sqrt(headDim);
  const value = await largest(v);
  // A sum with a position, in single precision, is rounded as coarsely as the position is large.
  const { score } = lifted(definition);
  const usesPosition = score && ['q', 'k', 'row'].some((name) => mentions(score, 'index', name));
  const ofPosition = usesPosition ? 2 ** -23 * (qLen + kLen) : 0;
  const slack = (s: number) =>
    errorBound('fp32', 1, headDim, { value, logit: Math.abs(s) }).lse + ofPosition;
  const scores = new Map<string, RowScores>();
  const oracle = reference(
    { definition: recorded(definition, slack, scores) } as never,
    { ...inputs, chosen: await readChosen(chosen) } as AttentionInputs,
    params as never,
  );
  const ofKernels = scoreError(definition, kLen);
  const plain = errorBound(dtype, kLen, headDim, { value, logit });
  const boundOf = (batch: number, head: number, row: number): Bound => {
    if (!definition.score) return plain;
    const found = [`${batch} ${head} ${row}`, `${batch} ${head} any`].map((key) => scores.get(key));
    const most = Math.max(...found.map((one) => one?.most ?? 0));
    const moved = ofKernels + Math.max(...found.map((one) => one?.moved ?? 0));
    return errorBound(dtype, kLen, headDim, { value, logit: most, moved });
  };
  const [outs, lses] = [await out.read(), await lse.read()];
  const disagreements: Disagreement[] = [];
  for (let at = 0; at < batches * heads * qLen && disagreements.length < limit; at += 1) {
    const row = at % qLen;
    const head = Math.floor(at / qLen) % heads;
    const batch = Math.floor(at / qLen / heads);
    const bound = boundOf(batch, head, row);
    const report = (what: 'out' | 'lse', got: number, expected: number) =>
      disagreements.push({ batch, head, row, what, got, expected, bound: bound[what] });
    const [a, b] = [lses[at]!, oracle.lse[at]!];
    if (!(a === b || Math.abs(a - b) <= bound.lse)) report('lse', a, b);
    for (let d = at * valueDim; d < (at + 1) * valueDim; d += 1) {
      const [x, y] = [outs[d]!, oracle.out[d]!];
      if (x === y || Math.abs(x - y) <= bound.out) continue;
      report('out', x, y);
      break;
    }
  }
  return { oracle, disagreements };
}

/** One line per disagreement. */
export const showDisagreements = (list: readonly Disagreement[]): string =>
  list
    .map(
      ({ batch, head, row, what, got, expected, bound }) =>
        `${what} of batch ${batch}, head ${head}, row ${row} is ${got}, the oracle says ${expected} ` +
        `(off by ${Math.abs(got - expected).toPrecision(3)}, bound ${bound.toPrecision(3)})`,
    )
    .join('\n');
