// Random calls of a pattern, from what it declares: sizes, numbers, captured tensors. For fast-check;
// the tensors are functions of a seed, so that a call that fails is a few numbers.

import fc from 'fast-check';
import { type Definition, traceSets } from '../../dsl/definition.ts';
import { isPerGroup } from '../../dsl/estimate/node.ts';
import {
  declareParam,
  defaultOf,
  isFixed,
  isTensorInput,
  type NumberSchema,
} from '../../dsl/given.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { type FloatType, floatTypes, type Layout } from '../dtype.ts';
import { type Tensor, tensor } from '../tensor.ts';

/** Everything that is drawn for a call. */
export interface CallSample {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  /** Of q, k and v. */
  readonly layouts: readonly [Layout, Layout, Layout];
  /** Of all tensors. */
  readonly seed: number;
  /** Of q and k; 1 is standard normal. */
  readonly scale: number;
  readonly params: Readonly<Record<string, number | readonly number[]>>;
}

/** Sizes that a call may have; tile sizes crowd in by themselves. */
export interface CallSizesOptions {
  /** The longest sequence; 160 unless stated. */
  readonly longest?: number;
  /** Lengths crowd around multiples of it; 64 unless stated. */
  readonly tile?: number;
  /** The most query heads of a KV head, and the most KV heads; 4 and 2 unless stated. */
  readonly groups?: number;
  readonly kvHeads?: number;
  /** Head dimensions to draw from; 8 to 64, and seldom more, unless stated. */
  readonly headDims?: readonly number[];
}

export interface CallOptions extends CallSizesOptions {
  /** A value, a list of values to draw from, or an arbitrary; drawn from the schema where not stated. */
  readonly params?:
    | Readonly<Record<string, number | readonly number[] | fc.Arbitrary<number>>>
    | undefined;
  /** All three unless stated. */
  readonly dtype?: FloatType | undefined;
}

/** Lengths of 0, 1, a tile and its neighbours, and any other; queries may be more or fewer than keys. */
export function arbitrarySizes({
  longest = 160,
  tile = 64,
  groups = 4,
  kvHeads = 2,
  headDims = [16, 8, 24, 64],
}: CallSizesOptions = {}): fc.Arbitrary<LaunchShape> {
  const special = [0, 1, tile - 1, tile, tile + 1, 2 * tile + 3].filter((n) => n <= longest);
  const length = fc.oneof(fc.constantFrom(...special), fc.nat(longest));
  const dim = fc.constantFrom(...headDims);
  return fc
    .record({
      batch: fc.constantFrom(1, 1, 2),
      kvHeads: fc.integer({ min: 1, max: kvHeads }),
      group: fc.integer({ min: 1, max: groups }),
      kLen: length,
      ownQLen: fc.option(length),
      headDim: dim,
      ownValueDim: fc.option(dim, { freq: 4 }),
    })
    .map(({ group, ownQLen, ownValueDim, ...sizes }) => ({
      ...sizes,
      heads: sizes.kvHeads * group,
      qLen: ownQLen ?? sizes.kLen,
      valueDim: ownValueDim ?? sizes.headDim,
    }));
}

const counts = [0, 1, 2, 5, 16, 17, 40, 63, 64, 65, 100, 1000];
const shares = [0, 0.05, 0.1, 0.25, 0.5, 0.9, 1, 2, 8, -1, -4];

/** Values of one parameter: its default, and those among the usual ones that its schema takes. */
function arbitraryNumber(schema: NumberSchema): fc.Arbitrary<number> {
  const { kind } = declareParam(schema);
  const usual = kind === 'int' ? [...counts, -1, -17] : shares;
  const known = defaultOf(schema);
  const values = [...(known === undefined ? [] : [known]), ...usual].filter(
    (value) => schema.safeParse(value).success,
  );
  if (values.length === 0) throw new Error('no usual number satisfies the schema: state params');
  return fc.constantFrom(...values);
}

