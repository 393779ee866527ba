// The results of MInference's offline search as calls: which pattern each head of a layer has, and with which
// budgets. The published files: github.com/microsoft/MInference, minference/configs.

import { byHead, type HeadPatterns, type LayerCall } from '../../dsl/heads.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { aShape } from '../a-shape.ts';
import { blockSparse } from '../block-sparse.ts';
import { verticalSlash } from '../vertical-slash.ts';
import { type Entry, type FileOptions, parseEntries } from './entries.ts';

/** Our pattern for each of theirs, and its parameters that the two budgets of an entry are. */
const ours: Readonly<
  Record<Entry['kind'], { readonly pattern: AnyPattern; readonly budgets: readonly string[] }>
> = {
  vertical_and_slash: { pattern: verticalSlash, budgets: ['verticals', 'slashes'] },
  stream_llm: { pattern: aShape, budgets: ['sinks', 'window'] },
  // Their budgets mean nothing: 100 blocks are built in there, and our default.
  block_sparse: { pattern: blockSparse, budgets: [] },
};

/**
 * The calls of all layers, in their order, from a file of MInference's: its text, or the value parsed from it. Heads
 * and layers that it leaves out are an error, and where the sizes of the model are stated MInference's usual entry
 * (1000 key columns, 6096 diagonals). Budgets below the 30 columns and 100 diagonals that are always taken mean those.
 * throws: FileError F006 with the first damaged layer, head and field.
 */
export function fromMInference(json: unknown, options: FileOptions = {}): readonly LayerCall[] {
  const known = new Map<string, HeadPatterns>();
  return parseEntries(json, options).map((entries) => {
    const key = entries.map(({ kind }) => kind).join();
    const pattern = known.get(key) ?? byHead(entries.map(({ kind }) => ours[kind].pattern));
    known.set(key, pattern);
    return { pattern, params: paramsOf(entries) };
  });
}

function paramsOf(entries: readonly Entry[]): LayerCall['params'] {
  const params: Record<string, number[]> = {};
  for (const [head, { kind, budgets }] of entries.entries()) {
    for (const [i, name] of ours[kind].budgets.entries()) {
      params[name] ??= entries.map(() => 0);
      params[name][head] = budgets[i]!;
    }
  }
  return params;
}
