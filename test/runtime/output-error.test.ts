// The relative distance of outputs, by head, whatever the layout.

import { expect, it } from 'vitest';
import { outputError, recall, tensor } from '../../index.ts';

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

it('is asked of outputs of one shape, as recall is of LSEs', async () => {
  const other = tensor(new Float32Array(12), { shape: [1, 3, 2, 2] });
  const what = /T002.*two outputs are \[1,2,3,2\] and \[1,3,2,2\]/;
  await expect(outputError(sparse, other)).rejects.toThrow(what);
  const [lse, short] = [new Float32Array(6), new Float32Array(5)].map((data) => tensor(data));
  await expect(recall(lse!, short!)).rejects.toThrow(/T002.*two LSEs are \[6\] and \[5\]/);
  await expect(recall(lse!, 5 as never)).rejects.toThrow(/R005.*one of two LSEs is 5/);
});

it('of nothing is none', async () => {
  const zeros = tensor(new Float32Array(4), { shape: [1, 1, 2, 2] });
  expect((await outputError(zeros, zeros))[0]!.relative).toBe(0);
});
