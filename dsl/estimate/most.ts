// How many members a row of a chosen set can have: what lists of them are made for.

import { axesOfChosen, type ChosenNode } from './node.ts';

/**
 * No row of the set has more members, of so many columns. What passes a capacity becomes all columns; blocks that
 * `always` forces by the row may be more than its number, so that of two axes nothing is known.
 */
export function mostMembers(node: ChosenNode, columns: number): number {
  if (axesOfChosen(node).length > 1) return columns;
  switch (node.op) {
    case 'topk':
      return Math.min(columns, Math.max(node.count, node.always.first + node.always.last));
    case 'dilate':
      return Math.min(columns, mostMembers(node.of, columns) * node.size);
    case 'where':
      return Math.max(
        ...[node.yes, node.no].map((side) => (side === 'none' ? 0 : mostMembers(side, columns))),
      );
    default:
      return columns;
  }
}
