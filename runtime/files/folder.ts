// Folders that are there once they are asked for. What goes into them is not here.

import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { cannotWrite, codeOf } from './atomic.ts';

/**
 * Makes a folder and those above it that are not there, each with `mode`. Node's own way never returns where a
 * folder says of every name that it is not there, as /proc does.
 *
 * Throws FileError F005, with the cause.
 */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    make(resolve(path), mode);
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

function make(path: string, mode: number): void {
  const refused = attempt(path, mode);
  if (!refused) return;
  const parent = dirname(path);
  if (codeOf(refused) !== 'ENOENT' || parent === path) throw refused;
  make(parent, mode);
  const cause = attempt(path, mode);
  if (!cause) return;
  // Its parent is there now.
  if (codeOf(cause) !== 'ENOENT') throw cause;
  throw new Error(`no folder can be made in '${parent}'`, { cause });
}

/** Why there is no such folder; undefined once there is one, whoever made it. */
function attempt(path: string, mode: number): unknown {
  try {
    mkdirSync(path, mode);
    return undefined;
  } catch (error) {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? undefined : error;
  }
}
