// The kernels of antidiagonal scores that are summed to blocks: one multiplies cells and keeps a number for each row
// of cells and block of columns, one makes weights of these and sums them over the rows of a block. Device side:
// device/estimate-cells.cuh.

import { type LaunchShape, queryOffset } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import { type ProductBackend, productParts } from './products.ts';
import { floatText, scoreShared, scoreTile } from './scores.ts';
import { address, gridFields, gridText, headFields, kernelOf } from './text.ts';
import { firstTileBytes, lineBytes, lineElements } from './tiles.ts';
import {
  type Factors,
  type HalfType,
  tensorFields,
  vectorsFields,
  vectorsText,
} from './vectors.ts';

/** Columns of a tile, which has one reference for each of its rows, and lines in shared memory. */
const tiles = {
  portable: { columns: 128, stages: 3 },
  // Twice as many products for what is copied: the second-level cache is what limits them.
  hopper: { columns: 256, stages: 4 },
} as const;

/** Of tiles that come as boxes: 64 rows for each warpgroup that multiplies. */
const boxed = { groups: 3, rows: 192 } as const;

/** Rows of a tile of cells. */
export const cellRows = (isBoxed: boolean): number => (isBoxed ? boxed.rows : scoreTile);

/** Tiles of columns whose rows are taken together. */
const bandTiles = 8;

/** Registers of a thread that multiplies, and of the warpgroup of which one warp orders boxes. */
const registers = { multiplying: 160, copying: 32 } as const;

/** Cells are boxes where lines make up tokens, and tokens whole cells, so that none reaches into what follows. */
export const areBoxes = ({ rows, columns }: Factors, shape: LaunchShape, backend: ProductBackend) =>
  backend === 'hopper' &&
  shape.headDim % lineElements === 0 &&
  queryOffset(shape) >= 0 &&
  [rows.line, columns.line].every(({ size, start, end }) => start % size === 0 && end % size === 0);

const boxFields: readonly Field[] = [
  { name: 'q_map', type: 'map', comment: 'boxes of cells of queries' },
  { name: 'k_map', type: 'map', comment: 'of keys' },
  { name: 'q_cell', type: 'i32', comment: 'the first cell of the queries' },
  { name: 'units', type: 'i32', comment: 'of the wave' },
];

/** Floats of a row, on either back-end: a number for each block of `perBlock` cells, and a sum for each tile. */
export function cellFloats(cells: number, perBlock: number): number {
  const widths = Object.values(tiles).map(({ columns }) => columns);
  const count = Math.ceil(cells / Math.max(...widths)) * Math.max(...widths);
  return count / perBlock + (2 * count) / Math.min(...widths);
}

export const cellColumns = (backend: ProductBackend): number => tiles[backend].columns;

const partialFields = (pointer: string): Field[] => [
  address(
    'blocks',
    `${pointer === 'const' ? 'const ' : ''}float*`,
    '[units, rows, block_stride] of the wave',
  ),
  address(
    'parts',
    `${pointer === 'const' ? 'const ' : ''}PartialSum*`,
    '[units, rows, part_stride]: of a tile',
  ),
  { name: 'block_stride', type: 'i32' },
  { name: 'part_stride', type: 'i32' },
  { name: 'row_from', type: 'i32', comment: 'the first row of cells of the wave' },
  { name: 'rows', type: 'i32', comment: 'of the wave' },
];

interface CellSums {
  readonly pass: PassPlan;
  readonly shape: LaunchShape;
  readonly dtype: HalfType;
  readonly backend: ProductBackend;
  readonly factors: Factors;
}

/** Lines that a warpgroup multiplies behind the one before. */
const lag = 1;

