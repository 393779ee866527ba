// Compiling for the emulator, by the system's C++ compiler: the engine once, each kernel once. What was
// compiled is kept in build/emulator under the hash of all that it depends on.

import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Kernel } from '../../codegen/kernel.ts';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { makeFolder } from '../files/folder.ts';
import { canFuse, fusingFlags, separateFlags } from './fma.ts';
import { fileOf, hostSource, twins, twinTexts } from './source.ts';

const run = promisify(execFile);

const engine = fileURLToPath(new URL('./engine/', import.meta.url));
const store = fileURLToPath(new URL('../../build/emulator/', import.meta.url));

// -fsanitize=thread makes the compiler call a hook at every load and store. Its runtime and that of the
// other checks are not linked: the engine has the hooks.
const kernelFlags = [
  '-std=c++17',
  '-O1',
  // Version 5 of the tables confuses addr2line about a unit's first file.
  '-gdwarf-4',
  '-g1',
  '-fPIC',
  '-fsanitize=thread,alignment,bounds,signed-integer-overflow,integer-divide-by-zero,shift-exponent',
  '-fno-sanitize-recover',
  '-fno-strict-aliasing',
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-stack-protector',
  '-fno-math-errno',
  '-w',
];
// What not every compiler has. Locals begin as a pattern, so that a register that was never set shows. Clang
// leaves out the hook of a read that a write follows, unless told.
const extraFlags = [
  ['-ftrivial-auto-var-init=pattern'],
  ['-mllvm', '-tsan-instrument-read-before-write=1'],
];
// What copies of structs become in the end.
const wrapped =
  process.platform === 'linux'
    ? ['memcpy', 'memmove', 'memset'].map((name) => `-Wl,--wrap=${name}`)
    : [];
const engineFlags = ['-std=c++17', '-O2', '-g1', ...separateFlags, '-rdynamic'];

interface Compiler {
  readonly command: string;
  readonly version: string;
  /** Those of `extraFlags` that it has. */
  readonly extra: readonly string[];
}

let compiler: Promise<Compiler> | undefined;

/** The compiler: `CXX`, or the first of the usual names. Throws DeviceError R002 when there is none. */
function findCompiler(): Promise<Compiler> {
  compiler ??= (async () => {
    for (const command of process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']) {
      const found = await run(command, ['--version']).catch(() => undefined);
      if (!found) continue;
      const extra: string[] = [];
      for (const flags of extraFlags) {
        const probe = ['-Werror', '-fsanitize=thread', ...flags, '-S', '-o', '/dev/null'];
        const isKnown = await run(command, [...probe, '-x', 'c++', '/dev/null']).then(
          () => true,
          () => false,
        );
        if (isKnown) extra.push(...flags);
      }
      return { command, version: found.stdout, extra };
    }
    const help = 'install g++ or clang++, or name one in CXX';
    throw new DeviceError([
      diagnostic('R002', 'the emulator needs a C++ compiler, and none is found', { help }),
    ]);
  })();
  return compiler;
}

let fusing: Promise<readonly string[]> | undefined;

function findFusing(): Promise<readonly string[]> {
  fusing ??= findCompiler().then(({ command }) => fusingFlags(command));
  return fusing;
}

/** Whether products can be fused on this machine. Throws as `findCompiler`, and where the compiler does not say. */
export const fusesHere = (): Promise<boolean> =>
  findCompiler().then(({ command }) => canFuse(command));

// No more compilers at a time than there are cores.
let running = 0;
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= availableParallelism()) await new Promise<void>((go) => waiting.push(go));
  else running += 1;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

const made = new Map<string, Promise<string>>();

/**
 * The path of what `make` writes, made at most once for each key in this process and kept for others.
 * `make` writes beside the place; a rename makes it appear whole.
 */
