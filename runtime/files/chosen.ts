// Chosen sets in a safetensors file: bits as words, what they are in the metadata. Whether they fit a call is
// checked where every call is (runtime/inputs.ts).

import { z } from 'zod';
import {
  BitSet,
  type ChosenSet,
  type ChosenSetsData,
  hullOf,
  type SetDomain,
} from '../../dsl/chosen.ts';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';
import { readChosen } from '../cuda/sets.ts';
import { allocate, type Elements, showShape } from '../dtype.ts';
import type { AnySets } from '../parts.ts';
import { quote } from './header.ts';
import { openSafetensors, type SafetensorsFile, writeSafetensors } from './safetensors.ts';
import type { TensorInMemory, TensorSource } from './source.ts';

/** The metadata that says what the words are. */
const key = 'warploom.chosen';

const size = z.int().min(0).max(0x7fffffff);
const setSchema = z.object({
  name: z.string(),
  axes: z
    .array(
      z.object({
        axis: z.enum(['q', 'k', 'qBlock', 'kBlock', 'distance']),
        size: size.min(1),
      }),
    )
    .min(1)
    .max(2),
  perGroup: z.boolean(),
  units: size,
  rowFrom: size,
  rows: size,
  columns: size,
  /** Rows that were computed, where not all were. */
  computed: z.object({ from: size, to: size }).optional(),
});
const factsSchema = z.object({
  version: z.literal(1),
  byHead: z.boolean(),
  parts: z.array(z.array(setSchema)),
});
type SetFacts = z.infer<typeof setSchema>;
type Facts = z.infer<typeof factsSchema>;

const wordsPerRow = ({ columns }: { readonly columns: number }): number => Math.ceil(columns / 32);

/** The name of a tensor: `columns.bits`; of the part `1` of byHead: `1.columns.bits`. */
const nameOf = (isPerHead: boolean, part: number, set: string, what: 'bits' | 'dense'): string =>
  `${isPerHead ? `${part}.` : ''}${set}.${what}`;

/**
 * Writes chosen sets, as `attend` and `attend.estimate` return them, to a safetensors file. Of each set there are
 * `NAME.bits`, i32 words [units, rows, ceil(columns / 32)] with the lowest member in the lowest bit, and `NAME.dense`,
 * i32 [units], 1 where a capacity made the unit dense. Throws FileError F005, ShapeError T011 for what are no sets, and DeviceError as reading sets does.
 */
export async function saveChosen(path: string, chosen: AnySets): Promise<void> {
  const isPerHead = Array.isArray(chosen);
  const parts = isPerHead ? (chosen as readonly ChosenSetsData[]) : [chosen as ChosenSetsData];
  const tensors: Record<string, TensorInMemory | TensorSource> = {};
  const facts: SetFacts[][] = [];
  for (const [i, part] of parts.entries()) {
    const all: SetFacts[] = [];
    for (const [name, set] of Object.entries(await readChosen(part))) {
      const domain = set.units.length > 0 ? hullOf(set.units) : { ...noRows, columns: 0 };
      const { rowFrom, rows, columns } = domain;
      const axes = set.axes.map(({ axis, size }) => ({ axis, size })) as SetFacts['axes'];
      const units = set.units.length;
      const computed = set.rows && { from: set.rows.from, to: set.rows.to };
      all.push({ name, axes, perGroup: set.perGroup, units, rowFrom, rows, columns, computed });
      tensors[nameOf(isPerHead, i, name, 'bits')] = {
        dtype: 'i32',
        shape: [units, rows, wordsPerRow(domain)],
        chunks: wordsOf(set, domain),
      };
      const dense = Int32Array.from(set.dense, Number);
      tensors[nameOf(isPerHead, i, name, 'dense')] = { dtype: 'i32', shape: [units], data: dense };
    }
    facts.push(all);
  }
  const written: Facts = { version: 1, byHead: isPerHead, parts: facts };
  await writeSafetensors(path, tensors, { [key]: JSON.stringify(written) });
}

const noRows = { rowFrom: 0, rows: 0 } as const;

/** The words of one unit after the other, each over the rows of all. */
function* wordsOf({ units }: ChosenSet, domain: Pick<SetDomain, 'rowFrom' | 'rows' | 'columns'>) {
  const size = domain.rows * wordsPerRow(domain);
  for (const { bits, stride, domain: own } of units) {
    const words = allocate('i32', size) as Int32Array;
    words.set(
      new Int32Array(bits.buffer, bits.byteOffset, bits.length),
      (own.rowFrom - domain.rowFrom) * stride,
    );
    yield words;
  }
}

