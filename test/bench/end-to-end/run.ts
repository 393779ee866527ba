// Times whole calls, from q, k and v to the output, beside dense causal attention and calls of one budget, in rounds
// that alternate; and what a warm call costs the host. Rows of each result are compared with the author's functions.

import { plantHeads } from '../../../examples/planted/heads.ts';
import { type Attend, causal, compile, type Device, type Tensor } from '../../../index.ts';
import { readChosen } from '../../../runtime/cuda/sets.ts';
import { checkInputs } from '../../../runtime/inputs.ts';
import {
  areSmall,
  type ElementReader,
  type Errors,
  elementsAt,
  errorsOfRows,
  type RowPlace,
  rowsOf,
} from '../attention/check.ts';
import { median } from '../attention/report.ts';
import { type Call, type RoundOptions, stopwatchOn, timeRounds } from '../attention/rounds.ts';
import { plantedOn } from '../planted.ts';
import { type Budgets, budgetsOf, uniformBudgets } from './budgets.ts';
import type { WholeWork } from './works.ts';

export interface WholeResult {
  readonly work: string;
  /** Of each round, in milliseconds on the device: the whole call. */
  readonly ms: readonly number[];
  /** Its attention alone, on sets that were chosen before; absent where nothing is chosen. */
  readonly attentionMs?: readonly number[];
  /** Dense causal attention of ours; scaled from a shorter length where `denseFrom` says so. */
  readonly denseMs?: readonly number[];
  readonly denseFrom?: number;
  /** The mean of the calls of one budget. */
  readonly uniformMs?: number;
  /** Host time of a warm call, median, in microseconds. */
  readonly hostMicroseconds?: number;
  /** Whether heads fell back, or had nothing to leave out. */
  readonly denseHeads: number;
  /** The share of the causal pairs that is planted, in the mean of the heads. */
  readonly planted: number;
  readonly error: Errors | null;
  readonly failure: string | null;
}

type Inputs = Readonly<Record<'q' | 'k' | 'v', Tensor>>;

/** Runs works in their order; those of one length and density that follow each other share their tensors. */
export async function runWhole(
  device: Device,
  works: readonly WholeWork[],
  options: RoundOptions & { readonly onResult?: (result: WholeResult) => void },
): Promise<WholeResult[]> {
  const results: WholeResult[] = [];
  let made: { key: string; inputs: Inputs } | undefined;
  const drop = () => {
    for (const tensor of Object.values(made?.inputs ?? {})) tensor.dispose();
    made = undefined;
  };
  for (const work of works) {
    const planted = plantHeads({ ...work.shape, length: work.shape.kLen, density: work.density });
    const key = JSON.stringify([work.shape, work.density]);
    let result: WholeResult;
    try {
      if (made?.key !== key) {
        drop();
        made = { key, inputs: await plantedOn(device, planted, 'bf16') };
      }
      const dense = results.find(({ denseMs, work: name }) => {
        const other = works.find((one) => one.name === name)!;
        return denseMs && other.shape.kLen === work.denseFrom;
      });
      result = await new Whole(device, work, made.inputs, budgetsOf(work, planted)).run(
        options,
        dense?.denseMs,
      );
      const share = planted.planted.reduce((sum, { density }) => sum + density, 0);
      result = { ...result, planted: share / planted.heads };
    } catch (error) {
      const failure = error instanceof Error ? error.message.split('\n')[0]! : String(error);
      result = { work: work.name, ms: [], denseHeads: 0, planted: 0, error: null, failure };
    }
    results.push(result);
    options.onResult?.(result);
  }
  drop();
  return results;
}

class Whole {
  readonly #device: Device;
  readonly #work: WholeWork;
  readonly #inputs: Inputs;
  readonly #budgets: Budgets;

  constructor(device: Device, work: WholeWork, inputs: Inputs, budgets: Budgets) {
    this.#device = device;
    this.#work = work;
    this.#inputs = inputs;
    this.#budgets = budgets;
  }