/** grid: [column tiles, row tiles, query heads]; of boxes as many blocks as stay. */
export function cellSumsKernel({ pass, shape, dtype, backend, factors }: CellSums): Kernel {
  const { grid } = pass;
  const { rows, columns, width, scale } = factors;
  const isBoxed = areBoxes(factors, shape, backend);
  const cells = grid.blockColumns.size / grid.columns.size;
  const tile = tiles[backend];
  const { headDim } = shape;
  return kernelOf({
    name: `estimate_cell_sums_${rows.label}_${columns.label}`,
    about: [
      `Of each row of cells the sums of e^(score - the largest of a tile) in blocks of ${cells} cells: q and k`,
      `[batch, heads, rows, ${headDim}] to blocks [units, rows, block_stride] and parts [units, rows, part_stride].`,
    ],
    primitives: [
      'shared',
      'async-copy',
      'numbers',
      'float-bits',
      'estimate-lines',
      'estimate-rows',
      'estimate-tile',
      'estimate-scores',
      'estimate-error',
      'estimate-partial',
      'estimate-cells',
      ...(isBoxed
        ? ['barrier', 'tensor-copy', 'warpgroup', 'estimate-cell-tiles', 'estimate-cell-boxes']
        : []),
    ],
    products: productParts(
      backend,
      dtype,
      [isBoxed ? tile.columns / 2 : tile.columns],
      isBoxed ? 'lines' : 'tiles',
    ),
    fields: [
      ...tensorFields('q'),
      ...tensorFields('k'),
      ...vectorsFields('left', rows),
      ...vectorsFields('right', columns),
      ...headFields,
      ...gridFields,
      ...partialFields(''),
      address('error', 'u64*', 'the first row with a score that is not finite'),
      ...(isBoxed ? boxFields : []),
    ],
    threads: isBoxed ? (boxed.groups + 1) * 128 : 256,
    blocks: 1,
    sharedBytes: isBoxed
      ? firstTileBytes + (boxed.rows + tile.columns) * lineBytes * tile.stages
      : scoreShared(width, tile.columns, tile.stages),
    body: [
      'extern __shared__ u8 shared[];',
      ...gridText(grid),
      'const CellSums target = {p.blocks, p.parts, p.block_stride, p.part_stride, p.row_from, p.rows};',
      ...(isBoxed ? boxesText : copiesText)({ pass, shape, dtype, backend, factors }, [
        'int bad = -1;',
        ...[0, 1].map(
          (half) =>
            `bad = max(bad, target.put<${half}, ${cells}, ${tile.columns}>(sums, grid, unit, row, column, ${floatText(scale * Math.LOG2E)}));`,
        ),
        'if (bad >= 0) report_not_finite(p.error, head_of(p.unit_from + unit, p.heads, p.kv_heads), bad);',
      ]),
    ],
  });
}

/** Statements: products by lines that all threads copy, and what is done with the `sums` of `row`, `column` and `unit`. */
function copiesText(
  { shape, dtype, backend, factors }: CellSums,
  put: readonly string[],
): string[] {
  const { rows, columns, width } = factors;
  const tile = tiles[backend];
  return [
    'const int unit = blockIdx.z;',
    'const Head head = head_of(p.unit_from + unit, p.heads, p.kv_heads);',
    // Blocks that run together share lines of both factors: bands of columns, row by row.
    `const int id = blockIdx.y * gridDim.x + blockIdx.x, band = id / (${bandTiles} * gridDim.y) * ${bandTiles};`,
    `const int width = min(${bandTiles}, gridDim.x - band), own = id - band * gridDim.y;`,
    `const int row = p.row_from + own / width * SCORE_TILE, column = (band + own % width) * ${tile.columns};`,
    'const int row_end = min(row + SCORE_TILE, p.row_from + p.rows), column_end = line_to(grid.columns);',
    'if (column >= visible_end(grid, row_end - 1)) return;',
    ...vectorsText('left', rows, shape),
    ...vectorsText('right', columns, shape),
    `float sums[${tile.columns / 8}][4];`,
    `score_tile<${dtype === 'bf16'}, ${width}, ${tile.columns}, ${tile.stages}>(`,
    '    first_tile(shared), left, [&](int i) { return row + i < row_end ? row + i : -1; }, right,',
    '    [&](int i) { return column + i < column_end ? column + i : -1; }, sums);',
    ...put,
  ];
}

/** The same: products by boxes that a warp orders, tile after tile. */
function boxesText({ shape, backend, factors }: CellSums, put: readonly string[]): string[] {
  const { columns, stages } = tiles[backend];
  return [
    `__shared__ CellRing<${stages}> ring;`,
    `const CellBoxes<${factors.rows.line.size}, ${shape.headDim}, ${boxed.groups}, ${columns}, ${stages}, ${lag}> boxes = {ring, first_tile(shared), p.q_map, p.k_map, p.q_cell};`,
    'boxes.begin();',
    '__syncthreads();',
    'if (boxes.is_producer()) {',
    `  registers_give<${registers.copying}>();`,
    `  boxes.produce(CellWalk<${boxed.rows}, ${columns}, ${bandTiles}>(grid, p.row_from, p.rows, p.units),`,
    '                [&](int unit) { return head_of(p.unit_from + unit, p.heads, p.kv_heads); });',
    '  return;',
    '}',
    `registers_take<${registers.multiplying}>();`,
    'u32 line = 0;',
    '#pragma unroll 1',
    'for (;;) {',
    ...[
      'const CellTile tile = boxes.next(line);',
      'const int unit = tile.unit, row = tile.row, column = tile.column;',
      'if (__any_sync(FULL_WARP, unit < 0)) return;',
      `float sums[${columns / 8}][4];`,
      'boxes.multiply(sums, line);',
      ...put,
    ].map((text) => (text.startsWith('#') ? text : `  ${text}`)),
    '}',
  ];
}

