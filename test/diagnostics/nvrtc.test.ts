// The codes of compiling kernels: no NVRTC, an architecture that it does not know, a source that it refuses.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { DeviceError, type PatternError } from '../../dsl/diagnostic.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { refused } from './cases.ts';

const folder = mkdtempSync(join(tmpdir(), 'warploom-nvrtc-'));
afterAll(() => rmSync(folder, { recursive: true }));

const compiler = await findNvrtc();
/** What differs between machines: folders, and what this NVRTC is. */
const plain = (text: string) =>
  text
    .replaceAll(folder, 'FOLDER')
    .replaceAll(compiler.path, 'NVRTC')
    .replaceAll(compiler.version, 'V.V')
    .replaceAll(/it knows sm_.*/g, 'it knows sm_..')
    .replaceAll(/line \d+ of its PTX/g, 'line N of its PTX');

const compile = (source: string, arch = 'sm_80') => compileKernel({ name: 'k', source }, arch);
const good = 'extern "C" __global__ void k(float* x) { x[0] = 1; }';

describe('R009: the CUDA compiler NVRTC is not there', () => {
  const named = (WARPLOOM_NVRTC: string) => findNvrtc({ ...process.env, WARPLOOM_NVRTC });

  it('a setting that names nothing is not passed over', async () => {
    expect(plain(await refused('R009', () => named('/nonexistent')))).toMatchInlineSnapshot(`
      "error[R009]: WARPLOOM_NVRTC names no NVRTC: '/nonexistent'
        = note: WARPLOOM_NVRTC=/nonexistent: there is no such file or folder
        = help: name libnvrtc.so.* or its folder, or unset it to have NVRTC looked for"
    `);
  });

  it('a folder without it', async () => {
    expect(plain(await refused('R009', () => named(folder)))).toMatchInlineSnapshot(`
      "error[R009]: WARPLOOM_NVRTC names no NVRTC: 'FOLDER'
        = note: WARPLOOM_NVRTC=FOLDER: the folder holds no libnvrtc.so*
        = help: name libnvrtc.so.* or its folder, or unset it to have NVRTC looked for"
    `);
  });

  it('a file that is no library, and one that is another', async () => {
    const file = join(folder, 'libnvrtc.so.13');
    writeFileSync(file, 'not a library');
    expect(plain(await refused('R009', () => named(file)))).toMatchInlineSnapshot(`
      "error[R009]: WARPLOOM_NVRTC names no NVRTC: 'FOLDER/libnvrtc.so.13'
        = note: WARPLOOM_NVRTC=FOLDER/libnvrtc.so.13: FOLDER/libnvrtc.so.13: file too short
        = help: name libnvrtc.so.* or its folder, or unset it to have NVRTC looked for"
    `);
    const other = join(process.cwd(), 'build', 'Release', 'warploom.node');
    const text = plain(await refused('R009', () => named(other))).replaceAll(process.cwd(), 'ROOT');
    expect(text).toMatchInlineSnapshot(`
      "error[R009]: WARPLOOM_NVRTC names no NVRTC: 'ROOT/build/Release/warploom.node'
        = note: WARPLOOM_NVRTC=ROOT/build/Release/warploom.node: it has no nvrtcVersion: it is no NVRTC of CUDA 11.2 or later
        = help: name libnvrtc.so.* or its folder, or unset it to have NVRTC looked for"
    `);
  });

  it('nothing can call it without the addon', async () => {
    vi.stubEnv('WARPLOOM_ADDON', 'off');
    const elsewhere = { ...process.env, PATH: '/nowhere' };
    expect(await refused('R009', () => findNvrtc(elsewhere))).toMatchInlineSnapshot(`
      "error[R009]: NVRTC is called by the native addon, which is not there: switched off by WARPLOOM_ADDON=off
        = help: 'warploom doctor' says how to build it"
    `);
    vi.unstubAllEnvs();
  });

  it('its file or its folder', async () => {
    expect((await named(compiler.path)).version).toBe(compiler.version);
    expect((await named(dirname(compiler.path))).version).toBe(compiler.version);
  });
});

describe('R010: an architecture that NVRTC does not know', () => {
  it.each(['sm_999', 'sm_10', 'compute_80', '80', 'sm_80f', ''])('%j', async (arch) => {
    await refused('R010', () => compile(good, arch));
  });

  it('says what it knows', async () => {
    expect(plain(await refused('R010', () => compile(good, 'sm_999')))).toMatchInlineSnapshot(`
      "error[R010]: NVRTC V.V does not know the architecture 'sm_999'
        = note: it knows sm_..
        = note: it is NVRTC
        = help: for a newer GPU: pip install --upgrade nvidia-cuda-nvrtc"
    `);
  });

  it.each(['sm_80', 'sm_90', 'sm_90a'])('%s is known', async (arch) => {
    expect((await compile(good, arch)).cubin.length).toBeGreaterThan(0);
  });
});

