// The values that an estimate is written with, as types: vectors, scores, weights, sums and sets.
// A wrong combination is a type error here and a diagnostic in trace.ts; nothing is computed.

/** Rows or columns: single tokens, aligned blocks of tokens, or distances `q - k`. */
export type Axis = 'q' | 'k' | 'qBlock' | 'kBlock' | 'distance';

type BlockOf<A extends Axis> = A extends 'q' ? 'qBlock' : A extends 'k' ? 'kBlock' : never;

/** Members that are chosen whatever their weight. */
export interface Always {
  /** Members 0 .. first - 1 of the domain (of each row). */
  readonly first?: number;
  /**
   * The last ones: of a row of query positions that lie in key blocks f..l, blocks f - last + 1 .. l;
   * of a one-dimensional domain, its last members.
   */
  readonly last?: number;
}

export interface TopkOptions {
  readonly always?: Always;
}

export interface AboveOptions extends TopkOptions {
  /** The reference is the row's largest weight (the default) or its sum. */
  readonly of?: 'max' | 'sum';
  /** A row that needs more members than this makes its head dense, and is reported. */
  readonly capacity?: number;
}

export interface CoverOptions extends TopkOptions {
  /** A row that needs more members than this makes its head dense, and is reported. */
  readonly capacity?: number;
}

/** One vector of the head dimension per row. */
export interface Vectors<R extends Axis> {
  /** The last `n` queries (all, when there are fewer). `n` must be fixed. */
  last(this: Vectors<'q'>, n: number): Vectors<'q'>;
  /** One vector per aligned block of `size` positions: mean or maximum of its valid rows. `size` must be fixed. */
  pool(size: number, how?: 'mean' | 'max'): Vectors<BlockOf<R>>;
  /** Scaled logits, `left . right / sqrt(dim)`. */
  dot<C extends Axis>(other: Vectors<C>): Scores<R, C>;
}

/** Scaled logits, one per row and column. */
export interface Scores<R extends Axis, C extends Axis> {
  /** Drops columns that a row cannot see: a column of pooled keys is seen when its last key is. */
  causal(): Scores<R, C>;
  /** Each row's softmax over the columns it sees. */
  softmax(): Weights<R, C>;
  /** `e^score`, with a common factor left open for each query block: only comparisons within it are legal. */
  exp(): OpenWeights<R, C>;
  /** The `n` largest visible scores of each row; ties go to the lower index. */
  topk(n: number, options?: TopkOptions): Chosen<[R, C]>;
}

interface Selectable<Axes extends readonly Axis[]> {
  /** The `n` largest (members of `always` included); ties go to the lower index. */
  topk(n: number, options?: TopkOptions): Chosen<Axes>;
  /** All that reach `share` of the row's largest weight (or of its sum). */
  above(share: number, options?: AboveOptions): Chosen<Axes>;
  /** The fewest that together reach `mass` (0..1) of the row's sum. */
  cover(mass: number, options?: CoverOptions): Chosen<Axes>;
}

/** Weights with an open factor (behind `exp`). */
export interface OpenWeights<R extends Axis, C extends Axis> extends Selectable<[R, C]> {
  sumPerKey(): OpenSums<C>;
  sumPerDistance(this: OpenWeights<'q', 'k'>): OpenSums<'distance'>;
  /** Sums over the queries of each aligned block of `tile` queries. `tile` must be fixed. */
  sumPerBlock(this: OpenWeights<'q', C>, tile: number): OpenWeights<'qBlock', C>;
  /** Sums over the query heads of one KV head; sets derived from it are one per KV head. */
  sumPerGroup(): OpenWeights<R, C>;
}

/** Non-negative weights, one per row and column. */
export interface Weights<R extends Axis, C extends Axis> extends Selectable<[R, C]> {
  /** One sum per column, over all rows. */
  sumPerKey(): Sums<C>;
  /** One sum per distance `q - k` from 0, over all rows. */
  sumPerDistance(this: Weights<'q', 'k'>): Sums<'distance'>;
  /** Sums over the queries of each aligned block of `tile` queries. `tile` must be fixed. */
  sumPerBlock(this: Weights<'q', C>, tile: number): Weights<'qBlock', C>;
  /** Sums over the query heads of one KV head; sets derived from it are one per KV head. */
  sumPerGroup(): Weights<R, C>;
}

export interface OpenSums<X extends Axis> extends Selectable<[X]> {
  sumPerGroup(): OpenSums<X>;
}

/** Non-negative weights, one per member of an axis. */
export interface Sums<X extends Axis> extends Selectable<[X]> {
  /** Sums over aligned blocks of `size` members. `size` must be fixed. */
  pool(this: Sums<'k'>, size: number): Sums<'kBlock'>;
  sumPerGroup(): Sums<X>;
}

/** As many numbers as the set has axes. */
type Members<Axes extends readonly Axis[]> = { [A in keyof Axes]: number };

/** A set that is chosen at run time, as an estimate returns it. */
export interface Chosen<Axes extends readonly Axis[]> {
  /** The axes of the set, in the order of the arguments of `has`. */
  readonly axes?: Axes;
  /** The union of `[s, s + size)` over the members `s`. `size` must be fixed. */
  dilate(this: Chosen<[Axis]>, size: number): Chosen<Axes>;
}

/** A chosen set as a mask sees it. */
export interface ChosenInMask<Axes extends readonly Axis[]> {
  /** Is it a member; false outside the domain. */
  has(...member: Members<Axes>): boolean;
}

export type ChosenSets = Readonly<Record<string, Chosen<readonly Axis[]>>>;

export type SetsInMask<S extends ChosenSets> = {
  readonly [N in keyof S]: S[N] extends Chosen<infer Axes> ? ChosenInMask<Axes> : never;
};

/** A number per head that a choice depends on. */
export interface Measure {
  below(limit: number): Verdict;
}

/** Yes or no, per head. */
export interface Verdict {
  readonly verdict?: true;
}

/** What the arrow of `.estimate` destructures first. */
export interface Inputs {
  readonly q: Vectors<'q'>;
  readonly k: Vectors<'k'>;
}

/** What the arrow of `.rest` destructures first, and what it returns. */
export interface RestInputs {
  readonly k: Poolable;
  readonly v: Poolable;
}
export interface Poolable {
  /** Means of aligned blocks of `size` keys. `size` must be fixed. */
  pool(size: number): Pooled;
}
export interface Pooled {
  readonly pooled?: number;
}
export interface Rest {
  readonly keys: Pooled;
  readonly values: Pooled;
}
