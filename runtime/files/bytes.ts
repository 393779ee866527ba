// Reading parts of a file, and elements from them, in bounded memory. No headers and no tensors.

import { type FileHandle, open, stat } from 'node:fs/promises';
import { endianness } from 'node:os';
import { diagnostic, FileError, ShapeError } from '../../dsl/diagnostic.ts';
import { allocate, bytesOf, countOf, type DType, type Elements } from '../dtype.ts';
import { codeOf } from './atomic.ts';

/** A tensor as a file holds it: row-major over `shape`. */
export interface Stored {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Elements;
}

/** How a file stores elements: bytes of one, the dtype they become, and what has to be narrowed. */
export interface Encoding {
  readonly bytes: number;
  readonly dtype: DType;
  readonly narrow?: 'f64' | 'i64';
}

/** A run of elements in a file. `what` names it in errors: `'a.npy'`, `'a.safetensors', tensor 'q'`. */
export interface Region {
  readonly what: string;
  readonly encoding: Encoding;
  readonly shape: readonly number[];
  /** Of the first element, in bytes. */
  readonly position: number;
}

/** The code for a file that ends before its data do. */
type DamagedFile = 'F002' | 'F003' | 'F006';

/** An open file, read at any place. */
export class ByteFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  readonly #damaged: DamagedFile;
  readonly #handle: FileHandle;
  #open = true;

  private constructor(path: string, size: number, damaged: DamagedFile, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#damaged = damaged;
    this.#handle = handle;
  }

  /** Throws FileError F001. `damaged` is the code for a file that ends too early. */
  static async open(path: string, damaged: DamagedFile): Promise<ByteFile> {
    if (endianness() !== 'LE') throw unreadable(path, 'this machine is big-endian', undefined);
    try {
      // Before opening: opening a pipe would wait for its other end.
      const { size } = await regular(path);
      return new ByteFile(path, size, damaged, await open(path, 'r'));
    } catch (cause) {
      throw cause instanceof FileError ? cause : unreadable(path, reason(cause), cause);
    }
  }

  /** Fills `target` from byte `position` on. Throws FileError F001, or the format's own code at the end. */
  async readInto(target: Uint8Array, position: number): Promise<void> {
    if (!this.#open) throw unreadable(this.path, 'it was closed', undefined);
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#handle
        .read(target, done, target.length - done, position + done)
        .catch((cause: unknown) => {
          throw unreadable(this.path, reason(cause), cause);
        });
      if (bytesRead === 0) {
        const what = `'${this.path}' ends at byte ${position + done}, before its data do`;
        const help = 'it was cut or is being written: copy it again';
        throw new FileError([diagnostic(this.#damaged, what, { help })]);
      }
      done += bytesRead;
    }
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}

/** A whole file of text, UTF-8. Throws FileError F001, F006 for one that is being cut. */
export async function readText(path: string): Promise<string> {
  const file = await ByteFile.open(path, 'F006');
  try {
    const bytes = new Uint8Array(file.size);
    await file.readInto(bytes, 0);
    return new TextDecoder().decode(bytes);
  } finally {
    await file.close();
  }
}

async function regular(path: string): Promise<{ size: number }> {
  const found = await stat(path);
  if (found.isFile()) return found;
  throw unreadable(
    path,
    found.isDirectory() ? 'it is a directory' : 'it is no ordinary file',
    undefined,
  );
}

function reason(cause: unknown): string {
  const code = codeOf(cause);
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file';
  if (code === 'EACCES' || code === 'EPERM') return 'permission is denied';
  return cause instanceof Error ? cause.message : String(cause);
}

function unreadable(path: string, why: string, cause: unknown): FileError {
  const help = `check the path (seen from ${process.cwd()}) and its permissions`;
  const found = diagnostic('F001', `'${path}' cannot be read: ${why}`, { help });
  return new FileError([found], { cause });
}

/** Bytes that are narrowed at a time. */
const blockBytes = 8 * 2 ** 20;

/**
 * Elements `[from, from + count)` of a region, row-major, in new memory.
 * Throws ShapeError T002 outside the region, T009 for an int64 that leaves int32, FileError F001-F003.
 */
export async function readElements(
  file: ByteFile,
  region: Region,
  from: number,
  count: number,
): Promise<Elements> {
  const { encoding, what } = region;
  const total = countOf(region.shape);
  if (!(Number.isSafeInteger(from) && Number.isSafeInteger(count) && from >= 0 && count >= 0)) {
    const help = 'both are whole numbers from 0';
    throw new ShapeError([
      diagnostic('T002', `${count} elements from ${from} of ${what}`, { help }),
    ]);
  }
  if (from + count > total) {
    const help = `it has ${total} elements`;
    throw new ShapeError([
      diagnostic('T002', `${count} elements from ${from} of ${what}`, { help }),
    ]);
  }
  const data = allocate(encoding.dtype, count);
  const start = region.position + from * encoding.bytes;
  if (!encoding.narrow) {
    for (let at = 0; at < data.byteLength; ) {
      const piece = bytesOf(data, at);
      await file.readInto(piece, start + at);
      at += piece.length;
    }
    return data;
  }
  const block = new ArrayBuffer(Math.min(blockBytes, count * encoding.bytes));
  const perBlock = block.byteLength / encoding.bytes;
  for (let at = 0; at < count; at += perBlock) {
    const part = Math.min(perBlock, count - at);
    await file.readInto(
      new Uint8Array(block, 0, part * encoding.bytes),
      start + at * encoding.bytes,
    );
    if (encoding.narrow === 'f64') data.set(new Float64Array(block, 0, part), at);
    else narrowInt64(new Int32Array(block, 0, 2 * part), data, at, from, what);
  }
  return data;
}

// Pairs of low and high words; an int64 is an int32 when its high word repeats the sign of the low one.
function narrowInt64(words: Int32Array, data: Elements, at: number, from: number, what: string) {
  for (let i = 0; i < words.length / 2; i++) {
    const low = words[2 * i]!;
    const high = words[2 * i + 1]!;
    if (high !== low >> 31) {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      const found = diagnostic('T009', `element ${from + at + i} of ${what} is ${value}`, {
        help: 'int64 is read as int32: only values in [-2^31, 2^31) fit',
      });
      throw new ShapeError([found]);
    }
    data[at + i] = low;
  }
}

/**
 * A region in pieces of `rowsPerChunk` rows, in order; the last may be shorter. A row runs along the last
 * axis (of a vector or a scalar: one element), so memory is bounded whatever the outer axes are.
 * Throws ShapeError T006 for a number of rows that is no whole number from 1, and as `readElements` does.
 */
export async function* readChunks(
  file: ByteFile,
  region: Region,
  rowsPerChunk: number,
): AsyncGenerator<Elements, void, undefined> {
  if (!Number.isSafeInteger(rowsPerChunk) || rowsPerChunk < 1) {
    const help = 'it is a whole number from 1';
    throw new ShapeError([diagnostic('T006', `${rowsPerChunk} rows per chunk`, { help })]);
  }
  const total = countOf(region.shape);
  const row = region.shape.length > 1 ? region.shape.at(-1)! : 1;
  const step = rowsPerChunk * row;
  for (let from = 0; from < total; from += step) {
    yield await readElements(file, region, from, Math.min(step, total - from));
  }
}
