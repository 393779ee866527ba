// How the kernels that pick the largest of a row do it: by the length of rows, a warp, a block, or several blocks of two
// launches (split-rows.ts). Their text is a part of that of select.ts. Device side: device/select-*.cuh.

import type { Field } from '../struct.ts';
import { addLeadsText, leadFields } from './leads.ts';
import { probeQueries } from './probe-feed.ts';
import { blockOfRow, type RowsOfLeaf, type RuleText } from './rule-text.ts';
import { blockOfShort, hasShortRows, indexOfShort, sharedOfShort } from './short-rows.ts';
import { address, mostThreadsOfRow } from './text.ts';

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

/** `threads` share a row. Of a long one the largest are found in two readings, of a short one in registers of one warp. */
export function largestText(spec: RowsOfLeaf, threads: number, role: SelectRole): RuleText {
  const count = 'p.count[blockIdx.y]';
  const [radix, long] = ['__shared__ RadixShared shared;', '__shared__ LongShared counts;'];
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
        shared: [long],
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
      shared: [radix, long],
      call: `choose_part<${splitColumns}>(counts, shared, ${tally}, ${listed}, seen, (int)blockIdx.x * ${splitColumns}, gridDim.x, ${count}, p.leaves)`,
      fields: [
        ...splitFields,
        { name: 'leaves', type: 'i32', comment: 'the rest to who counts next' },
      ],
    };
  }
  const block = blockOfRow(threads);
  if (threads === mostThreadsOfRow)
    return {
      block,
      suffix: '_long',
      shared: [radix, long],
      call: `choose_largest_of_long(counts, shared, seen, ${count})`,
      primitives: ['select-long'],
    };
  if (hasShortRows(spec.leaf, threads))
    return {
      suffix: '_short',
      shared: [],
      call: `choose_largest_of_short(${sharedOfShort}, seen, ${count})`,
      primitives: ['half-pairs', 'select-short-row', 'select-short'],
      block: blockOfShort(8),
      index: indexOfShort,
    };
  return {
    block,
    suffix: '',
    shared: [radix],
    call: `choose_largest(shared, seen, ${count})`,
    primitives: [],
  };
}
