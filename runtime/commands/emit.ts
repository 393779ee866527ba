// `warploom emit`: the kernels of a pattern as CUDA C for people, as PTX or as machine code. No GPU is needed,
// and no tensors: sizes of a call are arguments of the kernels.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { annotated } from '../../codegen/attention/annotate.ts';
import { choiceName } from '../../codegen/attention/choice.ts';
import type { Kernel } from '../../codegen/kernel.ts';
import { lifted } from '../../dsl/definition.ts';
import { isFixed } from '../../dsl/given.ts';
import { printNumber } from '../../dsl/print.ts';
import { compileKernel, ptxOf } from '../cuda/compiler.ts';
import { kernelsOf, launchesOf, type PartLaunches } from '../cuda/launches.ts';
import { writeAtomically } from '../files/atomic.ts';
import type { CheckedCall } from '../plans.ts';
import { exit, UsageError } from './failure.ts';
import { checkPlace } from './files.ts';
import { sizeFrom } from './inputs.ts';
import { archFrom, figuresOf, figuresText, usualArch } from './kernels.ts';
import type { Values } from './parameters.ts';
import { callOfSizes, leastHeads } from './sizes.ts';
import type { Target } from './target.ts';
import type { PatternVerb } from './verb.ts';

interface EmitFlags {
  readonly arch?: string;
  readonly format: 'cuda' | 'ptx' | 'cubin';
  readonly kernel?: string;
  readonly headDim: number;
  readonly valueDim?: number;
  readonly dtype: 'fp16' | 'bf16';
  readonly tile?: { readonly qTile: number; readonly kTile: number };
  readonly verbose?: boolean;
  readonly out?: string;
}

export const emit: PatternVerb<EmitFlags> = {
  name: 'emit',
  summary: 'print the kernels of a pattern as CUDA C, PTX or machine code; no GPU is needed',
  examples: [
    'causal --kernel attention --arch sm_90a',
    'vertical-slash --arch sm_80 --format ptx --out vertical-slash.ptx',
    'mine.ts#mine --head-dim 64 --tile 128x64 --verbose',
  ],
  addOptions(command: Command) {
    command
      .option(
        '--arch <name>',
        'sm_80, sm_90, sm_90a (Hopper kernels) and so on (default: of the GPU, else sm_90)',
        archFrom,
      )
      .addOption(
        new Option('--format <kind>', 'what to print')
          .choices(['cuda', 'ptx', 'cubin'])
          .default('cuda'),
      )
      .option('--kernel <name>', 'one kernel of the call, such as attention (default: all)')
      .option('--head-dim <n>', 'dimension of q and k', sizeFrom, 128)
      .option('--value-dim <n>', 'dimension of v (default: as q and k)', sizeFrom)
      .addOption(
        new Option('--dtype <type>', 'of q, k and v').choices(['bf16', 'fp16']).default('bf16'),
      )
      .option('--tile <sizes>', 'queries x keys of the attention kernel: 128x64', tileFrom)
      .option('--verbose', 'tell registers, spills and the remarks of the compiler on stderr')
      .option('--out <file>', 'write to a file');
  },
  async act(target, params, flags, { terminal }) {
    const { arch = usualArch(), format, out } = flags;
    if (out !== undefined) checkPlace(out);
    if (format === 'cubin' && out === undefined) {
      throw new UsageError('machine code is not for a screen', 'give --out FILE');
    }
    const parts = await launchesOf(callOf(target, params, flags), arch);
    const chosen = parts.map((part) => ({ part, kernels: kernelsIn(part, flags) }));
    const all = chosen.flatMap(({ kernels }) => kernels);
    if (all.length === 0) {
      const names = [...new Set(parts.flatMap(({ lists }) => kernelsOf(lists)).map(nameOf))];
      throw new UsageError(
        `'${target.name}' launches no kernel '${flags.kernel}'`,
        `it launches ${names.join(', ')}`,
      );
    }
    const isAttention = ({ part, kernels }: (typeof chosen)[number]) =>
      kernels.includes(part.attention.kernel);
    if (flags.tile && !chosen.some(isAttention)) {
      throw new UsageError(
        `--tile of the kernel '${flags.kernel}'`,
        'the attention kernel has one: leave --tile or --kernel out',
      );
    }
    if (format === 'cubin') {
      const [only, ...others] = all;
      if (others.length > 0) {
        throw new UsageError(
          'one file holds the machine code of one kernel',
          `name one: --kernel ${nameOf(all.at(-1)!)}`,
        );
      }
      await writeAtomically(out!, (await compileKernel(only!, arch)).cubin);
    } else {
      const texts = chosen.flatMap(({ part, kernels }) =>
        kernels.map((kernel) =>
          format === 'cuda' ? readable(part, kernel, flags, arch) : assembly(part, kernel, arch),
        ),
      );
      const text = (await Promise.all(texts)).join('\n\n');
      if (out === undefined) terminal.print(text);
      else await writeAtomically(out, `${text}\n`);
    }
    if (out !== undefined) terminal.say(`wrote ${out}`);
    if (flags.verbose) {
      for (const { part, kernels } of chosen) {
        const figures = (await figuresOf(part.lists, arch)).filter(({ kernel }) =>
          kernels.some(({ name }) => name === kernel),
        );
        // Launches and blocks are those of the sizes that stand in for a call's.
        terminal.say(figuresText(figures, { sizes: false }));
        for (const { kernel, remarks } of figures)
          for (const { code, what } of remarks) terminal.say(`${kernel}: (${code}) ${what}`);
      }
    }
    return exit.fine;
  },
};

