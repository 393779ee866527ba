// The CPU device at work: estimates on the calling thread, attention as a job for the worker threads.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { Backend, BackendCall, BackendResult } from '../backend.ts';
import { allocate } from '../dtype.ts';
import { fallBack } from '../fallback.ts';
import { notANumber } from '../inputs.ts';
import { jobTurns } from '../launch.ts';
import { setsOf } from '../parts.ts';
import { Tensor } from '../tensor.ts';
import { inTurns } from '../turns.ts';
import type { Pool } from './pool.ts';
import type { RowSource } from './rows.ts';

export class CpuBackend implements Backend {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async prepare(): Promise<void> {}

  async estimate(call: BackendCall): Promise<readonly ChosenSetsData[]> {
    const sets: ChosenSetsData[] = [];
    for (const i of call.parts.keys()) sets.push(await chosenFor(call, i));
    return sets;
  }

  async attend(call: BackendCall): Promise<BackendResult> {
    const { q, k, v, shape, segments } = call.checked;
    const { heads, valueDim } = shape;
    // With segments these are 1 and the rows of all.
    const [batch = 0, , qLen = 0] = q.shape;
    const out = new Tensor({
      data: allocate(q.dtype, batch * heads * qLen * valueDim),
      shape: [batch, heads, qLen, valueDim],
      dtype: q.dtype,
      layout: q.layout,
    });
    const rows = allocate('fp32', batch * heads * qLen) as Float32Array;
    const lse = new Tensor({ data: rows, shape: [batch, heads, qLen], dtype: 'fp32' });
    const buffers = {
      q: rowsOf(q, segments?.q),
      k: rowsOf(k, segments?.k),
      v: rowsOf(v, segments?.k),
      out: rowsOf(out, segments?.q),
      lse: { ...rowsOf(lse, segments?.q), dim: 1 },
    };
    const { onProgress, signal } = call.options;
    const chosen: ChosenSetsData[] = [];
    for (const [i, { definition, heads: headList }] of call.parts.entries()) {
      const given = call.given[i]!;
      const limits = call.passed[i] ? undefined : call.fallbacks?.[i];
      const selected = await chosenFor(call, i);
      const sets = limits ? fallBack(call.parts[i]!, given, shape, selected, limits) : selected;
      const request = { definition, shape, given, sets, headList, buffers, segments };
      const job = await inTurns(jobTurns(request), { signal });
      const bad = await this.#pool.run(job, {
        onProgress: onProgress && ((share) => onProgress(share, 'attention')),
        signal,
      });
      if (bad) throw notANumber(bad);
      chosen.push(sets);
    }
    return { out, lse, chosen: () => chosen };
  }
}

const chosenFor = (call: BackendCall, i: number): Promise<ChosenSetsData> =>
  setsOf(call.parts[i]!, call.checked, call.given[i]!, call.passed[i], call.options);

const rowsOf = (
  { data, dtype, strides, shape }: Tensor,
  starts: readonly number[] | undefined,
): RowSource => ({
  data,
  dtype,
  strides,
  dim: shape[3]!,
  starts,
});
