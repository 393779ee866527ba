// The plan of one unit, executed tile by tile with an online softmax. One instance serves one thread;
// it owns the scratch of a tile and nothing that grows with the sequence (but pooled stand-ins).

import type { Box } from '../../dsl/analysis/box.ts';
import { boxOfTile, type Pass, type RestPass, type UnitPlan } from '../../dsl/plan/unit.ts';
import { type Visit, visitsOf } from '../../dsl/plan/walk.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { roundTo } from '../half.ts';
import { compileTile, type TileFunction } from './mask.ts';
import type { TileProducts } from './products.ts';
import { loadRows, type RowSource, storeRows } from './rows.ts';

/** Where a call reads and writes. `lse` has rows of one number. */
export interface Buffers {
  readonly q: RowSource;
  readonly k: RowSource;
  readonly v: RowSource;
  readonly out: RowSource;
  readonly lse: RowSource;
}

interface Compiled {
  /** Mask and score: for partial visits. */
  readonly partial: TileFunction;
  /** The score alone, or nothing to do: for full visits. */
  readonly full: TileFunction | undefined;
}

export class TileInterpreter {
  readonly #products: TileProducts;
  readonly #buffers: Buffers;
  readonly #kTile: number;
  readonly #q: Float32Array;
  readonly #k: Float32Array;
  readonly #v: Float32Array;
  readonly #scores: Float32Array;
  readonly #out: Float32Array;
  readonly #lse: Float32Array;
  /** Running maximum and sum of every row, in float64: a sum of 1M terms keeps its last bits. */
  readonly #max: Float64Array;
  readonly #sum: Float64Array;
  readonly #compiled = new WeakMap<Pass, Compiled>();
  readonly #pooled = new Map<string, { k: Float32Array; v: Float32Array }>();

  constructor(products: TileProducts, buffers: Buffers, qTile: number, kTile: number) {
    this.#products = products;
    this.#buffers = buffers;
    this.#kTile = kTile;
    const { q, v } = buffers;
    this.#q = new Float32Array(qTile * q.dim);
    this.#k = new Float32Array(kTile * q.dim);
    this.#v = new Float32Array(kTile * v.dim);
    this.#scores = new Float32Array(qTile * kTile);
    this.#out = new Float32Array(qTile * v.dim);
    this.#lse = new Float32Array(qTile);
    this.#max = new Float64Array(qTile);
    this.#sum = new Float64Array(qTile);
  }

