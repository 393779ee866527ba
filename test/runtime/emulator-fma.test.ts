// Products that the emulator fuses with sums, as GPUs' compilers do, where it is told to; and those that it never does.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { DeviceError } from '../../dsl/diagnostic.ts';
import { canFuse, fusingFlags } from '../../runtime/emulator/fma.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { type EmulatorOptions, runEmulated } from '../../runtime/emulator/run.ts';
import { bytesOf, floats, kernelOf, launch, pointer } from './emulator-kernels.ts';
import { isFusedHere, needsFused } from './fusing.ts';

/** a * b rounded is 1 + 2^-11, and c is less that: one rounding leaves 2^-24, two leave 0. */
const [a, c] = [1 + 2 ** -12, -1 - 2 ** -11];
const once = 2 ** -24;

const sums = {
  'a product and a sum': 'a * b + c',
  'a product less a number': 'a * b - -c',
  'a number less a product': 'c - -a * b',
  'a product by itself': '__fmul_rn(a, b) + c',
  'a sum by itself': '__fadd_rn(a * b, c)',
  'a difference by itself': '__fsub_rn(a * b, -c)',
  'doubles by themselves': '(float)(0x1p30 * __dadd_rn(__dmul_rn(1 + 0x1p-15 * (a - 1), 1 + 0x1p-15 * (b - 1)), -1 - 0x1p-26))',
  'an fma': 'fmaf(a, b, c)',
}; // biome-ignore format: a table

const kernel = kernelOf('sums', {
  fields: [pointer('x', 'const float'), pointer('y', 'float')],
  // Numbers of its own for each: a product that is needed as well as its sum is fused by some compilers only.
  body: Object.values(sums)
    .map(
      (text, i) =>
        `  if (threadIdx.x == ${i}) { const float a = p.x[0], b = p.x[1], c = p.x[2]; p.y[${i}] = ${text}; }`,
    )
    .join('\n'),
});

const x = bytesOf(Float32Array.of(a, a, c));
const y = { bytes: 4 * Object.keys(sums).length };

async function sumsBy(options: EmulatorOptions): Promise<Record<string, number>> {
  const found = floats((await runEmulated(launch(kernel), { x, y }, options)).y);
  return Object.fromEntries(Object.keys(sums).map((name, i) => [name, found[i]!]));
}

const separate = {
  ...Object.fromEntries(Object.keys(sums).map((name) => [name, 0])),
  'an fma': once,
};
const fused = {
  ...separate,
  'a product and a sum': once,
  'a product less a number': once,
  'a number less a product': once,
};

it('products of emulated kernels are rounded by themselves where nobody asks otherwise', async () => {
  vi.stubEnv('WARPLOOM_EMULATOR_FMA', undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await sumsBy({})).toEqual(separate);
  expect(await sumsBy({ fma: false })).toEqual(separate);
});

describe('products of emulated kernels', () => {
  beforeEach(needsFused);

  it('are fused with sums where that is asked for, but for those of intrinsics', async () => {
    expect(await sumsBy({ fma: true })).toEqual(fused);
  });

  it('are fused where the environment says so and nobody says otherwise', async () => {
    vi.stubEnv('WARPLOOM_EMULATOR_FMA', 'on');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await sumsBy({})).toEqual(fused);
    expect(await sumsBy({ fma: false })).toEqual(separate);
  });

  it('are fused by a machine', async () => {
    const machine = new EmulatedMachine('sm_90a', { fma: true });
    const [from, to] = [machine.alloc(12), machine.alloc(y.bytes)];
    machine.write(from.address, x);
    machine.run(await machine.prepare(launch(kernel)), { x: from.address, y: to.address });
    const found = new Uint8Array(y.bytes);
    await machine.download(to.address, found);
    await machine.dispose();
    expect([...floats(found)]).toEqual(Object.values(fused));
  });

  it('are still fused where people look into kernels', async () => {
    const debug = mkdtempSync(join(tmpdir(), 'warploom-fma-'));
    onTestFinished(() => rmSync(debug, { recursive: true }));
    expect(await sumsBy({ fma: true, debug })).toEqual(fused);
  });
});

/** A compiler that says so much of the CPU, or ends so. */
function compilerThat(does: string): string {
  vi.stubGlobal('process', { ...process, arch: 'x64', env: process.env });
  onTestFinished(() => void vi.unstubAllGlobals());
  const folder = mkdtempSync(join(tmpdir(), 'warploom-cxx-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const compiler = join(folder, 'c++');
  writeFileSync(compiler, `#!/bin/sh\n${does}\n`);
  chmodSync(compiler, 0o755);
  return compiler;
}

describe('a compiler', () => {
  const [knowing, without] = ['echo "#define __FMA__ 1"', 'echo "#define __FP_FAST_FMAF 1"'];

  it('without an FMA for this CPU is refused', async () => {
    for (const does of [without, 'exit 1']) {
      const error = await fusingFlags(compilerThat(does)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(DeviceError);
      expect(String((error as DeviceError).message)).toContain('R002');
      expect(String((error as DeviceError).message)).toContain('knows no FMA of this CPU');
    }
  });

  it('says whether this CPU has one, or nobody knows', async () => {
    expect(await canFuse(compilerThat(knowing))).toBe(true);
    expect(await canFuse(compilerThat(without))).toBe(false);
    await expect(canFuse(compilerThat('exit 1'))).rejects.toThrow();
  });

  // Tests of fused products are left out where it says no.
  it.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'says of this CPU what the system says',
    () => {
      const [, flags = ''] = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
      expect(isFusedHere).toBe(flags.split(' ').includes('fma'));
    },
  );
});
