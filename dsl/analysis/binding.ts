// One unit of a launch with everything its expressions mention bound: numbers, captured tensors, sets.
// It answers for points (Environment) and for boxes (IntervalEnvironment).

import type { BitSet } from '../chosen.ts';
import { invariant } from '../diagnostic.ts';
import type { Environment } from '../evaluate.ts';
import type { Index } from '../expression.ts';
import { type LaunchShape, queryOffset, type Unit } from '../shape.ts';
import type { Box } from './box.ts';
import {
  always,
  type Bounds,
  bounds,
  type IntervalEnvironment,
  maybe,
  never,
  type Truth,
} from './interval.ts';
import type { Captured } from './zones.ts';

/** Rows of a two-dimensional set that one question may look at; more rows are answered by 'maybe'. */
const mostRows = 64;

export interface Binding {
  readonly shape: LaunchShape;
  readonly unit: Unit;
  readonly params: Readonly<Record<string, number>>;
  readonly captured: Readonly<Record<string, Captured>>;
  readonly sets: Readonly<Record<string, BitSet>>;
}

/** The environment of a point; `s` is the logit of a score function. */
export function pointEnvironment(binding: Binding, q: number, k: number, s = 0): Environment {
  const { shape, unit, params, captured, sets } = binding;
  const index = {
    ...unit,
    q,
    k,
    s,
    row: q - queryOffset(shape),
    qLen: shape.qLen,
    kLen: shape.kLen,
  };
  return {
    index,
    params,
    at: (tensor, indices) => captured[tensor]!.at(indices),
    has: (set, indices) => sets[set]!.has(indices[0]!, indices[1]),
  };
}

/** The environment of a box of pairs, for one unit; a class, since the analysis makes very many. */
class BoxEnvironment implements IntervalEnvironment {
  readonly #binding: Binding;
  readonly #box: Box;
  readonly difference: Bounds;

  constructor(binding: Binding, box: Box) {
    this.#binding = binding;
    this.#box = box;
    this.difference = bounds(box.d0, box.d1);
  }

  index(name: Index): Bounds {
    const { shape, unit } = this.#binding;
    const { q0, q1, k0, k1 } = this.#box;
    switch (name) {
      case 'q':
        return bounds(q0, q1);
      case 'k':
        return bounds(k0, k1);
      case 'row':
        return bounds(q0 - queryOffset(shape), q1 - queryOffset(shape));
      case 's':
        return bounds(-Infinity, Infinity);
      case 'qLen':
      case 'kLen':
        return bounds(shape[name]);
      default:
        return bounds(unit[name]);
    }
  }

  param(name: string): Bounds {
    return bounds(this.#binding.params[name]!);
  }

  at(tensor: string, lo: readonly number[], hi: readonly number[]): Bounds {
    const values = this.#binding.captured[tensor];
    invariant(values, `the tensor '${tensor}' is not bound`);
    const [low, high] = values.range(lo, hi);
    return { lo: low, hi: high, nan: values.kind === 'float' && values.mayBeNaN };
  }

  has(set: string, lo: readonly number[], hi: readonly number[]): Truth {
    return setTruth(this.#binding.sets[set], lo, hi);
  }
}

export const boxEnvironment = (binding: Binding, box: Box): IntervalEnvironment =>
  new BoxEnvironment(binding, box);

function setTruth(set: BitSet | undefined, lo: readonly number[], hi: readonly number[]): Truth {
  invariant(set, 'a chosen set is not bound');
  const [r0, r1] = set.domain.arity === 1 ? [0, 0] : [lo[0]!, hi[0]!];
  const [c0, c1] = [lo.at(-1)!, hi.at(-1)!];
  const { rowFrom, rows } = set.domain;
  if (r1 < rowFrom || r0 >= rowFrom + rows) return never;
  if (Math.min(r1, rowFrom + rows - 1) - Math.max(r0, rowFrom) >= mostRows) return maybe;
  if (!set.any(r0, r1, c0, c1)) return never;
  return set.all(r0, r1, c0, c1) ? always : maybe;
}
