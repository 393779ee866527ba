// The author's own functions as the oracle calls them: a pair with everything it may mention, the values
// of `given`, and a check of what comes back. Independent of lifting. No tensors of q, k and v.

import { type BitSet, type ChosenSetsData, setOfHead } from '../../dsl/chosen.ts';
import { type Definition, nativeMask } from '../../dsl/definition.ts';
import { diagnostic, LiftError, PlanError, ShapeError } from '../../dsl/diagnostic.ts';
import { parametersOf } from '../../dsl/given.ts';
import type { LaunchShape, Unit } from '../../dsl/shape.ts';
import type { CheckedGiven } from '../inputs.ts';
import { captured } from './values.ts';

/** The functions of one head, on row and key. */
export interface Arrows {
  /** Is the pair allowed? */
  mask(row: number, key: number): boolean;
  /** The same with every `.has` read as true. */
  hull(row: number, key: number): boolean;
  /** The logit that takes the place of `s`. */
  score(row: number, key: number, s: number): number;
  /** The same for a stand-in, which has no positions. */
  scoreStandIn(s: number): number;
}

interface PairNow {
  q: number;
  k: number;
  row: number;
  readonly head: number;
  readonly kvHead: number;
  readonly batch: number;
  readonly qLen: number;
  readonly kLen: number;
  s?: number;
}

type Native = (pair: unknown, given: unknown) => unknown;

const everything = { has: () => true };

/** As a mask reads a set: false outside its domain, and for what is no integer. */
const asRead = (set: BitSet) => ({
  has: (...member: [number, number?]) => member.every(Number.isInteger) && set.has(...member),
});

/**
 * Calls throw LiftError L018 when the author's function throws, L016 when it returns another kind of
 * value; PlanError E009 when a score of a stand-in asks for positions; ShapeError T010 when the score of
 * a finite logit is NaN or +Infinity (-Infinity leaves the pair out).
 */
export function arrowsOf(
  definition: Definition,
  { params, captured: tensors }: CheckedGiven,
  chosen: ChosenSetsData,
  shape: LaunchShape,
  { batch, head, kvHead }: Unit,
): Arrows {
  const { qLen, kLen, heads, kvHeads } = shape;
  const named = <T>(of: Readonly<Record<string, T>>, make: (value: T) => unknown) =>
    Object.fromEntries(Object.entries(of).map(([name, value]) => [name, make(value)]));
  const plain = { ...parametersOf(params, head), ...named(tensors, captured) };
  const given = Object.freeze({
    ...plain,
    ...named(chosen, (set) => asRead(setOfHead(set, batch, head, heads, kvHeads))),
  });
  const hullGiven = Object.freeze({ ...plain, ...named(chosen, () => everything) });
  const mask = nativeMask(definition.mask) as Native;
  const score = definition.score?.fn as Native | undefined;
  const pair: PairNow = { q: 0, k: 0, row: 0, head, kvHead, batch, qLen, kLen };
  const scored: PairNow = { ...pair, s: 0 };

  const place = (at: PairNow, row: number, key: number): void => {
    at.row = row;
    at.q = row + kLen - qLen;
    at.k = key;
  };
  const call = (step: string, fn: Native, at: object, values: object): unknown => {
    try {
      return fn(at, values);
    } catch (cause) {
      if (cause instanceof PlanError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      const what = `the ${step} of '${definition.name}' throws at ${show(at)}: ${why}`;
      throw new LiftError([diagnostic('L018', what)], { cause });
    }
  };
  const wrong = (step: string, at: object, value: unknown, wanted: string): LiftError => {
    const got = `${value === null ? 'null' : typeof value} ${String(value)}`;
    const what = `the ${step} of '${definition.name}' returns ${got} at ${show(at)}`;
    return new LiftError([diagnostic('L016', what, { help: `return a ${wanted}` })]);
  };
  const allowed = (row: number, key: number, values: object): boolean => {
    place(pair, row, key);
    const result = call('mask', mask, pair, values);
    if (typeof result !== 'boolean') throw wrong('mask', pair, result, 'boolean');
    return result;
  };
  const scoreOf = (at: object, s: number): number => {
    if (!score) return s;
    const result = call('score', score, at, given);
    if (typeof result !== 'number') throw wrong('score', at, result, 'number');
    if (Number.isFinite(s) && (Number.isNaN(result) || result === Infinity)) {
      const what = `the score of '${definition.name}' is ${result} at ${show(at)}`;
      throw new ShapeError([
        diagnostic('T010', what, { help: 'return a finite number, or -Infinity to leave it out' }),
      ]);
    }
    return result;
  };
  return {
    mask: (row, key) => allowed(row, key, given),
    hull: (row, key) => allowed(row, key, hullGiven),
    score(row, key, s) {
      place(scored, row, key);
      scored.s = s;
      return scoreOf(scored, s);
    },
    scoreStandIn: (s) => scoreOf(standIn(definition.name, { ...scored, s }), s),
  };
}

const show = (at: object): string =>
  `(${Object.keys(at)
    .filter((name) => ['batch', 'head', 'row', 'q', 'k', 's'].includes(name))
    .map((name) => `${name} ${Object.getOwnPropertyDescriptor(at, name)?.value ?? '-'}`)
    .join(', ')})`;

/** A pair without positions: asking for one is an error. */
function standIn(name: string, pair: PairNow): object {
  const refuse = () => {
    const what = `the score of '${name}' depends on positions, and stand-ins have none`;
    const help = 'use only s, head and parameters in a score beside .rest';
    throw new PlanError([diagnostic('E009', what, { help })]);
  };
  const getter = { get: refuse, enumerable: true };
  return Object.defineProperties({ ...pair }, { q: getter, k: getter, row: getter });
}
