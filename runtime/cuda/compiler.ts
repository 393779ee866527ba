// From a kernel as text to machine code and a report, by way of the cache. What everything else uses.

import { createHash } from 'node:crypto';
import type { Kernel } from '../../codegen/kernel.ts';
import { aheadCache, aheadFolders } from './ahead.ts';
import { type KernelCache, kernelCache } from './cache.ts';
import { type CacheEntry, entryForm } from './entry.ts';
import { nvrtcVersion, openNvrtc } from './known-nvrtc.ts';
import type { CompileRequest, Nvrtc } from './nvrtc.ts';
import { type KernelReport, reportOf } from './report.ts';

export interface CompileKernelOptions {
  /** More options of NVRTC, one a string. */
  readonly options?: readonly string[];
  readonly cache?: KernelCache;
  /** Default: the one that `findNvrtc` finds. What was compiled ahead by another is not taken then. */
  readonly nvrtc?: Nvrtc;
  /** Whether what was compiled ahead, maybe by another NVRTC, will do. Default: it will. */
  readonly takesAhead?: boolean;
}

export interface CompiledKernel {
  /** Machine code for the one architecture. Shared with other callers: not to be written to. */
  readonly cubin: Uint8Array;
  readonly report: KernelReport;
  /** Whether no compiler ran: an earlier call or process had done it. */
  readonly fromCache: boolean;
  /** Whether it was compiled ahead, maybe on another machine. */
  readonly isAhead: boolean;
  /** How long this call took. */
  readonly milliseconds: number;
}

type Source = Pick<Kernel, 'name' | 'source'>;

/** The log holds resources; a lambda with a type of its own for each call is a function of the device like any other. */
const always = ['--ptxas-options=-v', '-default-device'];

/**
 * Compiles a kernel for an architecture such as `sm_80` or `sm_90a`, or takes it from what was compiled ahead or from the
 * cache. For the first no NVRTC has to be there, for the second none is opened where the one to use is known from before.
 * Throws DeviceError R009 without an NVRTC, R010 for an architecture that it does not know, R011 for a
 * source that it refuses.
 */
export async function compileKernel(
  kernel: Source,
  arch: string,
  { options = [], cache = kernelCache(), nvrtc, takesAhead = !nvrtc }: CompileKernelOptions = {},
): Promise<CompiledKernel> {
  const start = performance.now();
  const took = () => performance.now() - start;
  const keyFor = (version: string) => keyOf(kernel, version, arch, options);
  if (takesAhead) {
    for (const folder of aheadFolders(cache.home)) {
      const ahead = await aheadCache(folder).kept(keyFor(anyVersion));
      if (ahead) return { ...ahead, fromCache: true, isAhead: true, milliseconds: took() };
    }
  }
  const isAhead = false;
  const kept = await cache.kept(keyFor(nvrtc?.version ?? (await nvrtcVersion(cache.home))));
  if (kept) return { ...kept, fromCache: true, isAhead, milliseconds: took() };
  const compiler = nvrtc ?? (await openNvrtc(cache.home));
  const build = () => built(compiler, kernel, arch, options);
  const { entry, fromCache } = await cache.take(keyFor(compiler.version), build);
  return { ...entry, fromCache, isAhead, milliseconds: took() };
}

/**
 * Compiles a kernel into a folder for what is compiled ahead, unless this NVRTC has done so before, or none is there and
 * another one has. Throws as `compileKernel`, and FileError F005 where the folder cannot be written.
 */
export async function compileAhead(
  kernel: Source,
  arch: string,
  folder: string,
): Promise<CompiledKernel> {
  const start = performance.now();
  const done = (entry: CacheEntry, fromCache: boolean): CompiledKernel => {
    return { ...entry, fromCache, isAhead: true, milliseconds: performance.now() - start };
  };
  const cache = aheadCache(folder);
  const key = keyOf(kernel, anyVersion, arch, []);
  const { home } = kernelCache();
  const kept = await cache.kept(key);
  if (kept) {
    const version = await nvrtcVersion(home).catch(() => kept.compiler);
    if (kept.compiler === version) return done(kept, true);
  }
  const compiler = await openNvrtc(home);
  const own = await kernelCache().kept(keyOf(kernel, compiler.version, arch, []));
  const entry = own ?? (await built(compiler, kernel, arch, []));
  await cache.put(key, entry);
  return done(entry, own !== undefined);
}

/** The virtual assembly of the same compilation, for people; never from the cache. Throws as `compileKernel`. */
export async function ptxOf(kernel: Source, arch: string): Promise<string> {
  const { ptx } = await (await openNvrtc(kernelCache().home)).compile(requestOf(kernel, arch, []));
  return ptx.replace(/\0+$/, '').trimEnd();
}

async function built(
  compiler: Nvrtc,
  kernel: Source,
  arch: string,
  options: readonly string[],
): Promise<CacheEntry> {
  const { cubin, log } = await compiler.compile(requestOf(kernel, arch, options));
  return { cubin, report: reportOf(log, kernel.name), compiler: compiler.version };
}

const requestOf = (
  { name, source }: Source,
  arch: string,
  options: readonly string[],
): CompileRequest => ({ name, source, arch, options: [...always, ...options] });

/** In place of the version of NVRTC: a kernel that was compiled ahead serves whichever there is. */
const anyVersion = 'any';

/** All that decides the machine code, as one name. */
function keyOf(
  { name, source }: Source,
  version: string,
  arch: string,
  options: readonly string[],
): string {
  const parts = [name, source, version, arch, options, entryForm];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
