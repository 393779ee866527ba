// The header of a safetensors file: from text to checked entries, and back. Reads and writes no files.
// The format: https://github.com/huggingface/safetensors#format

import { z } from 'zod';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';
import { showShape } from '../dtype.ts';

/** Bits of one element of every dtype that the format knows. */
const bitsPerElement: Readonly<Record<string, number>> = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  I64: 64,
  I32: 32,
  I16: 16,
  I8: 8,
  U64: 64,
  U32: 32,
  U16: 16,
  U8: 8,
  BOOL: 8,
  C64: 64,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
};

/** The reference reader refuses longer headers too. */
export const maxHeaderBytes = 100_000_000;

export interface Entry {
  /** As the file spells it: `BF16`. */
  readonly stored: string;
  readonly shape: readonly number[];
  /** Bytes `[begin, end)` of the data that follow the header. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly metadata: Readonly<Record<string, string>>;
}

const size = z.int().min(0);
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(size),
  data_offsets: z.tuple([size, size]),
});
const metadataSchema = z.record(z.string(), z.string());

const rules: Readonly<Record<string, string>> = {
  dtype: "'dtype' is not a text",
  shape: "'shape' is not a list of whole numbers from 0",
  data_offsets: "'data_offsets' is not two whole numbers from 0",
};

/** A name from a file, safe to print: escaped, and cut where it is long. */
export function quote(name: string): string {
  const cut = name.length > 80 ? `${name.slice(0, 77)}...` : name;
  return `'${JSON.stringify(cut).slice(1, -1)}'`;
}

/** A damaged file: FileError F002 with the path and, where it matters, the tensor. */
export function damaged(path: string, what: string, tensor?: string, help?: string): FileError {
  const where = tensor === undefined ? `'${path}'` : `'${path}', tensor ${quote(tensor)}`;
  return new FileError([
    diagnostic('F002', `${where}: ${what}`, {
      help: help ?? 'the file is damaged or not a safetensors file: copy it again or write it anew',
    }),
  ]);
}

/**
 * Checks the text of a header against the `dataBytes` that follow it: every tensor has its place, and
 * the places tile the data without gaps. Throws FileError F002.
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string): Header {
  let root: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    root = JSON.parse(text);
  } catch {
    throw damaged(path, 'its header is not JSON');
  }
  if (typeof root !== 'object' || root === null || Array.isArray(root) || text[0] !== '{') {
    throw damaged(path, 'its header is not a JSON object');
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) throw damaged(path, `its header has the key ${quote(twice)} twice`);

  const entries = new Map<string, Entry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw damaged(path, "'__metadata__' is not an object of texts");
      metadata = parsed.data;
    } else {
      entries.set(name, parseEntry(path, name, value));
    }
  }
  checkPlaces(path, entries, dataBytes);
  return { entries, metadata };
}

function parseEntry(path: string, name: string, value: unknown): Entry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const key = String(parsed.error.issues[0]?.path[0] ?? '');
    const what = rules[key] ?? 'its entry is not an object with dtype, shape and data_offsets';
    throw damaged(path, what, name);
  }
  const { dtype: stored, shape, data_offsets } = parsed.data;
  const [begin, end] = data_offsets;
  const bits = Object.hasOwn(bitsPerElement, stored) ? bitsPerElement[stored] : undefined;
  if (bits === undefined) {
    const help = `the format knows ${Object.keys(bitsPerElement).join(', ')}`;
    throw damaged(path, `the dtype ${quote(stored)} is unknown`, name, help);
  }
  if (end < begin) throw damaged(path, `data_offsets [${begin}, ${end}] run backwards`, name);
  const needed = bitsOf(shape, bits);
  if (needed !== 8 * (end - begin)) {
    const shown = shape.length > 16 ? `of ${shape.length} axes` : showShape(shape);
    const takes = needed <= 2 ** 53 ? `${needed / 8} bytes` : 'more bytes than any file has';
    const what = `the shape ${shown} of ${stored} takes ${takes}, its data_offsets hold ${end - begin}`;
    throw damaged(path, what, name);
  }
  return { stored, shape, begin, end };
}

// Infinite above 2^53, where float64 would round; a 0 counts even behind sizes of any product.
function bitsOf(shape: readonly number[], bits: number): number {
  if (shape.includes(0)) return 0;
  let product = bits;
  for (const size of shape) {
    product *= size;
    if (product > 2 ** 53) return Number.POSITIVE_INFINITY;
  }
  return product;
}

function checkPlaces(path: string, entries: ReadonlyMap<string, Entry>, dataBytes: number): void {
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let reached = 0;
  for (const [name, { begin, end }] of sorted) {
    if (end > dataBytes) {
      const what = `its data end at byte ${end}, but the file has only ${dataBytes} bytes of data`;
      throw damaged(path, what, name, 'the file was cut: copy it again');
    }
    if (begin !== reached) {
      const how = begin < reached ? 'overlap those before them' : 'leave a gap before them';
      throw damaged(path, `its data at [${begin}, ${end}] ${how} (${reached})`, name);
    }
    reached = end;
  }
  if (reached !== dataBytes) {
    throw damaged(path, `its tensors end at byte ${reached} of ${dataBytes} bytes of data`);
  }
}

// The first key that an object of a text repeats. The text is known to be JSON, so only strings and the
// nesting of brackets matter; JSON.parse alone would silently keep the last of the two.
function repeatedKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(undefined);
    else if (char === ']' || char === '}') open.pop();
    else if (char === '"') {
      const start = at;
      // Not a regular expression: those run out of stack on texts of megabytes.
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
      let after = at + 1;
      while (' \t\n\r'.includes(text[after] ?? 'x')) after++;
      if (text[after] !== ':') continue;
      const key: string = JSON.parse(text.slice(start, at + 1));
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

/** The bytes before the data: the length, then JSON padded with spaces so that data start at 8 n. */
export function printHeader({ entries, metadata }: Header): Uint8Array {
  const object: Record<string, unknown> = Object.fromEntries(
    [...entries].map(([name, { stored, shape, begin, end }]) => [
      name,
      { dtype: stored, shape, data_offsets: [begin, end] },
    ]),
  );
  const hasMetadata = Object.keys(metadata).length > 0;
  const json = JSON.stringify(hasMetadata ? { __metadata__: metadata, ...object } : object);
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}
