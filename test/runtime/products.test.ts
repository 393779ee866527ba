// The tile products against sums in float64, for every implementation that this machine can run.

import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import {
  everyNativeProducts,
  nativeProducts,
  tileProducts,
  typescriptProducts,
} from '../../runtime/cpu/products.ts';
import { addonStatus } from '../../runtime/native.ts';

/** What one rounding can add to a float32 number, relative to it. */
const unit = 2 ** -24;

/** How far a float32 sum of products may be from the exact one; `magnitude` sums the absolutes. */
function errorBound(steps: number, magnitude: number): number {
  return (steps + 3) * unit * magnitude + 2 ** -140;
}

/** Numbers of mixed size and sign, the same for the same seed. */
function fill(to: Float32Array, seed: number): Float32Array {
  let state = seed | 1;
  for (let i = 0; i < to.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    to[i] = (state / 2 ** 31) * 2 ** ((state >>> 4) % 6);
  }
  return to;
}

/** A matrix somewhere inside a buffer whose other numbers must survive. */
class Matrix {
  readonly whole: Float32Array;
  readonly view: Float32Array;
  readonly before: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
  readonly offset: number;

  constructor(
    rows: number,
    columns: number,
    stride: number,
    { offset = 0, seed = 1, shared = false } = {},
  ) {
    const length = (rows - 1) * stride + columns;
    const bytes = (offset + length + 7) * 4;
    this.whole = new Float32Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
    fill(this.whole, seed);
    this.before = this.whole.slice();
    this.view = this.whole.subarray(offset, offset + length);
    this.rows = rows;
    this.columns = columns;
    this.stride = stride;
    this.offset = offset;
  }

  at(row: number, column: number): number {
    return this.view[row * this.stride + column]!;
  }

  /** Whether only numbers of the matrix itself have changed. */
  keptTheRest(): boolean {
    return this.whole.every((value, i) => {
      const place = i - this.offset;
      const isInside = place >= 0 && place < this.view.length && place % this.stride < this.columns;
      return isInside || Object.is(value, this.before[i]);
    });
  }
}

const shape = fc.record({
  rows: fc.integer({ min: 1, max: 40 }),
  keys: fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 256 })),
  dim: fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 300 })),
  gap: fc.integer({ min: 0, max: 5 }),
  offset: fc.integer({ min: 0, max: 9 }),
  seed: fc.integer(),
  shared: fc.boolean(),
  scale: fc.constantFrom(1, -0.125, 0.08838834764831845, 3),
});

test('the native addon is built and loads', () => {
  const help = 'build it: node runtime/native/install.mjs, then read build/install.log';
  expect(nativeProducts(), `${addonStatus().reason}; ${help}`).toBeDefined();
  expect(everyNativeProducts().map((products) => products.name)).toContain('portable');
});

