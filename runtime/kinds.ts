// Calls of one kind differ in nothing but the elements of their tensors and in chosen sets: where one was checked,
// the next of its kind fits as well. Not what a call has to fit: inputs.ts.

import type { CallInputs, CheckedGiven, CheckedInputs } from './inputs.ts';
import { Tensor } from './tensor.ts';

export type CheckedCall = CheckedInputs & { readonly given: readonly CheckedGiven[] };

type Params = Readonly<Record<string, unknown>>;
type Facts = Pick<Tensor, 'dtype' | 'layout' | 'shape'>;

/** What calls of a kind have in common. It holds no tensor: the elements of the first are not kept by it. */
export class CallKind {
  readonly #tensors: readonly (readonly [name: string, facts: Facts])[];
  readonly #numbers: readonly (readonly [name: string, value: unknown])[];
  readonly #shape: CheckedInputs['shape'];
  readonly #given: readonly (CheckedGiven & { readonly names: readonly string[] })[];
  /** Whether the names above are all that decides; lists of lengths may change from call to call. */
  readonly repeats: boolean;

  constructor(inputs: CallInputs, params: Params, { shape, given, segments }: CheckedCall) {
    this.repeats = segments === undefined;
    this.#tensors = Object.entries(inputs).flatMap(([name, value]) => {
      if (!(value instanceof Tensor)) return [];
      const { dtype, layout, shape } = value;
      return [[name, { dtype, layout, shape }] as const];
    });
    this.#numbers = Object.entries(params).map(
      ([name, value]) => [name, Array.isArray(value) ? [...value] : value] as const,
    );
    this.#shape = shape;
    this.#given = given.map(({ params, captured }) => {
      return { params, captured: {}, names: Object.keys(captured) };
    });
  }

  /** A call of this kind as it was checked; undefined for one of another kind. */
  take(inputs: CallInputs, params: Params): CheckedCall | undefined {
    if (!this.#hasTensors(inputs) || !this.#hasNumbers(params)) return undefined;
    const tensors = inputs as Readonly<Record<string, Tensor>>;
    const { q, k, v } = tensors;
    const given = this.#given.map((one): CheckedGiven => {
      if (one.names.length === 0) return one;
      const captured = Object.fromEntries(one.names.map((name) => [name, tensors[name]!]));
      return { params: one.params, captured };
    });
    return { q: q!, k: k!, v: v!, shape: this.#shape, given };
  }

  /** In the same order: another order is another kind, which is checked like any other. */
  #hasTensors(inputs: CallInputs): boolean {
    let count = 0;
    for (const name of Object.keys(inputs)) {
      const value = inputs[name];
      if (!(value instanceof Tensor)) {
        if (name === 'chosen' || value === undefined) continue;
        return false;
      }
      const known = this.#tensors[count];
      if (known === undefined || known[0] !== name || !sameFacts(known[1], value)) return false;
      count += 1;
    }
    return count === this.#tensors.length;
  }

  #hasNumbers(params: Params): boolean {
    const names = Object.keys(params);
    return (
      names.length === this.#numbers.length &&
      this.#numbers.every(([name, value], i) => names[i] === name && sameValue(value, params[name]))
    );
  }
}

const sameFacts = (a: Facts, b: Facts): boolean =>
  a.dtype === b.dtype && a.layout === b.layout && sameList(a.shape, b.shape);

const sameValue = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) ? Array.isArray(b) && sameList(a, b) : Object.is(a, b);

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** The latest so many are kept. */
const mostKept = 8;

/** The kinds of the calls of one compiled pattern. */
export class CallKinds {
  readonly #known: CallKind[] = [];

  /** A call with its kind: as `check` says, which is asked only where no call of the kind was checked before. */
  take(
    inputs: CallInputs,
    params: Params,
    check: () => CheckedCall,
  ): { readonly kind: CallKind; readonly call: CheckedCall } {
    for (const kind of this.#known) {
      const call = kind.take(inputs, params);
      if (call) return { kind, call };
    }
    const call = check();
    const kind = new CallKind(inputs, params, call);
    if (kind.repeats) {
      this.#known.unshift(kind);
      if (this.#known.length > mostKept) this.#known.pop();
    }
    return { kind, call };
  }
}
