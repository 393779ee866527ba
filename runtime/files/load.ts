// One tensor from a file of either format, chosen by the file's name. Knows nothing of the formats.

import { extname } from 'node:path';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';
import { shown } from '../../dsl/shown.ts';
import type { Stored } from './bytes.ts';
import { openNpy } from './npy.ts';
import { listNames, openSafetensors } from './safetensors.ts';

/**
 * Reads a `.safetensors` or `.npy` file; the name may be left out where there is only one tensor.
 * Throws what the formats throw; FileError F001 for another kind of file, F004 for a name that is missing.
 */
export async function loadStored(path: string, name: string | undefined): Promise<Stored> {
  const extension = typeof path === 'string' ? extname(path).toLowerCase() : undefined;
  if (extension !== '.npy' && extension !== '.safetensors') {
    const help = 'name a .safetensors or .npy file; safetensors.torch.save_file converts others';
    const what = `${shown(path)} cannot be read: its kind is not known`;
    throw new FileError([diagnostic('F001', what, { help })]);
  }
  return extension === '.npy' ? loadNpy(path, name) : loadSafetensors(path, name);
}

async function loadNpy(path: string, name: string | undefined): Promise<Stored> {
  if (name !== undefined) {
    const help = 'a .npy file holds one tensor without a name: leave the name out';
    throw new FileError([diagnostic('F004', `'${path}' holds no names`, { help })]);
  }
  const file = await openNpy(path);
  return file.read().finally(() => file.close());
}

async function loadSafetensors(path: string, name: string | undefined): Promise<Stored> {
  const file = await openSafetensors(path);
  try {
    const [only, ...others] = file.names;
    if (name !== undefined) return await file.read(name);
    if (only !== undefined && others.length === 0) return await file.read(only);
    const help = only === undefined ? 'it is empty' : `name one: ${listNames(file.names, '')}`;
    const what = `'${path}' holds ${file.names.length} tensors, and none was named`;
    throw new FileError([diagnostic('F004', what, { help })]);
  } finally {
    await file.close();
  }
}
