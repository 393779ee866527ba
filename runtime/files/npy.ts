// NumPy's .npy files, versions 1 to 3: header parsed without eval, data read whole or in ranges, written.
// Not .npz. The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

import { diagnostic, FileError, ShapeError } from '../../dsl/diagnostic.ts';
import { allocate, countOf, type DType, type Elements, showShape, stridesOf } from '../dtype.ts';
import { writeAtomically } from './atomic.ts';
import {
  ByteFile,
  type Encoding,
  type Region,
  readChunks,
  readElements,
  type Stored,
} from './bytes.ts';
import { quote } from './header.ts';
import { checkWritten, type TensorInMemory, type TensorSource, writeElements } from './source.ts';

const encodings: Readonly<Record<string, Encoding>> = {
  '<f4': { bytes: 4, dtype: 'fp32' },
  '<f2': { bytes: 2, dtype: 'fp16' },
  '<i4': { bytes: 4, dtype: 'i32' },
  '<f8': { bytes: 8, dtype: 'fp32', narrow: 'f64' },
  '<i8': { bytes: 8, dtype: 'i32', narrow: 'i64' },
};

/** A header is some hundred bytes; the format would allow 4 GB. */
const maxHeaderBytes = 2 ** 20;
const magic = '\x93NUMPY';

export interface NpyHeader {
  /** NumPy's name of the dtype: `<f4`. */
  readonly descr: string;
  /** Whether the first axis is the fastest in the file. */
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/** An open .npy file: only its header has been read. */
export class NpyFile {
  readonly path: string;
  readonly header: NpyHeader;
  readonly #file: ByteFile;
  readonly #dataStart: number;

  constructor(file: ByteFile, header: NpyHeader, dataStart: number) {
    this.path = file.path;
    this.header = header;
    this.#file = file;
    this.#dataStart = dataStart;
  }