describe.each([...everyNativeProducts(), typescriptProducts])('$name', (products) => {
  test('scores are within the bound of the exact sums and touch nothing else', () => {
    fc.assert(
      fc.property(shape, ({ rows, keys, dim, gap, scale, ...place }) => {
        const q = new Matrix(rows, dim, dim, place);
        const k = new Matrix(keys, dim, dim, { ...place, seed: place.seed + 2 });
        const scores = new Matrix(rows, keys, keys + gap, place);
        products.scores(q.view, k.view, scores.view, rows, keys, dim, scale, keys + gap);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < keys; j++) {
            let exact = 0;
            let magnitude = 0;
            for (let d = 0; d < dim; d++) {
              const term = q.at(i, d) * k.at(j, d) * Math.fround(scale);
              exact += term;
              magnitude += Math.abs(term);
            }
            const error = Math.abs(scores.at(i, j) - exact);
            if (!(error <= errorBound(dim, magnitude))) return false;
          }
        }
        return scores.keptTheRest() && [q, k].every((m) => m.whole.join() === m.before.join());
      }),
      { numRuns: 60 },
    );
  });

  test('accumulated sums are within the bound of the exact ones and touch nothing else', () => {
    fc.assert(
      fc.property(shape, ({ rows, keys, dim, gap, scale: _, ...place }) => {
        const p = new Matrix(rows, keys, keys + gap, place);
        const v = new Matrix(keys, dim, dim, { ...place, seed: place.seed + 2 });
        const out = new Matrix(rows, dim, dim, { ...place, seed: place.seed + 4 });
        products.accumulate(p.view, v.view, out.view, rows, keys, dim, keys + gap);
        for (let i = 0; i < rows; i++) {
          for (let d = 0; d < dim; d++) {
            let exact = out.before[out.offset + i * dim + d]!;
            let magnitude = Math.abs(exact);
            for (let j = 0; j < keys; j++) {
              const term = p.at(i, j) * v.at(j, d);
              exact += term;
              magnitude += Math.abs(term);
            }
            const error = Math.abs(out.at(i, d) - exact);
            if (!(error <= errorBound(keys, magnitude))) return false;
          }
        }
        return out.keptTheRest() && [p, v].every((m) => m.whole.join() === m.before.join());
      }),
      { numRuns: 60 },
    );
  });

  test('a result has the same bits wherever it lies in a tile', () => {
    fc.assert(
      fc.property(shape, ({ rows, keys, dim, scale, seed }) => {
        const q = fill(new Float32Array(rows * dim), seed);
        const k = fill(new Float32Array(keys * dim), seed + 2);
        const scores = new Float32Array(rows * keys);
        products.scores(q, k, scores, rows, keys, dim, scale, keys);
        const out = new Float32Array(rows * dim);
        products.accumulate(scores, k, out, rows, keys, dim, keys);

        const i = Math.abs(seed) % rows;
        const j = Math.abs(seed) % keys;
        const score = new Float32Array(1);
        const query = q.subarray(i * dim, (i + 1) * dim);
        products.scores(query, k.subarray(j * dim), score, 1, 1, dim, scale, 1);
        const row = new Float32Array(dim);
        products.accumulate(scores.subarray(i * keys), k, row, 1, keys, dim, keys);
        expect(score[0]).toBe(scores[i * keys + j]);
        expect(row).toEqual(out.subarray(i * dim, (i + 1) * dim));
      }),
      { numRuns: 60 },
    );
  });

  test('NaN and infinities pass through, and a probability of zero hides no NaN', () => {
    const [rows, keys, dim] = [7, 19, 21];
    const q = new Float32Array(rows * dim).fill(1);
    const k = new Float32Array(keys * dim).fill(1);
    k[3 * dim + 20] = Number.NaN;
    k[18 * dim] = Number.POSITIVE_INFINITY;
    const scores = new Float32Array(rows * keys);
    products.scores(q, k, scores, rows, keys, dim, -1, keys);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < keys; j++) {
        const expected = j === 3 ? Number.NaN : j === 18 ? Number.NEGATIVE_INFINITY : -dim;
        expect(scores[i * keys + j]).toBe(expected);
      }
    }
    const out = new Float32Array(rows * dim);
    products.accumulate(new Float32Array(rows * keys), k, out, rows, keys, dim, keys);
    for (let d = 0; d < dim; d++) expect(out[d]).toBe(d === 0 || d === 20 ? Number.NaN : 0);
  });

  test('a size of zero changes nothing', () => {
    const out = Float32Array.of(5);
    for (const [rows, keys, dim] of [
      [0, 1, 1],
      [1, 0, 1],
      [1, 1, 0],
    ] as const) {
      products.scores(new Float32Array(), new Float32Array(), out, rows, keys, dim, 1, 1);
      products.accumulate(new Float32Array(), new Float32Array(), out, rows, keys, dim, 1);
    }
    expect(out[0]).toBe(5);
  });

  test('sizes that leave a buffer throw, whatever they are', () => {
    const x = new Float32Array(64);
    const scores = (rows: number, keys: number, dim: number, stride: number) => () =>
      products.scores(x, x, new Float32Array(64), rows, keys, dim, 1, stride);
    const accumulate = (rows: number, keys: number, dim: number, stride: number) => () =>
      products.accumulate(x, x, new Float32Array(64), rows, keys, dim, stride);
    for (const call of [scores, accumulate]) {
      expect(call(8, 8, 8, 8)).not.toThrow();
      expect(call(9, 8, 8, 8)).toThrow(RangeError);
      expect(call(8, 9, 8, 9)).toThrow(RangeError);
      expect(call(8, 8, 9, 8)).toThrow(RangeError);
      expect(call(8, 8, 8, 9)).toThrow(RangeError);
      expect(call(8, 8, 8, 7)).toThrow(RangeError);
      for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 31)]) {
        expect(call(bad, 8, 8, 8)).toThrow(RangeError);
        expect(call(8, bad, 8, 8)).toThrow(RangeError);
        expect(call(8, 8, bad, 8)).toThrow(RangeError);
        expect(call(8, 8, 8, bad)).toThrow(RangeError);
      }
      // Products of these would wrap around in 32 or 64 bits.
      expect(call(2 ** 16, 2 ** 16, 2 ** 16, 2 ** 16)).toThrow(RangeError);
      expect(call(2 ** 31 - 1, 1, 1, 2 ** 31 - 1)).toThrow(RangeError);
    }
    const detached = new Float32Array(64);
    structuredClone(detached, { transfer: [detached.buffer] });
    expect(() => products.scores(detached, x, x, 8, 8, 8, 1, 8)).toThrow(RangeError);
  });

  test('arguments of another type throw', () => {
    const x = new Float32Array(64);
    const call = products.scores as (...values: unknown[]) => void;
    expect(() => call(new Float64Array(64), x, x, 8, 8, 8, 1, 8)).toThrow(TypeError);
    expect(() => call(x, [1], x, 8, 8, 8, 1, 8)).toThrow(TypeError);
    expect(() => call(x, x, null, 8, 8, 8, 1, 8)).toThrow(TypeError);
    expect(() => call(x, x, x, '8', 8, 8, 1, 8)).toThrow(TypeError);
    expect(() => call(x, x, x, 8, 8, 8, undefined, 8)).toThrow(TypeError);
    expect(() => call(x)).toThrow(TypeError);
  });
});

