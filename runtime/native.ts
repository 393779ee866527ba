// The native addon: where it is, whether it loads, and if not, why. What its functions mean is said by
// those who call them.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { switchOf } from './switches.ts';

/** Where the addon was looked for, and what came of it. */
export interface AddonStatus {
  readonly path?: string;
  readonly loaded: boolean;
  readonly reason?: string;
}

interface Addon {
  readonly status: AddonStatus;
  readonly contents?: object;
}

/** The folder of warploom's package.json: above this file, in the repository and in the package. */
export function packageRoot(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'warploom') {
      return folder;
    }
    if (folder === dirname(folder)) return undefined;
  }
}

function loadAddon(): Addon {
  const root = packageRoot();
  if (root === undefined) {
    return { status: { loaded: false, reason: 'no package.json of warploom' } };
  }
  const path = join(root, 'build', 'Release', 'warploom.node');
  const fail = (reason: string) => ({ status: { path, loaded: false, reason } });
  if (!existsSync(path)) {
    return fail(`not built: see ${join(root, 'build', 'install.log')}`);
  }
  try {
    return { status: { path, loaded: true }, contents: createRequire(import.meta.url)(path) };
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

let loaded: Addon | undefined;

function addon(): Addon {
  loaded ??= loadAddon();
  return loaded;
}

/**
 * What the addon exports, undefined when it does not load. A part may be absent: an addon that was built
 * from older sources loads too. Asks no environment variable.
 */
export function addonExports<Exports extends object>(): Partial<Exports> | undefined {
  return addon().contents as Partial<Exports> | undefined;
}

/** Whether the addon is used, and if not, why; `WARPLOOM_ADDON=off` rules it out. */
export function addonStatus(): AddonStatus {
  if (isAddonOff()) return { loaded: false, reason: 'switched off by WARPLOOM_ADDON=off' };
  return addon().status;
}

export function isAddonOff(): boolean {
  return switchOf('WARPLOOM_ADDON') === 'off';
}
