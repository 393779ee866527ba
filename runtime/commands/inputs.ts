// The tensors of a call from the command line: files, or random numbers of stated sizes. Whether they
// fit the pattern is checked where every call is (runtime/inputs.ts).

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { Definition } from '../../dsl/definition.ts';
import { type Diagnostic, diagnostic, ShapeError, throwIfAny } from '../../dsl/diagnostic.ts';
import { isHeadPatterns } from '../../dsl/heads.ts';
import { bytesText } from '../../dsl/plan/explain.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Device } from '../device.ts';
import { bytesPerElement, type FloatType, floatTypes, type Layout } from '../dtype.ts';
import { loadChosen } from '../files/chosen.ts';
import { openSafetensors } from '../files/safetensors.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { CallSizes } from '../plans.ts';
import { type Tensor, tensor } from '../tensor.ts';
import { UsageError } from './failure.ts';
import { nearest, suggestion } from './nearest.ts';
import { tensorsOf } from './parameters.ts';
import { splitName, type Target } from './target.ts';

/** What the options below give. */
export interface InputFlags {
  readonly q?: string;
  readonly k?: string;
  readonly v?: string;
  readonly input?: string;
  readonly random?: LaunchShape;
  readonly length?: number;
  /** Left out, `bhsd`. */
  readonly layout?: Layout;
  /** Left out, 0. */
  readonly seed?: number;
  /** Left out, the usual one of the device. */
  readonly dtype?: FloatType;
  /** A file of chosen sets. */
  readonly chosen?: string;
  readonly tensor?: readonly (readonly [name: string, file: string])[];
}

/** What heads do whose keys are predicted to cost more to choose than to attend to. */
export const fallbackOption = (): Option =>
  new Option(
    '--fallback <how>',
    'heads that would cost no less than dense attention: choose all the same, or attend to every key that the mask could allow',
  )
    .choices(['none', 'dense'])
    .default('none');

/** Which of the options a verb takes. */
interface InputOptions {
  /** A length alone. */
  readonly length: boolean;
  /** Chosen sets. Default: no. */
  readonly chosen?: boolean;
  /** Of the random tensors, where their numbers are of interest. Default: yes. */
  readonly seed?: boolean;
}

/** Adds the options that say where q, k, v, captured tensors and, where they are taken, chosen sets come from. */
export function addInputOptions(
  command: Command,
  { length, chosen = false, seed = true }: InputOptions,
): Command {
  const files = ['q', 'k', 'v', 'input'];
  const add = (option: Option) => command.addOption(option.helpGroup('Tensors:'));
  for (const name of ['q', 'k', 'v']) {
    add(new Option(`--${name} <file>`, `${name} from a .npy or .safetensors file: FILE[#name]`));
  }
  add(
    new Option('--input <file>', 'q, k, v and captured tensors by their names in a .safetensors file')
      .conflicts(['q', 'k', 'v']), // biome-ignore format: one option
  );
  add(
    new Option(
      '--random <sizes>',
      'normal random: batch,heads[,kvHeads],length,dim, or with ,qLength after all five',
    )
      .argParser(sizesFrom)
      .conflicts(files),
  );
  if (length) {
    add(
      new Option('--length <n>', 'short for --random 1,1,1,<n>,64')
        .argParser(sizeFrom)
        .conflicts([...files, 'random']),
    );
  }
  add(
    new Option('--tensor <name=file>', 'a captured tensor, repeatable: doc=FILE[#name]').argParser(
      namedFile,
    ),
  );
  if (chosen) {
    const what = 'sets that `run --chosen-out` wrote, instead of an estimate (.safetensors)';
    // Sets that are given leave nothing to fall back from.
    add(new Option('--chosen <file>', what).conflicts(['fallback']));
  }
  add(
    new Option('--layout <order>', 'axes of the files: batch, head, sequence, dim (default: bhsd)')
      .choices(['bhsd', 'bshd'])
      .conflicts(['random', 'length']),
  );
  if (seed) {
    add(
      new Option('--seed <n>', 'of the random tensors (default: 0)')
        .argParser(sizeFrom)
        .conflicts(files),
    );
  }
  return add(
    new Option('--dtype <type>', 'of the random tensors (default: fp32 on the CPU, bf16 elsewhere)')
      .choices(floatTypes)
      .conflicts(files),
  );
}

/** A whole number from 0. */
export const sizeFrom = (text: string): number => wholeFrom(text, 0);

/** A whole number from 1. */
export const countFrom = (text: string): number => wholeFrom(text, 1);

function wholeFrom(text: string, least: number): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number) || number < least)
    throw new InvalidArgumentError(`Give a whole number from ${least}.`);
  return number;
}

