// Compiled kernels on disk, by the hash of all that decides them. Any number of processes may use one
// folder; nothing that goes wrong with it stops a compilation. What an entry holds is entry.ts.

import { access, constants, readdir, readFile, stat, unlink, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { FileError } from '../../dsl/diagnostic.ts';
import { cannotWrite, writeAtomically } from '../files/atomic.ts';
import { makeFolder } from '../files/folder.ts';
import { type CacheEntry, decodeEntry, encodeEntry } from './entry.ts';
import type { Environment } from './search.ts';

/** WARPLOOM_CACHE, else `warploom` in the user's folder for caches. */
export function cacheFolder(
  environment: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const { WARPLOOM_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = environment;
  if (WARPLOOM_CACHE) return resolve(WARPLOOM_CACHE);
  const home = environment.HOME ?? homedir();
  if (platform === 'win32') return join(LOCALAPPDATA ?? home, 'warploom', 'cache');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'warploom');
  // A relative XDG_CACHE_HOME is to be ignored, says its specification.
  const cache = XDG_CACHE_HOME?.startsWith('/') ? XDG_CACHE_HOME : join(home, '.cache');
  return join(cache, 'warploom');
}

export interface CacheSettings {
  readonly folder?: string;
  /** The folder in it that holds the entries. Default: `kernels`. */
  readonly name?: string;
  /** Who may read them (mode of the folder). Default: its owner alone. */
  readonly mode?: number;
  /** Bytes of entries to keep; the least recently used go first. Default: 512 MB. */
  readonly limitBytes?: number;
  /** Writes a file whole or not at all. */
  readonly write?: (path: string, bytes: Uint8Array) => Promise<void>;
}

/** An entry, and whether it was there already. */
export interface Taken {
  readonly entry: CacheEntry;
  readonly fromCache: boolean;
}

const suffix = '.kernel';
/** A temporary file that is older is the remains of a crash. */
const unfinishedMs = 3_600_000;

export class KernelCache {
  /** Where the entries lie, and the folder that it is in. */
  readonly folder: string;
  readonly home: string;
  readonly #mode: number;
  readonly #limitBytes: number;
  readonly #write: (path: string, bytes: Uint8Array) => Promise<void>;
  readonly #building = new Map<string, Promise<Taken>>();
  #isWarned = false;

  constructor(settings: CacheSettings = {}) {
    const { folder = cacheFolder(), name = 'kernels', mode = 0o700 } = settings;
    const { limitBytes = 512e6, write = writeAtomically } = settings;
    this.home = folder;
    this.folder = join(folder, name);
    this.#mode = mode;
    this.#limitBytes = limitBytes;
    this.#write = write;
  }

  /**
   * The entry of a key; built and kept when it is not there or damaged. Equal requests at one time share
   * one build. Throws what `build` throws, and nothing of its own.
   */
  take(key: string, build: () => Promise<CacheEntry>): Promise<Taken> {
    const running = this.#building.get(key);
    if (running) return running;
    const taken = this.#take(key, build).finally(() => this.#building.delete(key));
    this.#building.set(key, taken);
    return taken;
  }

  /** The entry of a key where there is one, and it is whole. */
  async kept(key: string): Promise<CacheEntry | undefined> {
    const path = this.#path(key);
    try {
      const entry = decodeEntry(key, await readFile(path));
      const now = new Date();
      // The time of the file is its last use. A read-only folder cannot keep it, and need not.
      if (entry) await utimes(path, now, now).catch(() => {});
      return entry;
    } catch {
      return undefined;
    }
  }

  async #take(key: string, build: () => Promise<CacheEntry>): Promise<Taken> {
    const kept = await this.kept(key);
    if (kept) return { entry: kept, fromCache: true };
    const entry = await build();
    await this.put(key, entry).catch((error) => this.#warn(error));
    return { entry, fromCache: false };
  }

  #path(key: string): string {
    return join(this.folder, `${key}${suffix}`);
  }

  /** Makes the folder where there is none. Throws FileError F005 where it cannot be written. */
  async open(): Promise<void> {
    // What lies here runs on the GPU: nobody else may write it.
    makeFolder(this.folder, this.#mode);
    try {
      await access(this.folder, constants.W_OK);
    } catch (cause) {
      throw cannotWrite(this.folder, cause);
    }
  }

  /** Keeps an entry. Throws FileError F005. */
  async put(key: string, entry: CacheEntry): Promise<void> {
    await this.open();
    await this.#write(this.#path(key), encodeEntry(key, entry));
    await this.#prune();
  }

  /** Removes the least recently used entries above the limit, down to nine tenths of it. */
  async #prune(): Promise<void> {
    const files = (await Promise.all((await readdir(this.folder)).map((name) => this.#file(name))))
      .filter((file) => file !== undefined)
      .sort((a, b) => a.usedMs - b.usedMs);
    let bytes = files.reduce((sum, file) => sum + (file.isEntry ? file.bytes : 0), 0);
    const target = bytes > this.#limitBytes ? 0.9 * this.#limitBytes : bytes;
    for (const file of files) {
      const isRemains = !file.isEntry && Date.now() - file.usedMs > unfinishedMs;
      if (!isRemains && !(file.isEntry && bytes > target)) continue;
      // Another process may have removed it, or still read it: its open file stays whole.
      await unlink(file.path).catch(() => {});
      if (file.isEntry) bytes -= file.bytes;
    }
  }

  /** Ours alone: an entry or a temporary file. */
  async #file(name: string) {
    const isEntry = name.endsWith(suffix);
    if (!isEntry && !/^\.warploom-.*\.tmp$/.test(name)) return undefined;
    const path = join(this.folder, name);
    try {
      const { size, mtimeMs } = await stat(path);
      return { path, isEntry, bytes: size, usedMs: mtimeMs };
    } catch {
      return undefined;
    }
  }

  #warn(error: unknown): void {
    if (this.#isWarned) return;
    this.#isWarned = true;
    const reason = error instanceof FileError ? error.diagnostics[0]?.what : String(error);
    process.emitWarning(`kernels cannot be kept in ${this.folder}: ${reason}`, {
      type: 'WarploomWarning',
      detail:
        'They work, but every process compiles them anew. WARPLOOM_CACHE names another folder.',
    });
  }
}

const caches = new Map<string, KernelCache>();

/** The cache of the folder that the environment names: one for each folder, so that requests are shared. */
export function kernelCache(): KernelCache {
  const folder = cacheFolder();
  const cache = caches.get(folder) ?? new KernelCache({ folder });
  caches.set(folder, cache);
  return cache;
}
