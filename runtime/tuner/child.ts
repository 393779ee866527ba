// The program of the processes that a tuning starts: one holds a device, several compile.

import { compileKernel } from '../cuda/compiler.ts';
import { Gpu } from '../cuda/gpu.ts';
import { factsOf } from '../cuda/report.ts';
import { openDevice } from '../device.ts';
import type { Compilation, CompilationReply } from './protocol.ts';
import { deviceRole, serveParent } from './serve.ts';

/** Compiles into the cache. */
async function compileRole(body: unknown): Promise<CompilationReply> {
  const { name, source, arch } = body as Compilation;
  return factsOf((await compileKernel({ name, source }, arch)).report);
}

async function open(name: string) {
  const device = await openDevice(name);
  if (device.kind === 'cpu') throw new Error('the CPU has no kernels');
  const { machine, properties } = device;
  return { machine, properties, timer: machine instanceof Gpu ? machine.device : undefined };
}

const [role, name = 'cuda'] = process.argv.slice(2);
serveParent(role === 'device' ? deviceRole(() => open(name)) : compileRole);
