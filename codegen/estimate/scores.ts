// The kernel of the scores of a wave, and the kernel of what makes them weights. Device side:
// device/estimate-tile.cuh, device/estimate-products.cuh, device/estimate-scores.cuh, device/estimate-weights.cuh.

import { type Grid, gridOf } from '../../dsl/estimate/axes.ts';
import type { Want } from '../../dsl/estimate/demand.ts';
import type { ScoreNode } from '../../dsl/estimate/node.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import { type ProductBackend, productParts } from './products.ts';
import { address, gridFields, gridText, headFields, kernelOf, mostThreadsOfRow } from './text.ts';
import { firstTileBytes, lineBytes, linesOf } from './tiles.ts';
import { factorsOf, type HalfType, tensorFields, vectorsFields, vectorsText } from './vectors.ts';

/** Rows and columns of the tile of one block of threads. */
export const scoreTile = 128;

/** Lines of both factors in shared memory. */
const scoreStages = 3;

/** Bytes of shared memory for the lines of vectors of `width` elements that a block holds at once. */
export const scoreShared = (width: number, columns = scoreTile, stages = scoreStages): number =>
  firstTileBytes + (scoreTile + columns) * lineBytes * Math.min(stages, linesOf(width));

/** The rows of a wave that a launch is for, and where row `row_from` of its first unit lies. */
export const scoreFields = (pointer: string): Field[] => [
  address('scores', pointer, '[units, rows, stride] of the wave'),
  { name: 'row_from', type: 'i32', comment: 'the first row of the wave' },
  { name: 'rows', type: 'i32', comment: 'of the wave' },
  { name: 'stride', type: 'i32' },
];

/** grid: [column tiles, row tiles, query heads]. */
export function scoreKernel(
  node: ScoreNode,
  shape: LaunchShape,
  dtype: HalfType,
  backend: ProductBackend,
): Kernel {
  const grid = gridOf(node, shape);
  const { rows, columns, width, scale } = factorsOf(node, shape);
  const tensors = [...new Set([rows, columns].map(({ tensor }) => tensor))];
  const read = [rows, columns].filter(({ form }) => form !== 'pool').map(({ tensor }) => tensor);
  return kernelOf({
    name: `estimate_scores_${rows.label}_${columns.label}`,
    about: [
      `Scores of ${rows.label} and ${columns.label}, vectors of ${width}: [units, rows, stride] in fp32,`,
      `a score for each column that its row sees${grid.causal ? ', up to the diagonal' : ''}. Tiles of ${scoreTile} x ${scoreTile}.`,
    ],
    primitives: [
      'shared',
      'async-copy',
      'estimate-lines',
      'estimate-rows',
      'estimate-tile',
      'estimate-scores',
      'estimate-staging',
      'estimate-error',
    ],
    products: productParts(backend, dtype, [scoreTile]),
    fields: [
      ...tensors.filter((tensor) => read.includes(tensor)).flatMap(tensorFields),
      ...vectorsFields('left', rows),
      ...vectorsFields('right', columns),
      ...headFields,
      { name: 'group_from', type: 'i32', comment: 'the first KV head of the wave' },
      ...gridFields,
      ...scoreFields('float*'),
      address('error', 'u64*', 'the first row with a score that is not finite'),
    ],
    threads: 256,
    blocks: 1,
    sharedBytes: Math.max(scoreShared(width), firstTileBytes + scoreTile ** 2 * 4),
    body: [
      'extern __shared__ u8 shared[];',
      'const Head head = head_of(p.unit_from + blockIdx.z, p.heads, p.kv_heads);',
      ...gridText(grid),
      'const int first_column = line_from(grid.columns);',
      'const int row = p.row_from + blockIdx.y * SCORE_TILE, column = first_column + blockIdx.x * SCORE_TILE;',
      'const int row_end = min(row + SCORE_TILE, p.row_from + p.rows);',
      'const int column_end = min(column + SCORE_TILE, line_to(grid.columns));',
      'if (column >= visible_end(grid, row_end - 1)) return;',
      ...vectorsText('left', rows, shape),
      ...vectorsText('right', columns, shape),
      'float sums[16][4];',
      `score_tile<${dtype === 'bf16'}, ${width}, ${scoreTile}, ${scoreStages}>(first_tile(shared), left, [&](int i) { return row + i < row_end ? row + i : -1; },`,
      '    right, [&](int i) { return column + i < column_end ? column + i : -1; }, sums);',
      // The products have been made of what is staged over.
      '__syncthreads();',
      'const int warp = threadIdx.x / 32, first_row = row + warp * STAGED_ROWS, own_column = column + (threadIdx.x & 31) * 4;',
      'float* staged = (float*)(shared + (first_tile(shared) - shared_address(shared))) + warp * STAGED_ROWS * SCORE_TILE;',
      `stage_rows(staged, sums, ${floatText(scale)});`,
      'float* target = p.scores + ((i64)blockIdx.z * p.rows + first_row - p.row_from) * p.stride - first_column + own_column;',
      '#pragma unroll 4',
      'for (int i = 0; i < STAGED_ROWS && first_row + i < row_end; ++i, target += p.stride) {',
      '  const int left = min(column_end, visible_end(grid, first_row + i)) - own_column;',
      '  if (left <= 0) continue;',
      '  const float4 four = staged_four(staged, i, own_column - column);',
      // The stride is a multiple of a tile: what lies after the end is nobody's.
      '  *(float4*)target = four;',
      '  const bool is_finite = (fabsf(four.x) <= LARGEST_FLOAT) & ((left < 2) | (fabsf(four.y) <= LARGEST_FLOAT)) &',
      '                         ((left < 3) | (fabsf(four.z) <= LARGEST_FLOAT)) & ((left < 4) | (fabsf(four.w) <= LARGEST_FLOAT));',
      '  if (!is_finite) report_not_finite(p.error, head, first_row + i);',
      '}',
    ],
  });
}

