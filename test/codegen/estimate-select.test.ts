// The kernels of selection on hostile weights, executed on the CPU, against sorting in float64: short rows by a
// warp, long ones by a whole block.

import { describe, expect, it } from 'vitest';
import { isSplit } from '../../codegen/estimate/largest.ts';
import { at, Launches, type Place } from '../../codegen/estimate/launches.ts';
import { leadArguments } from '../../codegen/estimate/leads.ts';
import {
  leafArguments,
  mostParts,
  mostUnits,
  type SelectSpec,
  selectKernel,
} from '../../codegen/estimate/select.ts';
import { SplitRows } from '../../codegen/estimate/split-rows.ts';
import { mostThreadsOfRow } from '../../codegen/estimate/text.ts';
import { line } from '../../dsl/estimate/axes.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { membersOf } from '../../runtime/reference/choose.ts';

type Leaf = SelectSpec['leaf'];

/** Weights by column, from a seed that says which number a column has. */
const hostile: Record<string, (column: number, noise: number) => number> = {
  'all zero': () => 0,
  'all equal': () => 1,
  'three values': (_, noise) => Math.floor(3 * noise),
  'rising slowly': (column) => column * 1e-9,
  'neighbouring numbers': (_, noise) => 1 + Math.floor(4096 * noise) * 2 ** -23,
  'many sizes': (_, noise) => Math.exp(-100 * noise),
  denormals: (column, noise) => (column % 10 === 0 ? Math.floor(50 * noise) * 1e-43 : 0),
  'both signs': (_, noise) => noise - 0.5,
  'far from zero': (_, noise) => noise - 1000,
  huge: (_, noise) => 6e38 * (noise - 0.5),
  infinities: (column, noise) => (column % 7 === 0 ? Number.POSITIVE_INFINITY : noise),
};

function noiseOf(column: number): number {
  let z = Math.imul(column + 1, 0x9e3779b1);
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  return ((z ^ (z >>> 13)) >>> 0) / 2 ** 32;
}

/** The members that the kernel chooses of each row. */
async function choose(leaf: Leaf, rows: readonly Float32Array[], threads: number) {
  const columns = rows[0]!.length;
  const words = Math.ceil(columns / 32);
  const stride = words * 32;
  const weights = new Float32Array(rows.length * stride).fill(Number.NaN);
  for (const [i, row] of rows.entries()) weights.set(row, i * stride);
  const own = line(1, 0, columns);
  const grid = {
    rows: line(1, 0, 1),
    columns: own,
    blockRows: own,
    blockColumns: own,
    causal: false,
  };
  const spec = { leaf, grid, rows: undefined, columns: own, how: 'raw' } as const;
  const split = isSplit(spec, threads);
  const each = (values: Readonly<Record<string, number>>, length: number) =>
    Object.fromEntries(
      Object.entries(values).flatMap(([name, value]) =>
        Array.from({ length }, (_, i) => [`${name}[${i}]`, value] as const),
      ),
    );
  const inParts = (places: Readonly<Record<string, Place>>) =>
    Object.fromEntries(
      Object.entries(places).flatMap(([name, place]) =>
        Array.from({ length: mostParts }, (_, i) => [`${name}[${i}]`, place] as const),
      ),
    );
  const launches = new Launches();
  const splitRows = new SplitRows(launches, split ? rows.length : 0);
  launches.fill(at('dense'), 4 * rows.length, 0);
  // Some rows, then fewer that find a rest of these.
  const half = split ? Math.ceil(rows.length / 2) : rows.length;
  for (const from of half < rows.length ? [0, half] : [0]) {
    const units = Math.min(half, rows.length - from);
    const parts = { column_end: columns, stride, words, set_from: 0, set_rows: 1, unit: from };
    const args = {
      ...{ row_from: 0, rows: 1, second: units },
      ...each(leafArguments(leaf), mostUnits),
      ...each(parts, mostParts),
    };
    const weightsOf = at('weights', 4 * from * stride);
    const dense = leaf.op === 'topk' ? {} : { dense: at('dense') };
    const buffers = inParts({ weights: weightsOf, bits: at('bits'), ...dense });
    const kernel = selectKernel(spec, threads);
    if (!split) {
      launches.launch(kernel, [1, units, 1], args, buffers);
      continue;
    }
    const count = selectKernel(spec, threads, 'count');
    const counting = {
      args: { ...leadArguments(undefined), ...each({ lead_parts: 0 }, mostParts) },
      buffers: inParts({ leads: weightsOf }),
    };
    const both = { args, buffers };
    splitRows.launch({ count, choose: kernel, columns, units, both, counting });
  }
  const { bits } = await runEmulated(launches.list, {
    weights: new Uint8Array(weights.buffer),
    bits: { bytes: 4 * words * rows.length },
    dense: { bytes: 4 * rows.length },
  });
  const all = new Uint32Array(bits.slice().buffer);
  return rows.map((_, i) =>
    Array.from({ length: columns }, (_unused, c) => c).filter(
      (c) => (all[i * words + (c >> 5)]! >>> (c & 31)) & 1,
    ),
  );
}

