// How the kernels that pick the largest of a row do it: by the length of rows, a warp, a block, or several blocks of two
// launches (split-rows.ts). Their text is a part of that of select.ts. Device side: device/select-*.cuh.

import type { Line } from '../../dsl/estimate/axes.ts';
import type { Leaf } from '../../dsl/estimate/demand.ts';
import type { Field } from '../struct.ts';
import { addLeadsText, leadFields } from './leads.ts';
import { probeQueries } from './probe-feed.ts';
import { address, fewThreadsOfRow, mostThreadsOfRow } from './text.ts';

/** What is picked, and from which rows; no rows for sums of one axis. */
interface RowsOfLeaf {
  readonly leaf: Leaf;
  readonly rows: Line | undefined;
}

/** Rows that one block selects from: where a warp has a row to itself, several. */
export const rowsOfBlock = (leaf: Leaf, threads: number): number =>
  leaf.op === 'topk' && threads === fewThreadsOfRow ? shortRows : 1;

/** SHORT_ROWS of device/select-short.cuh. */
const shortRows = 4;

/** Whether a long row of sums is shared by several blocks: few rows alone keep few multiprocessors busy. */
export const isSplit = ({ leaf, rows }: RowsOfLeaf, threads: number) =>
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
  ...leadFields,
];

const leadsOfPart: readonly Field[] = [
  address('leads', 'const float*', '[units, lead_parts, 64], to be added to the weights'),
  { name: 'lead_parts', type: 'i32', comment: '0: none' },
];

/** Where a row is split, what is done before it is chosen from. */
export type SelectRole = 'count' | 'choose';

/** How the largest of a row are found: of a long one in two readings, of a short one in registers of one warp. */
export interface LargestText {
  readonly suffix: string;
  readonly call: string;
  readonly primitives: readonly string[];
  readonly fields?: readonly Field[];
  /** Fields that each part of a launch has of its own. */
  readonly partFields?: readonly Field[];
  readonly block: {
    readonly threads: number;
    readonly mostThreads: number;
    readonly blocks: number;
  };
  /** Statements: which row of its unit a block, or a warp, is for. */
  readonly index?: readonly string[];
  /** A statement: what is done to the weights before the call. */
  readonly first?: string;
}

/** `threads` share a row; statements know the row as `seen`, its part and unit as `part` and `own`. */
export function largestText(spec: RowsOfLeaf, threads: number, role: SelectRole): LargestText {
  const count = 'p.count[blockIdx.y]';
  if (isSplit(spec, threads)) {
    const common = {
      primitives: ['select-long', 'select-split'],
      index: ['const int index = 0;'],
      block: { threads: threadsOfPart, mostThreads: threadsOfPart, blocks: partsAtOnce },
    };
    const tally = 'p.tallies[blockIdx.y]';
    const listed = 'p.listed + (i64)blockIdx.y * SPLIT_LISTED';
    if (role === 'count')
      return {
        ...common,
        suffix: '_count',
        call: `count_part<${splitColumns}>(counts, ${tally}, seen, from)`,
        primitives: ['estimate-leads', ...common.primitives],
        fields: [...splitFields, ...countFields],
        partFields: leadsOfPart,
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
  const block = { threads, mostThreads: mostThreadsOfRow, blocks: 1 };
  if (threads === mostThreadsOfRow)
    return {
      block,
      suffix: '_long',
      call: `choose_largest_of_long(counts, shared, seen, ${count})`,
      primitives: ['select-long'],
    };
  if (threads === fewThreadsOfRow)
    return {
      suffix: '_short',
      call: `choose_largest_of_short(rows_of_block[threadIdx.x / 32], seen, ${count})`,
      primitives: ['half-pairs', 'select-short'],
      block: { threads: shortRows * threads, mostThreads: shortRows * threads, blocks: 8 },
      index: [
        '__shared__ ShortShared rows_of_block[SHORT_ROWS];',
        // Of one lane: what follows is the same for all, and has registers of its own.
        'const int index = blockIdx.x * SHORT_ROWS + __shfl_sync(FULL_WARP, threadIdx.x / 32, 0);',
        'if (index >= p.rows) return;',
      ],
    };
  return { block, suffix: '', call: `choose_largest(shared, seen, ${count})`, primitives: [] };
}