function once(
  key: readonly string[],
  suffix: string,
  make: (to: string, compiler: Compiler) => Promise<unknown>,
) {
  const work = async (): Promise<string> => {
    const found = await findCompiler();
    const hash = createHash('sha256');
    for (const part of [found.version, found.command, ...found.extra, ...key])
      hash.update(part).update('\0');
    const path = join(store, `${hash.digest('hex').slice(0, 24)}${suffix}`);
    if (existsSync(path)) {
      const now = new Date();
      await utimes(path, now, now).catch(() => {});
      return path;
    }
    makeFolder(store);
    const temporary = `${path}-${process.pid}-${randomBytes(4).toString('hex')}`;
    try {
      await inTurn(() => make(temporary, found));
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    return path;
  };
  const name = JSON.stringify([suffix, ...key]);
  let making = made.get(name);
  if (!making) {
    making = work();
    made.set(name, making);
    making.catch(() => made.delete(name));
  }
  return making;
}

/** How many files are kept; of more, the half that was used longest ago goes. */
const mostKept = 4000;

async function prune(): Promise<void> {
  const names = await readdir(store).catch(() => []);
  if (names.length <= mostKept) return;
  const timeOf = (name: string) =>
    stat(store + name).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  const aged = await Promise.all(names.map(async (name) => ({ name, time: await timeOf(name) })));
  aged.sort((a, b) => a.time - b.time);
  const old = aged.slice(0, names.length - mostKept / 2);
  await Promise.all(old.map(({ name }) => rm(store + name, { force: true })));
}

let pruned: Promise<void> | undefined;

/** The program that runs launch lists. Returns its path. */
export async function compileEngine(): Promise<string> {
  pruned ??= prune();
  await pruned;
  const files: string[] = [];
  for (const folder of [engine, twins])
    for (const file of (await readdir(folder)).sort())
      if (/\.(cc|h)$/.test(file)) files.push(folder + file);
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return once([...engineFlags, ...texts], '-runner', (to, { command }) => {
    const sources = files.filter((file) => file.endsWith('.cc'));
    return run(command, [...engineFlags, ...sources, '-o', to, '-ldl']);
  });
}

/** What debuggers want instead: variables that are there, with their names. */
const debugFlags: Readonly<Record<string, string>> = { '-O1': '-O0', '-g1': '-g3' };
/** Nothing is fused without optimisation. */
const fusedDebugFlags: typeof debugFlags = { '-g1': '-g3' };

export interface CompileOptions {
  /** Of the kernel's text, for debuggers. */
  readonly textPath?: string | undefined;
  /** Are products fused with sums? */
  readonly fma?: boolean;
}

/** A kernel as a shared object that the runner loads. Returns its path. Throws as `findCompiler` and `fusingFlags`. */
export async function compileKernel(
  kernel: Kernel,
  { textPath, fma = false }: CompileOptions = {},
): Promise<string> {
  const source = hostSource(kernel, textPath);
  const products = fma ? await findFusing() : separateFlags;
  const debug = fma ? fusedDebugFlags : debugFlags;
  const own = textPath === undefined ? kernelFlags : kernelFlags.map((flag) => debug[flag] ?? flag);
  const flags = [...own, ...products];
  return once(
    [...flags, ...wrapped, twinTexts(), source],
    '.so',
    async (to, { command, extra }) => {
      const text = `${to}.cc`;
      const object = `${to}.o`;
      try {
        await writeFile(text, source);
        await run(command, [...flags, ...extra, `-I${twins}`, '-c', text, '-o', object]);
        // Linked apart: with the flag, the linker would add the sanitizer's own runtime.
        await run(command, ['-shared', ...wrapped, object, '-o', to]);
      } catch (error) {
        const log = (error as { stderr?: string }).stderr ?? String(error);
        const errors = log.split('\n').filter((line) => / error: /.test(line));
        const shown = errors.length > 0 ? errors.slice(0, 8).join('\n') : log;
        throw new Error(`${fileOf(kernel)} does not compile as C++:\n${shown}`);
      } finally {
        await Promise.all([rm(text, { force: true }), rm(object, { force: true })]);
      }
    },
  );
}
