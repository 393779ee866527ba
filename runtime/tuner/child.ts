// The program of the processes that others start: one holds a device, several compile.

import { compileAhead, compileKernel } from '../cuda/compiler.ts';
import { Gpu } from '../cuda/gpu.ts';
import { factsOf } from '../cuda/report.ts';
import { openDevice } from '../device.ts';
import type { Compilation, CompilationReply } from './protocol.ts';
import { deviceRole, serveParent } from './serve.ts';

/** Compiles into the cache, or ahead. */
async function compileRole(body: unknown): Promise<CompilationReply> {
  const { name, source, arch, ahead } = body as Compilation;
  const kernel = { name, source };
  const compiling =
    ahead === undefined ? compileKernel(kernel, arch) : compileAhead(kernel, arch, ahead);
  const { report, fromCache, milliseconds } = await compiling;
  return { ...factsOf(report), fromCache, milliseconds };
}

async function open(name: string) {
  const device = await openDevice(name);
  if (device.kind === 'cpu') throw new Error('the CPU has no kernels');
  const { machine, properties } = device;
  return { machine, properties, timer: machine instanceof Gpu ? machine.device : undefined };
}

const [role, name = 'cuda'] = process.argv.slice(2);
serveParent(role === 'device' ? deviceRole(() => open(name)) : compileRole);
