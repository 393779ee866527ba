// Before any test: an NVRTC is there. A machine that has none (CI is bare) gets the one of PyPI, once, into
// .warploom/nvrtc, where `findNvrtc` looks and which no rebuild of the addon cleans.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DeviceError } from '../../dsl/diagnostic.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { addonStatus } from '../../runtime/native.ts';

const wheel = 'nvidia-cuda-nvrtc==13.0.88';
const own = new URL('../../.warploom', import.meta.url).pathname;
const place = join(own, 'nvrtc');

export default async function setup(): Promise<void> {
  // Without the addon nothing can call NVRTC, and the tests of the addon say what is wrong.
  if (!addonStatus().loaded || (await isThere())) return;
  const start = performance.now();
  fetchNvrtc();
  const { version, path } = await findNvrtc();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`fetched NVRTC ${version} in ${seconds} s: ${path}`);
}

async function isThere(): Promise<boolean> {
  try {
    await findNvrtc();
    return true;
  } catch (error) {
    if (!(error instanceof DeviceError) || process.env.WARPLOOM_NVRTC) throw error;
    return existsSync(place) && readdirSync(place).length > 0 ? fail(error) : false;
  }
}

function fail(cause: unknown): never {
  throw new Error(`${place} holds an NVRTC that does not open: remove it`, { cause });
}

/** pip chooses the wheel of this machine; `--target` needs no virtual environment and no rights. */
function fetchNvrtc(): void {
  mkdirSync(own, { recursive: true });
  const work = mkdtempSync(join(own, 'nvrtc-'));
  try {
    const flags = ['--no-deps', '--only-binary=:all:', '--no-compile', '--quiet', '--no-input'];
    const target = ['--target', join(work, 'packages'), '--disable-pip-version-check'];
    execFileSync('python3', ['-m', 'pip', 'install', ...flags, ...target, wheel], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
      timeout: 300_000,
    });
    const kept = join(work, 'kept');
    mkdirSync(kept);
    for (const entry of readdirSync(work, { recursive: true, withFileTypes: true })) {
      if (!/^libnvrtc(-builtins)?\.so\.[\d.]+$/.test(entry.name)) continue;
      renameSync(join(entry.parentPath, entry.name), join(kept, entry.name));
    }
    renameSync(kept, place);
  } catch (cause) {
    // Another run may have fetched it at the same time; it appears whole or not at all.
    if (existsSync(place)) return;
    throw new Error(`the tests need NVRTC: fetch it by 'pip install ${wheel}'`, { cause });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
