// npm's install step, in a copy of the package: a failed build never fails it.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
let copy = '';

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'warploom install '));
  for (const part of ['package.json', 'CMakeLists.txt', 'runtime/native']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rmSync(copy, { recursive: true }));

function install(environment: NodeJS.ProcessEnv) {
  return spawnSync(process.execPath, [join(copy, 'runtime/native/install.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
}

test('without a compiler the install succeeds and says what is missing', () => {
  const { status, stderr } = install({ CXX: join(copy, 'no compiler') });
  expect(status).toBe(0);
  expect(stderr).toContain('the CPU device works without it');
  expect(readFileSync(join(copy, 'build/install.log'), 'utf8')).toContain('cmake-js');
  expect(existsSync(join(copy, 'build/install.stamp'))).toBe(false);
});

test('WARPLOOM_SKIP_ADDON=1 builds nothing', () => {
  const { status, stdout } = install({ WARPLOOM_SKIP_ADDON: '1' });
  expect(status).toBe(0);
  expect(stdout).toContain('skipped');
  expect(existsSync(join(copy, 'build/Release/warploom.node'))).toBe(false);
});

test('a build is made once and then found up to date', () => {
  expect(install({}).stdout).toMatch(/built the native addon \(\w+\)/);
  expect(existsSync(join(copy, 'build/Release/warploom.node'))).toBe(true);
  expect(install({}).stdout).toBe('');
});
