// A mask taken apart into the masks of its passes: tiles and packed columns that share no pair, and what
// the mask drops of its hull. Expressions alone: lengths and members are not known here.

import { fold } from '../analysis/specialise.ts';
import { and, bool, chain, type Expression, mentions, not, operands, or } from '../expression.ts';

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

/** What could be allowed whatever the sets are: the mask with each `has` read as what allows more, folded. */
export const hullOf = (mask: Expression): Expression => fold(boundOf(mask, true));

/** A bool that asks no set: true wherever `node` may be, or false wherever it may not be true. */
function boundOf(node: Expression, isUpper: boolean): Expression {
  if (!mentions(node, 'has')) return node;
  const same = (arg: Expression): Expression => boundOf(arg, isUpper);
  switch (node.op) {
    case 'not':
      return not(boundOf(node.args[0], !isUpper));
    case 'and':
    case 'or':
      return chain(node.op, node.args.map(same));
    case 'select': {
      // Asked of a set, both arms may be taken.
      const [asked, yes, no] = node.args;
      return or(and(same(asked), same(yes)), and(not(boundOf(asked, !isUpper)), same(no)));
    }
    default:
      // A member, or numbers and bools that are compared.
      return bool(isUpper);
  }
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
