// What the files of MInference's offline search say of each head, checked. Not what becomes of it (index.ts).

import { z } from 'zod';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';
import { isObject } from '../../dsl/shown.ts';

/** Upstream's names for its three patterns. */
const kinds = ['vertical_and_slash', 'stream_llm', 'block_sparse'] as const;

export interface Entry {
  readonly kind: (typeof kinds)[number];
  /** Key columns and diagonals, or sinks and window, or two numbers without a meaning (block-sparse). */
  readonly budgets: readonly [number, number];
}

export interface FileOptions {
  /** Layers and query heads of the model; the file may have fewer, and the rest has the usual entry. */
  readonly layers?: number | undefined;
  readonly heads?: number | undefined;
  /** What errors call the file. */
  readonly file?: string | undefined;
}

/** What upstream takes for a head that its file leaves out. */
const usual: Entry = { kind: 'vertical_and_slash', budgets: [1000, 6096] };

const fields = ['type', 'v', 's', 'score'] as const;
const budget = z.int().min(0).max(0x7fffffff);
// The score is a recall, a count of errors, or nothing; runs do not need it.
const entrySchema = z.tuple([z.enum(kinds), budget, budget, z.number().nullable()]);
const headName = z.string().regex(/^(?:0|[1-9]\d{0,5})$/);
const fileSchema = z.array(z.record(headName, entrySchema)).min(1);

/** What each field should have been. */
const expected: Readonly<Record<string, string>> = {
  type: kinds.map((kind) => `'${kind}'`).join(' or '),
  v: 'a whole number from 0',
  s: 'a whole number from 0',
  score: 'a number or null',
};

/** The entry of every head, layer by layer. throws: FileError F006, one finding. */
export function parseEntries(json: unknown, options: FileOptions): readonly (readonly Entry[])[] {
  const fail = (what: string): never => {
    throw damaged(what, options);
  };
  const given: unknown = options;
  if (!isObject(given)) {
    const help = 'give { layers: 32, heads: 32 }, or leave them out';
    throw new FileError([diagnostic('F006', `the options are ${shown(given)}`, { help })]);
  }
  const value = typeof json === 'string' ? parseText(json, options) : json;
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) return fail(firstOf(parsed.error.issues, value));
  const found = parsed.data;
  const counts = found.map((layer) => 1 + Math.max(-1, ...Object.keys(layer).map(Number)));
  const { layers = found.length, heads = Math.max(...counts) } = options;
  if (heads === 0) fail('layer 0 has no heads');
  if (found.length > layers) fail(`layer ${layers} is too many: the model has ${layers} layers`);
  const surplus = counts.findIndex((count) => count > heads);
  if (surplus >= 0)
    fail(
      `layer ${surplus}, head ${counts[surplus]! - 1} is too many: the model has ${heads} heads`,
    );
  return Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: heads }, (_, head): Entry => {
      const entry = found[layer]?.[head];
      if (entry) return { kind: entry[0], budgets: [entry[1], entry[2]] };
      if (options.heads !== undefined || layer >= found.length) return usual;
      return fail(`layer ${layer}, head ${head} is missing: the file is about ${heads} heads`);
    }),
  );
}

function parseText(text: string, options: FileOptions): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(`it is not JSON: ${(error as Error).message}`, options);
  }
}

/** One sentence for all that is wrong: the first place, and how many more there are. */
function firstOf(issues: readonly z.core.$ZodIssue[], value: unknown): string {
  const [first] = issues as [z.core.$ZodIssue];
  const others = new Set(issues.map(({ path }) => path.slice(0, 2).join())).size - 1;
  const more =
    others > 0 ? `; ${others} more ${others === 1 ? 'place is' : 'places are'} wrong` : '';
  return `${sentence(first, value)}${more}`;
}

function sentence({ path, code }: z.core.$ZodIssue, value: unknown): string {
  const [layer, head, index] = path;
  const got = path.reduce<unknown>(
    (inside, key) => (inside as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
  if (layer === undefined)
    return `the file is ${shown(got)}, expected a list with one object per layer`;
  if (head === undefined)
    return `layer ${String(layer)} is ${shown(got)}, expected an object of heads`;
  const name = /^\d{1,6}$/.test(String(head)) ? String(head) : shown(head);
  const place = `layer ${String(layer)}, head ${name}`;
  if (code === 'invalid_key') return `${place} is no number of a head`;
  if (index === undefined) return `${place} is ${shown(got)}, expected [${fields.join(', ')}]`;
  const field = fields[index as number]!;
  return `${place}, field '${field}' is ${shown(got)}, expected ${expected[field]}`;
}

/** A value of the file, short enough for a line. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  if (Array.isArray(value) && text.length > 60) return `a list of ${value.length}`;
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const damaged = (what: string, { file = 'the file of heads' }: FileOptions): FileError =>
  new FileError([
    diagnostic('F006', `${file}: ${what}`, {
      help: 'MInference writes a list of layers, each {"0": [type, v, s, score], "1": ...}',
    }),
  ]);
