// Short rows, of which a warp has one to itself and a block several: how a kernel that selects is laid out for them.
// Device side: device/select-short-row.cuh.

import type { Leaf } from '../../dsl/estimate/demand.ts';
import { fewThreadsOfRow } from './text.ts';

/** SHORT_ROWS of device/select-short-row.cuh. */
const shortRows = 4;

/** Whether a warp has a row to itself: by the rule of the leaf, and the threads that share a row. */
export const hasShortRows = ({ op }: Leaf, threads: number): boolean =>
  op !== 'above' && threads === fewThreadsOfRow;

/** Rows that one block selects from: where a warp has a row to itself, several. */
export const rowsOfBlock = (leaf: Leaf, threads: number): number =>
  hasShortRows(leaf, threads) ? shortRows : 1;

/** The threads of a block, `blocks` of which fit a multiprocessor. */
export const blockOfShort = (blocks: number) => ({
  threads: shortRows * fewThreadsOfRow,
  mostThreads: shortRows * fewThreadsOfRow,
  blocks,
});

/** Statements: which row of its unit a warp is for. */
export const indexOfShort: readonly string[] = [
  '__shared__ ShortShared rows_of_block[SHORT_ROWS];',
  // Of one lane: what follows is the same for all, and has registers of its own.
  'const int index = blockIdx.x * SHORT_ROWS + __shfl_sync(FULL_WARP, threadIdx.x / 32, 0);',
  'if (index >= p.rows) return;',
];

/** What a warp shares among its lanes. */
export const sharedOfShort = 'rows_of_block[threadIdx.x / 32]';
