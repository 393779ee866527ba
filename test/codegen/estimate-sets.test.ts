// Lists that attention reads of sets, executed on the CPU: members, packed rows of K and V, runs of distances.

import { expect, it } from 'vitest';
import {
  membersLaunch,
  mostRuns,
  packedRows,
  packLaunch,
  runsLaunch,
} from '../../codegen/estimate/lists.ts';
import type { Strides } from '../../codegen/estimate/vectors.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { tensorsOf } from './estimate-calls.ts';

/** Sets of `columns` members at most: none, all, every third, runs of several sizes, over ends of words. */
const kinds: readonly ((column: number) => boolean)[] = [
  () => false,
  () => true,
  (column) => column % 3 === 1,
  (column) => column % 71 < 33 || column % 64 === 63,
  (column) => column === 0,
  (column) => Math.sin(column * column) > 0.3,
];

function setsOf(units: number, columns: number) {
  const words = Math.ceil(columns / 32);
  const bits = new Uint32Array(units * words);
  const members = Array.from({ length: units }, (_, unit) =>
    Array.from({ length: columns }, (_unused, c) => c).filter((c) =>
      kinds[unit % kinds.length]!(c),
    ),
  );
  for (const [unit, own] of members.entries())
    for (const c of own) bits[unit * words + (c >> 5)]! |= 1 << (c & 31);
  const bytes = new Uint8Array(bits.buffer);
  return { members, bytes, set: { bits: { buffer: 'bits', offset: 0 }, units, words } };
}

const numbersOf = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.slice().buffer);

it.each([40, 1000, 40_000])(
  'runs of sets of %d are disjoint and ascending',
  async (columns) => {
    const { members, bytes, set } = setsOf(kinds.length, columns);
    const capacity = mostRuns(columns);
    const { steps, buffers } = runsLaunch('distances', set, capacity);
    const known = Object.fromEntries(
      buffers.map((buffer) => [buffer.name, { bytes: buffer.bytes }]),
    );
    const after: Record<string, Uint8Array> = await runEmulated(
      { workspace: [], steps },
      { bits: bytes, ...known },
    );
    const counts = numbersOf(after['distances count']!);
    const runs = numbersOf(after['distances runs']!);
    for (const [unit, own] of members.entries()) {
      const expected = own.flatMap((c) => {
        const starts = own.includes(c - 1) ? [] : [c];
        return starts.map((from) => {
          let to = from;
          while (to < columns && kinds[unit]!(to)) to += 1;
          return [from, to];
        });
      });
      const first = 2 * unit * capacity;
      const found = Array.from({ length: counts[unit]! }, (_, i) => [
        runs[first + 2 * i],
        runs[first + 2 * i + 1],
      ]);
      expect(found).toEqual(expected);
    }
  },
  60_000,
);

it.each([false, true])(
  'rows of chosen keys are packed, one set per KV head: %s',
  async (perGroup) => {
    const sizes = {
      batch: 2,
      heads: 4,
      kvHeads: 2,
      kLen: 300,
      headDim: 24,
      layout: 'bshd',
    } as const;
    const { shape, k } = tensorsOf(sizes);
    const { k: v } = tensorsOf({ ...sizes, headDim: 40 });
    const perBatch = perGroup ? shape.kvHeads : shape.heads;
    const { members, bytes, set } = setsOf(shape.batch * perBatch, shape.kLen);
    const capacity = 3 * packedRows;
    const [first, second] = [k, v].map(({ strides }) => strides.slice(0, 3) as unknown as Strides);
    const lists = membersLaunch('columns', set, capacity);
    const packed = packLaunch('columns', {
      ...{ set, perGroup, capacity, shape: { ...shape, valueDim: 40 } },
      strides: { k: first!, v: second! },
    });
    const buffers = [...lists.buffers, ...packed.buffers];
    const known = Object.fromEntries(
      buffers.map((buffer) => [buffer.name, { bytes: buffer.bytes }]),
    );
    const after: Record<string, Uint8Array> = await runEmulated(
      { workspace: [], steps: [...lists.steps, ...packed.steps] },
      { bits: bytes, k: new Uint8Array(k.data.buffer), v: new Uint8Array(v.data.buffer), ...known },
    );
    const counts = numbersOf(after['columns count']!);
    const list = numbersOf(after['columns list']!);
    for (const [unit, own] of members.entries()) {
      expect([...list.subarray(unit * capacity, unit * capacity + counts[unit]!)]).toEqual(own);
      const batch = Math.floor(unit / perBatch);
      const head = Math.floor((unit % perBatch) / (perBatch / shape.kvHeads));
      for (const [name, tensor, dim] of [
        ['k', k, 24],
        ['v', v, 40],
      ] as const) {
        const rows = new Uint16Array(after[`columns ${name}`]!.slice().buffer);
        const [batchStride = 0, headStride = 0, rowStride = 0] = tensor.strides;
        const count = Math.ceil(own.length / packedRows) * packedRows;
        const wrong = Array.from({ length: count }, (_, i) => i).filter((i) => {
          const source = batch * batchStride + head * headStride + (own[i] ?? 0) * rowStride;
          return Array.from({ length: dim }, (_unused, d) => d).some((d) => {
            const expected = i < own.length ? tensor.data[source + d] : 0;
            return rows[(unit * capacity + i) * dim + d] !== expected;
          });
        });
        expect(wrong).toEqual([]);
      }
    }
  },
);
