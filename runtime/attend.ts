// compile(): a pattern and its dimensions become a function from tensors to tensors.

import type { ChosenSetsData } from '../dsl/chosen.ts';
import { type Definition, lifted, traceSets } from '../dsl/definition.ts';
import {
  DeviceError,
  type Diagnostic,
  diagnostic,
  ShapeError,
  throwIfAny,
} from '../dsl/diagnostic.ts';
import type { ChosenSets } from '../dsl/estimate/values.ts';
import { type Given, type ParameterValues, parametersOf } from '../dsl/given.ts';
import { type HeadPatterns, isHeadPatterns } from '../dsl/heads.ts';
import type { Pattern } from '../dsl/pattern.ts';
import { estimateSets } from './cpu/estimate/index.ts';
import type { RowSource } from './cpu/rows.ts';
import { type Device, openDevice } from './device.ts';
import { allocate, type FloatType } from './dtype.ts';
import {
  type CallInputs,
  type CheckedGiven,
  type CheckedInputs,
  checkAllInputs,
  checkChosen,
  graphsPerHead,
} from './inputs.ts';
import { jobOf } from './launch.ts';
import { Tensor } from './tensor.ts';

export interface CompileOptions {
  /** Query heads, KV heads (default: as many), and the dimensions of a head. */
  readonly heads: number;
  readonly kvHeads?: number;
  readonly headDim: number;
  /** Dimension of V; default: `headDim`. */
  readonly valueDim?: number;
  readonly dtype: FloatType;
  /** Default: the best device there is, opened for this function and disposed with it. */
  readonly device?: Device;
}

/** The tensors of a call: `q` [batch, heads, qLen, headDim], `k`, `v`, captured tensors by name, and perhaps sets. */
export interface AttendInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** Sets to use instead of running the estimate. */
  readonly chosen?: ChosenSetsData | undefined;
  readonly [captured: string]: Tensor | ChosenSetsData | undefined;
}

export interface AttendResult {
  /** Shape [batch, heads, qLen, valueDim], in the dtype and layout of q; 0 for rows without a key. */
  readonly out: Tensor;
  /** Natural-log sum of the exponentials of each row's logits, fp32, shape [batch, heads, qLen]; -Infinity for rows without a key. */
  readonly lse: Tensor;
  /** The sets that were used. With `byHead`, those of the last pattern that has any of the name. */
  readonly chosen: ChosenSetsData;
}

export interface CallOptions {
  readonly onProgress?: (share: number) => void;
  readonly signal?: AbortSignal;
}

