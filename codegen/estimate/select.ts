// The kernels that pick members of rows, by one of the three rules; and the kernel that
// fills the units in which a row needed more than its capacity. Device side: device/select-*.cuh.

import type { Grid, Line } from '../../dsl/estimate/axes.ts';
import type { Leaf, Want } from '../../dsl/estimate/demand.ts';
import type { Kernel } from '../kernel.ts';
import type { Field, FieldValues } from '../struct.ts';
import { unitFields, unitText, wordThreads } from './bitmaps.ts';
import type { SelectRole } from './largest.ts';
import type { RuleText } from './rule-text.ts';
import { ruleText } from './rules.ts';
import { address, gridFields, gridText, kernelOf, toInt } from './text.ts';

/** What a selection sees. */
export interface SelectSpec {
  readonly leaf: Leaf;
  readonly grid: Grid;
  /** Its rows and columns; no rows for sums of one axis. */
  readonly rows: Line | undefined;
  /** Of one axis: its members, from position 0 on. */
  readonly columns: Line;
  /** How scores become weights; 'raw' when they are weights already. */
  readonly how: Want['how'];
}

/** Numbers of a leaf: launch data. */
export const leafArguments = (leaf: Leaf): FieldValues => ({
  always_first: toInt(leaf.always.first),
  always_last: toInt(leaf.always.last),
  ...(leaf.op === 'topk' ? { count: toInt(leaf.count) } : { capacity: toInt(leaf.capacity) }),
  ...(leaf.op === 'above' ? { share: leaf.share } : {}),
  ...(leaf.op === 'cover' ? { mass: massOf(leaf.mass) } : {}),
});

/** Only mass 1 means all: what rounds to 1 is the largest float below it. */
const massOf = (mass: number): number =>
  mass < 1 && Math.fround(mass) === 1 ? 1 - 2 ** -24 : mass;

/** Units of one launch: each has its own numbers, and the arguments of a kernel are few. */
export const mostUnits = 64;

/** Sums of one axis, such as those per key and those per distance, that one launch selects from. */
export const mostParts = 2;

/** The bits of a set, and the rows of it that a launch is for. */
const bitFields = (length?: number): readonly Field[] =>
  [
    address('bits', 'u32*', '[units, set_rows, words]'),
    { name: 'words', type: 'i32', comment: 'per row' } as const,
    { name: 'set_from', type: 'i32', comment: 'the first row of the set' } as const,
    { name: 'set_rows', type: 'i32' } as const,
  ].map((field) => (length === undefined ? field : { ...field, length }));

const hasCapacity = (leaf: Leaf): boolean => leaf.op !== 'topk';

/** Statements: what the row sees as `to`, and `forced`, of numbers that are the unit's own. */
const rowText = ({ grid, rows, columns }: SelectSpec): string[] => [
  `const Line columns = {${columns.size}, ${rows ? 'p.column_start' : '0'}, column_end};`,
  ...(rows
    ? [
        ...gridText(grid),
        `const Line rows = {${rows.size}, p.row_start, p.row_end};`,
        'const int to = visible_end_of_block(grid, rows, columns, row);',
        'const Forced forced = forced_of_row(rows, columns, row, always_first, always_last);',
      ]
    : [
        'const int to = line_to(columns);',
        'const Forced forced = forced_of_sums(to, always_first, always_last);',
      ]),
];

/** The numbers of a leaf, those of each unit. */
const numberFields = (leaf: Leaf): Field[] =>
  Object.keys(leafArguments(leaf)).map((name) => ({
    name,
    type: name === 'share' || name === 'mass' ? 'f32' : 'i32',
    length: mostUnits,
    comment: 'of each unit',
  }));

/**
 * grid: [rows / rowsOfBlock, units of all parts], or of split rows [parts of the row, units of all parts], and where there
 * is a rest to choose one part more, before the others, and no fewer units than have one; `threads` share a row or its part. Sums of one axis come in parts, one after the other.
 */
