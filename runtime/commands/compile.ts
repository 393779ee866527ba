// `warploom compile`: the kernels that calls of some sizes would launch, compiled into a folder before anybody needs
// them. No GPU is needed; where such kernels are looked for is runtime/cuda/ahead.ts.

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Kernel } from '../../codegen/kernel.ts';
import { render } from '../../dsl/diagnostic.ts';
import { bytesText } from '../../dsl/plan/explain.ts';
import { aheadCache } from '../cuda/ahead.ts';
import { cacheFolder } from '../cuda/cache.ts';
import { kernelsOf, launchesOn } from '../cuda/launches.ts';
import { OfflineMachine } from '../cuda/offline.ts';
import { fallbackLimits } from '../fallback.ts';
import { type Fallback, splitHulls } from '../hulls.ts';
import type { CheckedCall } from '../plans.ts';
import { Compilers } from '../tuner/compilers.ts';
import type { CompilationReply } from '../tuner/protocol.ts';
import { diagnosticsOf, exit } from './failure.ts';
import { countFrom, fallbackOption, sizeFrom } from './inputs.ts';
import { archFrom, chipOf, runningAs, usualArch } from './kernels.ts';
import type { Values } from './parameters.ts';
import { callOfSizes, leastHeads } from './sizes.ts';
import type { Target } from './target.ts';
import { duration, type Terminal, table } from './terminal.ts';
import type { PatternsVerb } from './verb.ts';

interface CompileFlags {
  readonly arch?: readonly string[];
  readonly queryHeads?: number;
  readonly kvHeads?: number;
  readonly headDim: number;
  readonly valueDim?: number;
  readonly length: readonly number[];
  readonly queryLength?: number;
  readonly dtype: 'fp16' | 'bf16';
  readonly fallback: Fallback;
  readonly cache?: string;
  readonly json?: boolean;
}

/** A kernel that lies in the folder. */
interface Prepared extends CompilationReply {
  /** The first pattern that asked for it. */
  readonly pattern: string;
  readonly kernel: string;
  readonly arch: string;
  /** Not launched, but looked at: its registers were too few, and a call asks that again. */
  isPassedOver: boolean;
}

export const compile: PatternsVerb<CompileFlags> = {
  name: 'compile',
  summary:
    'compile the kernels of calls of such sizes before they are needed; no GPU is needed, and where they run no NVRTC',
  examples: [
    'causal vertical-slash --arch sm_90a --query-heads 32 --kv-heads 8 --length 4096,131072',
    'all --arch sm_80,sm_90a --cache kernels   # there: WARPLOOM_KERNELS=kernels',
    'mine.ts#mine --head-dim 64 --json',
  ],
  addOptions(command: Command) {
    const listed = '; several joined by commas';
    command
      .option(
        '--arch <names>',
        `of the GPUs: sm_80, sm_89, sm_90a (H100, H200)${listed} (default: of the GPU, else sm_90)`,
        listOf(archFrom),
      )
      .option('--query-heads <n>', 'of q (default: as many as the pattern lists, or 1)', countFrom)
      .option('--kv-heads <n>', 'of k and v (default: as q)', countFrom)
      .option('--head-dim <n>', 'dimension of q and k', sizeFrom, 128)
      .option('--value-dim <n>', 'dimension of v (default: as q and k)', sizeFrom)
      .addOption(
        new Option(
          '--length <n>',
          `keys: one for each power of two up to which calls reach${listed}`,
        )
          .default([4096], '4096')
          .argParser(listOf(countFrom)),
      )
      .option('--query-length <n>', 'queries (default: as keys)', countFrom)
      .addOption(
        new Option('--dtype <type>', 'of q, k and v').choices(['bf16', 'fp16']).default('bf16'),
      )
      .addOption(fallbackOption())
      .option(
        '--cache <folder>',
        'where they go (default: where they are looked for here)',
        folderFrom,
      )
      .option('--json', 'print one object for a program');
  },
  async act(targets, params, flags, { terminal }) {
    const folder = flags.cache ?? cacheFolder();
    await aheadCache(folder).open();
    const start = performance.now();
    const archs = [...new Set(flags.arch ?? [usualArch()])];
    const work = new Work(folder, terminal);
    try {
      const jobs = targets.flatMap((target) =>
        flags.length.flatMap((kLen) =>
          archs.map((arch) =>
            work.prepare(target, arch, () => callOf(target, params, flags, kLen)),
          ),
        ),
      );
      await Promise.all(jobs);
    } finally {
      work.end();
    }
    const kernels = await work.kernels();
    for (const text of work.failures) terminal.say(text);
    if (flags.json) {
      const data = kernels.map(({ fromCache, ...one }) => {
        return { ...one, state: stateOf(fromCache) };
      });
      terminal.printJson({ folder, kernels: data, failures: work.failures.size });
    } else if (kernels.length > 0) terminal.print(textOf(kernels, folder, start));
    return work.failures.size > 0 ? exit.wrong : exit.fine;
  },
};

