// Safetensors files: opened by their header, read whole or in ranges, written in one pass. Not the checks
// of a header (header.ts), and nothing that needs a whole file in memory.

import { diagnostic, FileError, ShapeError } from '../../dsl/diagnostic.ts';
import { isObject, shown } from '../../dsl/shown.ts';
import { bytesPerElement, countOf, type DType, type Elements } from '../dtype.ts';
import { writeAtomically } from './atomic.ts';
import {
  ByteFile,
  type Encoding,
  type Region,
  readChunks,
  readElements,
  type Stored,
} from './bytes.ts';
import {
  damaged,
  type Entry,
  type Header,
  maxHeaderBytes,
  parseHeader,
  printHeader,
  quote,
} from './header.ts';
import { checkWritten, type TensorInMemory, type TensorSource, writeElements } from './source.ts';

/** What becomes of stored elements; other dtypes of the format are refused when they are read. */
const encodings: Readonly<Record<string, Encoding>> = {
  F32: { bytes: 4, dtype: 'fp32' },
  F16: { bytes: 2, dtype: 'fp16' },
  BF16: { bytes: 2, dtype: 'bf16' },
  I32: { bytes: 4, dtype: 'i32' },
  F64: { bytes: 8, dtype: 'fp32', narrow: 'f64' },
  I64: { bytes: 8, dtype: 'i32', narrow: 'i64' },
};
const storedNames = { fp32: 'F32', fp16: 'F16', bf16: 'BF16', i32: 'I32' } as const;

export interface TensorInfo {
  readonly name: string;
  /** As the file spells it: `BF16`. */
  readonly stored: string;
  /** What reading gives; absent where reading is refused. */
  readonly dtype?: DType;
  readonly shape: readonly number[];
  /** In the file. */
  readonly bytes: number;
}

/** An open safetensors file: only its header has been read. */
export class SafetensorsFile {
  readonly path: string;
  /** In the order of the header. */
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: ByteFile;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #dataStart: number;

  constructor(file: ByteFile, header: Header, dataStart: number) {
    this.path = file.path;
    this.names = Object.freeze([...header.entries.keys()]);
    this.metadata = header.metadata;
    this.#file = file;
    this.#entries = header.entries;
    this.#dataStart = dataStart;
  }

  /** Throws FileError F004, with the names that are there. */
  info(name: string): TensorInfo {
    const { stored, shape, begin, end } = this.#entry(name);
    const dtype = Object.hasOwn(encodings, stored) ? encodings[stored]?.dtype : undefined;
    return { name, stored, shape, bytes: end - begin, ...(dtype && { dtype }) };
  }

