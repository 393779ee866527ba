// The main job on real attention heads: three sparse patterns on heads of SmolLM2 reading the Bible.
// Prints, per head, what each pattern computes and what it costs, and writes a picture of each plan.
// Run it with `npm run demo`; examples/data/README.md says where the heads come from.

import { mkdir } from 'node:fs/promises';
import {
  type AnyPattern,
  type AttentionInputs,
  aShape,
  blockSparse,
  causal,
  compile,
  draw,
  errorBound,
  explain,
  openDevice,
  outputError,
  recall,
  reference,
  tensor,
  verticalSlash,
} from '../index.ts';
import { writeAtomically } from '../runtime/files/atomic.ts';

const heads = ['sink', 'local', 'vertical', 'slash', 'diffuse'];

/** Budgets for 4096 tokens; the defaults of the patterns are meant for 128K. */
const runs: readonly { pattern: AnyPattern; params: Record<string, number> }[] = [
  { pattern: aShape, params: { sinks: 64, window: 512 } },
  { pattern: verticalSlash, params: { verticals: 256, slashes: 512 } },
  { pattern: blockSparse, params: { blocksPerRow: 12 } },
];

/** The oracle in float64 is slow: it checks this many evenly spaced query rows of every head. */
const checkedRows = 64;

const columns = [
  'head',
  'pattern',
  'density',
  'visited',
  'full',
  'partial',
  'mass',
  'error',
  'bound',
  'cost',
  'ms',
];
const widths = [9, 15, 8, 8, 6, 8, 7, 8, 8, 7, 6];
const line = (cells: readonly string[]) =>
  console.log(
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' '),
  );

const largest = (values: Float32Array | Int32Array): number => {
  let most = 0;
  for (const x of values) most = Math.max(most, Math.abs(x));
  return most;
};

const percent = (x: number) => `${(100 * x).toFixed(1)}%`;

async function load(name: string): Promise<AttentionInputs> {
  const file = new URL(`data/${name}.safetensors`, import.meta.url).pathname;
  const [q, k, v] = await Promise.all(['q', 'k', 'v'].map((part) => tensor.load(file, part)));
  return { q: q!, k: k!, v: v! };
}

/** Largest difference to the masked oracle on the checked rows. */
async function errorOf(
  pattern: AnyPattern,
  inputs: AttentionInputs,
  params: Record<string, number>,
  out: Float32Array,
): Promise<number> {
  const [, , length = 0, dim = 0] = inputs.q.shape;
  const rows = Array.from({ length: checkedRows }, (_, i) =>
    Math.floor(((i + 0.5) * length) / checkedRows),
  );
  const oracle = reference(pattern, inputs, params, { rows });
  let worst = 0;
  for (const [i, row] of rows.entries()) {
    for (let d = 0; d < dim; d += 1) {
      worst = Math.max(worst, Math.abs(out[row * dim + d]! - oracle.out[i * dim + d]!));
    }
  }
  return worst;
}

const device = await openDevice();
const pictures = new URL('pictures/', import.meta.url);
await mkdir(pictures, { recursive: true });
console.log(`5 heads of SmolLM2-135M, 4096 tokens each, fp16; ${device.description}`);
console.log(
  `patterns: ${runs.map(({ pattern, params }) => `${pattern.name} ${JSON.stringify(params)}`).join(', ')}\n`,
);
line(columns);
try {
  const dimensions = { heads: 1, headDim: 64, dtype: 'fp16', device } as const;
  const dense = await compile(causal, dimensions);
  for (const name of heads) {
    const inputs = await load(name);
    const exact = await dense(inputs);
    const bound = errorBound('fp16', 4096, 64, {
      value: largest(await inputs.v.read()),
      logit: largest(await exact.lse.read()),
    });
    for (const { pattern, params } of runs) {
      const attend = await compile(pattern, dimensions);
      const start = performance.now();
      const { out, lse, chosen } = await attend(inputs, params);
      const ms = performance.now() - start;
      const { parts } = await explain(pattern, { ...inputs, chosen }, params);
      const { density, tiles } = parts[0]!.launch.groups[0]!.summary;
      const [kept] = await recall(lse, exact.lse);
      const [cost] = await outputError(out, exact.out);
      const sparse = await out.read();
      const error = await errorOf(pattern, { ...inputs, chosen }, params, sparse);
      if (error > bound.out)
        throw new Error(`${pattern.name} on ${name}: error ${error} is above ${bound.out}`);
      line([
        name,
        pattern.name,
        percent(density),
        String(tiles.visited),
        String(tiles.full),
        String(tiles.partial),
        percent(kept!.mean),
        error.toExponential(1),
        bound.out.toExponential(1),
        percent(cost!.relative),
        ms.toFixed(0),
      ]);
      const title = `${pattern.name} on the ${name} head`;
      const svg = await draw(pattern, { ...inputs, chosen }, params, { title });
      await writeAtomically(new URL(`${name}-${pattern.name}.svg`, pictures).pathname, svg);
    }
  }
} finally {
  await device.dispose();
}
console.log(`
density  visited share of the causal area      mass   share of dense attention kept (mean over rows)
error    largest distance to the float64 oracle of the same mask on ${checkedRows} rows; bound: what rounding explains
cost     relative distance to dense attention  ms     estimate and attention together
15 pictures are in examples/pictures/`);
