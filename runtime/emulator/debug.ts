// Kernels to look into: their text as files of a folder, which people read, change and stop in.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Kernel } from '../../codegen/kernel.ts';
import { writeAtomically } from '../files/atomic.ts';
import { makeFolder } from '../files/folder.ts';
import { fileOf } from './source.ts';

/** A kernel as it is run, and the file that holds its text. */
export interface DebuggedKernel {
  readonly kernel: Kernel;
  readonly path: string;
}

/** By path: what was generated for it. Kernels of one name are told apart by a number. */
const generated = new Map<string, string>();

/** Writes the text of a kernel into the folder, or takes the one that is there in its place and says so. Throws FileError F005. */
export async function debugged(kernel: Kernel, folder: string): Promise<DebuggedKernel> {
  const plain = resolve(folder, fileOf(kernel));
  let path = plain;
  for (let i = 2; (generated.get(path) ?? kernel.source) !== kernel.source; i += 1)
    path = plain.replace(/\.cu$/, `-${i}.cu`);
  generated.set(path, kernel.source);
  if (!existsSync(path)) {
    makeFolder(folder);
    await writeAtomically(path, kernel.source);
    return { kernel, path };
  }
  const source = await readFile(path, 'utf8');
  if (source !== kernel.source)
    process.stderr.write(`emulator: ${path} is run, which is not what was generated\n`);
  return { kernel: { ...kernel, source }, path };
}
