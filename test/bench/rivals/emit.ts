// Kernels for a side-by-side run with PyTorch: `npx tsx test/bench/rivals/emit.ts <folder> [sm_90]` writes
// cubins and their arguments; run.py, on the GPU machine, times them beside PyTorch's own attention.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attentionKernel } from '../../../codegen/attention/kernel.ts';
import { attentionLaunch } from '../../../codegen/attention/launch.ts';
import { tileCandidates } from '../../../codegen/attention/tiles.ts';
import { lifted } from '../../../dsl/definition.ts';
import type { AnyPattern } from '../../../dsl/pattern.ts';
import { aShape, causal } from '../../../patterns/index.ts';
import { compileKernel } from '../../../runtime/cuda/compiler.ts';

interface Work {
  readonly pattern: AnyPattern;
  readonly params: Readonly<Record<string, number>>;
  readonly heads: number;
  readonly length: number;
  readonly headDim: number;
}

const works: readonly Work[] = [
  ...[4096, 16384].map((length) => ({
    pattern: causal,
    params: {},
    heads: 16,
    length,
    headDim: 128,
  })),
  ...[64, 96, 192, 256].map((headDim) => ({
    pattern: causal,
    params: {},
    heads: Math.round(2048 / headDim),
    length: 16384,
    headDim,
  })),
  {
    pattern: aShape,
    params: { sinks: 128, window: 4096 },
    heads: 16,
    length: 16384,
    headDim: 128,
  },
];

const [folder = 'rivals', arch = 'sm_90'] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const entries: object[] = [];
for (const { pattern, params, heads, length, headDim } of works) {
  const { declarations, mask, score } = lifted(pattern.definition);
  for (const knobs of tileCandidates(headDim, headDim)) {
    const attention = attentionKernel({
      declarations,
      mask,
      score,
      fixed: {},
      gather: undefined,
      restSize: undefined,
      perGroup: new Set(),
      dtype: 'bf16',
      headDim,
      valueDim: headDim,
      segments: false,
      knobs,
    });
    const { cubin, report } = await compileKernel(attention.kernel, arch);
    if (report.spillStores > 0) continue;
    const rows = { batch: heads * length * headDim, head: length * headDim, row: headDim };
    const { steps } = attentionLaunch({
      multiprocessors: 1,
      attention,
      declarations,
      dtype: 'bf16',
      shape: {
        batch: 1,
        heads,
        kvHeads: heads,
        qLen: length,
        kLen: length,
        headDim,
        valueDim: headDim,
      },
      strides: { q: rows, k: rows, v: rows, out: rows },
      params,
      sets: {},
      captured: {},
    });
    const step = steps.find((one) => one.op === 'launch')!;
    if (step.op !== 'launch') continue;
    const { kernel, args, buffers, grid } = step;
    const name = `${pattern.name}-${length}-${headDim}`;
    writeFileSync(join(folder, `${name}.cubin`), cubin);
    const zeros = Object.fromEntries(Object.keys(buffers).map((field) => [field, 0]));
    entries.push({
      name,
      pattern: pattern.name,
      heads,
      length,
      headDim,
      params: Object.values(params),
      tile: `${knobs.qTile}x${knobs.kTile}`,
      grid: grid[0],
      threads: kernel.threads,
      sharedBytes: kernel.sharedBytes,
      args: Buffer.from(kernel.params.pack({ ...args, ...zeros })).toString('hex'),
      offsets: Object.fromEntries(
        Object.keys(buffers).map((field) => [field, kernel.params.offsets[field]]),
      ),
    });
    break;
  }
}
writeFileSync(join(folder, 'works.json'), JSON.stringify(entries, null, 1));
console.log(
  `${entries.length} kernels for ${arch} in ${folder}; next: python3 test/bench/rivals/run.py ${folder}`,
);