/** grid: [blocks of rows, query heads]. */
export function cellWeightsKernel(
  { grid, how }: Pick<PassPlan, 'grid' | 'how'>,
  { rows, columns }: Pick<ReadingPlan, 'rows' | 'columns'>,
  backend: ProductBackend,
): Kernel {
  const span = rows!.size / grid.rows.size;
  const cells = columns.size / grid.columns.size;
  const threads = 256;
  const ahead = Math.min(4, span);
  const cellTile = cellColumns(backend);
  return kernelOf({
    name: `estimate_cell_weights_${how}_rows${rows!.size}`,
    about: [
      `Sums of weights over the ${span} rows of cells of a block: blocks [units, rows, block_stride], under the`,
      'references of parts [units, rows, part_stride], to sums [units, blocks of rows, stride].',
    ],
    primitives: [
      'numbers',
      'estimate-lines',
      'estimate-reduce',
      'estimate-error',
      'estimate-partial',
    ],
    fields: [
      ...gridFields,
      ...partialFields('const'),
      address('sums', 'float*'),
      { name: 'stride', type: 'i32' },
      { name: 'sums_from', type: 'i32', comment: 'the first block of rows' },
    ],
    threads,
    body: [
      `__shared__ float references[${span}];`,
      `__shared__ int ends[${span}];`,
      ...(how === 'exp' ? ['__shared__ WarpValues<float> shared;'] : []),
      ...gridText(grid),
      `const Line rows = {${rows!.size}, p.row_start, p.row_end}, columns = {${columns.size}, p.column_start, p.column_end};`,
      `const int block = p.sums_from + blockIdx.x, from = max(p.row_from, block * ${span});`,
      `const int count = min(p.row_from + p.rows, (block + 1) * ${span}) - from;`,
      'const i64 at = (i64)blockIdx.y * p.rows + from - p.row_from;',
      'const float* blocks = p.blocks + at * p.block_stride;',
      'const PartialSum* parts = p.parts + at * p.part_stride;',
      ...(how === 'exp' ? ['float largest = NEGATIVE_INFINITY;'] : []),
      `for (int row = threadIdx.x / 32; row < count; row += ${threads / 32}) {`,
      '  const int end = visible_end(grid, from + row);',
      '  if ((threadIdx.x & 31) == 0) ends[row] = end;',
      `  const int tiles = (end + ${cellTile - 1}) / ${cellTile};`,
      '  const PartialSum all = sum_of_row(parts + (i64)row * p.part_stride, tiles);',
      how === 'exp'
        ? '  largest = fmaxf(largest, all.maximum);'
        : '  if ((threadIdx.x & 31) == 0) references[row] = all.sum > 0.0f ? all.maximum + log2f(all.sum) : POSITIVE_INFINITY;',
      '}',
      ...(how === 'exp'
        ? [
            'largest = block_max(shared, largest);',
            'for (int row = threadIdx.x; row < count; row += blockDim.x) references[row] = largest;',
          ]
        : []),
      '__syncthreads();',
      'const int end = visible_end_of_block(grid, rows, columns, block);',
      'float* sums = p.sums + ((i64)blockIdx.y * gridDim.x + blockIdx.x) * p.stride;',
      // Four columns of a thread are of one tile. Reads of several rows are under way at once; what a row does not see
      // nobody has written.
      'for (int column = 4 * threadIdx.x; column < end; column += 4 * blockDim.x) {',
      `  const int tile = column * ${cells} / ${cellTile};`,
      '  float4 sum = {0.0f, 0.0f, 0.0f, 0.0f};',
      `  for (int first = 0; first < count; first += ${ahead}) {`,
      `    float references_of[${ahead}];`,
      `    float4 weights[${ahead}];`,
      '#pragma unroll',
      `    for (int i = 0; i < ${ahead}; ++i) {`,
      '      const int row = first + i;',
      `      const bool is_seen = row < count && tile * ${cellTile} < ends[row];`,
      '      references_of[i] = is_seen ? parts[(i64)row * p.part_stride + tile].maximum - references[row] : 0.0f;',
      '      weights[i] = {0.0f, 0.0f, 0.0f, 0.0f};',
      '      if (is_seen) weights[i] = *(const float4*)&blocks[(i64)row * p.block_stride + column];',
      '    }',
      '#pragma unroll',
      `    for (int i = 0; i < ${ahead}; ++i) {`,
      '      const float factor = exp2_fast(references_of[i]);',
      '      sum.x += weights[i].x * factor;',
      '      sum.y += weights[i].y * factor;',
      '      sum.z += weights[i].z * factor;',
      '      sum.w += weights[i].w * factor;',
      '    }',
      '  }',
      '  *(float4*)&sums[column] = sum;',
      '}',
    ],
  });
}
