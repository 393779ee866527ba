// The kernels that pick members: one block of threads a row, by one of the three rules; and the kernel that
// fills the units in which a row needed more than its capacity. Device side: device/select-*.cuh.

import type { Grid, Line } from '../../dsl/estimate/axes.ts';
import type { Leaf, Want } from '../../dsl/estimate/demand.ts';
import type { Kernel } from '../kernel.ts';
import type { Field, FieldValues } from '../struct.ts';
import { unitFields, unitText, wordThreads } from './bitmaps.ts';
import { addLeadsText, leadFields } from './leads.ts';
import { probeQueries } from './probe-feed.ts';
import {
  address,
  fewThreadsOfRow,
  gridFields,
  gridText,
  kernelOf,
  mostThreadsOfRow,
  toInt,
} from './text.ts';

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

/** Rows that one block selects from: where a warp has a row to itself, several. */
export const rowsOfBlock = (leaf: Leaf, threads: number): number =>
  leaf.op === 'topk' && threads === fewThreadsOfRow ? shortRows : 1;

/** SHORT_ROWS of device/select-short.cuh. */
const shortRows = 4;

/** Whether a long row of sums is shared by several blocks: few rows alone keep few multiprocessors busy. */
export const isSplit = ({ leaf, rows }: Pick<SelectSpec, 'leaf' | 'rows'>, threads: number) =>
  leaf.op === 'topk' && !rows && threads === mostThreadsOfRow;

/**
 * Columns of a part of such a row, the threads of the block that has it, and blocks on a multiprocessor at once: at 128K all
 * parts of 64 rows are under way together. An H100 took 36 us for them, 55 with one block of 1024 threads and half the
 * columns, and 43 to 48 with three ways in between.
 */
const [columnsOfPart, threadsOfPart, partsAtOnce] = [32768, 512, 2];
export const splitColumns = columnsOfPart;

const splitFields: readonly Field[] = [
  address('tallies', 'SplitTally*', '[units of all parts]'),
  address('listed', 'u64*', '[units of all parts, SPLIT_LISTED]'),
];

/** What the launch that counts is told besides: rows with a rest, and leads of sums per distance. */
const countFields: readonly Field[] = [
  { name: 'units', type: 'i32', comment: 'of all parts' },
  address('before', 'SplitTally*', '[before_units]: of the launch before'),
  { name: 'before_units', type: 'i32', comment: 'that have left their rest; 0: none' },
  { ...address('leads', 'const float*', 'see lead_parts'), length: mostParts },
  {
    ...{ name: 'lead_parts', type: 'i32', length: mostParts },
    comment: '[units, lead_parts, 64] are to be added; 0: none',
  },
  ...leadFields,
];

/** How the largest of a row are found: of a long one in two readings, of a short one in registers of one warp. */
interface LargestText {
  readonly suffix: string;
  readonly call: string;
  readonly primitives: readonly string[];
  readonly fields?: readonly Field[];
  /** Statements: which row of its unit a block, or a warp, is for. */
  readonly index?: readonly string[];
  /** A statement: what is done to the weights before the call. */
  readonly first?: string;
}

