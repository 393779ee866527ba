// Files that appear whole or not at all: written beside their place, synced, renamed. No file formats.

import { randomBytes } from 'node:crypto';
import { existsSync, unlinkSync } from 'node:fs';
import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';

/** Where a writer puts its bytes, one after the other; text is written as UTF-8. */
export interface Sink {
  /** Throws FileError F005 when the bytes cannot be written. */
  write(data: Uint8Array | string): Promise<void>;
}

/** One call of write(2) takes at most 2^31 - 1 bytes. */
const maxWriteBytes = 2 ** 30;

const unfinished = new Set<string>();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Writes a file through a temporary one in the same directory, so that a full disk, an error or Ctrl-C
 * leaves the old file (or none) and nothing else. What `write` itself throws is passed on as it is.
 * An existing file keeps its mode; a symbolic link keeps pointing to what is replaced.
 *
 * Throws FileError F005, with the cause, when the file cannot be written.
 */
export async function writeAtomically(
  path: string,
  write: string | Uint8Array | ((sink: Sink) => Promise<void>),
): Promise<void> {
  const { target, mode } = await place(path);
  const name = `.warploom-${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  const temporary = join(dirname(target), name);
  const attempt = <T>(step: Promise<T>): Promise<T> =>
    step.catch((cause: unknown) => {
      throw cannotWrite(path, cause);
    });

  watch(temporary);
  let handle: FileHandle | undefined;
  try {
    handle = await attempt(open(temporary, 'wx', mode));
    const file = handle;
    const sink: Sink = { write: (data) => attempt(writeAll(file, data)) };
    await (typeof write === 'function' ? write(sink) : sink.write(write));
    await attempt(file.sync());
    handle = undefined;
    await attempt(file.close());
    await attempt(rename(temporary, target));
  } catch (error) {
    await handle?.close().catch(() => {});
    await unlink(temporary).catch(() => {});
    throw error;
  } finally {
    unwatch(temporary);
  }
  await syncDirectory(dirname(target));
}

// Where the bytes go in the end. Renaming onto a device or a pipe would replace it.
async function place(path: string): Promise<{ target: string; mode: number }> {
  try {
    const old = await stat(path);
    if (!old.isFile()) {
      const kind = old.isDirectory() ? 'a directory' : 'no ordinary file';
      const help = 'name an ordinary file';
      throw new FileError([
        diagnostic('F005', `'${path}' cannot be written: it is ${kind}`, { help }),
      ]);
    }
    return { target: await realpath(path), mode: old.mode & 0o777 };
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    if (codeOf(cause) === 'ENOENT') return { target: path, mode: 0o666 };
    throw cannotWrite(path, cause);
  }
}

async function writeAll(file: FileHandle, data: Uint8Array | string): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(
      bytes,
      at,
      Math.min(maxWriteBytes, bytes.length - at),
    );
    at += bytesWritten;
  }
}

// The rename survives a power cut only when the directory is on the disk too. Not every file system can.
async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, 'r');
    await directory.sync().finally(() => directory.close());
  } catch {
    // The file itself is written and synced.
  }
}

const reasons: Readonly<Record<string, readonly [why: string, help: string]>> = {
  ENOENT: ['its directory does not exist', 'make the directory first: mkdir -p'],
  ENOTDIR: ['a part of its path is not a directory', 'check the path'],
  EEXIST: ['there is a file in its place', 'name a folder'],
  EACCES: ['permission is denied', 'write to another directory, or change its permissions'],
  EPERM: ['permission is denied', 'write to another directory, or change its permissions'],
  EROFS: ['the file system is read-only', 'write to another directory'],
  ENOSPC: ['the disk is full', 'free space, or write to another disk; nothing was left behind'],
  EDQUOT: ['the quota is used up', 'free space, or write to another disk; nothing was left behind'],
  EFBIG: ['it is larger than the file system allows', 'write to another disk'],
  ENAMETOOLONG: ['its name is too long', 'choose a shorter name'],
  EMFILE: ['too many files are open', 'close some, or raise the limit: ulimit -n'],
};

const noFiles = ['its directory takes no files', 'write to another directory'] as const;

/** FileError F005 with the cause. */
export function cannotWrite(path: string, cause: unknown): FileError {
  const code = codeOf(cause);
  const known = code === 'ENOENT' && existsSync(dirname(path)) ? noFiles : reasons[code];
  const why = known?.[0] ?? (cause instanceof Error ? cause.message : String(cause));
  const help = known?.[1] ?? 'write to another place';
  return new FileError([diagnostic('F005', `'${path}' cannot be written: ${why}`, { help })], {
    cause,
  });
}

/** The code of a system error, such as `ENOENT`, or an empty text. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function watch(temporary: string): void {
  if (unfinished.size === 0) {
    process.on('exit', removeUnfinished);
    for (const signal of signals) process.on(signal, onSignal);
  }
  unfinished.add(temporary);
}

function unwatch(temporary: string): void {
  if (unfinished.delete(temporary) && unfinished.size === 0) stopWatching();
}

function stopWatching(): void {
  process.off('exit', removeUnfinished);
  for (const signal of signals) process.off(signal, onSignal);
}

// With another listener the host program decides what the signal means: if it exits, 'exit' cleans up;
// if it goes on, so does the writing. Alone, we clean up and die of the signal as if we had not listened.
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  removeUnfinished();
  stopWatching();
  process.kill(process.pid, signal);
}

function removeUnfinished(): void {
  for (const temporary of unfinished) {
    try {
      unlinkSync(temporary);
    } catch {
      // Not made yet, or gone already.
    }
  }
  unfinished.clear();
}
