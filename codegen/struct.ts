// The one argument of every kernel: a C struct passed by value. Its C text and its bytes come from the
// same list of fields, so that they cannot drift apart.

import { invariant } from '../dsl/diagnostic.ts';

/**
 * Types of fields. `address` is a device pointer, given as a number (addresses stay below 2^53). `map` is a
 * tensor map, which a device encodes: its bytes are zeros until a launch has addresses.
 */
export const fieldTypes = {
  i32: { c: 'int', size: 4, alignment: 4 },
  u32: { c: 'u32', size: 4, alignment: 4 },
  f32: { c: 'float', size: 4, alignment: 4 },
  i64: { c: 'i64', size: 8, alignment: 8 },
  address: { c: 'u64', size: 8, alignment: 8 },
  map: { c: 'TensorMap', size: 128, alignment: 64 },
} as const;
export type FieldType = keyof typeof fieldTypes;

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  /** The C type behind an address: `const u16*`; given, the field is declared as that pointer. */
  readonly pointer?: string;
  /** What it is, for the reader of the text. */
  readonly comment?: string;
  /** An array of so many; its values and offsets are those of `name[0]`, `name[1]` and so on. */
  readonly length?: number;
}

/** The names of the values of a field. */
const elementsOf = ({ name, length }: Field): string[] =>
  length === undefined ? [name] : Array.from({ length }, (_, i) => `${name}[${i}]`);

/** Values by the names of the fields. */
export type FieldValues = Readonly<Record<string, number>>;

export class Struct {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Byte offset of each field, or of each element of an array, by name. */
  readonly offsets: Readonly<Record<string, number>>;
  readonly bytes: number;

  constructor(name: string, fields: readonly Field[]) {
    const offsets: Record<string, number> = {};
    let at = 0;
    let widest = 8;
    for (const field of fields) {
      const { size, alignment } = fieldTypes[field.type];
      widest = Math.max(widest, alignment);
      at = Math.ceil(at / alignment) * alignment;
      for (const element of elementsOf(field)) {
        invariant(!(element in offsets), `a kernel has two arguments '${element}'`);
        offsets[element] = at;
        at += size;
      }
    }
    this.name = name;
    this.fields = fields;
    this.offsets = offsets;
    this.bytes = Math.ceil(at / widest) * widest;
  }

  /** The declaration in CUDA C. */
  get text(): string {
    const lines = this.fields.map(({ name, type, pointer, comment, length }) => {
      const size = length === undefined ? '' : `[${length}]`;
      const declared = `${pointer ?? fieldTypes[type].c} ${name}${size};`;
      return `  ${declared}${comment ? `  // ${comment}` : ''}`;
    });
    return [`struct ${this.name} {`, ...lines, '};'].join('\n');
  }

  /** The bytes of one value. Every field but maps has to be given, and no other. */
  pack(values: FieldValues): Uint8Array {
    const bytes = new Uint8Array(this.bytes);
    const view = new DataView(bytes.buffer);
    const given = this.fields
      .filter(({ type }) => type !== 'map')
      .flatMap((field) => elementsOf(field).map((name) => ({ name, type: field.type })));
    for (const { name, type } of given) {
      const value = values[name];
      invariant(value !== undefined, `the kernel argument '${name}' is not given`);
      const at = this.offsets[name]!;
      if (type === 'f32') view.setFloat32(at, value, true);
      else if (fieldTypes[type].size === 8) view.setBigInt64(at, BigInt(value), true);
      else if (type === 'u32') view.setUint32(at, value, true);
      else view.setInt32(at, value, true);
    }
    invariant(
      Object.keys(values).length === given.length,
      `a kernel of ${this.name} is given more than its arguments`,
    );
    return bytes;
  }
}
