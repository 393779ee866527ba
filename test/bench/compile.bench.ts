// What it takes to compile, no GPU needed: `npm run bench -- compile [--arch sm_90a] [--only causal] [--dim 128] [--rounds 3]`;
// in the bundle: `./warploom bench:compile`.
// For every built-in pattern: its attention kernel from the text to machine code by NVRTC, the front end (to PTX) and the
// assembler apart, best of the rounds; then, in processes of their own whose kernels all lie in the cache, the first call
// of the pattern up to machine code: kernel by kernel, and all kernels with the planning before them. Bars: 1 s for a kernel
// that is new, 10 ms for one from the cache. Another load on the machine shows as elapsed time above processor time.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lifted } from '../../dsl/definition.ts';
import { alibiSoftcap, documents, patterns, tensor } from '../../index.ts';
import { type CompiledKernel, compileKernel } from '../../runtime/cuda/compiler.ts';
import { kernelsOf, launchesOf, type PartLaunches } from '../../runtime/cuda/launches.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { checkCall } from '../../runtime/plans.ts';

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', multiple: true, default: ['sm_80', 'sm_90', 'sm_90a'] },
    only: { type: 'string', multiple: true, default: [...patterns.keys()] },
    dim: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    // What the other processes do.
    kept: { type: 'boolean', default: false },
  },
});
const dim = Number(options.dim);
const rounds = Number(options.rounds);

/** What a call of a pattern launches. */
function launched(name: string, arch: string): Promise<PartLaunches[]> {
  const [heads, length] = [4, 4096];
  const captured: Record<string, unknown> = {
    [documents.name]: { doc: tensor(new Int32Array(length), { shape: [1, length] }) },
    [alibiSoftcap.name]: { slopes: tensor(new Float32Array(heads), { shape: [heads] }) },
  };
  const sizes = { batch: 1, heads, kvHeads: heads, qLen: length, kLen: length };
  const shape = { ...sizes, headDim: dim, valueDim: dim };
  const inputs = { ...(captured[name] ?? {}), shape, dtype: 'bf16' } as const;
  return launchesOf(checkCall(patterns.get(name)!, inputs, {}), arch);
}

interface Kept {
  /** Milliseconds of each kernel, and of the whole. */
  readonly kernels: readonly number[];
  readonly all: number;
  readonly areKept: boolean;
}

/** The first call of a pattern in this process, up to machine code; lifted already, as in the published package. */
async function firstCall(name: string, arch: string): Promise<Kept> {
  lifted(patterns.get(name)!.definition);
  const start = performance.now();
  const kernels = (await launched(name, arch)).flatMap(({ lists }) => kernelsOf(lists));
  const compiled: CompiledKernel[] = [];
  for (const kernel of kernels) compiled.push(await compileKernel(kernel, arch));
  return {
    kernels: compiled.map(({ milliseconds }) => milliseconds),
    all: performance.now() - start,
    areKept: compiled.every(({ fromCache }) => fromCache),
  };
}

/** The same in a new process. */
function elsewhere(name: string, arch: string): Kept {
  const own = fileURLToPath(import.meta.url);
  const loader = own.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const flags = ['--kept', '--arch', arch, '--only', name, '--dim', String(dim)];
  return JSON.parse(
    execFileSync(process.execPath, [...loader, own, ...flags], { encoding: 'utf8' }),
  );
}

/** Seconds by NVRTC's own clock, elapsed and of the processor. */
async function coldTimes(name: string, arch: string) {
  const nvrtc = await findNvrtc();
  const { kernel } = (await launched(name, arch))[0]!.attention;
  const folder = mkdtempSync(join(tmpdir(), 'warploom-bench-'));
  const phases = join(folder, 'phases.csv');
  const best = { front: Infinity, assembler: Infinity, elapsed: Infinity, processor: Infinity };
  for (let round = 0; round < rounds; round += 1) {
    rmSync(phases, { force: true });
    const begun = performance.now();
    const before = process.cpuUsage();
    await nvrtc.compile({ ...kernel, arch, options: ['-default-device', `--time=${phases}`] });
    const { user, system } = process.cpuUsage(before);
    const text = readFileSync(phases, 'utf8');
    const millisecondsOf = (phase: string) =>
      Number(new RegExp(`${phase}, *([\\d.]+)`).exec(text)?.[1]);
    best.front = Math.min(
      best.front,
      millisecondsOf('Frontend') + millisecondsOf('NVVM Optimizer'),
    );
    best.assembler = Math.min(best.assembler, millisecondsOf('PTX Translation'));
    best.elapsed = Math.min(best.elapsed, performance.now() - begun);
    best.processor = Math.min(best.processor, (user + system) / 1000);
  }
  rmSync(folder, { recursive: true });
  return best;
}

if (options.kept) {
  process.stdout.write(JSON.stringify(await firstCall(options.only[0]!, options.arch[0]!)));
} else {
  const heading = ['elapsed', 'processor', 'front end', 'assembler', 'kernel kept', 'call kept'];
  const line = (name: string, cells: readonly string[]) =>
    [name.padEnd(16), ...cells.map((cell) => cell.padStart(12))].join('');
  for (const arch of options.arch) {
    console.log(
      line(
        arch,
        heading.map((one) => `${one}`),
      ),
    );
    for (const name of options.only) {
      const { elapsed, processor, front, assembler } = await coldTimes(name, arch);
      await firstCall(name, arch);
      const kept = Array.from({ length: rounds }, () => elsewhere(name, arch));
      if (!kept.every(({ areKept }) => areKept)) throw new Error('the cache lost a kernel');
      const kernel = Math.max(
        ...kept[0]!.kernels.map((_, i) => Math.min(...kept.map(({ kernels }) => kernels[i]!))),
      );
      const call = Math.min(...kept.map(({ all }) => all));
      const cells = [elapsed, processor, front, assembler].map((time) => `${time.toFixed(0)} ms`);
      console.log(line(name, [...cells, `${kernel.toFixed(1)} ms`, `${call.toFixed(1)} ms`]));
    }
  }
}
