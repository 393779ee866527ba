// The emulator runs the text that NVRTC compiles: a tiled product is right, and every wait or barrier that
// is taken away is found.

import { describe, expect, it } from 'vitest';
import { type FaultKind, KernelFault } from '../../runtime/emulator/fault.ts';
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

const want = expected();
const isRight = (got: Float32Array): boolean =>
  got.every((value, i) => Math.abs(value - want[i]!) < 1e-6 * k);

const run = (kernel = matmul(), options = {}) =>
  runEmulated(
    launch(kernel, { n, k }, [n / 32, m / 32, 1]),
    { a: bytesOf(a), b: bytesOf(b), c: { bytes: 4 * m * n } },
    options,
  );

describe('a tiled product with asynchronous copies', () => {
  it('is right, whatever the order of its threads', async () => {
    for (let seed = 0; seed < 30; seed++) {
      expect(isRight(floats((await run(matmul(), { seed })).c)), `seed ${seed}`).toBe(true);
    }
  });

  // What is taken away or changed, and what is found; `wrong` where only the sums can tell.
  const mutations: readonly (readonly [string, string, string, FaultKind | 'wrong'])[] = [
    ['the wait', matmulLines.wait, '', 'pending-copy'],
    ['the barrier after the wait', matmulLines.arrived, '', 'race'],
    ['the last wait', matmulLines.lastWait, '', 'pending-copy'],
    ['the barrier that frees a stage', matmulLines.free, '', 'race'],
    ['one group of the wait', matmulLines.wait, 'copy_wait<2>();', 'pending-copy'],
    ['the last group of the last wait', matmulLines.lastWait, 'copy_wait<1>();', 'pending-copy'],
    ['the commits', 'copy_commit();', '', 'pending-copy'],
    ['the other stage', 'stage ^= 1', 'stage ^= 0', 'pending-copy'],
    ['the first stage', 'load(0, 0);', '', 'uninitialised'],
    ['half of a stage', 'if (warp < 2) {', 'if (warp < 1) {', 'out-of-bounds'],
    ['the room of a stage', 'stage * 2048 + row * 32', 'stage * 1024 + row * 32', 'pending-copy'],
    ['the end of k', 'k < p.k;', 'k <= p.k;', 'wrong'],
    ['the row of a block', 'blockIdx.y * 32', 'blockIdx.y * 33', 'out-of-bounds'],
    ['the block that writes', 'blockIdx.x * 32', '(blockIdx.x & 1) * 32', 'race'],
    [
      'a bit of the swizzle',
      'a_at(stage, row + (lane & 15), lane >> 4)',
      'a_at(stage, row + (lane & 15), lane >> 4 ^ lane >> 3 & 1)',
      'wrong',
    ],
    ['the turn of B', 'load_matrices_transposed', 'load_matrices', 'wrong'],
    [
      'a half of B',
      'multiply_bf16(sums[1], a, b[2], b[3])',
      'multiply_bf16(sums[1], a, b[3], b[2])',
      'wrong',
    ],
    ['the start of the sums', 'float sums[2][4] = {};', 'float sums[2][4];', 'wrong'],
  ];

  it.each(mutations)('is found without %s', async (_, from, to, kind) => {
    const broken = matmul((text) => {
      expect(text).toContain(from);
      return text.replace(from, to);
    });
    const found = await run(broken, { processes: 1 }).then(
      ({ c }) => (isRight(floats(c)) ? 'nothing' : 'wrong'),
      (error: unknown) => (error instanceof KernelFault ? error.kind : error),
    );
    expect(found).toBe(kind);
  });
});