/** A float32 literal that means exactly this number. */
export const floatText = (x: number): string => `${Math.fround(x).toExponential(9)}f`;

/**
 * The largest score of each row, and for softmax the reciprocal of the sum of exponentials.
 * grid: [rows, query heads]; `threads` share a row.
 */
export function statisticsKernel(
  grid: Grid,
  how: Want['how'],
  untilQuery: boolean,
  threads: number,
): Kernel {
  const isSoftmax = how === 'softmax';
  return kernelOf({
    name: `estimate_${isSoftmax ? 'softmax' : 'maxima'}`,
    about: [
      `Of each row of scores [units, rows, stride] its maximum${isSoftmax ? ' and 1 / sum of e^(score - maximum)' : ''},`,
      `over the columns that the row sees${untilQuery ? ' and that are not after it' : ''}: [units, rows] in fp32.`,
    ],
    primitives: ['estimate-lines', 'estimate-reduce', 'estimate-weights'],
    fields: [
      ...gridFields,
      ...scoreFields('const float*'),
      address('statistics', 'RowStatistics*', '[units, rows]'),
    ],
    threads,
    mostThreads: mostThreadsOfRow,
    body: [
      '__shared__ WarpValues<float> shared;',
      ...gridText(grid),
      'const int row = p.row_from + blockIdx.x, first_column = line_from(grid.columns);',
      `const int end = ${untilQuery ? 'min(visible_end(grid, row), row + 1)' : 'visible_end(grid, row)'};`,
      'const i64 at = (i64)blockIdx.y * p.rows + blockIdx.x;',
      'const float* scores = p.scores + at * p.stride - first_column;',
      'float maximum = NEGATIVE_INFINITY;',
      'for (int c = first_column + threadIdx.x; c < end; c += blockDim.x) maximum = fmaxf(maximum, scores[c]);',
      'maximum = block_max(shared, maximum);',
      ...(isSoftmax
        ? [
            'float sum = 0.0f;',
            'for (int c = first_column + threadIdx.x; c < end; c += blockDim.x) sum += expf(scores[c] - maximum);',
            'sum = block_sum(shared, sum);',
          ]
        : []),
      `if (threadIdx.x == 0) p.statistics[at] = {maximum, ${isSoftmax ? '1.0f / sum' : '1.0f'}};`,
    ],
  });
}
