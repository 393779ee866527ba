// Kernels that were compiled before anybody needs them, by `warploom compile`: where they lie. They serve whatever NVRTC
// a machine has, or has not, and are never dropped; only what is asked for anew takes their place.

import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { KernelCache } from './cache.ts';

const caches = new Map<string, KernelCache>();

/** Those of a folder: everybody may read them. */
export function aheadCache(folder: string): KernelCache {
  let cache = caches.get(folder);
  if (!cache) {
    const limitBytes = Number.POSITIVE_INFINITY;
    cache = new KernelCache({ folder, name: 'ahead', mode: 0o755, limitBytes });
    caches.set(folder, cache);
  }
  return cache;
}

/** Where they are looked for: the folder that WARPLOOM_KERNELS names, which is only read, then that of the cache. */
export function aheadFolders(home: string): string[] {
  const { WARPLOOM_KERNELS: named } = process.env;
  return [...(named ? [resolve(named)] : []), home];
}

/** Whether any kernel was compiled ahead. */
export const isAnyAhead = (home: string): boolean =>
  aheadFolders(home).some((folder) => {
    try {
      return readdirSync(aheadCache(folder).folder).length > 0;
    } catch {
      return false;
    }
  });
