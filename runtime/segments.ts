// Sequences of different lengths packed one after another: the cumulative lengths of a call, checked, and
// the sizes of each sequence. Every sequence is an attention call of its own; nothing is computed here.

import type { Segments } from '../codegen/attention/call.ts';
import type { Definition } from '../dsl/definition.ts';
import { type Code, diagnostic, PlanError, throwIfAny } from '../dsl/diagnostic.ts';
import type { LaunchShape } from '../dsl/shape.ts';

export type { Segments };

/**
 * Where each packed sequence starts, and where the last one ends: from 0, never descending; equal
 * neighbours are an empty sequence. Both lists are [sequences + 1].
 */
export interface SegmentsInput {
  readonly q: ArrayLike<number>;
  /** Those of k and v; the same as `q` unless stated. */
  readonly k?: ArrayLike<number> | undefined;
}

type Report = (code: Code, what: string, help?: string) => void;

/**
 * The cumulative lengths of a call whose tensors have these packed sizes. Reports T002 for lengths that
 * do not fit the tensors, T005 for a list of another name, T012 for lists that are none; undefined then.
 */
export function checkSegments(
  value: unknown,
  { batch, qLen, kLen }: LaunchShape,
  report: Report,
): Segments | undefined {
  const found = listsOf(value, report);
  if (!found) return undefined;
  const { q, k } = found;
  let fits = true;
  const misfit = (what: string, help: string): void => {
    fits = false;
    report('T002', what, help);
  };
  if (batch !== 1) {
    const help = 'pack the sequences one after another: q is [1, heads, all rows, headDim]';
    misfit(`segments with a batch size of ${batch}, expected 1`, help);
  }
  if (q.length !== k.length) {
    const what = `segments.q has ${q.length - 1} sequences and segments.k has ${k.length - 1}`;
    misfit(what, 'give both the same number of entries; a sequence may be empty');
  }
  for (const [name, list, total] of [
    ['q', q, qLen],
    ['k', k, kLen],
  ] as const) {
    if (list.at(-1) === total) continue;
    const isOwn = name === 'q' || found.hasKeys;
    const what = `segments.${isOwn ? name : 'q'} ends at ${list.at(-1)}, and ${name} has ${total} rows`;
    const help = isOwn
      ? `its last entry is the number of rows, ${total}`
      : 'give segments.k where the keys are not as many as the queries';
    misfit(what, help);
  }
  return fits ? { q, k } : undefined;
}

function listsOf(
  value: unknown,
  report: Report,
): (Segments & { readonly hasKeys: boolean }) | undefined {
  if (typeof value !== 'object' || value === null || !('q' in value)) {
    const help = 'give cumulative lengths: segments: { q: [0, 5, 12] }';
    report('T012', "'segments' has no list q", help);
    return undefined;
  }
  const other = Object.keys(value).find((name) => name !== 'q' && name !== 'k');
  if (other !== undefined) report('T005', `'segments' has no list '${other}'`, 'it has q and k');
  const given = value as { readonly q: unknown; readonly k?: unknown };
  const hasKeys = given.k !== undefined;
  const q = listOf('q', given.q, report);
  const k = hasKeys ? listOf('k', given.k, report) : q;
  return q && k && other === undefined ? { q, k, hasKeys } : undefined;
}

const show = (value: unknown): string =>
  typeof value === 'number' ? `${value}` : `a ${value === null ? 'null' : typeof value}`;

/** One list of cumulative lengths, copied. */
function listOf(name: 'q' | 'k', value: unknown, report: Report): number[] | undefined {
  const refuse = (what: string, help: string): undefined => {
    report('T012', `segments.${name} ${what}`, help);
    return undefined;
  };
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value);
  if (!isList) return refuse('is no list of numbers', 'give cumulative lengths: [0, 5, 12]');
  const list = Array.from(value as ArrayLike<unknown>);
  const odd = list.findIndex((entry) => !Number.isInteger(entry));
  if (odd >= 0) {
    const what = `has ${show(list[odd])} at ${odd}, which is no whole number`;
    return refuse(what, 'entries are numbers of rows');
  }
  const entries = list as number[];
  if (entries[0] !== 0) {
    const what = entries.length === 0 ? 'is empty' : `starts at ${entries[0]}`;
    return refuse(what, 'begin with 0, then where each sequence ends');
  }
  const down = entries.findIndex((entry, i) => i > 0 && entry < entries[i - 1]!);
  if (down < 0) return entries;
  return refuse(
    `descends from ${entries[down - 1]} to ${entries[down]} at ${down}`,
    'give cumulative lengths, not the length of each sequence',
  );
}

/** Estimates see one sequence: a pattern with sets cannot be packed yet. throws: PlanError E007. */
export function checkStatic(definitions: readonly Definition[]): void {
  const help = 'call it once per sequence, or leave the estimate out';
  const findings = definitions
    .filter(({ estimates }) => estimates.length > 0)
    .map(({ name }) =>
      diagnostic('E007', `'${name}' has an estimate, and the call has segments`, { help }),
    );
  throwIfAny(findings, PlanError);
}

/** The sizes of a packed call: as many batch entries as sequences, of the longest queries and keys. */
export function packedShape(shape: LaunchShape, { q, k }: Segments): LaunchShape {
  const longest = (starts: readonly number[]): number => {
    let most = 0;
    for (let i = 1; i < starts.length; i += 1) most = Math.max(most, starts[i]! - starts[i - 1]!);
    return most;
  };
  return { ...shape, batch: q.length - 1, qLen: longest(q), kLen: longest(k) };
}

/** The sizes that batch entry `i` sees: those of its sequence alone, or of the call without segments. */
export function shapeOfEntry(
  shape: LaunchShape,
  segments: Segments | undefined,
  i: number,
): LaunchShape {
  if (!segments) return shape;
  const { q, k } = segments;
  return { ...shape, qLen: q[i + 1]! - q[i]!, kLen: k[i + 1]! - k[i]! };
}
