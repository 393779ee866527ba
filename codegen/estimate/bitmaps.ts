// The kernels that make bitmaps of bitmaps: dilation, and the choice between two sets by the distance of
// two vectors of sums. Device side: device/estimate-dilate.cuh, device/estimate-divergence.cuh.

import type { Kernel } from '../kernel.ts';
import type { Field } from '../struct.ts';
import { address, kernelOf } from './text.ts';

/** Threads over the words of a row. */
export const wordThreads = 128;

/** The union of [s, s + size) over the members s. grid: [units x rows, words / wordThreads]. */
export function dilateKernel(size: number): Kernel {
  return kernelOf({
    name: `estimate_dilate${size}`,
    about: [
      `The union of [s, s + ${size}) over the members s: bits [units, rows, source_words]`,
      'to [units, rows, words], one word a thread.',
    ],
    primitives: ['estimate-dilate'],
    fields: [
      address('source', 'const u32*', '[units, rows, source_words]'),
      { name: 'source_words', type: 'i32' },
      address('bits', 'u32*', '[units, rows, words]'),
      { name: 'words', type: 'i32' },
    ],
    threads: wordThreads,
    body: [
      'const int word = blockIdx.y * blockDim.x + threadIdx.x;',
      'if (word >= p.words) return;',
      'const i64 row = blockIdx.x;',
      `p.bits[row * p.words + word] = dilated_word<${size}>(p.source + row * p.source_words, p.source_words, word);`,
    ],
  });
}

/** The units that a launch is for: `units` of each batch entry, from `unit` on. */
export const unitFields: readonly Field[] = [
  { name: 'unit', type: 'i32', comment: 'the first unit' },
  { name: 'units', type: 'i32', comment: 'of each batch entry' },
  { name: 'batch_units', type: 'i32', comment: 'units per batch entry' },
];

/** An expression for the unit behind number `own` of a launch. */
export const unitText = (own: string): string =>
  `p.unit + ${own} % p.units + ${own} / p.units * p.batch_units`;

/** grid: [units]. */
export function verdictKernel(): Kernel {
  return kernelOf({
    name: 'estimate_verdict',
    about: [
      'Whether the Jensen-Shannon distance of two vectors of sums is below a limit:',
      'sums [left units, left_stride] and [right units, right_stride] to verdicts [units].',
    ],
    primitives: ['estimate-reduce', 'estimate-divergence'],
    fields: [
      address('left', 'const float*'),
      { name: 'left_stride', type: 'i32' },
      { name: 'left_span', type: 'i32', comment: 'units that share a vector' },
      address('right', 'const float*'),
      { name: 'right_stride', type: 'i32' },
      { name: 'right_span', type: 'i32' },
      { name: 'members', type: 'i32' },
      { name: 'limit', type: 'f32' },
      address('verdicts', 'u32*', '[units]'),
      ...unitFields,
    ],
    threads: 256,
    body: [
      '__shared__ WarpValues<double> shared;',
      `const int unit = ${unitText('(int)blockIdx.x')};`,
      'const float* left = p.left + (i64)(unit / p.left_span) * p.left_stride;',
      'const float* right = p.right + (i64)(unit / p.right_span) * p.right_stride;',
      'const double distance = jensen_shannon(shared, left, right, p.members);',
      'if (threadIdx.x == 0) p.verdicts[unit] = distance < (double)p.limit;',
    ],
  });
}

/** What a choice reads of one side. */
export const sideFields = (name: 'yes' | 'no', hasDense: boolean): Field[] => [
  address(name, 'const u32*', `[units / ${name}_span, ${name}_rows, ${name}_words]`),
  { name: `${name}_words`, type: 'i32' },
  { name: `${name}_from`, type: 'i32', comment: 'the first row' },
  { name: `${name}_rows`, type: 'i32' },
  { name: `${name}_span`, type: 'i32', comment: 'units that share a bitmap' },
  ...(hasDense ? [address(`${name}_dense`, 'const u32*', `[units / ${name}_span]`)] : []),
];

/** One side of a choice: is it a set at all, and can a capacity make it dense? */
export interface ChoiceSide {
  readonly isThere: boolean;
  readonly hasDense: boolean;
}

/** Statements: word `word` of row `row` of one side as `found`, its flag as `dense`. */
const sideText = (name: 'yes' | 'no', { isThere, hasDense }: ChoiceSide): string[] =>
  isThere
    ? [
        `const int set_row = row - p.${name}_from;`,
        `const i64 source = unit / p.${name}_span;`,
        `if (set_row >= 0 && set_row < p.${name}_rows && word < p.${name}_words)`,
        `  found = p.${name}[(source * p.${name}_rows + set_row) * p.${name}_words + word];`,
        ...(hasDense ? [`dense = p.${name}_dense[source];`] : []),
      ]
    : [];

/** grid: [units x rows, words / wordThreads]. */
export function choiceKernel(yes: ChoiceSide, no: ChoiceSide): Kernel {
  const hasDense = yes.hasDense || no.hasDense;
  return kernelOf({
    name: 'estimate_choice',
    about: [
      'Of two sets the one that the verdict of the unit names:',
      'bits of either to bits [units, set_rows, words], one word a thread.',
    ],
    primitives: [],
    fields: [
      address('verdicts', 'const u32*', '[units / verdict_span]'),
      { name: 'verdict_span', type: 'i32' },
      ...(yes.isThere ? sideFields('yes', yes.hasDense) : []),
      ...(no.isThere ? sideFields('no', no.hasDense) : []),
      address('bits', 'u32*', '[units, set_rows, words]'),
      { name: 'words', type: 'i32', comment: 'per row' },
      { name: 'set_from', type: 'i32', comment: 'the first row of the set' },
      { name: 'set_rows', type: 'i32' },
      ...(hasDense ? [address('dense', 'u32*', '[units]')] : []),
    ],
    threads: wordThreads,
    body: [
      'const int word = blockIdx.y * blockDim.x + threadIdx.x;',
      'if (word >= p.words) return;',
      'const int unit = blockIdx.x / p.set_rows;',
      'const int row = p.set_from + blockIdx.x % p.set_rows;',
      `u32 found = 0${hasDense ? ', dense = 0' : ''};`,
      'if (p.verdicts[unit / p.verdict_span]) {',
      ...sideText('yes', yes).map((line) => `  ${line}`),
      '} else {',
      ...sideText('no', no).map((line) => `  ${line}`),
      '}',
      'p.bits[(i64)blockIdx.x * p.words + word] = found;',
      ...(hasDense
        ? ['if (word == 0 && blockIdx.x % p.set_rows == 0) p.dense[unit] = dense;']
        : []),
    ],
  });
}