function sizesFrom(text: string): LaunchShape {
  const parts = text.split(',').map(sizeFrom);
  if (parts.length < 4 || parts.length > 6) {
    throw new InvalidArgumentError(
      'Give batch,heads[,kvHeads],length,dim, or all five and qLength.',
    );
  }
  // Four are those of a call whose K and V have as many heads.
  if (parts.length === 4) parts.splice(2, 0, parts[1]!);
  const [batch, heads, kvHeads, kLen, dim, qLen = kLen] = parts;
  const [headDim, valueDim] = [dim!, dim!];
  return {
    batch: batch!,
    heads: heads!,
    kvHeads: kvHeads!,
    qLen: qLen!,
    kLen: kLen!,
    headDim,
    valueDim,
  };
}

function namedFile(
  text: string,
  others: readonly (readonly [string, string])[] = [],
): (readonly [string, string])[] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('Give name=FILE[#name].');
  const name = text.slice(0, at);
  if (others.some(([other]) => other === name))
    throw new InvalidArgumentError(`Give '${name}' once.`);
  return [...others, [name, text.slice(at + 1)]];
}

/** The sizes of random tensors, where the flags ask for them; of so many heads where they do not say it. */
export function randomShape({ random, length }: InputFlags, heads = 1): LaunchShape | undefined {
  if (random || length === undefined) return random;
  const [batch, kvHeads] = [1, heads];
  return { batch, heads, kvHeads, qLen: length, kLen: length, headDim: 64, valueDim: 64 };
}

/** What random tensors are made of where nobody says: CUDA has no kernel for fp32. */
export const usualDtype = ({ kind }: Device): FloatType => (kind === 'cpu' ? 'fp32' : 'bf16');

/**
 * All tensors of the call; random ones are `usual` where the flags name no dtype. Throws UsageError where the flags name none, ShapeError T004 for a captured
 * tensor that is not given, T005 for one that is not the pattern's, and what loading throws.
 */
export async function loadInputs(
  flags: InputFlags,
  definitions: readonly Definition[],
  usual: FloatType = 'fp32',
): Promise<AttentionInputs> {
  const { q, k, v, input } = flags;
  const shape = randomShape(flags);
  const captured = { ...(await loadCaptured(flags, definitions)), ...(await loadSets(flags)) };
  if (shape) return { ...captured, ...randomTensors(shape, { dtype: usual, ...flags }) };
  const files = input === undefined ? { q, k, v } : inOneFile(input, ['q', 'k', 'v']);
  const missing = Object.entries(files).filter(([, file]) => file === undefined);
  if (missing.length === 3) {
    throw new UsageError(
      'no tensors',
      'try --random 1,8,8,4096,64, or --input FILE, or --q, --k and --v',
    );
  }
  if (missing.length > 0) {
    const names = missing.map(([name]) => `--${name}`).join(' and ');
    throw new UsageError(
      `${names} missing`,
      'give --q, --k and --v, or all in one file: --input FILE',
    );
  }
  const load = (file: string) => loadTensor(file, flags.layout);
  const [first, second, third] = await Promise.all([
    load(files.q!),
    load(files.k!),
    load(files.v!),
  ]);
  return { ...captured, q: first, k: second, v: third };
}

/** Query rows of all heads up to which plans over sets that were chosen are made for a report alone. */
const mostPlannedRows = 2 ** 22;

/** Are the plans of such a call soon made? Those without sets are the same for all heads. */
export const isQuicklyPlanned = (
  definitions: readonly Definition[],
  { batch, heads, qLen }: LaunchShape,
): boolean =>
  batch * heads * qLen <= mostPlannedRows ||
  definitions.every(({ estimates }) => estimates.length === 0);

const inOneFile = <N extends string>(file: string, names: readonly N[]): Record<N, string> =>
  Object.fromEntries(names.map((name) => [name, `${file}#${name}`])) as Record<N, string>;

const loadTensor = (file: string, layout?: Layout): Promise<Tensor> => {
  const { path, name } = splitName(file);
  return tensor.load(path, { ...(name !== undefined && { name }), ...(layout && { layout }) });
};

/**
 * What explain and draw need: sizes alone where nothing is estimated, else the tensors. Throws as
 * `loadInputs`; without any flag, `usual` keys are taken, of one head or as many as the pattern lists.
 */