const nameOf = ({ name }: Kernel): string => name;

function kernelsIn({ lists }: PartLaunches, { kernel }: EmitFlags): Kernel[] {
  return kernelsOf(lists).filter(({ name }) => kernel === undefined || name === kernel);
}

function tileFrom(text: string): { qTile: number; kTile: number } {
  const [, queries, keys] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (queries === undefined) throw new InvalidArgumentError('Give queries x keys: 128x64.');
  return { qTile: Number(queries), kTile: Number(keys) };
}

/** A length that every pattern can have. */
const length = 4096;

/** A call of sizes that stand in for any: they are no part of the kernels. */
function callOf(target: Target, params: Values, flags: EmitFlags): CheckedCall {
  const { headDim, valueDim = headDim, dtype, tile } = flags;
  const heads = leastHeads(target, params);
  const shape = { batch: 1, heads, kvHeads: heads, qLen: length, kLen: length, headDim, valueDim };
  const call = callOfSizes(target, params, shape, dtype);
  if (!tile) return call;
  const parts = call.parts.map(({ definition, heads: own }) => ({
    heads: own,
    definition: { ...definition, knobs: { ...definition.knobs, ...tile } },
  }));
  return { ...call, parts };
}

/** CUDA C for people. */
async function readable(
  part: PartLaunches,
  kernel: Kernel,
  flags: EmitFlags,
  arch: string,
): Promise<string> {
  const { definition, attention } = part;
  const { report } = await compileKernel(kernel, arch);
  const isAttention = kernel === attention.kernel;
  const banner = [
    `warploom: the kernel '${kernel.name}' of ${definition.name}`,
    '',
    ...(isAttention ? madeFor(part, flags) : ['made for: a step of the call before its attention']),
    `launch:   ${kernel.threads} threads a block, ${kernel.sharedBytes} bytes of dynamic shared memory`,
    `compiled: for ${arch}, ${report.registers} registers, ${report.spillStores + report.spillLoads} bytes spilled`,
    '',
  ];
  const author = isAttention ? lifted(definition) : {};
  return annotated(kernel.source, { banner, path: `${kernel.name}.cu`, ...author });
}

/** What is decided when the kernel is made, and what any call may choose. */
function madeFor({ definition, numbers, attention }: PartLaunches, flags: EmitFlags): string[] {
  const { headDim, valueDim = headDim, dtype } = flags;
  const { params } = lifted(definition).declarations;
  const isConstant = (name: string) => isFixed(definition.given[name]);
  const constants = Object.keys(params).filter(isConstant);
  const free = Object.keys(params).filter((name) => !isConstant(name));
  const fixed = constants.map((name) => ` ${name} ${printNumber(numbers[name]!)}`);
  return [
    `made for: ${dtype}, head dim ${headDim}, value dim ${valueDim}${fixed.map((one) => `,${one}`).join('')}`,
    `made by:  ${choiceName(attention.choice)}`,
    `serves:   any ${['batch', 'heads', 'lengths', 'strides', ...free].join(', ')}`,
  ];
}

/** The virtual assembly, behind a line that says whose it is. */
const assembly = async ({ definition }: PartLaunches, kernel: Kernel, arch: string) =>
  `// ---- the kernel '${kernel.name}' of ${definition.name} ----\n${await ptxOf(kernel, arch)}`;
