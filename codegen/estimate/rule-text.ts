// The part of a kernel that selects which its rule decides, as text for select.ts to put together.

import type { Line } from '../../dsl/estimate/axes.ts';
import type { Leaf } from '../../dsl/estimate/demand.ts';
import type { Field } from '../struct.ts';
import { mostThreadsOfRow } from './text.ts';

/** What is picked, and from which rows; no rows for sums of one axis. */
export interface RowsOfLeaf {
  readonly leaf: Leaf;
  readonly rows: Line | undefined;
}

/** Statements of the kernel know the row as `seen`, its part and unit as `part` and `own`. */
export interface RuleText {
  /** Of the kernel's name. */
  readonly suffix: string;
  /** Declarations of what threads share. */
  readonly shared: readonly string[];
  /** An expression that writes the bits of the row. */
  readonly call: string;
  /** The value of the call is what the row of the warp has of members; left out, what the thread has written. */
  readonly isOfWarp?: boolean;
  /** Files of codegen/device beside those that every rule has. */
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

/** A block that has a row to itself. */
export const blockOfRow = (threads: number): RuleText['block'] => ({
  threads,
  mostThreads: mostThreadsOfRow,
  blocks: 1,
});
