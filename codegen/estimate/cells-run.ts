// The launches of antidiagonal scores that are summed to blocks, wave by wave and chunk by chunk.

import type { BoxMap, Place } from '../kernel.ts';
import type { FieldValues } from '../struct.ts';
import { areBoxes, cellColumns, cellRows, cellSumsKernel, cellWeightsKernel } from './cells.ts';
import { at, errorBuffer } from './launches.ts';
import { columnsOf, multiprocessorsOf, type Pass, sumPlace, sumRows } from './places.ts';
import { select } from './selections.ts';
import { gridArguments, headArguments, lineArguments } from './text.ts';
import { lineElements } from './tiles.ts';
import { type Side, tensorArguments } from './vectors.ts';
import { roundUp, type Wave } from './waves.ts';

export function runCells(wave: Wave, all: Pass): void {
  const { pass, plan, shape, strides, backend, factors, launches } = all;
  const { grid } = pass;
  const [reading] = pass.readings;
  const cellTile = cellColumns(backend);
  const columns = roundUp(grid.columns.to, cellTile);
  const blockStride = (columns * grid.columns.size) / grid.blockColumns.size;
  const partStride = columns / cellTile;
  const rowCount = plan.units * plan.rows;
  const blocks = at(launches.need('block sums', 4 * rowCount * blockStride));
  const parts = at(launches.need('parts', 8 * rowCount * partStride));
  const units = wave.to - wave.from;
  const { args, maps } = boxArguments(units, all);
  for (const chunk of plan.chunks) {
    const rows = chunk.to - chunk.from;
    const tiles = [
      Math.ceil(columnsOf(chunk, all) / cellTile),
      Math.ceil(rows / cellRows(maps !== undefined)),
      units,
    ] as const;
    const common = {
      ...gridArguments(grid),
      block_stride: blockStride,
      part_stride: partStride,
      row_from: chunk.from,
      rows,
    };
    launches.launch(
      cellSumsKernel(all),
      maps ? [Math.min(multiprocessorsOf(all), tiles[0] * tiles[1] * units), 1, 1] : tiles,
      {
        ...tensorArguments('q', strides.q, shape),
        ...tensorArguments('k', strides.k, shape),
        ...lineArguments('left', factors.rows.line),
        ...lineArguments('right', factors.columns.line),
        ...headArguments(wave.from, shape),
        ...common,
        ...args,
      },
      { q: at('q'), k: at('k'), blocks, parts, error: at(errorBuffer) },
      maps && { maps },
    );
    const own = sumRows(reading!, chunk, all);
    const { sums, stride } = sumPlace(reading!, own.to - own.from, wave, all);
    launches.launch(
      cellWeightsKernel(pass, reading!, backend),
      [own.to - own.from, units, 1],
      { ...common, stride, sums_from: own.from },
      { blocks, parts, sums },
    );
    select(reading!, chunk, wave, all);
  }
}

/** What a launch of `cellSumsKernel` needs beside its fields of either back-end. */
function boxArguments(
  units: number,
  { factors, shape, strides, dtype, backend }: Pass,
): {
  readonly args: FieldValues;
  readonly maps?: Readonly<Record<string, Place & BoxMap>>;
} {
  if (!areBoxes(factors, shape, backend)) return { args: {} };
  const mapOf = ({ tensor, line: own }: Side, boxCells: number): Place & BoxMap => {
    const [batch, head, row] = strides[tensor].map((elements) => 2 * elements) as [
      number,
      number,
      number,
    ];
    const heads = tensor === 'q' ? shape.heads : shape.kvHeads;
    return {
      ...at(tensor),
      type: dtype,
      sizes: [shape.headDim, own.to - own.from, own.size, heads, shape.batch],
      strides: [own.size * row, row, head, batch].map((bytes) => Math.max(16, bytes)),
      box: [lineElements, boxCells, 1, 1, 1],
      swizzle: 128,
      promotion: 256,
    };
  };
  return {
    args: { q_cell: factors.rows.line.from, units },
    maps: {
      q_map: mapOf(factors.rows, cellRows(true)),
      k_map: mapOf(factors.columns, cellColumns(backend)),
    },
  };
}
