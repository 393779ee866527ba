// The emulator runs the text that NVRTC compiles: a tiled product is right, and every wait or barrier that
// is taken away is found.

import { describe, expect, it } from 'vitest';
import { KernelFault } from '../../runtime/emulator/fault.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { bf16FromFp32, fp32FromBf16 } from '../../runtime/half.ts';
import { bytesOf, floats, launch, matmul, matmulLines } from './emulator-kernels.ts';

const m = 64;
const n = 96;
const k = 80;
const a = Uint16Array.from(
  { length: m * k },
  (_, i) => bf16FromFp32(Float32Array.of(Math.sin(i)))[0]!,
);
const b = Uint16Array.from(
  { length: k * n },
  (_, i) => bf16FromFp32(Float32Array.of(Math.cos(3 * i)))[0]!,
);

function expected(): Float32Array {
  const [x, y] = [fp32FromBf16(a), fp32FromBf16(b)];
  return Float32Array.from({ length: m * n }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += x[Math.floor(at / n) * k + i]! * y[i * n + (at % n)]!;
    return sum;
  });
}

const run = (kernel = matmul(), options = {}) =>
  runEmulated(
    launch(kernel, { n, k }, [n / 32, m / 32, 1]),
    { a: bytesOf(a), b: bytesOf(b), c: { bytes: 4 * m * n } },
    options,
  );

describe('a tiled product with asynchronous copies', () => {
  it('is right, whatever the order of its threads', async () => {
    const want = expected();
    for (const seed of [0, 1, 2, 3]) {
      const got = floats((await run(matmul(), { seed })).c);
      const worst = Math.max(...got.map((value, i) => Math.abs(value - want[i]!)));
      expect(worst, `seed ${seed}`).toBeLessThan(1e-5 * k);
    }
  });

  it.each(Object.entries(matmulLines))('is found without its %s', async (_, line) => {
    const broken = matmul((text) => text.replace(line, ''));
    await expect(run(broken)).rejects.toThrow(KernelFault);
  });
});
