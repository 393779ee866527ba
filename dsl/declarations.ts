// What a mask or score may mention by name, in the form that lifting and analysis need.
// The schemas themselves, and the parsing of values, are in given.ts.

export interface ParamDeclaration {
  /** An `int` is exact everywhere; a `float` is rounded to float32 when it is passed in. */
  readonly kind: 'int' | 'float';
  /** What the schema promises of every value, inclusive; `fixed` parameters are one number here too. */
  readonly lo: number;
  readonly hi: number;
}

export interface TensorDeclaration {
  readonly kind: 'int' | 'float';
  readonly rank: number;
}

export interface SetDeclaration {
  /** Number of arguments of `.has`. */
  readonly arity: number;
}

export interface Declarations {
  readonly params: Readonly<Record<string, ParamDeclaration>>;
  readonly tensors: Readonly<Record<string, TensorDeclaration>>;
  readonly sets: Readonly<Record<string, SetDeclaration>>;
}

/** Where a builder method was called: what V8 reports, source maps applied where they are on. */
export interface CallSite {
  /** An absolute path. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1; the position of the method's name in the chain. */
  readonly column: number;
}

/** An arrow to lift: `mask` gives a boolean, `score` a number (and sees `s`). */
export interface Liftable {
  readonly step: 'mask' | 'score';
  readonly pattern: string;
  readonly fn: (pair: never, given: never) => unknown;
  readonly site: CallSite | undefined;
  readonly declarations: Declarations;
}
