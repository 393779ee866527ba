// Kernels that sum the weights of a wave: over rows, heads and blocks of columns, or along distances, and
// sums to larger blocks. Every sum has one thread and a fixed order.

import type { Grid, Line } from '../../dsl/estimate/axes.ts';
import type { Want } from '../../dsl/estimate/demand.ts';
import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import { scoreFields } from './scores.ts';
import { address, gridFields, gridText, kernelOf } from './text.ts';

/** What is summed. Everything but lengths is part of the text. */
export interface SumSpec {
  readonly grid: Grid;
  readonly how: Want['how'];
  /** The rows that the sums have; undefined for one sum over all rows. */
  readonly rows: Line | undefined;
  readonly columns: Line;
}

/** Over so many threads the columns are spread. */
export const sumThreads = 128;

const how = (spec: SumSpec): string => `HOW_${spec.how.toUpperCase()}`;
const named = (spec: SumSpec, what: string): string =>
  [`estimate_${what}`, spec.how, ...(spec.rows ? [`rows${spec.rows.size}`] : [])].join('_');

/** What all sums read: scores and statistics of the wave, and under which maximum open weights are summed. */
const sumFields = (spec: SumSpec): Field[] => [
  ...gridFields,
  ...scoreFields('const float*'),
  address('statistics', 'const RowStatistics*', '[units, rows]'),
  ...(spec.how === 'exp'
    ? [
        address(
          'shifts',
          'const RowStatistics*',
          '[sums, rows of sums]: maximum, factor of the old',
        ),
      ]
    : []),
  address('sums', 'float*', '[sums, rows of sums, sums_stride]'),
  { name: 'sums_stride', type: 'i32' },
  { name: 'sums_from', type: 'i32', comment: 'the first row of sums' },
  { name: 'sums_rows', type: 'i32' },
  { name: 'sum_heads', type: 'i32', comment: 'query heads of each sum' },
  { name: 'adds', type: 'i32', comment: 'whether to add to what is there' },
];

/** Statements: the fine rows `[from, to)` that a row of the sums is made of. */
const rowsText = ({ grid, rows }: SumSpec): string[] => {
  const span = rows ? rows.size / grid.rows.size : 0;
  return rows
    ? [
        'const int sum_row = p.sums_from + blockIdx.x;',
        `const int from = max(p.row_from, sum_row * ${span});`,
        `const int to = min(p.row_from + p.rows, (sum_row + 1) * ${span});`,
      ]
    : ['const int from = p.row_from, to = p.row_from + p.rows;'];
};

/**
 * The largest maximum of the rows and heads of each sum of open weights; where sums go on over several
 * waves, what the sum so far is to be multiplied with.
 * grid: [rows of sums, sums]; one warp.
 */
export function shiftKernel(spec: SumSpec): Kernel {
  return kernelOf({
    name: named(spec, 'shifts'),
    about: [
      'The maximum under which the weights of each sum are summed: of statistics [units, rows]',
      'over the rows and heads of the sum, [sums, rows of sums].',
    ],
    primitives: ['estimate-lines', 'estimate-reduce', 'estimate-weights'],
    fields: [
      { name: 'row_from', type: 'i32', comment: 'the first row of the wave' },
      { name: 'rows', type: 'i32', comment: 'of the wave' },
      address('statistics', 'const RowStatistics*', '[units, rows]'),
      address('shifts', 'RowStatistics*', '[sums, rows of sums]'),
      { name: 'sums_from', type: 'i32', comment: 'the first row of sums' },
      { name: 'sum_heads', type: 'i32', comment: 'query heads of each sum' },
      { name: 'adds', type: 'i32', comment: 'whether there is a sum so far' },
    ],
    threads: 32,
    body: [
      '__shared__ WarpValues<float> shared;',
      ...rowsText(spec),
      'RowStatistics* shift = p.shifts + (i64)blockIdx.y * gridDim.x + blockIdx.x;',
      'const float old = p.adds ? shift->maximum : NEGATIVE_INFINITY;',
      'float maximum = old;',
      'for (int head = 0; head < p.sum_heads; ++head)',
      '  for (int row = from + threadIdx.x; row < to; row += 32)',
      '    maximum = fmaxf(maximum, p.statistics[((i64)blockIdx.y * p.sum_heads + head) * p.rows + row - p.row_from].maximum);',
      'maximum = block_max(shared, maximum);',
      'if (threadIdx.x == 0) *shift = {maximum, old == maximum ? 1.0f : expf(old - maximum)};',
    ],
  });
}

/** Statements: the row's statistics under which its scores are weights, as `row_statistics`. */
const statisticsText = (spec: SumSpec): string[] =>
  spec.how === 'exp'
    ? ['const RowStatistics row_statistics = shift;']
    : ['const RowStatistics row_statistics = p.statistics[at];'];

const shiftText = (spec: SumSpec): string[] =>
  spec.how === 'exp'
    ? [
        'const RowStatistics shift = p.shifts[(i64)blockIdx.z * gridDim.x + blockIdx.x];',
        'float sum = p.adds ? *target * shift.scale : 0.0f;',
      ]
    : ['float sum = p.adds ? *target : 0.0f;'];