const expected = (leaf: Leaf, row: Float32Array): number[] =>
  membersOf(leaf, {
    row: 0,
    values: Float64Array.from(row),
    visible: Array.from(row, () => true),
    blocks: undefined,
  }).sort((a, b) => a - b);

const of = {} as Leaf['of'];
const always = { first: 3, last: 2 };
const sizes: [number, number][] = [
  [32, 70],
  [32, 1027],
  [32, 2048],
  [256, 3000],
  [mostThreadsOfRow, 3],
  [mostThreadsOfRow, 9001],
  [mostThreadsOfRow, 40_000],
];

describe.each(sizes)('%d threads choose from %d weights', (threads, columns) => {
  const rows = Object.values(hostile).map((value) =>
    Float32Array.from({ length: columns }, (_, c) => value(c, noiseOf(c))),
  );
  const third = Math.floor(columns / 3);

  it.each([0, 5, 6, third, columns - 1, columns, 2 * columns])('the largest %d', async (count) => {
    const leaf: Leaf = { op: 'topk', of: of as never, count, always };
    const chosen = await choose(leaf, rows, threads);
    for (const [i, name] of Object.keys(hostile).entries())
      expect(chosen[i], name).toEqual(expected(leaf, rows[i]!));
  });

  it('those above a share of the largest', async () => {
    const leaf: Leaf = {
      ...{ op: 'above', of: of as never, share: 0.5, reference: 'max', always },
      capacity: columns,
    };
    const chosen = await choose(leaf, rows, threads);
    for (const [i, name] of Object.keys(hostile).entries())
      expect(chosen[i], name).toEqual(expected(leaf, rows[i]!));
  });

  it.each([0.125, 0.5, 0.875, 0.984375, 1])('the fewest that hold %d of the mass', async (mass) => {
    const leaf: Leaf = { op: 'cover', of: of as never, mass, always, capacity: columns };
    const chosen = await choose(leaf, rows, threads);
    for (const [i, name] of Object.keys(hostile).entries())
      if (rows[i]!.every((x) => x >= 0 && x < 3e38))
        expect(chosen[i], name).toEqual(expected(leaf, rows[i]!));
  });
});

/** Weights that no rule is made for: an estimate with such scores is refused (E004), and its sets are never looked at. */
const noNumbers: Record<string, (column: number, noise: number) => number> = {
  'not one number': () => Number.NaN,
  'some numbers': (column) => (column % 5 === 0 ? Number.NaN : column),
  'one number': (column) => (column === 1 ? 0.5 : Number.NaN),
  'one no number': (column, noise) => (column === 2 ? Number.NaN : noise),
  'infinities alone': () => Number.POSITIVE_INFINITY,
  'infinities of both signs': (_, noise) => (noise - 0.5) / 0,
  'all of it': (column, noise) => [Number.NaN, -noise, 1 / 0, -1 / 0, noise * 3e38][column % 5]!,
};

const rules: Record<string, (columns: number) => Leaf> = {
  'a third': (columns) => ({ op: 'topk', of: of as never, count: Math.floor(columns / 3), always }),
  half: (columns) => ({ op: 'topk', of: of as never, count: Math.floor(columns / 2), always }),
  'a share of the largest': (columns) => ({ op: 'above', of: of as never, share: 0.5, reference: 'max', always, capacity: columns }),
  'a share of the sum': (columns) => ({ op: 'above', of: of as never, share: 0.01, reference: 'sum', always, capacity: columns }),
  'half of the mass': (columns) => ({ op: 'cover', of: of as never, mass: 0.5, always, capacity: columns }),
  'nearly all of the mass': (columns) => ({ op: 'cover', of: of as never, mass: 0.999, always, capacity: columns }),
  'all of the mass': (columns) => ({ op: 'cover', of: of as never, mass: 1, always, capacity: columns }),
}; // biome-ignore format: a table

describe.each(Object.entries(rules))('where weights are no numbers, %s', (_, leafOf) => {
  // Odd and even numbers of columns: sums of what is no number may be even, and look like nothing.
  it.each([...sizes, [32, 5], [32, 6], [256, 2999]] as [number, number][])(
    'is some set, by %d threads of %d, and reads nothing that nobody wrote',
    async (threads, columns) => {
      const leaf = leafOf(columns);
      const rows = Object.values(noNumbers).map((value) =>
        Float32Array.from({ length: columns }, (_unused, c) => value(c, noiseOf(c))),
      );
      const chosen = await choose(leaf, rows, threads);
      const forced = expected({ ...leaf, op: 'topk', count: 0 } as Leaf, new Float32Array(columns));
      for (const [i, name] of Object.keys(noNumbers).entries()) {
        expect(chosen[i], name).toEqual(expect.arrayContaining(forced));
        if (leaf.op === 'topk')
          expect(chosen[i]!.length, name).toBe(Math.max(leaf.count, forced.length));
      }
    },
  );
});