  /**
   * The whole array, row-major whatever the order in the file. f8 is rounded to fp32, i8 becomes i32.
   * Throws FileError F001, F003; ShapeError T003 for a dtype without a counterpart, T009 for an int64
   * outside int32, T012 for more than memory holds.
   */
  async read(): Promise<Stored> {
    const region = this.#region();
    const { shape, encoding } = region;
    const data = await readElements(this.#file, region, 0, countOf(shape));
    const { dtype } = encoding;
    return { dtype, shape, data: this.header.fortranOrder ? rowMajor(data, dtype, shape) : data };
  }

  /** `count` elements from element `from` on, row-major. Throws as `read`, and ShapeError T002 outside. */
  async readRange(from: number, count: number): Promise<Elements> {
    return readElements(this.#file, this.#inOrder(), from, count);
  }

  /** An array of any size, `rowsPerChunk` rows of its last axis at a time. Throws as `read`, and T006. */
  chunks(rowsPerChunk: number): AsyncGenerator<Elements, void, undefined> {
    return readChunks(this.#file, this.#inOrder(), rowsPerChunk);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #region(): Region {
    const { descr, shape } = this.header;
    const what = `'${this.path}'`;
    const encoding = Object.hasOwn(encodings, descr) ? encodings[descr] : undefined;
    if (encoding) return { what, encoding, shape, position: this.#dataStart };
    const swapped = descr.startsWith('>');
    const help = swapped
      ? `np.save(path, x.astype('<${descr.slice(1)}')) writes little-endian`
      : `convert it to one of ${Object.keys(encodings).join(', ')}: np.save(path, x.astype('<f4'))`;
    const why = swapped ? 'is big-endian' : 'has no counterpart';
    throw new ShapeError([diagnostic('T003', `${what}: dtype ${quote(descr)} ${why}`, { help })]);
  }

  // Rows of a column-major file are scattered over all of it.
  #inOrder(): Region {
    const region = this.#region();
    if (this.header.fortranOrder && this.header.shape.length > 1) {
      const help = 'read it whole, or np.save(path, np.ascontiguousarray(x))';
      const what = `'${this.path}' is in Fortran order, which cannot be read in parts`;
      throw new FileError([diagnostic('F001', what, { help })]);
    }
    return region;
  }
}

function rowMajor(data: Elements, dtype: DType, shape: readonly number[]): Elements {
  if (shape.length < 2) return data;
  const out = allocate(dtype, data.length);
  // Column-major over a shape is row-major over the reversed one.
  const steps = stridesOf([...shape].reverse(), 'bhsd').reverse();
  const index: number[] = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function damaged(path: string, what: string): FileError {
  const help = 'the file is damaged or not a .npy file: write it anew with np.save';
  return new FileError([diagnostic('F003', `'${path}': ${what}`, { help })]);
}

/**
 * Opens a .npy file and checks its header against the length of the file.
 * Throws FileError F001 when it cannot be read, F003 when it is damaged. Close it after use.
 */
export async function openNpy(path: string): Promise<NpyFile> {
  const file = await ByteFile.open(path, 'F003');
  try {
    const start = new Uint8Array(Math.min(12, file.size));
    await file.readInto(start, 0);
    if (start.length < 10 || String.fromCharCode(...start.subarray(0, 6)) !== magic) {
      throw damaged(path, 'it does not begin as .npy files do');
    }
    const view = new DataView(start.buffer);
    const version = start[6]!;
    if (version < 1 || version > 3)
      throw damaged(path, `its version is ${version}; 1 to 3 are known`);
    if (version > 1 && start.length < 12) throw damaged(path, `it has only ${file.size} bytes`);
    const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
    const headerStart = version === 1 ? 10 : 12;
    if (length > maxHeaderBytes || length > file.size - headerStart) {
      throw damaged(path, `its header would take ${length} bytes; the file has ${file.size}`);
    }
    const bytes = new Uint8Array(length);
    await file.readInto(bytes, headerStart);
    const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(bytes);
    const header = parseNpyHeader(text, path);
    const dataStart = headerStart + length;
    checkSize(path, header, file.size - dataStart);
    return new NpyFile(file, header, dataStart);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function checkSize(path: string, { descr, shape }: NpyHeader, dataBytes: number): void {
  const encoding = Object.hasOwn(encodings, descr) ? encodings[descr] : undefined;
  // The sizes of other dtypes are not known; reading them is refused anyway.
  if (!encoding) return;
  const needed = shape.includes(0) ? 0 : shape.reduce((n, size) => n * size, encoding.bytes);
  if (needed === dataBytes) return;
  const takes = needed < 2 ** 53 ? `${needed} bytes` : 'more bytes than any file has';
  const what = `the shape ${showShape(shape)} of ${descr} takes ${takes}, the file holds ${dataBytes}`;
  throw damaged(path, what);
}

/**
 * Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`: a Python dictionary of exactly
 * these keys in any order. Throws FileError F003; ShapeError T003 for a structured array.
 */
export function parseNpyHeader(text: string, path: string): NpyHeader {
  const found = new Map<string, string>();
  const body = /^\{(.*)\}[ \n\0]*$/s.exec(text)?.[1];
  if (body === undefined) throw damaged(path, 'its header is not a dictionary');
  if (/['"]descr['"]\s*:\s*[[(]/.test(body)) {
    const help = 'save one plain array for each field';
    const what = `'${path}' is a structured array, which has no counterpart`;
    throw new ShapeError([diagnostic('T003', what, { help })]);
  }
  // A text, a tuple or a word, then a comma or the end.
  const item = /\s*(?:'(\w+)'|"(\w+)")\s*:\s*('[^'\\]*'|"[^"\\]*"|\([^()]*\)|\w+)\s*(?:,|$)/sy;
  while (item.lastIndex < body.length && body.slice(item.lastIndex).trim() !== '') {
    const [, single, double, value = ''] = item.exec(body) ?? [];
    const key = single ?? double;
    if (key === undefined) throw damaged(path, 'its header is not a dictionary of three entries');
    if (found.has(key)) throw damaged(path, `its header has '${key}' twice`);
    found.set(key, value);
  }
  const { descr, fortran_order: order, shape, ...others } = Object.fromEntries(found);
  const extra = Object.keys(others)[0];
  if (extra !== undefined) throw damaged(path, `its header has an unknown key ${quote(extra)}`);
  if (!descr) throw damaged(path, "its header lacks 'descr'");
  if (order !== 'True' && order !== 'False') {
    throw damaged(path, "'fortran_order' is neither True nor False");
  }
  const isText = descr.startsWith("'") || descr.startsWith('"');
  return {
    descr: isText ? descr.slice(1, -1) : descr,
    fortranOrder: order === 'True',
    shape: parseShape(shape ?? '', path),
  };
}

// `()`, `(3,)`, `(3, 4)`; Python 2 wrote `(3L, 4L)`. `(3)` would be a number.
function parseShape(text: string, path: string): number[] {
  const sizes = /^\(\s*((?:\d+L?\s*,\s*)*(?:\d+L?\s*)?)\)$/.exec(text)?.[1];
  const shape = (sizes ?? '?')
    .split(',')
    .filter((size) => size.trim() !== '')
    .map((size) => Number.parseInt(size, 10));
  const lonely = shape.length === 1 && !text.includes(',');
  if (lonely || !shape.every(Number.isSafeInteger)) {
    throw damaged(path, "'shape' is not a tuple of whole numbers");
  }
  return shape;
}

const descrs = { fp32: '<f4', fp16: '<f2', i32: '<i4' } as const;

/**
 * Writes one tensor, row-major over its shown shape, as version 1.0; the file appears whole or not at all.
 * Throws ShapeError T003 for bf16, which NumPy does not have, T001 and T012 for a
 * shape that is none, T003 and T012 for data that do not fit; FileError F005.
 */
export async function writeNpy(path: string, tensor: TensorInMemory | TensorSource): Promise<void> {
  checkWritten('what is written', tensor);
  const { dtype, shape } = tensor;
  countOf(shape);
  if (dtype === 'bf16') {
    const help = "write .safetensors, or convert it first: tensor.to('fp32')";
    throw new ShapeError([diagnostic('T003', 'bf16 has no dtype in .npy files', { help })]);
  }
  const tuple = `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const dictionary = `{'descr': '${descrs[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // The data start at a multiple of 64, as NumPy's own do.
  const length = Math.ceil((10 + dictionary.length + 1) / 64) * 64 - 10;
  const header = Buffer.from(`${magic}\x01\x00??${dictionary.padEnd(length - 1)}\n`, 'latin1');
  header.writeUInt16LE(length, 8);
  await writeAtomically(path, async (sink) => {
    await sink.write(header);
    await writeElements(sink, 'the tensor', tensor);
  });
}