/** A compiled pattern. */
export interface Attend<G extends Given = Given> {
  (inputs: AttendInputs, params?: ParameterValues<G>, options?: CallOptions): Promise<AttendResult>;
  /** The chosen sets alone: to inspect, keep, or pass back as `chosen`. */
  estimate(
    inputs: AttendInputs,
    params?: ParameterValues<G>,
    options?: CallOptions,
  ): Promise<ChosenSetsData>;
  readonly device: Device;
  /** Refuses further calls; a device that this function opened itself is closed. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One distinct pattern of a call and the query heads that it serves. */
interface Part {
  readonly definition: Definition;
  readonly heads: readonly number[];
}

function partsOf(pattern: Pattern | HeadPatterns, heads: number): Part[] {
  if (!isHeadPatterns(pattern))
    return [{ definition: pattern.definition, heads: Array.from({ length: heads }, (_, i) => i) }];
  if (pattern.byHead.length !== heads) {
    throw new ShapeError([
      diagnostic('S007', `byHead lists ${pattern.byHead.length} patterns for ${heads} heads`, {
        help: 'give one pattern per query head',
      }),
    ]);
  }
  const byDefinition = new Map<Definition, number[]>();
  for (const [head, { definition }] of pattern.byHead.entries()) {
    byDefinition.set(definition, [...(byDefinition.get(definition) ?? []), head]);
  }
  return [...byDefinition].map(([definition, list]) => ({ definition, heads: list }));
}

/**
 * Compiles a pattern (or one per head) for these dimensions. Throws LiftError or PlanError with all that
 * is wrong with the pattern.
 */
export async function compile<G extends Given, S extends ChosenSets>(
  pattern: Pattern<G, S> | HeadPatterns,
  options: CompileOptions,
): Promise<Attend<G>> {
  const parts = partsOf(pattern as unknown as Pattern | HeadPatterns, options.heads);
  for (const { definition } of parts) lifted(definition);
  const device = options.device ?? (await openDevice());
  let disposed = false;

  const check = (inputs: AttendInputs, params: ParameterValues<G> | undefined) => {
    if (disposed)
      throw new DeviceError([
        diagnostic('R003', 'this function was disposed', { help: 'compile the pattern again' }),
      ]);
    device.check();
    const call = checkAllInputs(
      parts.map(({ definition }) => definition),
      inputs as CallInputs,
      params as Record<string, unknown>,
    );
    checkDimensions(call, options);
    return call;
  };

  /** The given or estimated sets of one part. */
  const setsOf = async (
    part: Part,
    call: CheckedInputs,
    given: CheckedGiven,
    chosen: ChosenSetsData | undefined,
    { onProgress, signal }: CallOptions,
  ) => {
    if (part.definition.estimates.length === 0) return {};
    const graphs = graphsPerHead(part.definition, given.params, call.shape);
    if (chosen) {
      const own =
        parts.length === 1
          ? chosen
          : Object.fromEntries(Object.entries(chosen).filter(([name]) => name in graphs[0]!));
      checkChosen(
        part.definition.name,
        graphs[0] ?? traceSets(part.definition, parametersOf(given.params, 0)),
        own,
        call.shape,
      );
      return own;
    }
    const { q, k, shape } = call;
    const only = parts.length === 1 ? undefined : part.heads;
    const yieldNow =
      signal &&
      (async () => {
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
      });
    return estimateSets({ graphs, q, k, shape, only, onProgress, yieldNow });
  };

  const estimate = async (
    inputs: AttendInputs,
    params?: ParameterValues<G>,
    call: CallOptions = {},
  ) => {
    const checked = check(inputs, params);
    let sets: ChosenSetsData = {};
    for (const [i, part] of parts.entries()) {
      sets = { ...sets, ...(await setsOf(part, checked, checked.given[i]!, inputs.chosen, call)) };
    }
    return sets;
  };

  const attend = async (
    inputs: AttendInputs,
    params?: ParameterValues<G>,
    call: CallOptions = {},
  ): Promise<AttendResult> => {
    const checked = check(inputs, params);
    const { q, k, v, shape } = checked;
    const { batch, heads, qLen, valueDim } = shape;
    const outShape = [batch, heads, qLen, valueDim];
    const out = new Tensor({
      data: allocate(q.dtype, batch * heads * qLen * valueDim),
      shape: outShape,
      dtype: q.dtype,
      layout: q.layout,
    });
    const lse = new Tensor({
      data: allocate('fp32', batch * heads * qLen),
      shape: [batch, heads, qLen],
      dtype: 'fp32',
    });
    const buffers = {
      q: rowsOf(q),
      k: rowsOf(k),
      v: rowsOf(v),
      out: rowsOf(out),
      lse: lse.data as Float32Array,
    };
    let chosen: ChosenSetsData = {};
    for (const [i, part] of parts.entries()) {
      const given = checked.given[i]!;
      const sets = await setsOf(part, checked, given, inputs.chosen, call);
      const job = jobOf({
        definition: part.definition,
        shape,
        given,
        sets,
        headList: part.heads,
        buffers,
      });
      const bad = await device.pool.run(job, call);
      if (bad) throw notANumber(bad);
      chosen = { ...chosen, ...sets };
    }
    return { out, lse, chosen };
  };

  const dispose = async () => {
    disposed = true;
    if (!options.device) await device.dispose();
  };
  return Object.assign(attend, {
    estimate,
    device,
    dispose,
    [Symbol.asyncDispose]: dispose,
  }) as Attend<G>;
}

const rowsOf = ({ data, dtype, strides, shape }: Tensor): RowSource => ({
  data,
  dtype,
  strides,
  dim: shape[3]!,
});

function checkDimensions({ q, shape }: CheckedInputs, options: CompileOptions): void {
  const { heads, kvHeads = heads, headDim, valueDim = headDim, dtype } = options;
  const findings: Diagnostic[] = [];
  const expect = (
    name: string,
    got: number | string,
    wanted: number | string,
    code: 'T002' | 'T003' | 'T007',
  ) => {
    if (got !== wanted) {
      findings.push(
        diagnostic(code, `${name} is ${got}, and was compiled as ${wanted}`, {
          help: 'compile the pattern for the tensors at hand',
        }),
      );
    }
  };
  expect('heads', shape.heads, heads, 'T007');
  expect('kvHeads', shape.kvHeads, kvHeads, 'T007');
  expect('headDim', shape.headDim, headDim, 'T002');
  expect('valueDim', shape.valueDim, valueDim, 'T002');
  expect('dtype', q.dtype, dtype, 'T003');
  throwIfAny(findings, ShapeError);
}

function notANumber({
  batch,
  head,
  row,
}: {
  batch: number;
  head: number;
  row: number;
}): ShapeError {
  return new ShapeError([
    diagnostic('T010', `the output of batch ${batch}, head ${head}, row ${row} is not a number`, {
      help: 'an allowed key or value is NaN or infinite, or the score function returned NaN',
    }),
  ]);
}
