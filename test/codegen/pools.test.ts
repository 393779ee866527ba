// Mean keys and values of pools, executed on the CPU: the number of the dtype nearest to each mean, whatever is added.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { poolsKernel } from '../../codegen/attention/pools.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import {
  bf16FromNumber,
  fp16FromNumber,
  numberFromBf16,
  numberFromFp16,
} from '../../runtime/half.ts';
import { runs } from '../laws/settings.ts';
import { bytesOf, launch } from '../runtime/emulator-kernels.ts';

const dim = 32;

test.each(['bf16', 'fp16'] as const)('means of %s are rounded once', async (dtype) => {
  const [encode, decode] =
    dtype === 'bf16' ? [bf16FromNumber, numberFromBf16] : [fp16FromNumber, numberFromFp16];
  const kernel = poolsKernel(dtype);
  // A small one decides on which side of a tie large ones are, and is lost in single precision.
  const number = fc.oneof(
    fc.double({ min: -4, max: 4, noNaN: true }),
    fc.integer({ min: -8, max: 8 }).map((x) => x * 2 ** -6),
    fc.constantFrom(2 ** -24, -(2 ** -24), 2 ** -30, -(2 ** -30), 1, 1 + 2 ** -7, 1 + 2 ** -10, -0),
  );
  const row = fc.array(number.map(encode), { minLength: dim, maxLength: dim });
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      async (rows, size) => {
        const pools = Math.ceil(rows.length / size);
        const means = bytesOf(new Uint16Array(pools * dim));
        const result = await runEmulated(
          launch(
            kernel,
            {
              batch_stride: 0,
              head_stride: 0,
              row_stride: dim,
              kv_heads: 1,
              k_len: rows.length,
              pools,
              dim,
              size,
            },
            [pools, 1, 1],
          ),
          { rows: bytesOf(Uint16Array.from(rows.flat())), means },
        );
        const expected = Array.from({ length: pools }, (_, pool) => {
          const inside = rows.slice(pool * size, (pool + 1) * size);
          return Array.from({ length: dim }, (_, d) =>
            encode(inside.reduce((sum, keys) => sum + decode(keys[d]!), 0) / inside.length),
          );
        });
        const got = result.means!;
        expect([...new Uint16Array(got.buffer, got.byteOffset, got.length / 2)]).toEqual(
          expected.flat(),
        );
      },
    ),
    runs(100),
  );
});