test('two worker threads load the addon at once and compute the same bits', async () => {
  const [rows, keys, dim] = [33, 65, 72];
  const q = fill(new Float32Array(new SharedArrayBuffer(rows * dim * 4)), 1);
  const k = fill(new Float32Array(new SharedArrayBuffer(keys * dim * 4)), 2);
  const work = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { path, q, k, rows, keys, dim } = workerData;
    const [products] = require(path).products;
    const out = new Float32Array(rows * keys);
    for (let i = 0; i < 200; i++) products.scores(q, k, out, rows, keys, dim, 0.5, keys);
    parentPort.postMessage(out);`;
  const run = () =>
    new Promise<Float32Array>((resolve, reject) => {
      const workerData = { path: addonStatus().path, q, k, rows, keys, dim };
      const worker = new Worker(work, { eval: true, workerData });
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const here = new Float32Array(rows * keys);
  nativeProducts()!.scores(q, k, here, rows, keys, dim, 0.5, keys);
  const there = await Promise.all([run(), run()]);
  expect(there[0]).toEqual(here);
  expect(there[1]).toEqual(here);
});

describe('WARPLOOM_ADDON=off', () => {
  afterEach(() => {
    delete process.env.WARPLOOM_ADDON;
  });

  test('forces the stand-in', () => {
    expect(tileProducts()).toBe(nativeProducts());
    process.env.WARPLOOM_ADDON = 'off';
    expect(tileProducts()).toBe(typescriptProducts);
    expect(addonStatus()).toMatchObject({ loaded: false });
  });
});
