// The relative distance of outputs, by head, whatever the layout.

import { expect, it } from 'vitest';
import { outputError, tensor } from '../../index.ts';

const shape = [1, 2, 3, 2];
const dense = tensor(new Float32Array([3, 4, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]), { shape });
const sparse = tensor(new Float32Array([3, 4, 0, 5, 0, 0, 1, 1, 1, 1, 1, 1]), { shape });

it('is the norm of the difference over that of the dense outputs', async () => {
  expect(await outputError(sparse, dense)).toEqual([
    { batch: 0, head: 0, relative: 1 },
    { batch: 0, head: 1, relative: 0 },
  ]);
});

it('goes by heads and rows, not by where they lie in memory', async () => {
  const other = sparse.withLayout('bshd');
  expect(await outputError(other, dense)).toEqual(await outputError(sparse, dense));
  expect((await outputError(other, sparse.to('bf16')))[0]!.relative).toBe(0);
});

it('of nothing is none', async () => {
  const zeros = tensor(new Float32Array(4), { shape: [1, 1, 2, 2] });
  expect((await outputError(zeros, zeros))[0]!.relative).toBe(0);
});
