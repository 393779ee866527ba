// What a pattern is given: numbers described by zod schemas, and captured tensors. Their types in
// the arrows, the facts that lifting and analysis take from them, and the parsing of a call's values.

import { z } from 'zod';
import type { ParamDeclaration } from './declarations.ts';
import { type Diagnostic, diagnostic } from './diagnostic.ts';

/** A schema of one number: `z.int()`, `z.number()`, with bounds, `.refine` and `.default`. */
export type NumberSchema = z.ZodType<number, number | undefined>;

/** A parameter that is a compile-time constant: another value is another kernel. */
export interface Fixed {
  readonly fixed: true;
  readonly schema: NumberSchema;
}

/** A captured tensor: its dtype and the names of its dimensions; equal names must have equal sizes. */
export interface TensorInput<Dims extends readonly string[] = readonly string[]> {
  readonly tensor: true;
  readonly dtype: 'i32' | 'f32';
  readonly dims: Dims;
}

export type Given = Readonly<Record<string, NumberSchema | Fixed | TensorInput>>;

/** A count of keys, queries or blocks: an integer from 0. */
export const count = z.int().min(0);

/** The only word that makes a parameter a compile-time constant: `fixed(64)`, or a schema. */
export function fixed(value: number | NumberSchema): Fixed {
  return { fixed: true, schema: typeof value === 'number' ? z.int().min(1).default(value) : value };
}

/** A captured int32 tensor; dimensions 'batch', 'head', 'kvHead', 'q', 'k' have the sizes of the call. */
export const i32 = <const Dims extends readonly string[]>(...dims: Dims): TensorInput<Dims> => ({
  tensor: true,
  dtype: 'i32',
  dims,
});

/** A captured float32 tensor; see `i32`. */
export const f32 = <const Dims extends readonly string[]>(...dims: Dims): TensorInput<Dims> => ({
  tensor: true,
  dtype: 'f32',
  dims,
});

/** As many numbers as the tuple has dimensions. */
type Numbers<Dims extends readonly string[]> = { [D in keyof Dims]: number };

/** A captured tensor as an arrow sees it. */
export interface Captured<Dims extends readonly string[]> {
  /** The value at one index per dimension; 0 outside the tensor. */
  at(...indices: Numbers<Dims>): number;
}

/** What the arrows destructure from their second argument. */
export type GivenValues<G extends Given> = {
  readonly [N in keyof G]: G[N] extends TensorInput<infer Dims> ? Captured<Dims> : number;
};

/** The numbers alone: what an estimate sees. */
export type GivenNumbers<G extends Given> = {
  readonly [N in keyof G as G[N] extends TensorInput ? never : N]: number;
};

/** The values of a call: a number, or one number per head. */
export type ParameterValues<G extends Given = Given> = {
  readonly [N in keyof G as G[N] extends TensorInput ? never : N]?: number | readonly number[];
};

export const isTensorInput = (value: unknown): value is TensorInput =>
  typeof value === 'object' && value !== null && 'tensor' in value && value.tensor === true;

export const isFixed = (value: unknown): value is Fixed =>
  typeof value === 'object' && value !== null && 'fixed' in value && value.fixed === true;

const schemaOf = (entry: NumberSchema | Fixed): NumberSchema =>
  isFixed(entry) ? entry.schema : entry;

/** The number schema inside defaults and the like; undefined for anything that is not one number. */
function numberInside(schema: z.core.$ZodType): z.ZodNumber | undefined {
  if (schema instanceof z.ZodNumber) return schema;
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return numberInside(schema._zod.def.innerType);
  }
  return undefined;
}

/** What is wrong with a declaration itself: neither a schema of one number nor a tensor. */
export function checkGiven(pattern: string, given: Given): Diagnostic[] {
  const findings: Diagnostic[] = [];
  for (const [name, entry] of Object.entries(given)) {
    if (isTensorInput(entry)) continue;
    const schema = schemaOf(entry);
    if (!(schema instanceof z.ZodType) || numberInside(schema) === undefined) {
      findings.push(
        diagnostic(
          'T013',
          `'${name}' of '${pattern}' is neither a schema of one number nor a tensor`,
          {
            help: "write z.int(), z.number(), fixed(64), i32('batch', 'k') or f32('head')",
          },
        ),
      );
      continue;
    }
    // zod gives a default as it is.
    if (defaultOf(entry) !== undefined) findings.push(...checkDefault(name, entry, undefined));
  }
  return findings;
}

/** Kind and inclusive bounds of a parameter, exclusive integer bounds normalised. */
export function declareParam(entry: NumberSchema | Fixed): ParamDeclaration {
  const schema = numberInside(schemaOf(entry));
  if (!schema) return { kind: 'float', lo: -Infinity, hi: Infinity };
  const kind = schema.isInt ? 'int' : 'float';
  let lo = schema.minValue ?? -Infinity;
  let hi = schema.maxValue ?? Infinity;
  for (const check of schema._zod.def.checks ?? []) {
    const def = check._zod.def as { check: string; value?: number; inclusive?: boolean };
    if (kind !== 'int' || def.inclusive !== false) continue;
    if (def.check === 'greater_than' && def.value === lo) lo = Math.floor(lo) + 1;
    if (def.check === 'less_than' && def.value === hi) hi = Math.ceil(hi) - 1;
  }
  return { kind, lo, hi };
}

