// What a mask may allow whatever its sets hold: a mask without sets, true wherever the other may be. The hull (split.ts),
// which reads sets as full, is as much only where nothing asks for what a set lacks.

import { fold } from '../analysis/specialise.ts';
import { and, bool, chain, type Expression, mentions, not, or } from '../expression.ts';

/** The mask with each `has` read as what allows more, folded. */
export const reachOf = (mask: Expression): Expression => fold(boundOf(mask, true));

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
