// From a kernel as text to machine code and a report, by way of the cache. What everything else uses.

import { createHash } from 'node:crypto';
import type { Kernel } from '../../codegen/kernel.ts';
import { type KernelCache, kernelCache } from './cache.ts';
import { entryForm } from './entry.ts';
import { nvrtcVersion, openNvrtc } from './known-nvrtc.ts';
import type { Nvrtc } from './nvrtc.ts';
import { type KernelReport, reportOf } from './report.ts';

export interface CompileKernelOptions {
  /** More options of NVRTC, one a string. */
  readonly options?: readonly string[];
  readonly cache?: KernelCache;
  /** Default: the one that `findNvrtc` finds. */
  readonly nvrtc?: Nvrtc;
}

export interface CompiledKernel {
  /** Machine code for the one architecture. Shared with other callers: not to be written to. */
  readonly cubin: Uint8Array;
  readonly report: KernelReport;
  /** Whether no compiler ran: an earlier call or process had done it. */
  readonly fromCache: boolean;
  /** How long this call took. */
  readonly milliseconds: number;
}

/** The log holds resources; a lambda with a type of its own for each call is a function of the device like any other. */
const always = ['--ptxas-options=-v', '-default-device'];

/**
 * Compiles a kernel for an architecture such as `sm_80` or `sm_90a`, or takes it from the cache, for which no
 * NVRTC is opened where the one to use is known from before.
 * Throws DeviceError R009 without an NVRTC, R010 for an architecture that it does not know, R011 for a
 * source that it refuses.
 */
export async function compileKernel(
  kernel: Pick<Kernel, 'name' | 'source'>,
  arch: string,
  { options = [], cache = kernelCache(), nvrtc }: CompileKernelOptions = {},
): Promise<CompiledKernel> {
  const start = performance.now();
  const { name, source } = kernel;
  const keyFor = (version: string) => keyOf([name, source, version, arch, options, entryForm]);
  const took = () => performance.now() - start;
  const kept = await cache.kept(keyFor(nvrtc?.version ?? (await nvrtcVersion(cache.home))));
  if (kept) return { ...kept, fromCache: true, milliseconds: took() };
  const compiler = nvrtc ?? (await openNvrtc(cache.home));
  const { entry, fromCache } = await cache.take(keyFor(compiler.version), async () => {
    const request = { name, source, arch, options: [...always, ...options] };
    const { cubin, log } = await compiler.compile(request);
    return { cubin, report: reportOf(log, name) };
  });
  return { ...entry, fromCache, milliseconds: took() };
}

/** All that decides the machine code, as one name. */
const keyOf = (parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');