/** A call of the sizes, as it runs: some of its heads may have nothing to choose. */
function callOf(target: Target, all: Values, flags: CompileFlags, kLen: number): CheckedCall {
  const own = new Set(target.definitions.flatMap(({ given }) => Object.keys(given)));
  const params = Object.fromEntries(Object.entries(all).filter(([name]) => own.has(name)));
  const { queryHeads: heads = leastHeads(target, params), kvHeads = heads } = flags;
  const { headDim, valueDim = headDim, queryLength: qLen = kLen, dtype, fallback } = flags;
  const shape = { batch: 1, heads, kvHeads, qLen, kLen, headDim, valueDim };
  const call = callOfSizes(target, params, shape, dtype);
  const split = splitHulls(call.parts, call.inputs, fallback);
  const running = split ? runningAs(call, split) : call;
  if (fallback === 'none') return running;
  const { parts, inputs } = running;
  return {
    ...running,
    fallbacks: parts.map((part, i) => fallbackLimits(part, inputs.given[i]!, shape)),
  };
}

/** Compiles by as many processes as there are cores, each kernel once. */
class Work {
  /** What is said of each failure. */
  readonly failures = new Set<string>();
  readonly #folder: string;
  readonly #compilers = new Compilers(undefined, availableParallelism());
  readonly #kernels = new Map<string, Promise<Prepared>>();
  readonly #live: ReturnType<Terminal['live']>;
  #done = 0;

  constructor(folder: string, terminal: Terminal) {
    this.#folder = folder;
    this.#live = terminal.live('compiling');
  }

  /** Never throws errors of ours: they are failures, and the other kernels go on. */
  async prepare({ name }: Target, arch: string, call: () => CheckedCall): Promise<void> {
    const compile = (kernel: Kernel) => this.#compile(name, kernel, arch);
    const chip = chipOf(arch);
    // What was tuned on this machine holds for it alone.
    for (const one of chip ? [undefined, chip] : [undefined])
      await this.#try(async () => {
        const machine = new OfflineMachine(arch, one, compile);
        const lists = (await launchesOn(machine, call())).flatMap((part) => part.lists);
        const launched = kernelsOf(lists).map((kernel) =>
          this.#try(async () => {
            (await compile(kernel)).isPassedOver = false;
          }),
        );
        await Promise.all(launched);
      });
  }

  /** Those that are there, in the order in which they were asked for. */
  async kernels(): Promise<Prepared[]> {
    const all = await Promise.allSettled(this.#kernels.values());
    return all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  }

  end(): void {
    this.#live.done();
    this.#compilers.kill();
  }

  #compile(pattern: string, kernel: Kernel, arch: string): Promise<Prepared> {
    const key = `${arch} ${kernel.source}`;
    let compiling = this.#kernels.get(key);
    if (!compiling) {
      compiling = this.#compilers.compile(kernel, arch, this.#folder).then((reply) => {
        this.#done += 1;
        this.#live.update(() => `compiled ${this.#done} of ${this.#kernels.size} kernels`);
        return { pattern, kernel: kernel.name, arch, ...reply, isPassedOver: true };
      });
      this.#kernels.set(key, compiling);
    }
    return compiling;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const found = diagnosticsOf(error);
      if (!found) throw error;
      this.failures.add(found.map(render).join('\n\n'));
    }
  }
}

const stateOf = (fromCache: boolean): string => (fromCache ? 'cached' : 'compiled');

function textOf(kernels: readonly Prepared[], folder: string, start: number): string {
  const title = ['pattern', 'kernel', 'arch', 'registers', 'spilled', 'time'];
  const rows = kernels.map((one) => [
    one.pattern,
    one.kernel,
    one.arch,
    String(one.registers),
    bytesText(one.spillBytes),
    duration(one.milliseconds),
  ]);
  const states = kernels.map(
    ({ fromCache, isPassedOver }) =>
      `${stateOf(fromCache)}${isPassedOver ? ', passed over: it spills' : ''}`,
  );
  const lines = table([title, ...rows]).split('\n');
  const cached = kernels.filter(({ fromCache }) => fromCache).length;
  const counts = `${kernels.length - cached} compiled, ${cached} cached`;
  const text = lines.map((line, i) => `${line}  ${['', ...states][i]}`.trimEnd()).join('\n');
  return `${text}\n\n${counts} in ${duration(performance.now() - start)}, in ${folder}`;
}

function folderFrom(text: string): string {
  if (text === '') throw new InvalidArgumentError('Name a folder.');
  return resolve(text);
}

/** Values joined by commas; an option that is given again adds its own. */
function listOf<Value>(parse: (text: string) => Value) {
  let isFirst = true;
  return (text: string, before: readonly Value[] = []): Value[] => {
    const given = isFirst ? [] : before;
    isFirst = false;
    return [...given, ...text.split(',').map(parse)];
  };
}
