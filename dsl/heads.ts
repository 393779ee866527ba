// A pattern for every head: a list, not a merged mask; heads of one pattern run together.

import type { AnyPattern } from './pattern.ts';

/** One pattern per head: one launch per distinct pattern over its list of heads. */
export interface HeadPatterns {
  readonly byHead: readonly AnyPattern[];
}

/** One layer of a model as a call: `compile(layer.pattern, ...)`, and then `attend({ q, k, v }, layer.params)`. */
export interface LayerCall {
  /** The same object for layers whose heads have the same patterns in the same order. */
  readonly pattern: HeadPatterns;
  /** One number per query head; 0 for heads whose pattern does not have the parameter. */
  readonly params: Readonly<Record<string, readonly number[]>>;
}

/** Gives each query head its own pattern, in the order of the heads. */
export function byHead(patterns: readonly AnyPattern[]): HeadPatterns {
  // What is no list is refused where it is used.
  return Object.freeze({
    byHead: Array.isArray(patterns) ? Object.freeze([...patterns]) : patterns,
  });
}

export const isHeadPatterns = (value: unknown): value is HeadPatterns =>
  typeof value === 'object' && value !== null && 'byHead' in value;