/** What a parameter may be, in words: `integer from 0`, `number above 0 to 1`. */
export function rangeText(entry: NumberSchema | Fixed): string {
  const { kind, lo, hi } = declareParam(entry);
  // Bounds of floats may be exclusive: the schema itself knows.
  const accepts = (value: number) => schemaOf(entry).safeParse(value).success;
  const low = lo > Number.MIN_SAFE_INTEGER ? [accepts(lo) ? `from ${lo}` : `above ${lo}`] : [];
  const high = hi < Number.MAX_SAFE_INTEGER ? [accepts(hi) ? `to ${hi}` : `below ${hi}`] : [];
  return [kind === 'int' ? 'integer' : 'number', ...low, ...high].join(' ');
}

/** The default of a parameter, or undefined when the call has to give it. */
export function defaultOf(entry: NumberSchema | Fixed): number | undefined {
  const result = schemaOf(entry).safeParse(undefined);
  return result.success ? result.data : undefined;
}

/** One number for all heads, or one per head. */
export type BoundParameters = Readonly<Record<string, number | readonly number[]>>;

/**
 * Parses the numbers of a call against the schemas: a number or one per head, defaults included and
 * themselves parsed (zod returns a default unchecked). Floats are rounded to float32, as every device
 * will see them. Numbers of heads that are not the pattern's `own` are nobody's: they are not looked at.
 */
export function bindParameters(
  pattern: string,
  given: Given,
  values: ParameterValues,
  heads: number,
  own: readonly number[] = Array.from({ length: heads }, (_, head) => head),
): { bound: BoundParameters; findings: Diagnostic[] } {
  const findings: Diagnostic[] = [];
  const bound: Record<string, number | readonly number[]> = {};
  const names = namesOf(given);
  for (const name of Object.keys(values))
    if (!names.includes(name)) findings.push(unknownParameter(pattern, given, name));
  for (const name of names) {
    const entry = given[name] as NumberSchema | Fixed;
    const value = listed((values as Record<string, unknown>)[name]);
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (Array.isArray(value)) {
      if (isFixed(entry)) {
        findings.push(
          diagnostic('T008', `'${name}' is fixed: one number for all heads, not a list`),
        );
        continue;
      }
      if (value.length !== heads) {
        findings.push(
          diagnostic('T008', `'${name}' has ${value.length} numbers for ${heads} heads`, {
            help: 'give one number, or one per query head',
          }),
        );
        continue;
      }
    }
    const asked = Array.isArray(value) ? own.map((head) => list[head]) : list;
    const parsed = asked.map((one) => parseNumber(name, entry, one, findings));
    const numbers = parsed.filter((one) => one !== undefined);
    if (numbers.length !== asked.length) continue;
    const [first] = numbers;
    const byHead = new Map(own.map((head, i) => [head, numbers[i]!]));
    const uniform = numbers.every((one) => one === first);
    bound[name] = uniform ? first! : list.map((_, head) => byHead.get(head) ?? first!);
  }
  return { bound, findings };
}

const namesOf = (given: Given): string[] =>
  Object.keys(given).filter((name) => !isTensorInput(given[name]));

/** Of a number for which there is no parameter. */
export function unknownParameter(pattern: string, given: Given, name: string): Diagnostic {
  const names = namesOf(given);
  return diagnostic('T005', `'${pattern}' has no parameter '${name}'`, {
    help: names.length ? `it has ${names.join(', ')}` : 'it has none',
  });
}

/** What is wrong with a default. */
export function checkDefault(
  name: string,
  entry: NumberSchema | Fixed,
  value: unknown,
): Diagnostic[] {
  const findings: Diagnostic[] = [];
  parseNumber(name, entry, value, findings);
  return findings;
}

/** Numbers per head may come in a typed array. */
const listed = (value: unknown): unknown =>
  ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? [...(value as unknown as Iterable<unknown>)]
    : value;

function parseNumber(
  name: string,
  entry: NumberSchema | Fixed,
  value: unknown,
  findings: Diagnostic[],
): number | undefined {
  const schema = schemaOf(entry);
  const first = schema.safeParse(value);
  const result = first.success ? schema.safeParse(first.data) : first;
  if (result.success && Number.isFinite(result.data)) {
    return declareParam(entry).kind === 'float' ? Math.fround(result.data) : result.data;
  }
  const why = result.success ? 'it is not finite' : (result.error.issues[0]?.message ?? 'refused');
  // What was given, or a default that its own schema refuses.
  const seen = first.success ? first.data : value;
  const shown =
    seen === undefined
      ? 'missing'
      : typeof seen === 'number' || typeof seen === 'bigint'
        ? String(seen)
        : (JSON.stringify(seen) ?? `a ${typeof seen}`);
  const help = `give '${name}' ${asked(entry, seen)}`;
  findings.push(diagnostic('T006', `parameter '${name}' is ${shown}: ${why}`, { help }));
  return undefined;
}

/** What to give in place of a value; another one where a schema refuses some between its bounds. */
function asked(entry: NumberSchema | Fixed, refused: unknown): string {
  const { kind, lo, hi } = declareParam(entry);
  const isNumber = kind === 'int' ? Number.isInteger(refused) : Number.isFinite(refused);
  const isBetween = isNumber && Number(refused) >= lo && Number(refused) <= hi;
  return `${isBetween ? 'another' : kind === 'int' ? 'an' : 'a'} ${rangeText(entry)}`;
}

/** The numbers of one head. */
export function parametersOf(bound: BoundParameters, head: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(bound).map(([name, value]) => [
      name,
      typeof value === 'number' ? value : value[head]!,
    ]),
  );
}
