// The builder, the front door of the language: pattern(name, given).estimate().mask().score()...
// Each step returns a new frozen value; nothing is lifted, planned or run before it is needed.

import { combine } from './combine.ts';
import type { Arrow, Definition } from './definition.ts';
import { type Diagnostic, diagnostic } from './diagnostic.ts';
import type { ChosenSets, Inputs, Rest, RestInputs, SetsInMask } from './estimate/values.ts';
import {
  type Fixed,
  type Given,
  type GivenNumbers,
  type GivenValues,
  isFixed,
  isTensorInput,
  type NumberSchema,
} from './given.ts';
import { captureSite } from './lift/callsite.ts';
import type { KeySpan, Knobs, VisitInputs } from './schedule.ts';
import { isObject } from './shown.ts';
import { checkStart, misgiven, type Step } from './steps.ts';

/** One (query, key) pair. Singular names are indices, plurals and lengths are sizes. */
export interface Pair {
  /** Position of the query among the keys: `row + kLen - qLen`. */
  readonly q: number;
  /** Position of the key. */
  readonly k: number;
  /** Number of the query, from 0. */
  readonly row: number;
  readonly head: number;
  readonly kvHead: number;
  readonly batch: number;
  readonly qLen: number;
  readonly kLen: number;
}

/** A pair with its logit, as a score function sees it. */
export interface ScoredPair extends Pair {
  /** The scaled logit `q . k / sqrt(dim)`, in natural units. */
  readonly s: number;
}

type Simplify<T> = { [K in keyof T]: T[K] } & {};
type InMask<G extends Given, S extends ChosenSets> = Simplify<GivenValues<G> & SetsInMask<S>>;

/** The knobs of a schedule; `gather` names a set of the estimate. */
export type KnobsFor<S extends ChosenSets> = Omit<Knobs, 'gather'> & {
  readonly gather?: keyof S & string;
};

/** A pattern before its mask. */
export interface PatternStart<G extends Given> {
  /** The online index: what the queries and keys themselves say about which keys matter. */
  estimate<S extends ChosenSets>(
    program: (inputs: Inputs, numbers: GivenNumbers<G>) => S,
  ): PatternEstimated<G, S>;
  /** What may attend to what. */
  mask(
    predicate: (pair: Pair, given: InMask<G, Record<never, never>>) => boolean,
  ): Pattern<G, Record<never, never>>;
}

/** A pattern with an estimate, before its mask. */
export interface PatternEstimated<G extends Given, S extends ChosenSets> {
  /** What may attend to what. */
  mask(predicate: (pair: Pair, given: InMask<G, S>) => boolean): Pattern<G, S>;
}

/** A finished pattern whose parameters and sets are known at run time only, as in a list of patterns. */
export interface AnyPattern {
  readonly name: string;
  readonly definition: Definition;
}

/** A pattern by its structure: one of another copy of warploom has another class. */
export function isPattern(value: unknown): value is AnyPattern {
  if (typeof value !== 'object' || value === null || !('definition' in value)) return false;
  const { definition } = value;
  return (
    typeof definition === 'object' &&
    definition !== null &&
    'mask' in definition &&
    'given' in definition
  );
}

/** A finished pattern; every method returns a new one. */
export class Pattern<G extends Given = Given, S extends ChosenSets = ChosenSets> {
  readonly definition: Definition;
  /** Types only. */
  declare readonly given?: G;
  /** Types only. */
  declare readonly sets?: S;

  constructor(definition: Definition) {
    this.definition = Object.freeze(definition);
  }

  get name(): string {
    return this.definition.name;
  }

  /** Changes each allowed logit; `s` is the scaled logit, the result replaces it. */
  score(transform: (pair: ScoredPair, given: InMask<G, S>) => number): Pattern<G, S> {
    if (typeof transform !== 'function') return this.#misgiven('score', transform);
    const arrow: Arrow = { fn: transform as Arrow['fn'], site: captureSite(this.score) };
    const twice = this.definition.score ? [once(this.name, 'score')] : [];
    return this.#next({ score: arrow }, twice);
  }

  /**
   * What stands in for keys that the mask would allow were all sets full, and drops: pools of k and v of one size, each
   * where all of its keys are such. Keys that it refuses whatever the sets are have no stand-in.
   */
  rest(summary: (inputs: RestInputs, numbers: GivenNumbers<G>) => Rest): Pattern<G, S> {
    if (typeof summary !== 'function') return this.#misgiven('rest', summary);
    const twice = this.definition.rest ? [once(this.name, 'rest')] : [];
    return this.#next({ rest: summary as Definition['rest'] }, twice);
  }