/** grid: [rows of sums, columns / sumThreads, sums]. */
export function sumKernel(spec: SumSpec): Kernel {
  const { grid, columns } = spec;
  const span = columns.size / grid.columns.size;
  return kernelOf({
    name: named(spec, 'sums'),
    about: [
      `Sums of weights over ${spec.rows ? `blocks of ${spec.rows.size} positions` : 'all rows'} and the heads of a sum:`,
      `scores [units, rows, stride] to [sums, rows of sums, sums_stride], ${span} column(s) to one.`,
    ],
    primitives: ['estimate-lines', 'estimate-weights'],
    fields: sumFields(spec),
    threads: sumThreads,
    body: [
      ...gridText(grid),
      `const Line columns = {${columns.size}, p.column_start, p.column_end};`,
      'const int first_column = line_from(grid.columns);',
      'const int column = line_from(columns) + blockIdx.y * blockDim.x + threadIdx.x;',
      'if (column >= line_to(columns)) return;',
      ...rowsText(spec),
      // Sums of one axis are numbered from 0, rows of sums from their first column.
      `float* target = p.sums + ((i64)blockIdx.z * p.sums_rows + blockIdx.x) * p.sums_stride + column${spec.rows ? ' - line_from(columns)' : ''};`,
      ...shiftText(spec),
      'for (int head = 0; head < p.sum_heads; ++head) {',
      '  for (int row = from; row < to; ++row) {',
      '    const i64 at = ((i64)blockIdx.z * p.sum_heads + head) * p.rows + row - p.row_from;',
      '    const float* scores = p.scores + at * p.stride - first_column;',
      ...statisticsText(spec).map((line) => `    ${line}`),
      '    const int end = visible_end(grid, row);',
      ...(span === 1
        ? [`    if (column < end) sum += weight_of<${how(spec)}>(scores[column], row_statistics);`]
        : [
            '    float part = 0.0f;',
            `    const int last = min(end, (column + 1) * ${span});`,
            `    for (int c = max(first_column, column * ${span}); c < last; ++c)`,
            `      part += weight_of<${how(spec)}>(scores[c], row_statistics);`,
            '    sum += part;',
          ]),
      '  }',
      '}',
      '*target = sum;',
    ],
  });
}

/** Rows and columns are single tokens. grid: [1, distances / sumThreads, sums]. */
export function distanceKernel(spec: SumSpec): Kernel {
  const { grid } = spec;
  return kernelOf({
    name: named(spec, 'distances'),
    about: [
      `Sums of weights per distance q - k from 0 over all rows and the heads of a sum:`,
      'scores [units, rows, stride] to [sums, 1, sums_stride].',
    ],
    primitives: ['estimate-lines', 'estimate-weights'],
    fields: sumFields(spec),
    threads: sumThreads,
    body: [
      ...gridText(grid),
      'const int first_column = line_from(grid.columns);',
      'const int distance = blockIdx.y * blockDim.x + threadIdx.x;',
      'if (distance >= p.column_end) return;',
      'const int from = p.row_from, to = p.row_from + p.rows;',
      'float* target = p.sums + (i64)blockIdx.z * p.sums_stride + distance;',
      ...shiftText(spec),
      'for (int head = 0; head < p.sum_heads; ++head) {',
      '  for (int row = from; row < to; ++row) {',
      '    const int column = row - distance;',
      '    if (column < first_column || column >= visible_end(grid, row)) continue;',
      '    const i64 at = ((i64)blockIdx.z * p.sum_heads + head) * p.rows + row - p.row_from;',
      ...statisticsText(spec).map((line) => `    ${line}`),
      `    sum += weight_of<${how(spec)}>(p.scores[at * p.stride + column - first_column], row_statistics);`,
      '  }',
      '}',
      '*target = sum;',
    ],
  });
}

/** Sums of blocks of `size` members. grid: [members / sumThreads, sums]. */
export function poolSumsKernel(size: number): Kernel {
  return kernelOf({
    name: `estimate_pool_sums${size}`,
    about: [`Sums over blocks of ${size} members: [sums, stride] to [sums, pooled_stride].`],
    primitives: [],
    fields: [
      address('sums', 'const float*', '[sums, stride]'),
      { name: 'stride', type: 'i32' },
      { name: 'members', type: 'i32' },
      address('pooled', 'float*', '[sums, pooled_stride]'),
      { name: 'pooled_stride', type: 'i32' },
    ],
    threads: sumThreads,
    body: [
      'const int block = blockIdx.x * blockDim.x + threadIdx.x;',
      `if ((i64)block * ${size} >= p.members) return;`,
      'const float* sums = p.sums + (i64)blockIdx.y * p.stride;',
      'float sum = 0.0f;',
      `for (int i = block * ${size}; i < min((block + 1) * ${size}, p.members); ++i) sum += sums[i];`,
      'p.pooled[(i64)blockIdx.y * p.pooled_stride + block] = sum;',
    ],
  });
}
