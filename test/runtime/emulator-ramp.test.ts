// The two factors of a ramp, as the CPU executes the text that makes them: their product is the slope times the place
// of each key, in every row, without a rounding. And which kernels have one.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { hopper } from '../../codegen/attention/hopper/index.ts';
import { type HopperKnobs, hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import { f32, pattern } from '../../dsl/index.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { GpuDevice } from '../../runtime/cuda/device.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { EmulatedMachine } from '../../runtime/emulator/machine.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { fp32FromBf16 } from '../../runtime/half.ts';
import { requestOf } from '../codegen/golden.ts';
import { checkRamp } from '../laws/properties/ramps.ts';
import { bytesOf, kernelOf, launch, pointer } from './emulator-kernels.ts';
import { buffersOf, listOf, variants } from './emulator-mutants.ts';

const slopes = { slopes: f32('head') };
const penalty = pattern('penalty', slopes)
  .mask(({ q, k }) => k <= q)
  .score(({ s, q, k, head }, given) => s - given.slopes.at(head) * (q - k));

function kernelFor(
  of: AnyPattern,
  dim: number,
  knobs: HopperKnobs,
  dtype: 'fp16' | 'bf16' = 'bf16',
) {
  const spec = specOf(requestOf(of.definition, dim, dtype));
  return attentionKernel({ ...spec, knobs }, hopper).kernel;
}
const hasRamp = (of: AnyPattern, knobs: HopperKnobs): boolean =>
  kernelFor(of, 64, knobs).source.includes('add_ramp(s, ');

/** A function of a kernel's text. */
const functionOf = (source: string, name: string): string =>
  new RegExp(`WARPLOOM_DEVICE void ${name}\\([\\s\\S]*?\\n}\\n`).exec(source)![0];

describe('the factors of a ramp', () => {
  it.each([48, 128, 192])('multiply to the places of %d keys', async (kTile) => {
    const { source } = kernelFor(penalty, 64, hopperTile(2, kTile));
    const rows = kTile / 8 + 8;
    expect(source).toContain(`constexpr int ramp_rows = ${rows};`);
    const kernel = kernelOf('ramp', {
      fields: [pointer('slopes', 'float'), pointer('first', 'u32'), pointer('second', 'u32')],
      primitives: ['numbers', 'tensor-copy'],
      before: `constexpr int ramp_rows = ${rows};\n${functionOf(source, 'write_ramp')}${functionOf(source, 'slope_factor')}`,
      body: `  __shared__ u32 ramp[ramp_rows * 4];
  write_ramp(reinterpret_cast<u8*>(ramp));
  __syncthreads();
  for (int i = threadIdx.x; blockIdx.x == 0 && i < ramp_rows * 4; i += 32) p.second[i] = ramp[i];
  u32 factor[1][1][4];
  slope_factor(p.slopes[blockIdx.x], factor);
  for (int i = 0; i < 4; ++i) p.first[(blockIdx.x * 32 + threadIdx.x) * 4 + i] = factor[0][0][i];`,
    });
    // What a slope has left of 24 bits must be numbers, too.
    const one = fc.oneof(
      fc.constantFrom(0, 1, -8, 2 ** -8, 100, 1 / 3),
      fc.float({ noNaN: true, noDefaultInfinity: true }),
    );
    const usual = one
      .map(Math.fround)
      .filter((x) => x === 0 || (Math.abs(x) > 1e-30 && Math.abs(x) < 1e30));
    const count = 64;
    const property = fc.asyncProperty(
      fc.array(usual, { minLength: count, maxLength: count }),
      async (all) => {
        const { first, second } = await runEmulated(launch(kernel, {}, [count, 1, 1]), {
          slopes: bytesOf(Float32Array.from(all)),
          first: { bytes: count * 512 },
          second: { bytes: rows * 16 },
        });
        const elements = (of: Uint8Array) => fp32FromBf16(new Uint16Array(of.slice().buffer));
        const [a, ramp] = [elements(first!), elements(second!)];
        for (const [i, slope] of all.entries())
          for (let row = 0; row < 16; row += 1)
            for (let key = 0; key < kTile; key += 1) {
              let sum = 0;
              for (let column = 0; column < 16; column += 1) {
                // As the product reads them: a register has two columns, and the columns from 8 on begin a row further.
                const lane = (row % 8) * 4 + ((column % 8) >> 1);
                const register = (row >> 3) + 2 * (column >> 3);
                const left = a[((i * 32 + lane) * 4 + register) * 2 + (column & 1)]!;
                const place = (key >> 3) + (column % 8) + (column >> 3);
                sum += left * ramp[place * 8 + (key & 7)]!;
              }
              if (sum !== slope * key) expect(sum, `slope ${slope}, key ${key}`).toBe(slope * key);
            }
      },
    );
    await fc.assert(property, { numRuns: 5 });
  });
});

describe('a ramp', () => {
  const tile = hopperTile(2, 64);
  const causal = pattern('scored', slopes).mask(({ q, k }) => k <= q);
  const scored = (score: Parameters<typeof causal.score>[0]) => causal.score(score);

  it.each([
    ['a penalty', scored(({ s, q, k, head }, given) => s - given.slopes.at(head) * (q - k))],
    ['a sum of slopes', scored(({ s, q, k, head }, given) => s / 2 + k * given.slopes.at(head) - (q - k) / 4)],
    ['a row of its own', scored(({ s, q, k, row }) => s + Math.sin(row) + 0.5 * (k - q))],
  ])('is what products have of %s', (_, of) => {
    expect(hasRamp(of, tile)).toBe(true);
    expect(hasRamp(of, hopperTile(2, 192))).toBe(true);
  });

  it.each([
    ['a score that only scales', scored(({ s }) => s * 2)],
    ['a bias that no key has a part of', scored(({ s, q }) => s + q)],
    ['a curve', scored(({ s, q, k }) => s - Math.sqrt(q - k))],
    ['a slope for each row', scored(({ s, q, k }) => s - (q - k) * q)],
    ['a distance', scored(({ s, q, k }) => s - Math.abs(q - k))],
    ['a cap of all', scored(({ s, q, k }) => 30 * Math.tanh((s - (q - k)) / 30))],
    ['a product turned round', scored(({ s, q, k }) => k - q - s)],
    ['a factor that may be negative', scored(({ s, q, k, head }, given) => s * given.slopes.at(head) - (q - k))],
  ])('is nothing for %s', (_, of) => expect(hasRamp(of, tile)).toBe(false));

  it('lies before the tiles or behind them, where there is room', async () => {
    const list = listOf(variants.ramp);
    const bitsOf = async (alignment: number) => {
      const steps = list.steps.map((step) => {
        if (step.op !== 'launch') return step;
        const source = step.kernel.source.replace('__align__(1024) u8 shared[]', `__align__(${alignment}) u8 shared[]`);
        return { ...step, kernel: { ...step.kernel, source } };
      });
      const { out, lse } = await runEmulated({ ...list, steps }, buffersOf(variants.ramp));
      return Buffer.concat([out!, lse!]).toString('base64');
    };
    // The emulator begins at an odd multiple: with 512, so many bytes are left before the tiles.
    const behind = await bitsOf(1024);
    expect(await bitsOf(512)).toBe(behind);
    expect(await bitsOf(256)).toBe(behind);
  });

  // A row sees two keys: what they have of the bias is small beside what a key of the tile may have.
  it.each([[[-8, 100]], [[32, -64]], [[100 / 3, -100]], [[0.84, 1]]])('rounds no exponent too coarsely: slopes of %j', async (own) => {
    const device = new GpuDevice(new EmulatedMachine('sm_90a', { seed: 1 }));
    const shape = { batch: 1, heads: 2, kvHeads: 1, qLen: 128, kLen: 292, headDim: 96, valueDim: 96 };
    const call = { shape, dtype: 'bf16', slopes: own, near: 1, seed: 10 } as const;
    await checkRamp(device, call, 'window', { kTile: 64, qBuffers: 2 });
    await device.dispose();
  });

  it('is for tiles of keys that follow each other', () => {
    expect(hasRamp(penalty, hopperTile(2, 64, { boxes: 2 }))).toBe(false);
  });

  it.each(
    [64, 96, 128, 192, 256].flatMap((dim) => (['bf16', 'fp16'] as const).map((dtype) => [dim, dtype] as const)),
  )('costs no spill, and no product waits, of heads of %d in %s', async (dim, dtype) => {
    const [knobs] = hopperCandidates(dim, dim);
    const { report } = await compileKernel(kernelFor(penalty, dim, knobs!, dtype), 'sm_90a');
    expect(report).toMatchObject({ spillStores: 0, spillLoads: 0 });
    expect(report.remarks.filter(({ code }) => /^C75/.test(code))).toEqual([]);
  });
}); // biome-ignore format: tables
