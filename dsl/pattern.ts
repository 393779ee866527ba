// The builder, the front door of the language: pattern(name, given).estimate().mask().score()...
// Each step returns a new frozen value; nothing is lifted, planned or run before it is needed.

import { combine } from './combine.ts';
import type { Arrow, Definition } from './definition.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { ChosenSets, Inputs, Rest, RestInputs, SetsInMask } from './estimate/values.ts';
import {
  checkDefault,
  type Fixed,
  type Given,
  type GivenNumbers,
  type GivenValues,
  isFixed,
  isTensorInput,
  type NumberSchema,
  unknownParameter,
} from './given.ts';
import { captureSite } from './lift/callsite.ts';
import type { KeySpan, Knobs, VisitInputs } from './schedule.ts';
import { isObject } from './shown.ts';
import {
  checkStart,
  type LaterStep,
  laterSteps,
  misgiven,
  misplaced,
  once,
  type StepFinding,
} from './steps.ts';

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
    const site = captureSite(this.score);
    const twice = this.definition.score ? [{ ...once(this.name, 'score'), site }] : [];
    return this.#next({ score: { fn: transform as Arrow['fn'], site } }, twice);
  }

  /**
   * What stands in for keys that the mask would allow were all sets full, and drops: pools of k and v of one size, each
   * where all of its keys are such. Keys that it refuses whatever the sets are have no stand-in.
   */
  rest(summary: (inputs: RestInputs, numbers: GivenNumbers<G>) => Rest): Pattern<G, S> {
    if (typeof summary !== 'function') return this.#misgiven('rest', summary);
    const site = captureSite(this.rest);
    const twice = this.definition.rest ? [{ ...once(this.name, 'rest'), site }] : [];
    return this.#next({ rest: summary as Definition['rest'] }, twice);
  }

  /** How fast, never what. */
  schedule(knobs: KnobsFor<S>): Pattern<G, S> {
    if (!isObject(knobs)) return this.#misgiven('schedule', knobs);
    const scheduled = captureSite(this.schedule);
    return this.#next({ knobs: { ...this.definition.knobs, ...knobs }, scheduled });
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
    const findings: StepFinding[] = [];
    const site = captureSite(this.with);
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) continue;
      const entry = Object.hasOwn(given, name) ? given[name] : undefined;
      const isNumber = entry !== undefined && !isTensorInput(entry);
      const wrong = isNumber
        ? checkDefault(name, entry, value)
        : [unknownParameter(this.name, given, name)];
      findings.push(...wrong.map((one) => ({ ...one, site })));
      if (isNumber && wrong.length === 0) given[name] = rebind(entry, value as number);
    }
    return this.#next({ given }, findings);
  }

  /** Both masks hold. Same-named parameters and sets must be identical; schedules are dropped. */
  and<H extends Given, T extends ChosenSets>(
    other: Pattern<H, T>,
  ): Pattern<Simplify<G & H>, Simplify<S & T>> {
    if (!isPattern(other)) return this.#misgiven('and', other) as never;
    const site = captureSite(this.and);
    return new Pattern(combine('and', this.definition, other.definition, site));
  }

  /** One of the masks holds; see `and`. */
  or<H extends Given, T extends ChosenSets>(
    other: Pattern<H, T>,
  ): Pattern<Simplify<G & H>, Simplify<S & T>> {
    if (!isPattern(other)) return this.#misgiven('or', other) as never;
    const site = captureSite(this.or);
    return new Pattern(combine('or', this.definition, other.definition, site));
  }

  #misgiven(step: LaterStep, value: unknown): Pattern<G, S> {
    const site = captureSite(this[step] as () => unknown);
    return this.#next({}, [{ ...misgiven(this.name, step, value), site }]);
  }

  #next(change: Partial<Definition>, findings: readonly StepFinding[] = []): Pattern<G, S> {
    return changed(this.definition, change, findings);
  }
}

const changed = (
  definition: Definition,
  change: Partial<Definition>,
  findings: readonly StepFinding[],
): Pattern<never, never> =>
  new Pattern({ ...definition, ...change, findings: [...definition.findings, ...findings] });

/** Steps that a finished pattern has in JavaScript alone: without them they would be no functions. */
const refused = { estimate: misplaced, mask: once } as const;
for (const [step, finding] of Object.entries(refused) as [keyof typeof refused, typeof once][]) {
  const value = function called(this: Pattern) {
    const site = captureSite(called);
    return changed(this.definition, {}, [{ ...finding(this.name, step), site }]);
  };
  Object.defineProperty(Pattern.prototype, step, { value });
}

function rebind(entry: NumberSchema | Fixed, value: number): NumberSchema | Fixed {
  if (isFixed(entry)) return { fixed: true, schema: rebind(entry.schema, value) as NumberSchema };
  return (entry as NumberSchema & { default(value: number): NumberSchema }).default(value);
}

/** Starts a pattern: its name, and what it is given (zod schemas of numbers, `fixed`, `i32`, `f32`). */
export function pattern<const G extends Given = Record<never, never>>(
  name: string,
  given: G = {} as G,
): PatternStart<G> {
  const withMask = (estimates: Definition['estimates'], findings: readonly StepFinding[]) =>
    function mask(predicate: unknown) {
      const site = captureSite(mask);
      const isMask = typeof predicate === 'function';
      return new Pattern<never, never>({
        name: String(name),
        given: isObject(given) ? given : {},
        estimates,
        mask: { op: 'arrow', arrow: { fn: predicate as Arrow['fn'], site } },
        score: undefined,
        rest: undefined,
        knobs: {},
        visit: undefined,
        findings: isMask ? findings : [...findings, { ...misgiven(name, 'mask', predicate), site }],
      });
    };
  const start = (estimates: Definition['estimates'], findings: readonly StepFinding[]): object => {
    const wrong = (finding: Diagnostic, called: (...given: never[]) => unknown) =>
      start(estimates, [...findings, { ...finding, site: captureSite(called) }]);
    const estimate = (program: unknown) => {
      if (estimates.length > 0) return wrong(once(name, 'estimate'), estimate);
      if (typeof program !== 'function')
        return wrong(misgiven(name, 'estimate', program), estimate);
      return start([program as Definition['estimates'][number]], findings);
    };
    // Not in the types.
    const later = laterSteps.map((step) => {
      const refused = (): object => wrong(misplaced(name, step), refused);
      return [step, refused] as const;
    });
    return { ...Object.fromEntries(later), estimate, mask: withMask(estimates, findings) };
  };
  const site = captureSite(pattern);
  const begun = checkStart(name, given).map((one) => ({ ...one, site }));
  return start([], begun) as PatternStart<G>;
}
