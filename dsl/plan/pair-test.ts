// An expression of a unit as a function of one pair, compiled: for counting pair by pair, for pictures, and for what
// a pair shows sooner than intervals can tell. Its meaning is evaluate.ts's.

import type { Expression } from '../expression.ts';
import { printArrow } from '../print.ts';
import { queryOffset } from '../shape.ts';
import type { UnitPlan } from './unit.ts';

/** Does the expression hold for the query at position `q` and the key at `k`. */
export type PairTest = (q: number, k: number) => boolean;

/** Compiles an expression of a unit: its mask, or the mask of a pass. */
export function pairTest({ binding }: Pick<UnitPlan, 'binding'>, mask: Expression): PairTest {
  const { shape, unit, params, captured, sets } = binding;
  const offset = queryOffset(shape);
  const loads = Object.entries(captured).map(([name, tensor]) => [
    name,
    { at: (...indices: number[]) => tensor.at(indices) },
  ]);
  const given = { ...params, ...Object.fromEntries(loads), ...sets };
  const arrow: (pair: object, given: object) => boolean = new Function(
    `return ${printArrow(mask)}`,
  )();
  const pair = { ...unit, q: 0, k: 0, row: 0, qLen: shape.qLen, kLen: shape.kLen };
  return (q, k) => {
    [pair.q, pair.k, pair.row] = [q, k, q - offset];
    return arrow(pair, given);
  };
}
