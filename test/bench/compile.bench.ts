// What it takes to compile. Cold: the attention kernel of a pattern from the text to machine code by NVRTC, the
// front end (to PTX) and the assembler apart, best of the rounds. Kept: in processes of their own whose kernels all
// lie in the cache, kernel by kernel, and the first call with the planning before it. Bars: 1 s for a kernel that is
// new, 10 ms for one from the cache. Another load on the machine shows as elapsed time above processor time.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { lifted } from '../../dsl/definition.ts';
import { alibiSoftcap, documents, patterns, tensor } from '../../index.ts';
import { exit } from '../../runtime/commands/failure.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import { type CompiledKernel, compileKernel } from '../../runtime/cuda/compiler.ts';
import { kernelsOf, launchesOf, type PartLaunches } from '../../runtime/cuda/launches.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { checkCall } from '../../runtime/plans.ts';
import type { Program } from '../programs/program.ts';

interface Flags {
  readonly arch: readonly string[];
  readonly only?: readonly string[];
  readonly dim: number;
  readonly rounds: number;
  readonly kept?: boolean;
}

export const program: Program<Flags> = {
  summary: 'what it takes to compile each pattern, new and from the cache; needs no GPU',
  examples: ['--arch sm_90a', '--only causal vertical-slash --dim 64'],
  addOptions(command: Command) {
    command
      .option('--arch <names...>', 'architectures', ['sm_80', 'sm_90', 'sm_90a'])
      .addOption(
        new Option('--only <patterns...>', 'not all of them').choices([...patterns.keys()]),
      )
      .option('--dim <n>', 'of a head', countFrom, 128)
      .option('--rounds <n>', 'how often each is timed; the best counts', countFrom, 3)
      // What the other processes do.
      .addOption(new Option('--kept').hideHelp());
  },
  async act(_, { arch: archs, only = [...patterns.keys()], dim, rounds, kept }) {
    if (kept) process.stdout.write(JSON.stringify(await firstCall(only[0]!, archs[0]!, dim)));
    else for (const arch of archs) await timeAll(only, arch, dim, rounds);
    return exit.fine;
  },
};

/** What a call of a pattern launches. */
function launched(name: string, arch: string, dim: number): Promise<PartLaunches[]> {
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
async function firstCall(name: string, arch: string, dim: number): Promise<Kept> {
  lifted(patterns.get(name)!.definition);
  const start = performance.now();
  const kernels = (await launched(name, arch, dim)).flatMap(({ lists }) => kernelsOf(lists));
  const compiled: CompiledKernel[] = [];
  for (const kernel of kernels) compiled.push(await compileKernel(kernel, arch));
  return {
    kernels: compiled.map(({ milliseconds }) => milliseconds),
    all: performance.now() - start,
    areKept: compiled.every(({ fromCache }) => fromCache),
  };
}

/** The same in a new process. */
function elsewhere(name: string, arch: string, dim: number): Kept {
  const run = process.argv[1]!;
  const loader = run.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const words = ['bench:compile', '--kept', '--arch', arch, '--only', name, '--dim', String(dim)];
  return JSON.parse(
    execFileSync(process.execPath, [...loader, run, ...words], { encoding: 'utf8' }),
  );
}

/** Seconds by NVRTC's own clock, elapsed and of the processor. */
async function coldTimes(name: string, arch: string, dim: number, rounds: number) {
  const nvrtc = await findNvrtc();
  const { kernel } = (await launched(name, arch, dim))[0]!.attention;
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

const line = (name: string, cells: readonly string[]) =>
  [name.padEnd(16), ...cells.map((cell) => cell.padStart(12))].join('');

async function timeAll(
  names: readonly string[],
  arch: string,
  dim: number,
  rounds: number,
): Promise<void> {
  const heading = ['elapsed', 'processor', 'front end', 'assembler', 'kernel kept', 'call kept'];
  console.log(line(arch, heading));
  for (const name of names) {
    const { elapsed, processor, front, assembler } = await coldTimes(name, arch, dim, rounds);
    await firstCall(name, arch, dim);
    const kept = Array.from({ length: rounds }, () => elsewhere(name, arch, dim));
    if (!kept.every(({ areKept }) => areKept)) throw new Error('the cache lost a kernel');
    const kernel = Math.max(
      ...kept[0]!.kernels.map((_, i) => Math.min(...kept.map(({ kernels }) => kernels[i]!))),
    );
    const call = Math.min(...kept.map(({ all }) => all));
    const cells = [elapsed, processor, front, assembler].map((time) => `${time.toFixed(0)} ms`);
    console.log(line(name, [...cells, `${kernel.toFixed(1)} ms`, `${call.toFixed(1)} ms`]));
  }
}