describe('R011: a kernel that the compiler refuses', () => {
  /** The message whole, with its frames. */
  async function message(source: string): Promise<string> {
    const error = await compile(source).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(DeviceError);
    expect((error as PatternError).code).toBe('R011');
    return plain((error as Error).message);
  }

  it('shows the line', async () => {
    const source = `// A kernel.
extern "C" __global__ void k(float* x) {
  x[0] = weight(x[1]);
}`;
    expect(await message(source)).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': identifier "weight" is undefined
       --> k.cu:3:10
        |
      3 |   x[0] = weight(x[1]);
        |          ^^^^^^
        = help: kernels are written by warploom: report this with the pattern"
    `);
  });

  it("points into the author's file where the text came from one", async () => {
    const file = join(folder, 'mine.ts');
    writeFileSync(
      file,
      'const window = 3;\nexport const mine = pattern("mine")\n  .mask(({ q, k }) => q - k < window);\n',
    );
    const source = `extern "C" __global__ void k(int* x, int q, int key) {
#line 3 "${file}"
  x[0] = q - key < window;
}`;
    expect(await message(source)).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': identifier "window" is undefined
       --> FOLDER/mine.ts:3:3
        |
      3 |   .mask(({ q, k }) => q - k < window);
        |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = note: which became
       --> k.cu:3:20
        |
      3 |   x[0] = q - key < window;
        |                    ^^^^^^
        = help: kernels are written by warploom: report this with the pattern"
    `);
  });

  it('shows the text when the file is not there', async () => {
    const source = `extern "C" __global__ void k(int* x) {
#line 40 "/gone/mine.ts"
  x[0] = window;
}`;
    expect(await message(source)).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': identifier "window" is undefined
       --> k.cu:3:10
        |
      3 |   x[0] = window;
        |          ^^^^^^
        = note: it came from /gone/mine.ts:40, which cannot be read
        = help: kernels are written by warploom: report this with the pattern"
    `);
  });

  it('keeps the whole sentence of the compiler, and the first errors of many', async () => {
    const source = `template <class T> __device__ T least(T a, T b) { return a < b ? a : b; }
extern "C" __global__ void k(float* x) {
  x[0] = least(1, 2.0f);
  a; b; c; d; e; f;
}`;
    expect(await message(source)).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': no instance of function template "least" matches the argument list; argument types are: (int, float)
       --> k.cu:3:10
        |
      3 |   x[0] = least(1, 2.0f);
        |          ^^^^^
        = help: kernels are written by warploom: report this with the pattern

      error[R011]: the compiler refuses the kernel 'k': identifier "a" is undefined
       --> k.cu:4:3
        |
      4 |   a; b; c; d; e; f;
        |   ^

      error[R011]: the compiler refuses the kernel 'k': identifier "b" is undefined
       --> k.cu:4:6
        |
      4 |   a; b; c; d; e; f;
        |      ^

      error[R011]: the compiler refuses the kernel 'k': identifier "c" is undefined
       --> k.cu:4:9
        |
      4 |   a; b; c; d; e; f;
        |         ^

      error[R011]: the compiler refuses the kernel 'k': identifier "d" is undefined
       --> k.cu:4:12
        |
      4 |   a; b; c; d; e; f;
        |            ^
        = note: 2 more errors follow"
    `);
  });

  it('says what the assembler says', async () => {
    const source = `extern "C" __global__ void k(float* x) {
  __shared__ float all[60000];
  all[threadIdx.x] = x[0];
  __syncthreads();
  x[1] = all[5 - threadIdx.x];
}`;
    expect(await message(source)).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': Entry function 'k' uses too much shared data (0x3a980 bytes, 0xc000 max)
        = help: kernels are written by warploom: report this with the pattern"
    `);
    expect(
      await message('extern "C" __global__ void k() { asm volatile("twist;"); }'),
    ).toMatchInlineSnapshot(`
      "error[R011]: the compiler refuses the kernel 'k': Not a name of any known instruction: 'twist' (line N of its PTX)
        = help: kernels are written by warploom: report this with the pattern"
    `);
  });

  it('the mended one', async () => {
    expect((await compile(good)).cubin.length).toBeGreaterThan(0);
  });
});