  /** One query tile: every row's output and LSE. Returns the first row with NaN, or -1. */
  run(plan: UnitPlan, tile: number): number {
    const box = boxOfTile(plan, tile);
    const rows = box.q1 - box.q0 + 1;
    const { unit } = plan.binding;
    const row0 = box.q0 - queryOffset(plan.binding.shape);
    loadRows(this.#buffers.q, unit.batch, unit.head, row0, rows, this.#q);
    this.#max.fill(-Infinity);
    this.#sum.fill(0);
    this.#out.fill(0);
    let rest: (Visit & { kind: 'rest' })[] = [];
    for (const visit of visitsOf(plan, tile)) {
      if (visit.kind === 'rest') {
        rest.push(visit);
        if (rest.length < this.#kTile) continue;
        this.#standIns(plan, box, rows, rest);
        rest = [];
      } else {
        this.#keys(plan, box, rows, visit);
      }
    }
    if (rest.length > 0) this.#standIns(plan, box, rows, rest);
    return this.#finish(plan, row0, rows);
  }

  #compile(plan: UnitPlan, pass: Pass): Compiled {
    const known = this.#compiled.get(pass);
    if (known) return known;
    const score = pass.kind === 'rest' ? undefined : plan.score;
    const made: Compiled = {
      partial: compileTile(pass.mask, score, plan.binding),
      full: score && compileTile(undefined, score, plan.binding),
    };
    this.#compiled.set(pass, made);
    return made;
  }

  #keys(plan: UnitPlan, box: Box, rows: number, visit: Visit & { kind: 'tile' | 'columns' }): void {
    const { unit, shape } = plan.binding;
    const list = visit.kind === 'columns' ? visit.keys : undefined;
    const from = visit.kind === 'columns' ? 0 : visit.from;
    const count = visit.kind === 'columns' ? visit.keys.length : visit.to - visit.from;
    loadRows(this.#buffers.k, unit.batch, unit.kvHead, from, count, this.#k, list);
    const scale = 1 / Math.sqrt(shape.headDim);
    this.#products.scores(
      this.#q,
      this.#k,
      this.#scores,
      rows,
      count,
      shape.headDim,
      scale,
      this.#kTile,
    );
    const { partial, full } = this.#compile(plan, visit.pass);
    const apply = visit.full ? full : partial;
    apply?.(this.#scores, this.#kTile, box.q0, rows, from, count, list);
    loadRows(this.#buffers.v, unit.batch, unit.kvHead, from, count, this.#v, list);
    this.#absorb(rows, count);
  }

  /** Up to a tile of stand-ins: mean keys with logit + log(size), dropped for rows that do not need them. */
  #standIns(
    plan: UnitPlan,
    box: Box,
    rows: number,
    visits: readonly (Visit & { kind: 'rest' })[],
  ): void {
    const { headDim, valueDim, kLen } = plan.binding.shape;
    const pass = visits[0]!.pass;
    const pools = this.#pools(plan, pass);
    for (const [i, { pool }] of visits.entries()) {
      this.#k.set(pools.k.subarray(pool * headDim, (pool + 1) * headDim), i * headDim);
      this.#v.set(pools.v.subarray(pool * valueDim, (pool + 1) * valueDim), i * valueDim);
    }
    const count = visits.length;
    const scale = 1 / Math.sqrt(headDim);
    this.#products.scores(this.#q, this.#k, this.#scores, rows, count, headDim, scale, this.#kTile);
    if (plan.score) {
      // Such a score mentions no position (E009), so the key's number is of no concern.
      compileTile(undefined, plan.score, plan.binding)(
        this.#scores,
        this.#kTile,
        box.q0,
        rows,
        0,
        count,
        undefined,
      );
    }
    const dropped = new Float32Array(rows * pass.size);
    for (const [j, { pool, full }] of visits.entries()) {
      const from = pool * pass.size;
      const size = Math.min(pass.size, kLen - from);
      if (!full) {
        dropped.fill(0);
        this.#compile(plan, pass).partial(dropped, pass.size, box.q0, rows, from, size, undefined);
      }
      for (let i = 0; i < rows; i += 1) {
        const at = i * this.#kTile + j;
        // A pool stands in only for a row that drops all of its keys.
        const whole =
          full || dropped.subarray(i * pass.size, i * pass.size + size).every((x) => x === 0);
        this.#scores[at] = whole ? this.#scores[at]! + Math.log(size) : -Infinity;
      }
    }
    this.#absorb(rows, count);
  }

  /** Mean keys and values of one KV head, rounded to the dtype as every kernel stores them. */
  #pools(plan: UnitPlan, pass: RestPass): { k: Float32Array; v: Float32Array } {
    const { unit, shape } = plan.binding;
    const key = `${unit.batch} ${unit.kvHead} ${pass.size}`;
    const known = this.#pooled.get(key);
    if (known) return known;
    const mean = (source: RowSource): Float32Array => {
      const { dim, dtype } = source;
      const result = new Float32Array(pass.pools * dim);
      const row = new Float32Array(dim);
      for (let pool = 0; pool < pass.pools; pool += 1) {
        const sums = new Float64Array(dim);
        const [from, to] = [pool * pass.size, Math.min((pool + 1) * pass.size, shape.kLen)];
        for (let at = from; at < to; at += 1) {
          loadRows(source, unit.batch, unit.kvHead, at, 1, row);
          for (let d = 0; d < dim; d += 1) sums[d]! += row[d]!;
        }
        for (let d = 0; d < dim; d += 1) {
          result[pool * dim + d] = roundTo(
            dtype === 'i32' ? 'fp32' : dtype,
            sums[d]! / (to - from),
          );
        }
      }
      return result;
    };
    const made = { k: mean(this.#buffers.k), v: mean(this.#buffers.v) };
    this.#pooled.clear();
    this.#pooled.set(key, made);
    return made;
  }

  /** One step of the online softmax (Milakov and Gimelshein, 2018) over the scores and values at hand. */
  #absorb(rows: number, count: number): void {
    const stride = this.#kTile;
    const scores = this.#scores;
    const dim = this.#buffers.v.dim;
    let any = false;
    for (let i = 0; i < rows; i += 1) {
      const start = i * stride;
      let high = this.#max[i]!;
      for (let j = start; j < start + count; j += 1) {
        const score = scores[j]!;
        // NaN is taken, and kept: nothing is larger than it.
        if (score > high || Number.isNaN(score)) high = score;
      }
      if (high === -Infinity) {
        scores.fill(0, start, start + count);
        continue;
      }
      any = true;
      let sum = 0;
      for (let j = start; j < start + count; j += 1) {
        const weight = Math.exp(scores[j]! - high);
        scores[j] = weight;
        sum += weight;
      }
      const factor = Math.exp(this.#max[i]! - high);
      if (factor !== 1) {
        for (let d = i * dim; d < (i + 1) * dim; d += 1) this.#out[d]! *= factor;
      }
      this.#sum[i] = this.#sum[i]! * factor + sum;
      this.#max[i] = high;
    }
    if (any) this.#products.accumulate(this.#scores, this.#v, this.#out, rows, count, dim, stride);
  }

  #finish(plan: UnitPlan, row0: number, rows: number): number {
    const { unit } = plan.binding;
    const dim = this.#buffers.v.dim;
    let bad = -1;
    for (let i = 0; i < rows; i += 1) {
      const sum = this.#sum[i]!;
      const inverse = sum === 0 ? 0 : 1 / sum;
      let finite = !Number.isNaN(sum) && this.#max[i] !== Infinity;
      for (let d = i * dim; d < (i + 1) * dim; d += 1) {
        this.#out[d]! *= inverse;
        if (Number.isNaN(this.#out[d]!)) finite = false;
      }
      if (!finite && bad < 0) bad = row0 + i;
      this.#lse[i] = sum === 0 ? -Infinity : this.#max[i]! + Math.log(sum);
    }
    storeRows(this.#buffers.out, unit.batch, unit.head, row0, rows, this.#out);
    storeRows(this.#buffers.lse, unit.batch, unit.head, row0, rows, this.#lse);
    return bad;
  }
}
