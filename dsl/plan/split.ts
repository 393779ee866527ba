// A mask taken apart into the masks of its passes: tiles and packed columns that share no pair, and what
// the mask drops of its hull. Expressions alone: lengths and members are not known here.

import { fold } from '../analysis/specialise.ts';
import {
  and,
  bool,
  chain,
  type Expression,
  mentions,
  not,
  operands,
  rebuild,
} from '../expression.ts';

/**
 * `A and (set.has(k) or B)` as two disjoint parts: tiles of `A and B`, and packed keys of the set with
 * `A and not B`. Undefined when the mask has no such shape.
 */
export function splitColumns(
  mask: Expression,
  set: string,
): { tiles: Expression; columns: Expression } | undefined {
  const parts = operands(mask, 'and');
  for (const [i, part] of parts.entries()) {
    const arms = operands(part, 'or');
    const asked = arms.findIndex((arm) => arm.op === 'has' && arm.set === set && isKey(arm.args));
    if (asked < 0) continue;
    const others = arms.filter((_, j) => j !== asked);
    if (others.some((arm) => mentions(arm, 'has', set))) continue;
    const a = chain(
      'and',
      parts.filter((_, j) => j !== i),
    );
    const b = chain('or', others);
    if (mentions(a, 'has', set)) continue;
    return { tiles: fold(and(a, b)), columns: fold(and(a, fold(not(b)))) };
  }
  return undefined;
}

const isKey = (args: readonly Expression[]): boolean =>
  args.length === 1 && args[0]!.op === 'index' && args[0]!.name === 'k';

/** The mask with every `has` read as true, folded: what could be allowed if all sets were full. */
export function hullOf(mask: Expression): Expression {
  return rebuild(mask, (node) => (node.op === 'has' ? bool(true) : fold(node)));
}

/** The hull without the mask. Conjuncts that ask no set are the same in both: `A and not (the rest)`. */
export function droppedBy(mask: Expression): Expression {
  const parts = operands(mask, 'and');
  const plain = parts.filter((part) => !mentions(part, 'has'));
  const asking = chain(
    'and',
    parts.filter((part) => mentions(part, 'has')),
  );
  const lost = fold(and(hullOf(asking), fold(not(asking))));
  return fold(and(chain('and', plain), lost));
}
