// How fast the tile products of the CPU device are.

import { cpus } from 'node:os';
import {
  everyNativeProducts,
  type TileProducts,
  typescriptProducts,
} from '../../runtime/cpu/products.ts';
import { addonStatus } from '../../runtime/native.ts';
import type { Program } from '../programs/program.ts';

const shapes = [
  [16, 16, 8],
  [64, 64, 64],
  [64, 128, 128],
] as const;

/** The best of some rounds, in nanoseconds a call. */
function nanosecondsPerCall(call: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  let calls = 1;
  for (let round = 0; round < 12; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    const elapsed = Number(process.hrtime.bigint() - start);
    best = Math.min(best, elapsed / calls);
    calls = Math.max(1, Math.round(3e7 / best)); // rounds of 30 ms
  }
  return best;
}

function numbers(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * i));
}

function measure(products: TileProducts): void {
  const cells: string[] = [];
  for (const [rows, keys, dim] of shapes) {
    const q = numbers(rows * dim);
    const k = numbers(keys * dim);
    const p = numbers(rows * keys);
    const out = numbers(rows * dim);
    const accumulate = nanosecondsPerCall(() =>
      products.accumulate(p, k, out, rows, keys, dim, keys),
    );
    const scores = nanosecondsPerCall(() =>
      products.scores(q, k, p, rows, keys, dim, dim ** -0.5, keys),
    );
    const rate = (time: number) => ((2 * rows * keys * dim) / time).toFixed(1).padStart(6);
    cells.push(`${rate(scores)} ${rate(accumulate)}`);
  }
  const [x, y, z] = [numbers(1), numbers(1), numbers(1)];
  for (const rows of [0, 1]) {
    const time = nanosecondsPerCall(() => products.scores(x, y, z, rows, 1, 1, 1, 1));
    cells.push(time.toFixed(0).padStart(8));
  }
  console.log(`${products.name.padEnd(12)}${cells.join('  | ')}`);
}

export const program: Program = {
  summary: 'tile products of the CPU device in GFLOP/s, on one thread',
  examples: [''],
  addOptions() {},
  async act() {
    const headings = [...shapes.map((shape) => shape.join('x').padEnd(13)), '0 rows  ', '1x1x1'];
    console.log(
      `${cpus()[0]?.model}, Node ${process.version}, addon: ${JSON.stringify(addonStatus())}`,
    );
    console.log(
      'GFLOP/s of scores and of accumulate, then ns of a call that has nothing to compute',
    );
    console.log(`${''.padEnd(12)}${headings.join('  | ')}`);
    for (const products of [...everyNativeProducts(), typescriptProducts]) measure(products);
    return 0;
  },
};