function topkText(spec: SelectSpec, threads: number, role: SelectRole): LargestText {
  const count = 'p.count[blockIdx.y]';
  if (isSplit(spec, threads)) {
    const common = { primitives: ['select-long', 'select-split'], index: ['const int index = 0;'] };
    const tally = 'p.tallies[blockIdx.y]';
    const listed = 'p.listed + (i64)blockIdx.y * SPLIT_LISTED';
    if (role === 'count')
      return {
        ...common,
        suffix: '_count',
        call: `count_part<${splitColumns}>(counts, ${tally}, seen, from)`,
        primitives: ['estimate-leads', ...common.primitives],
        fields: [...splitFields, ...countFields],
        index: [
          'const bool has_rest = p.before_units > 0;',
          'if (has_rest && blockIdx.x == 0) {',
          `  if ((int)blockIdx.y < p.before_units) choose_rest(counts, p.before[blockIdx.y], ${listed});`,
          '  return;',
          '}',
          'if ((int)blockIdx.y >= p.units) return;',
          ...common.index,
          `const int from = ((int)blockIdx.x - has_rest) * ${splitColumns};`,
        ],
        first: addLeadsText(
          `p.leads[part] + (i64)own * p.lead_parts[part] * ${probeQueries}`,
          'p.lead_parts[part]',
          'p.weights[part] + at * p.stride[part]',
          'from',
          `min(to, from + ${splitColumns})`,
        ),
      };
    return {
      ...common,
      suffix: '_split',
      call: `choose_part<${splitColumns}>(counts, shared, ${tally}, ${listed}, seen, (int)blockIdx.x * ${splitColumns}, gridDim.x, ${count}, p.leaves)`,
      fields: [
        ...splitFields,
        { name: 'leaves', type: 'i32', comment: 'the rest to who counts next' },
      ],
    };
  }
  if (threads === mostThreadsOfRow)
    return {
      suffix: '_long',
      call: `choose_largest_of_long(counts, shared, seen, ${count})`,
      primitives: ['select-long'],
    };
  if (threads === fewThreadsOfRow)
    return {
      suffix: '_short',
      call: `choose_largest_of_short(rows_of_block[threadIdx.x / 32], seen, ${count})`,
      primitives: ['estimate-error', 'half-pairs', 'select-short'],
      index: [
        '__shared__ ShortShared rows_of_block[SHORT_ROWS];',
        // Of one lane: what follows is the same for all, and has registers of its own.
        'const int index = blockIdx.x * SHORT_ROWS + __shfl_sync(FULL_WARP, threadIdx.x / 32, 0);',
        'if (index >= p.rows) return;',
      ],
    };
  return { suffix: '', call: `choose_largest(shared, seen, ${count})`, primitives: [] };
}

/** Where a row is split, what is done before it is chosen from. */
export type SelectRole = 'count' | 'choose';

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
  const largest = leaf.op === 'topk' ? topkText(spec, threads, role) : undefined;
  const isShort = largest?.suffix === '_short';
  const isParted = isSplit(spec, threads);
  const rule = {
    topk: largest?.call ?? '',
    above: `choose_above<${leaf.op === 'above' && leaf.reference === 'sum'}>(floats, seen, p.share[blockIdx.y])`,
    cover: 'choose_mass(shared, floats, integers, seen, p.mass[blockIdx.y])',
  }[leaf.op];
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
    name: `estimate_${leaf.op}_${how}${largest?.suffix ?? ''}`,
    about: [
      `${about}, forced members included:`,
      'weights [units, rows, stride] to bits [units, set_rows, words].',
    ],
    primitives: [
      'estimate-lines',
      'estimate-reduce',
      'estimate-weights',
      'select-row',
      'select-radix',
      'select-rules',
      ...(largest?.primitives ?? []),
    ],
    fields: [
      ...(rows ? gridFields : inParts([{ name: 'column_end', type: 'i32', comment: 'positions' }])),
      ...(rows
        ? []
        : [{ name: 'second', type: 'i32', comment: 'the first unit of part 1' } as const]),
      ...inParts([
        address(
          'weights',
          largest?.first ? 'float*' : 'const float*',
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
      ...(largest?.fields ?? []),
    ],
    threads: isParted ? threadsOfPart : threads * rowsOfBlock(leaf, threads),
    mostThreads: isParted
      ? threadsOfPart
      : isShort
        ? shortRows * fewThreadsOfRow
        : mostThreadsOfRow,
    blocks: isParted ? partsAtOnce : isShort ? 8 : 1,
    body: [
      ...(rule.includes('(shared') || rule.includes(', shared')
        ? ['__shared__ RadixShared shared;']
        : []),
      ...(rule.includes('(counts') ? ['__shared__ LongShared counts;'] : []),
      ...(leaf.op === 'topk' ? [] : ['__shared__ WarpValues<float> floats;']),
      ...(leaf.op === 'cover' ? ['__shared__ WarpValues<u64> integers;'] : []),
      ...(largest?.index ?? ['const int index = blockIdx.x;']),
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
      ...(largest?.first ? [largest.first] : []),
      ...(hasCapacity(leaf)
        ? [
            '__shared__ WarpValues<u32> counts;',
            `const u32 members = block_sum(counts, ${rule});`,
            `if (threadIdx.x == 0 && members > (u32)p.capacity[blockIdx.y]) atomicOr(${own('dense')} + unit, 1u);`,
          ]
        : [`${rule};`]),
    ],
  });
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
