// `run --check`: an output held against the float64 oracle, on the same chosen sets, in steps that leave
// room for progress and Ctrl-C. The bound itself is runtime/bound.ts's.

import type { Definition } from '../../dsl/definition.ts';
import { diagnostic, ShapeError } from '../../dsl/diagnostic.ts';
import type { Pattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { spread } from '../../dsl/spread.ts';
import { type Bound, errorBound, scoreError } from '../bound.ts';
import type { FloatType } from '../dtype.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { PlannedCall } from '../plans.ts';
import { type ReferenceResult, reference } from '../reference/attention.ts';
import type { Tensor } from '../tensor.ts';
import type { Target } from './target.ts';

/** An output to be checked, read: [batch, heads, qLen, valueDim] and [batch, heads, qLen]. */
export interface Output {
  readonly out: ArrayLike<number>;
  readonly lse: ArrayLike<number>;
}

export interface Check {
  /** Query rows that were compared, of each head. */
  readonly rows: number;
  /** The largest absolute differences; Infinity where one side has a number and the other has none. */
  readonly error: Bound;
  readonly bound: Bound;
  readonly isWithin: boolean;
}

export interface OracleCall {
  readonly target: Target;
  readonly inputs: AttentionInputs;
  readonly params: Readonly<Record<string, number | readonly number[]>>;
  /** For the sets that the run used. */
  readonly planned: Pick<PlannedCall, 'shape' | 'dtype' | 'chosen'>;
}

/** Rows of a head at a time; each step reads all keys once more, which so many rows outweigh. */
const rowsPerStep = 16;

/** Compares an output with the oracle on `rows` evenly spaced query rows of every head; all, when left out. */
export async function checkOutput(
  output: Output,
  call: OracleCall,
  { rows = Infinity, onProgress }: { rows?: number; onProgress?: (share: number) => void } = {},
): Promise<Check> {
  const { target, inputs, params, planned } = call;
  const { shape, dtype } = planned;
  const asked = { ...inputs, chosen: planned.chosen } as AttentionInputs;
  const wanted = spread(shape.qLen, rows);
  let [out, lse] = [0, 0];
  for (let at = 0; at < wanted.length; at += rowsPerStep) {
    const step = wanted.slice(at, at + rowsPerStep);
    const truth = reference(target.pattern as Pattern, asked, params, { rows: step });
    const far = compare(output, truth, step, shape);
    [out, lse] = [Math.max(out, far.out), Math.max(lse, far.lse)];
    onProgress?.((at + step.length) / wanted.length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const bound = await boundOf(target.definitions, inputs, output.lse, shape, dtype);
  if (!Number.isFinite(bound.out + bound.lse))
    throw new ShapeError([
      diagnostic('T010', 'q, k or v hold numbers of which no result has a bound', {
        help: 'leave --check out, or give finite ones whose logits are finite',
      }),
    ]);
  const isWithin = out <= bound.out && lse <= bound.lse;
  return { rows: wanted.length, error: { out, lse }, bound, isWithin };
}

function compare(
  output: Output,
  truth: ReferenceResult,
  rows: readonly number[],
  shape: LaunchShape,
): Bound {
  const { batch, heads, qLen, valueDim } = shape;
  let [out, lse, at] = [0, 0, 0];
  for (let unit = 0; unit < batch * heads; unit += 1) {
    for (const row of rows) {
      const place = unit * qLen + row;
      lse = Math.max(lse, difference(output.lse[place]!, truth.lse[at]!));
      for (let d = 0; d < valueDim; d += 1) {
        const [ours, theirs] = [output.out[place * valueDim + d]!, truth.out[at * valueDim + d]!];
        out = Math.max(out, difference(ours, theirs));
      }
      at += 1;
    }
  }
  return { out, lse };
}

/** 0 for equal infinities, Infinity for NaN: Math.max would lose neither. */
function difference(a: number, b: number): number {
  if (a === b) return 0;
  const far = Math.abs(a - b);
  return Number.isNaN(far) ? Infinity : far;
}

/**
 * The bound for these tensors: the true largest |v|; logits as large as the longest q and k allow, or as
 * the row sums say, which a score function or stand-ins may have raised.
 */
async function boundOf(
  definitions: readonly Definition[],
  { q, k, v }: AttentionInputs,
  lse: ArrayLike<number>,
  { kLen, headDim }: LaunchShape,
  dtype: FloatType,
): Promise<Bound> {
  let [value, logit] = [0, ((await longest(q)) * (await longest(k))) / Math.sqrt(headDim)];
  for (const element of await v.read()) value = Math.max(value, Math.abs(element));
  for (let i = 0; i < lse.length; i += 1) {
    if (Number.isFinite(lse[i])) logit = Math.max(logit, Math.abs(lse[i]!));
  }
  const moved = Math.max(...definitions.map((one) => scoreError(one, kLen)));
  return errorBound(dtype, kLen, headDim, { value, logit, moved });
}

/** The largest Euclidean length of a row. */
async function longest(tensor: Tensor): Promise<number> {
  const elements = await tensor.read();
  const dim = tensor.shape.at(-1)!;
  let most = 0;
  for (let row = 0; row < elements.length; row += dim) {
    let sum = 0;
    for (let d = row; d < row + dim; d += 1) sum += elements[d]! ** 2;
    most = Math.max(most, sum);
  }
  return Math.sqrt(most);
}
