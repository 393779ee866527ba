// A pattern for every head: a list, not a merged mask; heads of one pattern run together.

import type { AnyPattern } from './pattern.ts';

/** One pattern per head: one launch per distinct pattern over its list of heads. */
export interface HeadPatterns {
  readonly byHead: readonly AnyPattern[];
}

/** Gives each query head its own pattern, in the order of the heads. */
export function byHead(patterns: readonly AnyPattern[]): HeadPatterns {
  return Object.freeze({ byHead: Object.freeze([...patterns]) });
}

export const isHeadPatterns = (value: unknown): value is HeadPatterns =>
  typeof value === 'object' && value !== null && 'byHead' in value;