  async run(options: RoundOptions, shorterMs: readonly number[] | undefined): Promise<WholeResult> {
    const { name, shape, denseFrom, budgets, bars } = this.#work;
    const attend = await this.#compiled();
    const { error, denseHeads, chosen } = await this.#check(attend);
    const calls: Call[] = [callOf(() => attend(this.#inputs, this.#budgets))];
    if (denseHeads < shape.heads)
      calls.push(callOf(() => attend({ ...this.#inputs, chosen }, this.#budgets)));
    const scaled = denseFrom === undefined ? undefined : (shape.kLen / denseFrom) ** 2;
    const denseAt = scaled === undefined ? calls.length : -1;
    if (scaled === undefined) {
      const dense = await compile(causal, { ...shape, dtype: 'bf16', device: this.#device });
      calls.push(callOf(() => dense(this.#inputs)));
    }
    const uniformAt = calls.length;
    if (budgets === 'spread') {
      for (const one of uniformBudgets(this.#budgets, shape.heads)) {
        // A function of its own: it keeps what it knows of its calls, as this one does.
        const own = await this.#compiled();
        calls.push(callOf(() => own(this.#inputs, one)));
      }
    }
    const stopwatch = await stopwatchOn(this.#device);
    for (const call of calls) for (let i = 0; i < 2; i += 1) await call();
    const hostMicroseconds = bars.host === undefined ? undefined : await this.#hostTime(calls[0]!);
    const times = (await timeRounds(calls, stopwatch, options)).map((rounds) =>
      rounds.map(({ ms }) => ms),
    );
    const denseMs = scaled === undefined ? times[denseAt] : shorterMs?.map((ms) => ms * scaled);
    const uniform = times.slice(uniformAt).map((ms) => median(ms)!);
    return {
      work: name,
      ms: times[0]!,
      ...(denseHeads < shape.heads && { attentionMs: times[1]! }),
      ...(denseMs && { denseMs }),
      ...(denseFrom !== undefined && { denseFrom }),
      ...(uniform.length > 0 && {
        uniformMs: uniform.reduce((sum, ms) => sum + ms, 0) / uniform.length,
      }),
      ...(hostMicroseconds !== undefined && { hostMicroseconds }),
      denseHeads,
      planted: 0,
      error,
      failure: error && !areSmall(error, 'bf16') ? 'the result is wrong' : null,
    };
  }

  #compiled(): Promise<Attend> {
    const { shape, pattern, fallback } = this.#work;
    const options = { ...shape, dtype: 'bf16', device: this.#device } as const;
    return compile(pattern, { ...options, ...(fallback && { fallback }) });
  }

  async #check(attend: Attend) {
    const { pattern, shape } = this.#work;
    const { definition } = pattern;
    const result = await attend(this.#inputs, this.#budgets);
    const { chosen } = result;
    await readChosen(chosen);
    const [first] = Object.values(chosen);
    const denseHeads = first?.dense.filter(Boolean).length ?? 0;
    const rows = rowsOf(shape.heads, shape.kLen, shape.kLen > 2 ** 18 ? 4 : 8);
    const { q, k, v } = this.#inputs;
    const group = shape.heads / shape.kvHeads;
    const kvHeads = new Set(rows.map(({ head }) => Math.floor(head / group)));
    const { params } = checkInputs(definition, this.#inputs, this.#budgets);
    const read = {
      q: await readerOfRows(this.#device, q, rows),
      k: await readerOfHeads(this.#device, k, kvHeads),
      v: await readerOfHeads(this.#device, v, kvHeads),
    };
    const given = { params, captured: {} };
    const call = { definition, shape, given, sets: chosen, read };
    const error = await errorsOfRows(rows, call, result, this.#device);
    for (const tensor of [result.out, result.lse]) tensor.dispose();
    return { error, denseHeads, chosen };
  }

  /** Of few calls in a row, so that the queue of the device never holds the host up; undefined where there is no GPU. */
  async #hostTime(call: Call): Promise<number | undefined> {
    const device = this.#device;
    if (device.kind !== 'cuda') return undefined;
    const samples: number[] = [];
    const inRow = this.#work.shape.kLen > 2 ** 15 ? 2 : 20;
    // V8 compiles a function, and compiles it better, once it was called some thousand times.
    for (const from = performance.now(); performance.now() - from < warmMs; ) {
      for (let i = 0; i < inRow; i += 1) await call();
      await device.synchronize();
    }
    for (let round = 0; round < 60; round += 1) {
      const start = performance.now();
      for (let i = 0; i < inRow; i += 1) await call();
      samples.push((1000 * (performance.now() - start)) / inRow);
      await device.synchronize();
      if (inRow < 20 && round >= 20) break;
    }
    return median(samples.slice(samples.length >> 1));
  }
}

/** Milliseconds of calls before those whose host time counts. */
const warmMs = 400;

const callOf =
  (attend: () => ReturnType<Attend>): Call =>
  async () => {
    const { out, lse } = await attend();
    out.dispose();
    lse.dispose();
  };

const copy = (values: ArrayLike<number>, start: number, into: Float32Array): void => {
  for (let i = 0; i < into.length; i += 1) into[i] = values[start + i]!;
};

/** Of heads that are brought to the host whole. */
async function readerOfHeads(
  device: Device,
  tensor: Tensor,
  units: ReadonlySet<number>,
): Promise<ElementReader> {
  const [, , length = 0, dim = 0] = tensor.shape;
  const size = length * dim;
  const heads = new Map<number, ArrayLike<number>>();
  for (const unit of units) heads.set(unit, await elementsAt(device, tensor, unit * size, size));
  return (from, into) => copy(heads.get(Math.floor(from / size))!, from % size, into);
}

/** Of single rows. */
async function readerOfRows(
  device: Device,
  tensor: Tensor,
  places: readonly RowPlace[],
): Promise<ElementReader> {
  const [, , length = 0, dim = 0] = tensor.shape;
  const rows = new Map<number, ArrayLike<number>>();
  for (const { head, row } of places) {
    const from = (head * length + row) * dim;
    rows.set(from, await elementsAt(device, tensor, from, dim));
  }
  return (from, into) => copy(rows.get(from)!, 0, into);
}