  /** How fast, never what. */
  schedule(knobs: KnobsFor<S>): Pattern<G, S> {
    if (!isObject(knobs)) return this.#misgiven('schedule', knobs);
    return this.#next({ knobs: { ...this.definition.knobs, ...knobs } });
  }

  /** States which keys a query tile visits; checked against the mask whenever it is used. */
  visit(
    program: (inputs: VisitInputs, numbers: GivenNumbers<G>) => readonly KeySpan[],
  ): Pattern<G, S> {
    if (typeof program !== 'function') return this.#misgiven('visit', program);
    return this.#next({ visit: program as Definition['visit'] });
  }

  /** Rebinds defaults: `aShape.with({ window: 512 })`. */
  with(values: Partial<Record<keyof GivenNumbers<G> & string, number>>): Pattern<G, S> {
    if (!isObject(values)) return this.#misgiven('with', values);
    const given: Record<string, Given[string]> = { ...this.definition.given };
    const findings: Diagnostic[] = [];
    for (const [name, value] of Object.entries(values)) {
      const entry = Object.hasOwn(given, name) ? given[name] : undefined;
      if (entry === undefined || isTensorInput(entry)) {
        findings.push(diagnostic('T005', `'${this.name}' has no parameter '${name}'`));
      } else {
        given[name] = rebind(entry, value as number);
      }
    }
    return this.#next({ given }, findings);
  }

  /** Both masks hold. Same-named parameters and sets must be identical; schedules are dropped. */
  and<H extends Given, T extends ChosenSets>(
    other: Pattern<H, T>,
  ): Pattern<Simplify<G & H>, Simplify<S & T>> {
    if (!isPattern(other)) return this.#misgiven('and', other) as never;
    return new Pattern(combine('and', this.definition, other.definition));
  }

  /** One of the masks holds; see `and`. */
  or<H extends Given, T extends ChosenSets>(
    other: Pattern<H, T>,
  ): Pattern<Simplify<G & H>, Simplify<S & T>> {
    if (!isPattern(other)) return this.#misgiven('or', other) as never;
    return new Pattern(combine('or', this.definition, other.definition));
  }

  #misgiven(step: Step, value: unknown): Pattern<G, S> {
    return this.#next({}, [misgiven(this.name, step, value)]);
  }

  #next(change: Partial<Definition>, findings: readonly Diagnostic[] = []): Pattern<G, S> {
    return new Pattern({
      ...this.definition,
      ...change,
      findings: [...this.definition.findings, ...findings],
    });
  }
}

const once = (name: string, step: string): Diagnostic =>
  diagnostic('S008', `'${name}' has two .${step} steps`, { help: 'write both into one' });

function rebind(entry: NumberSchema | Fixed, value: number): NumberSchema | Fixed {
  if (isFixed(entry)) return { fixed: true, schema: rebind(entry.schema, value) as NumberSchema };
  return (entry as NumberSchema & { default(value: number): NumberSchema }).default(value);
}

/** Starts a pattern: its name, and what it is given (zod schemas of numbers, `fixed`, `i32`, `f32`). */
export function pattern<const G extends Given = Record<never, never>>(
  name: string,
  given: G = {} as G,
): PatternStart<G> {
  const begun = checkStart(name, given);
  const withMask = (estimates: Definition['estimates'], findings: readonly Diagnostic[]) =>
    function mask(predicate: unknown) {
      const isMask = typeof predicate === 'function';
      return new Pattern<never, never>({
        name: String(name),
        given: isObject(given) ? given : {},
        estimates,
        mask: {
          op: 'arrow',
          arrow: { fn: predicate as Arrow['fn'], site: captureSite(mask) },
        },
        score: undefined,
        rest: undefined,
        knobs: {},
        visit: undefined,
        findings: isMask ? findings : [...findings, misgiven(name, 'mask', predicate)],
      });
    };
  const estimate = (program: unknown) =>
    typeof program === 'function'
      ? { mask: withMask([program as Definition['estimates'][number]], begun) }
      : { mask: withMask([], [...begun, misgiven(name, 'estimate', program)]) };
  return { estimate, mask: withMask([], begun) } as unknown as PatternStart<G>;
}