  /**
   * A whole tensor. F64 is rounded to fp32, I64 becomes i32.
   * Throws FileError F001, F002, F004; ShapeError T003 for a dtype without a counterpart, T009 for an
   * I64 outside int32, T012 for more than memory holds.
   */
  async read(name: string): Promise<Stored> {
    const region = this.#region(name);
    const data = await readElements(this.#file, region, 0, countOf(region.shape));
    return { dtype: region.encoding.dtype, shape: region.shape, data };
  }

  /** `count` elements from element `from` on, row-major. Throws as `read`, and ShapeError T002 outside. */
  async readRange(name: string, from: number, count: number): Promise<Elements> {
    return readElements(this.#file, this.#region(name), from, count);
  }

  /**
   * A tensor of any size, `rowsPerChunk` rows of its last axis at a time, each in new memory.
   * Throws as `read`, and ShapeError T006 for a number of rows that is no whole number from 1.
   */
  chunks(name: string, rowsPerChunk: number): AsyncGenerator<Elements, void, undefined> {
    return readChunks(this.#file, this.#region(name), rowsPerChunk);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    const help =
      this.names.length > 0 ? `it holds ${listNames(this.names, name)}` : 'it holds none';
    throw new FileError([
      diagnostic('F004', `'${this.path}' holds no tensor ${quote(name)}`, { help }),
    ]);
  }

  #region(name: string): Region {
    const { stored, shape, begin } = this.#entry(name);
    const what = `'${this.path}', tensor ${quote(name)}`;
    const encoding = Object.hasOwn(encodings, stored) ? encodings[stored] : undefined;
    if (!encoding) {
      const help = `convert it first to one of ${Object.keys(encodings).join(', ')}`;
      throw new ShapeError([diagnostic('T003', `${what}: ${stored} has no counterpart`, { help })]);
    }
    return { what, encoding, shape, position: this.#dataStart + begin };
  }
}

/** Names for an error, those most like `wanted` first, by what they share at both ends; at most 20. */
export function listNames(names: readonly string[], wanted: string): string {
  const shown = 20;
  const likeness = (name: string) => {
    let head = 0;
    while (head < name.length && name[head] === wanted[head]) head++;
    let end = 0;
    while (end < name.length - head && name.at(-1 - end) === wanted.at(-1 - end)) end++;
    return head + end;
  };
  const sorted = names.map((name) => ({ name, like: likeness(name) }));
  sorted.sort((a, b) => b.like - a.like);
  const first = sorted.slice(0, shown).map(({ name }) => quote(name));
  const more = names.length > shown ? ` and ${names.length - shown} more` : '';
  return first.join(', ') + more;
}

/**
 * Opens a safetensors file and checks its header against the length of the file.
 * Throws FileError F001 when it cannot be read, F002 when it is damaged. Close it after use.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await ByteFile.open(path, 'F002');
  try {
    if (file.size < 8) throw damaged(path, `it has only ${file.size} bytes`);
    const start = new Uint8Array(8);
    await file.readInto(start, 0);
    const claimed = new DataView(start.buffer).getBigUint64(0, true);
    const length = Number(claimed);
    if (length > maxHeaderBytes || length > file.size - 8) {
      const what = `its header would take ${claimed} bytes; the file has ${file.size}`;
      throw damaged(path, what, undefined, otherFormat(start));
    }
    const header = new Uint8Array(length);
    await file.readInto(header, 8);
    const dataStart = 8 + length;
    return new SafetensorsFile(file, parseHeader(header, file.size - dataStart, path), dataStart);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function otherFormat(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start);
  if (text.startsWith('version ')) return 'this is a pointer of Git LFS: git lfs pull';
  if (text.startsWith('\x93NUMPY')) return 'this is a .npy file: name it so';
  if (text.startsWith('PK'))
    return 'this is a zip file, as torch.save writes: use safetensors.torch.save_file';
  return undefined;
}

/**
 * Writes tensors to one file, which appears whole or not at all. Tensors of wide dtypes come first, then
 * by name, so that each is aligned to its elements; sources are drained in that order.
 * Throws FileError F005; ShapeError T001, T003 or T012 for data that do not fit their dtype and shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorInMemory | TensorSource>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (!isObject(tensors)) throw refused(path, `the tensors are ${shown(tensors)}`);
  if (!isObject(metadata)) throw refused(path, `the metadata are ${shown(metadata)}`);
  for (const [name, one] of Object.entries(tensors)) checkWritten(`tensor ${quote(name)}`, one);
  const sorted = Object.entries(tensors).sort(
    ([a, { dtype: x }], [b, { dtype: y }]) =>
      bytesPerElement[y] - bytesPerElement[x] || (a < b ? -1 : 1),
  );
  const entries = new Map<string, Entry>();
  let end = 0;
  for (const [name, { dtype, shape }] of sorted) {
    if (name === '__metadata__')
      throw refused(path, "'__metadata__' names no tensor in this format");
    const begin = end;
    end += countOf(shape) * bytesPerElement[dtype];
    entries.set(name, { stored: storedNames[dtype], shape, begin, end });
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw refused(path, `the metadata ${quote(key)} is not a text`);
  }
  const header = printHeader({ entries, metadata });
  if (header.length - 8 > maxHeaderBytes) {
    throw refused(path, `its header of ${header.length} bytes is longer than readers accept`);
  }
  await writeAtomically(path, async (sink) => {
    await sink.write(header);
    for (const [name, tensor] of sorted) await writeElements(sink, `tensor ${quote(name)}`, tensor);
  });
}

function refused(path: string, why: string): FileError {
  const help = "give tensors by name, and texts by name as metadata, none called '__metadata__'";
  return new FileError([diagnostic('F005', `'${path}' cannot be written: ${why}`, { help })]);
}
