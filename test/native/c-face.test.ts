// The C face, used by a C program (c-face.c) on the simulated driver, and from Python by ctypes: without Node.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { compile, root, simulatedDriver } from './simulated.ts';

const folder = mkdtempSync(join(tmpdir(), 'warploom-c-'));
afterAll(() => rmSync(folder, { recursive: true }));

const release = join(root, 'build', 'Release');
const env = { ...process.env, WARPLOOM_LIBCUDA: simulatedDriver() };
const run = (command: string, args: readonly string[] = []) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env });
  return { status, output: `${stdout}${stderr}`.trim() };
};

it('serves a C program', () => {
  const program = join(folder, 'c-face');
  const source = join(root, 'test', 'native', 'c-face.c');
  const link = [`-L${release}`, '-lwarploom-c', `-Wl,-rpath,${release}`];
  const strict = ['-x', 'c', '-std=c11', '-Wall', '-Wextra', '-Werror'];
  compile([...strict, source, '-o', program, ...link], process.env.CC ?? 'gcc');
  expect(run(program)).toEqual({ status: 0, output: 'well' });
});

it('serves Python', () => {
  const script = `
import ctypes, sys
core = ctypes.CDLL(sys.argv[1])
core.warploom_error.restype = ctypes.c_char_p
device, address = ctypes.c_void_p(), ctypes.c_uint64()
assert core.warploom_open(0, ctypes.byref(device)) == 0, core.warploom_error()
assert core.warploom_allocate(device, ctypes.c_uint64(64), ctypes.byref(address)) == 0
given, got = ctypes.create_string_buffer(b'across', 64), ctypes.create_string_buffer(64)
assert core.warploom_upload(device, address, given, ctypes.c_uint64(64)) == 0
assert core.warploom_download(device, got, address, ctypes.c_uint64(64)) == 0
core.warploom_close(device)
print(got.value.decode())`;
  const output = run('python3', ['-c', script, join(release, 'libwarploom-c.so')]);
  expect(output).toEqual({ status: 0, output: 'across' });
});

it('is exported by the addon too, and nothing else but what Node asks for', () => {
  const symbols = (file: string) =>
    run('nm', ['-D', '--defined-only', join(release, file)])
      .output.split('\n')
      .map((line) => line.split(' ').at(-1)!)
      .filter((name) => !/^(_fini|_init|__bss_start|_edata|_end)$/.test(name));
  const face = symbols('libwarploom-c.so').filter((name) => name.startsWith('warploom_'));
  const header = readFileSync(join(root, 'runtime', 'native', 'warploom.h'), 'utf8');
  const declared = [...header.matchAll(/^WARPLOOM_API .*?(warploom_\w+)\(/gm)].map(
    ([, name]) => name,
  );
  expect(face.sort()).toEqual(declared.sort());
  expect(symbols('warploom.node')).toEqual(expect.arrayContaining(face));
  // Templates of the standard library are weak symbols of every C++ library.
  const others = symbols('warploom.node').filter((name) => !face.includes(name));
  expect(others.filter((name) => !/^(_Z|napi_|node_api_)/.test(name))).toEqual([]);
});