/**
 * Chosen sets from a file that `saveChosen` wrote, for `attend({ q, k, v, chosen })`: a list where they are those of
 * byHead. Throws FileError F001 and F002 like `openSafetensors`, F007 where it holds no sets or damaged ones.
 */
export async function loadChosen<Sets extends AnySets = ChosenSetsData>(
  path: string,
): Promise<Sets> {
  const file = await openSafetensors(path);
  try {
    const { byHead, parts } = factsOf(file);
    const known = new Set<string>();
    const sets: ChosenSetsData[] = [];
    for (const [i, part] of parts.entries()) {
      const all: [string, ChosenSet][] = [];
      for (const facts of part) {
        const { name } = facts;
        const [bits, dense] = [nameOf(byHead, i, name, 'bits'), nameOf(byHead, i, name, 'dense')];
        known.add(bits).add(dense);
        all.push([name, await readSet(file, bits, dense, facts)]);
      }
      sets.push(Object.fromEntries(all));
    }
    const other = file.names.find((name) => !known.has(name));
    if (other !== undefined) throw damaged(path, `the tensor ${quote(other)} belongs to no set`);
    return (byHead ? sets : sets[0]!) as AnySets as Sets;
  } finally {
    await file.close();
  }
}

function factsOf({ path, metadata }: SafetensorsFile): Facts {
  const text = Object.hasOwn(metadata, key) ? metadata[key]! : undefined;
  if (text === undefined) throw damaged(path, `it has no metadata '${key}'`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw damaged(path, `its metadata '${key}' are not JSON`);
  }
  const parsed = factsSchema.safeParse(json);
  if (parsed.success) {
    if (parsed.data.byHead || parsed.data.parts.length === 1) return parsed.data;
    throw damaged(path, `it has ${parsed.data.parts.length} patterns, and is not of byHead`);
  }
  const { path: place, message } = parsed.error.issues[0]!;
  throw damaged(path, `its metadata '${key}', ${place.join('.') || 'as a whole'}: ${message}`);
}

async function readSet(
  file: SafetensorsFile,
  bitsName: string,
  denseName: string,
  facts: SetFacts,
): Promise<ChosenSet> {
  const { axes, perGroup, units: count, rowFrom, rows, columns, computed } = facts;
  const words = wordsPerRow(facts);
  const domain: SetDomain = { rowFrom, rows, columns, arity: axes.length as 1 | 2 };
  if (axes.length === 1 && (rows > 1 || rowFrom > 0))
    throw damaged(file.path, `${quote(bitsName)} has rows, and one axis`);
  const bits = await wordsIn(file, bitsName, [count, rows, words]);
  const dense = await wordsIn(file, denseName, [count]);
  if (dense.some((word) => word !== 0 && word !== 1))
    throw damaged(file.path, `${quote(denseName)} has other numbers than 0 and 1`);
  // Bits behind the last column would be members that no domain has.
  const rest = columns % 32;
  if (rest > 0) {
    for (let last = words - 1; last < bits.length; last += words) {
      if (bits[last]! >>> rest !== 0)
        throw damaged(file.path, `${quote(bitsName)} has members from ${columns} on`);
    }
  }
  const size = rows * words;
  const units = Array.from(
    { length: count },
    (_, i) =>
      new BitSet(domain, new Uint32Array(bits.buffer, bits.byteOffset + 4 * i * size, size)),
  );
  const flags = Array.from(dense, (word) => word === 1);
  return { axes, perGroup, units, dense: flags, ...(computed && { rows: computed }) };
}

/** Words of a stated shape, in shared memory. */
async function wordsIn(
  file: SafetensorsFile,
  name: string,
  shape: readonly number[],
): Promise<Elements> {
  if (!file.names.includes(name)) throw damaged(file.path, `the tensor ${quote(name)} is missing`);
  const { stored, shape: found } = file.info(name);
  if (stored !== 'I32' || showShape(found) !== showShape(shape)) {
    const got = `${stored} ${showShape(found)}`;
    throw damaged(file.path, `${quote(name)} is ${got}, expected I32 ${showShape(shape)}`);
  }
  const { data } = await file.read(name);
  return data;
}

const damaged = (path: string, what: string): FileError =>
  new FileError([
    diagnostic('F007', `'${path}': ${what}`, {
      help: 'saveChosen and `warploom run --chosen-out` write such files: write it anew',
    }),
  ]);