/** Random numbers for all parameters, one for all heads or one per head (per KV head where heads share a set). */
function arbitraryParams(
  { given }: Definition,
  stated: NonNullable<CallOptions['params']>,
): fc.Arbitrary<(shape: LaunchShape, perGroup: boolean) => CallSample['params']> {
  const fields: Record<string, fc.Arbitrary<{ isList: boolean; values: number[] }>> = {};
  for (const [name, entry] of Object.entries(given)) {
    if (isTensorInput(entry)) continue;
    const own = stated[name];
    if (isFixed(entry) && own === undefined) continue;
    const schema = isFixed(entry) ? entry.schema : entry;
    const value =
      own === undefined ? arbitraryNumber(schema)
      : own instanceof fc.Arbitrary ? own
      : fc.constantFrom(...[own].flat()); // biome-ignore format: a table
    const isList = isFixed(entry) ? fc.constant(false) : fc.boolean();
    fields[name] = fc.record({ isList, values: fc.array(value, { minLength: 8, maxLength: 8 }) });
  }
  return fc.record(fields).map((drawn) => ({ heads, kvHeads }, perGroup) => {
    const place = (head: number) => (perGroup ? Math.floor(head / (heads / kvHeads)) : head);
    return Object.fromEntries(
      Object.entries(drawn).map(([name, { isList, values }]) => [
        name,
        isList
          ? Array.from({ length: heads }, (_, head) => values[place(head) % values.length]!)
          : values[0]!,
      ]),
    );
  });
}

/** Does any set belong to a whole group of heads, which then need equal numbers? */
function sharesSets(definition: Definition): boolean {
  const numbers: Record<string, number> = {};
  for (const [name, entry] of Object.entries(definition.given))
    if (!isTensorInput(entry))
      numbers[name] = defaultOf(entry) ?? Math.max(1, declareParam(entry).lo);
  return Object.values(traceSets(definition, numbers)).some(isPerGroup);
}

/** Random calls of a pattern. */
export function arbitraryCalls(
  definition: Definition,
  options: CallOptions = {},
): fc.Arbitrary<CallSample> {
  const layout = fc.constantFrom<Layout[]>('bhsd', 'bshd');
  const perGroup = sharesSets(definition);
  return fc
    .record({
      shape: arbitrarySizes(options),
      dtype: fc.constantFrom(...(options.dtype ? [options.dtype] : floatTypes)),
      layouts: fc.tuple(layout, layout, layout),
      seed: fc.nat(2 ** 20),
      scale: fc.constantFrom(1, 0, 0.25, 2),
      params: arbitraryParams(definition, options.params ?? {}),
    })
    .map(({ params, ...call }) => ({ ...call, params: params(call.shape, perGroup) }));
}

/** Whole numbers from a seed, as many as asked for, in [0, 2^16). */
function noise(seed: number, count: number): number[] {
  let state = (seed * 2 + 1) >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 16;
  });
}

/** A captured tensor: document numbers that rise along the last axis, or a few values; floats in eighths. */
function capturedTensor(dtype: 'i32' | 'f32', sizes: readonly number[], seed: number): Tensor {
  const total = sizes.reduce((a, b) => a * b, 1);
  const random = noise(seed, total + 1);
  const rises = random[total]! % 2 === 0;
  const last = Math.max(1, sizes.at(-1) ?? 1);
  let document = 0;
  const values = Array.from({ length: total }, (_, i) => {
    if (i % last === 0) document = 0;
    else if (random[i]! % 23 === 0) document += 1;
    return rises ? document : (random[i]! % 7) - 2;
  });
  if (dtype === 'i32') return tensor(Int32Array.from(values), { shape: sizes, dtype: 'i32' });
  return tensor(
    Float32Array.from(values, (x) => x / 8),
    { shape: sizes, dtype: 'fp32' },
  );
}

/** The tensors of a call: q, k, v, and everything that the pattern captures. */
export function tensorsOfCall(
  { given }: Definition,
  { shape, dtype, layouts, seed, scale }: CallSample,
): { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor; readonly [name: string]: Tensor } {
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const sizes: Record<string, number> = { batch, head: heads, kvHead: kvHeads, q: qLen, k: kLen };
  const captured: Record<string, Tensor> = {};
  for (const [at, [name, entry]] of Object.entries(given).entries()) {
    if (!isTensorInput(entry)) continue;
    // Sizes of other names are free, and the same wherever the name is.
    const dims = entry.dims.map((dim) => (sizes[dim] ??= 1 + (noise(seed, 1)[0]! % 5)));
    captured[name] = capturedTensor(entry.dtype, dims, seed + at);
  }
  const [a, b, c] = layouts;
  return {
    ...captured,
    q: tensor.random([batch, heads, qLen, headDim], { dtype, layout: a, seed, scale }),
    k: tensor.random([batch, kvHeads, kLen, headDim], { dtype, layout: b, seed: seed + 1, scale }),
    v: tensor.random([batch, kvHeads, kLen, valueDim], { dtype, layout: c, seed: seed + 2 }),
  };
}