export function selectKernel(
  spec: SelectSpec,
  threads: number,
  role: SelectRole = 'choose',
): Kernel {
  const { leaf, how, rows } = spec;
  const rule = ruleText(spec, threads, role);
  const about = {
    topk: 'The largest `count` of each row',
    above: 'All of each row that reach a share of its largest or its sum',
    cover: 'The fewest of each row that hold a mass',
  }[leaf.op];
  const length = rows ? undefined : mostParts;
  const own = (name: string): string => (rows ? `p.${name}` : `p.${name}[part]`);
  const inParts = (fields: readonly Field[]): readonly Field[] =>
    fields.map((field) => (length === undefined ? field : { ...field, length }));
  return kernelOf({
    name: `estimate_${leaf.op}_${how}${rule.suffix}`,
    about: [
      `${about}, forced members included:`,
      'weights [units, rows, stride] to bits [units, set_rows, words].',
    ],
    primitives: [
      'estimate-lines',
      'estimate-error',
      'estimate-reduce',
      'estimate-weights',
      'select-row',
      'select-radix',
      'select-amounts',
      'select-rules',
      ...rule.primitives,
    ],
    fields: [
      ...(rows ? gridFields : inParts([{ name: 'column_end', type: 'i32', comment: 'positions' }])),
      ...(rows
        ? []
        : [{ name: 'second', type: 'i32', comment: 'the first unit of part 1' } as const]),
      ...inParts([
        address(
          'weights',
          rule.first ? 'float*' : 'const float*',
          '[units, rows, stride]; scores where they are not weights yet',
        ),
        { name: 'stride', type: 'i32' },
      ]),
      { name: 'row_from', type: 'i32', comment: 'the first row' },
      { name: 'rows', type: 'i32', comment: 'between two units' },
      ...(how === 'raw' ? [] : [address('statistics', 'const RowStatistics*', '[units, rows]')]),
      ...numberFields(leaf),
      ...(hasCapacity(leaf)
        ? inParts([address('dense', 'u32*', '[units]: 1 for capacities exceeded')])
        : []),
      ...bitFields(length),
      ...inParts([{ name: 'unit', type: 'i32', comment: 'the first unit' }]),
      ...(rule.fields ?? []),
      ...inParts(rule.partFields ?? []),
    ],
    ...rule.block,
    body: [
      ...rule.shared,
      ...(rule.index ?? ['const int index = blockIdx.x;']),
      'const int row = p.row_from + index;',
      ...(rows
        ? ['const int own = blockIdx.y;']
        : ['const int part = (int)blockIdx.y >= p.second, own = blockIdx.y - part * p.second;']),
      `const int column_end = ${own('column_end')};`,
      'const int always_first = p.always_first[blockIdx.y], always_last = p.always_last[blockIdx.y];',
      ...rowText(spec),
      'const i64 at = (i64)own * p.rows + index;',
      ...(how === 'raw'
        ? ['const auto weight = [](float value) { return value; };']
        : [
            'const RowStatistics statistics = p.statistics[at];',
            `const auto weight = [&](float score) { return weight_of<HOW_${how.toUpperCase()}>(score, statistics); };`,
          ]),
      `const int unit = ${own('unit')} + own, words = ${own('words')};`,
      `u32* bits = ${own('bits')} + ((i64)unit * ${own('set_rows')} + row - ${own('set_from')}) * words;`,
      `const SeenRow<decltype(weight)> seen = {${own('weights')} + at * ${own('stride')}, weight, to, forced, bits, words};`,
      ...(rule.first ? [rule.first] : []),
      ...(hasCapacity(leaf) ? countedText(rule, `${own('dense')} + unit`) : [`${rule.call};`]),
    ],
  });
}

/** Statements: chooses, and says of a unit one of whose rows has more members than there is room for that it is `dense`. */
function countedText({ call, isOfWarp }: RuleText, dense: string): string[] {
  const isOver = 'members > (u32)p.capacity[blockIdx.y]';
  if (isOfWarp)
    return [
      `const u32 members = ${call};`,
      `if ((threadIdx.x & 31) == 0 && ${isOver}) atomicOr(${dense}, 1u);`,
    ];
  return [
    '__shared__ WarpValues<u32> counts;',
    `const u32 members = block_sum(counts, ${call});`,
    `if (threadIdx.x == 0 && ${isOver}) atomicOr(${dense}, 1u);`,
  ];
}

/**
 * Fills the rows of dense units with all that they see. grid: [units x rows, words / wordThreads]; units are
 * `units` of each batch entry.
 */
export function fillKernel(spec: SelectSpec): Kernel {
  return kernelOf({
    name: 'estimate_fill',
    about: [
      'The rows of units that a capacity made dense: all that they see, and what is forced,',
      'bits [units, set_rows, words].',
    ],
    primitives: ['estimate-lines', 'estimate-reduce', 'select-row'],
    fields: [
      ...gridFields,
      { name: 'always_first', type: 'i32' },
      { name: 'always_last', type: 'i32' },
      address('dense', 'const u32*', '[units]'),
      ...bitFields(),
      ...unitFields,
    ],
    threads: wordThreads,
    body: [
      'const int own = blockIdx.x / p.set_rows, set_row = blockIdx.x % p.set_rows;',
      `const int unit = ${unitText('own')};`,
      'const int word = blockIdx.y * blockDim.x + threadIdx.x;',
      'if (p.dense[unit] == 0 || word >= p.words) return;',
      ...(spec.rows ? ['const int row = p.set_from + set_row;'] : []),
      'const int column_end = p.column_end, always_first = p.always_first, always_last = p.always_last;',
      ...rowText(spec),
      'u32 bits = 0;',
      'for (int bit = 0; bit < 32; ++bit) {',
      '  const int column = word * 32 + bit;',
      '  const bool is_seen = column >= line_from(columns) && column < to;',
      '  if (is_seen || is_forced(forced, column)) bits |= 1u << bit;',
      '}',
      'p.bits[((i64)unit * p.set_rows + set_row) * p.words + word] = bits;',
    ],
  });
}
