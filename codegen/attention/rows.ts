// Which part of a mask is the same for all of 16 rows that a warp has together: `blocks.has(floor(q / 64), ...)`
// is asked once for each key, `k <= q` for each pair.

import { collect } from '../../dsl/analysis/linear.ts';
import { chain, children, type Expression, operands, walk } from '../../dsl/expression.ts';

/** Does an expression have one value for all queries of an aligned run of `rows`? */
export function sameForRows(node: Expression, rows: number): boolean {
  if (node.op === 'index') return node.name !== 'q' && node.name !== 'row';
  if (node.op === 'binary' && node.name === 'floordiv' && node.args[1].op === 'const') {
    const block = node.args[1].value as number;
    const { q, k, constant, others } = collect(node.args[0]);
    if (q === 1 && k === 0 && others.length === 0 && block > 0)
      return block % rows === 0 && constant % rows === 0;
  }
  return children(node).every((child) => sameForRows(child, rows));
}

/** A mask as two that both have to hold: `shared` by aligned runs of rows and worth asking once, and each row's own. */
export function splitByRows(
  mask: Expression,
  rows: number,
): { shared: Expression; own: Expression } | undefined {
  const parts = operands(mask, 'and');
  const asks = (part: Expression) => [...walk(part)].some(({ op }) => op === 'has');
  const isShared = (part: Expression) => asks(part) && sameForRows(part, rows);
  const shared = parts.filter(isShared);
  if (shared.length === 0) return undefined;
  return {
    shared: chain('and', shared),
    own: chain(
      'and',
      parts.filter((part) => !isShared(part)),
    ),
  };
}