export async function sizesOrInputs(
  flags: InputFlags,
  { pattern, definitions }: Pick<Target, 'pattern' | 'definitions'>,
  usual: number,
): Promise<AttentionInputs | CallSizes> {
  const { q, k, v, input } = flags;
  const isBare = [q, k, v, input, flags.random, flags.length].every((flag) => flag === undefined);
  if (isBare && flags.layout !== undefined) {
    throw new UsageError('--layout without files', 'it is of --q, --k and --v, or of --input FILE');
  }
  const all = isBare ? { ...flags, length: usual } : flags;
  const shape = randomShape(all, isHeadPatterns(pattern) ? pattern.byHead.length : 1);
  const isEstimated = definitions.some(({ estimates }) => estimates.length > 0);
  if (!shape || (isEstimated && flags.chosen === undefined)) {
    return loadInputs({ ...all, ...(shape && { random: shape }) }, definitions);
  }
  const sets = await loadSets(flags);
  return { ...(await loadCaptured(all, definitions)), ...sets, shape, dtype: all.dtype ?? 'fp32' };
}

const loadSets = async ({ chosen }: InputFlags): Promise<{ chosen?: ChosenSetsData }> =>
  chosen === undefined ? {} : { chosen: await loadChosen(chosen) };

function randomTensors(
  { batch, heads, kvHeads, qLen, kLen, headDim, valueDim }: LaunchShape,
  { seed = 0, dtype }: InputFlags & { readonly dtype: FloatType },
): { q: Tensor; k: Tensor; v: Tensor } {
  checkMemory(
    [heads * qLen * headDim, kvHeads * kLen * headDim, kvHeads * kLen * valueDim],
    batch,
    dtype,
  );
  // Three seeds of its own for each seed of the command.
  const make = (shape: number[], i: number) => tensor.random(shape, { seed: 3 * seed + i, dtype });
  return {
    q: make([batch, heads, qLen, headDim], 0),
    k: make([batch, kvHeads, kLen, headDim], 1),
    v: make([batch, kvHeads, kLen, valueDim], 2),
  };
}

/** Throws ShapeError T012 for tensors of so many elements a batch entry that the system would end who fills them. */
function checkMemory(elements: readonly number[], batch: number, dtype: FloatType): void {
  const bytes = elements.reduce((sum, count) => sum + count, 0) * batch * bytesPerElement[dtype];
  const free = process.availableMemory();
  if (bytes <= free) return;
  const what = `random tensors of these sizes take ${bytesText(bytes)}, and ${bytesText(free)} of memory are free`;
  throw new ShapeError([diagnostic('T012', what, { help: 'ask for fewer heads, or fewer keys' })]);
}

/** The captured tensors alone. Throws ShapeError T004 for one that is not given, T005 for one that is given and not declared. */
export async function loadCaptured(
  flags: InputFlags,
  definitions: readonly Definition[],
): Promise<Record<string, Tensor>> {
  const declared = tensorsOf(definitions);
  const files = new Map<string, string>();
  const held = flags.input === undefined ? [] : await namesIn(flags.input);
  for (const [name] of declared) {
    if (held.includes(name)) files.set(name, `${flags.input}#${name}`);
  }
  for (const [name, file] of flags.tensor ?? []) files.set(name, file);
  // A file may hold more than a call needs: a name that no pattern knows is wrong where one is missing alone.
  const others = held.filter((name) => !['q', 'k', 'v'].includes(name) && !files.has(name));
  const findings: Diagnostic[] = [];
  for (const [name, { dtype, dims }] of declared) {
    if (files.has(name)) continue;
    const axes = dims.map((dim) => `'${dim}'`).join(', ');
    const what = `the captured tensor '${name}' is missing: ${dtype}(${axes})`;
    const [near] = nearest(name, others);
    const [where, from] =
      near === undefined
        ? ['', 'FILE[#name]']
        : [`; '${flags.input}' holds '${near}'`, `${flags.input}#${near}`];
    const help = `${near === undefined ? 'give' : 'rename it, or give'} --tensor ${name}=${from}`;
    findings.push(diagnostic('T004', what + where, { help }));
  }
  const names = declared.map(([name]) => name);
  const title = definitions.map(({ name }) => `'${name}'`).join(', ');
  for (const name of files.keys()) {
    if (names.includes(name)) continue;
    const taken = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
    const help = suggestion(name, names) ?? taken;
    findings.push(diagnostic('T005', `${title} takes no tensor '${name}'`, { help }));
  }
  throwIfAny(findings, ShapeError);
  const loaded = [...files].map(async ([name, file]) => [name, await loadTensor(file)] as const);
  return Object.fromEntries(await Promise.all(loaded));
}

async function namesIn(path: string): Promise<readonly string[]> {
  if (!path.toLowerCase().endsWith('.safetensors')) {
    throw new UsageError(
      `--input takes a .safetensors file, not '${path}'`,
      'give .npy files as --q, --k and --v',
    );
  }
  const file = await openSafetensors(path);
  await file.close();
  return file.names;
}
