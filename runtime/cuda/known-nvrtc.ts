// Which NVRTC the same search found before, as one small file for each search. A kernel that lies in the cache needs
// no compiler but its version: opening one maps 100 MB, and may first ask Python where it is.

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeAtomically } from '../files/atomic.ts';
import { makeFolder } from '../files/folder.ts';
import { findNvrtc, type Nvrtc } from './nvrtc.ts';
import { type Environment, searchKey } from './search.ts';

interface Known {
  readonly path: string;
  readonly version: string;
  /** Of the library's file: a library that was exchanged is not known. */
  readonly identity: string;
}

const fileOf = (folder: string, environment: Environment): string => {
  const hash = createHash('sha256').update(searchKey(environment)).digest('hex');
  return join(folder, `nvrtc-${hash.slice(0, 16)}.json`);
};

async function identityOf(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${size} bytes of ${mtimeMs}`;
}

/** What the file of a search says, while the library is as it was. */
async function readKnown(file: string): Promise<string | undefined> {
  try {
    const { path, version, identity } = JSON.parse(await readFile(file, 'utf8')) as Partial<Known>;
    if (typeof path !== 'string' || typeof version !== 'string') return undefined;
    return (await identityOf(path)) === identity ? version : undefined;
  } catch {
    return undefined;
  }
}

/** Where that cannot be kept, the next process searches again; the cache says that its folder cannot be written. */
async function writeKnown(file: string, { path, version }: Nvrtc): Promise<void> {
  try {
    const known: Known = { path, version, identity: await identityOf(path) };
    makeFolder(dirname(file), 0o700);
    await writeAtomically(file, JSON.stringify(known));
  } catch {}
}

/** By file: what this process knows. */
const versions = new Map<string, string>();

/**
 * The version of the NVRTC that `findNvrtc` finds, which is not opened where a search before this one has left it in
 * the folder. Another NVRTC may have come since to a place that is looked at earlier: that is seen when there is
 * something to compile. throws: what `findNvrtc` throws.
 */
export async function nvrtcVersion(
  folder: string,
  environment: Environment = process.env,
): Promise<string> {
  const file = fileOf(folder, environment);
  const known = versions.get(file) ?? (await readKnown(file));
  if (known === undefined) return (await openNvrtc(folder, environment)).version;
  versions.set(file, known);
  return known;
}

/** What `findNvrtc` finds, which the folder knows from then on. throws: what that throws. */
export async function openNvrtc(
  folder: string,
  environment: Environment = process.env,
): Promise<Nvrtc> {
  const nvrtc = await findNvrtc(environment);
  const file = fileOf(folder, environment);
  const known = versions.get(file) ?? (await readKnown(file));
  if (known !== nvrtc.version) await writeKnown(file, nvrtc);
  versions.set(file, nvrtc.version);
  return nvrtc;
}
