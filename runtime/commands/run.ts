// `warploom run`: one call of a pattern, what it visited and how long it took; checked and kept if asked.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { compile } from '../attend.ts';
import type { Device } from '../device.ts';
import { saveChosen } from '../files/chosen.ts';
import { writeSafetensors } from '../files/safetensors.ts';
import type { Fallback } from '../hulls.ts';
import { outputError } from '../output-error.ts';
import { recall } from '../recall.ts';
import { deviceHelp, openNamed, threadsHelp } from './devices.ts';
import { exit, UsageError } from './failure.ts';
import { checkPlace } from './files.ts';
import {
  addInputOptions,
  countFrom,
  fallbackOption,
  type InputFlags,
  loadInputs,
  sizeFrom,
  usualDtype,
} from './inputs.ts';
import { type Check, checkOutput } from './oracle.ts';
import { type Made, performCall, type Request } from './performed.ts';
import { dataOf, type KeptOfDense, type Report, textOf } from './report.ts';
import type { Context, PatternVerb } from './verb.ts';

interface RunFlags extends InputFlags {
  readonly device?: string;
  readonly threads?: number;
  readonly check?: boolean;
  readonly checkRows?: number;
  readonly recall?: boolean;
  readonly out?: string;
  readonly chosenOut?: string;
  readonly json?: boolean;
  readonly fallback?: Fallback;
}

export const run: PatternVerb<RunFlags> = {
  name: 'run',
  summary:
    'run a pattern on tensors: what each head visits, how long it takes, whether it is right',
  examples: [
    'a-shape --random 1,8,8,4096,64 --window 1024 --check',
    'mine.ts#mine --input head.safetensors --out result.safetensors',
    'documents --q q.npy --k k.npy --v v.npy --tensor doc=doc.npy --json',
    '--heads Qwen2.5_7B_Instruct_1M.json --layer 12 --random 1,28,4,4096,128 --check-rows 64',
  ],
  addOptions(command: Command) {
    addInputOptions(command, { length: false, chosen: true });
    command
      .option('--device <name>', deviceHelp)
      .option('--threads <n>', threadsHelp, sizeFrom)
      .addOption(fallbackOption())
      .option('--check', 'compare with the float64 oracle; exit code 1 outside the bound')
      .option('--check-rows <n>', 'check only so many query rows of each head', countFrom)
      .option(
        '--recall',
        'tell what each head keeps of dense causal attention, which runs as well, and how far its outputs are off',
      )
      .option('--out <file>', 'write out and lse to a .safetensors file')
      .option('--chosen-out <file>', 'write the chosen sets to a .safetensors file')
      .option('--json', 'print one object for a program');
  },
  async act(target, params, flags, context) {
    const { terminal } = context;
    for (const [flag, file] of [
      ['--out', flags.out],
      ['--chosen-out', flags.chosenOut],
    ] as const) {
      if (file === undefined) continue;
      if (file.endsWith('.npy'))
        throw new UsageError(
          `${flag} writes several tensors, which ${file} cannot hold`,
          'name a .safetensors file',
        );
      checkPlace(file);
    }
    if (flags.out !== undefined && flags.chosenOut !== undefined) {
      if (resolve(flags.out) === resolve(flags.chosenOut))
        throw new UsageError('--out and --chosen-out are one file', 'name two');
    }
    if (
      flags.chosenOut !== undefined &&
      target.definitions.every((one) => one.estimates.length === 0)
    )
      throw new UsageError(
        `--chosen-out of '${target.name}', which chooses nothing`,
        'leave it out; --out writes out and lse',
      );
    if (flags.recall && target.definitions.some(({ score }) => score !== undefined))
      throw new UsageError(
        '--recall of a pattern with a score',
        'its logits are not those of dense attention',
      );
    const { fallback } = flags;
    const device = await openNamed(flags);
    try {
      const inputs = await loadInputs(flags, target.definitions, usualDtype(device));
      const made = await performCall({ target, inputs, params, device, context, fallback });
      const { result } = made;
      const recalls = flags.recall ? await recallOf(made, device, context) : undefined;
      const isChecked = flags.check === true || flags.checkRows !== undefined;
      const check = isChecked
        ? await checkOf({ target, inputs, params }, made, flags, context)
        : undefined;
      if (flags.out !== undefined) {
        await writeSafetensors(
          flags.out,
          { out: result.out, lse: result.lse },
          { pattern: target.name },
        );
      }
      if (flags.chosenOut !== undefined) await saveChosen(flags.chosenOut, made.planned.chosen);
      const report: Report = {
        target,
        params,
        inputs,
        device,
        ...made,
        check,
        recalls,
        file: flags.out,
        chosenFile: flags.chosenOut,
      };
      if (flags.json) terminal.printJson(dataOf(report));
      else terminal.print(textOf(report));
      return check && !check.isWithin ? exit.wrong : exit.fine;
    } finally {
      await device.dispose();
    }
  },
};

async function checkOf(
  call: Pick<Request, 'target' | 'inputs' | 'params'>,
  { planned, result }: Made,
  { checkRows: rows }: RunFlags,
  { terminal }: Context,
): Promise<Check> {
  const checking = terminal.progress('checking');
  const output = { out: await result.out.read(), lse: await result.lse.read() };
  const check = await checkOutput(
    output,
    { ...call, planned },
    { ...(rows !== undefined && { rows }), onProgress: checking.update },
  );
  checking.done();
  return check;
}

/** What heads keep of dense causal attention, which runs on the same device. */
async function recallOf(
  { planned: { shape, dtype }, there: { q, k, v }, result }: Made,
  device: Device,
  { patterns, signal }: Context,
): Promise<KeptOfDense[]> {
  const dense = await compile(patterns.get('causal') as AnyPattern, { ...shape, dtype, device });
  const { out, lse } = await dense({ q, k, v }, {}, { signal });
  const recalls = await recall(result.lse, lse);
  const errors = await outputError(result.out, out);
  for (const tensor of [out, lse]) tensor.dispose();
  return recalls.map((own, unit) => ({ ...own, outputError: errors[unit]!.relative }));
}
