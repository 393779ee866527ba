// The passes of a kernel over its keys, by their masks: key tiles, packed columns, stand-ins. The same
// split as a plan makes (dsl/plan/unit.ts), before lengths and parameters are known.

import { fold } from '../../dsl/analysis/specialise.ts';
import { and, type Expression, has, index, int, real, rebuild } from '../../dsl/expression.ts';
import { droppedBy, splitColumns } from '../../dsl/plan/split.ts';

export type KernelPass =
  | { readonly kind: 'tiles'; readonly mask: Expression }
  | { readonly kind: 'columns'; readonly mask: Expression; readonly set: string }
  | { readonly kind: 'rest'; readonly mask: Expression; readonly size: number };

/** An expression with the fixed parameters as constants. */
export function withFixed(node: Expression, fixed: Readonly<Record<string, number>>): Expression {
  return rebuild(node, (part) => {
    if (part.op !== 'param') return fold(part);
    const value = fixed[part.name];
    if (value === undefined) return part;
    return part.kind === 'int' ? int(value, part.span) : real(value, part.span);
  });
}

export function passesOf(
  mask: Expression,
  gather: string | undefined,
  restSize: number | undefined,
): KernelPass[] {
  const passes: KernelPass[] = [];
  const gathered = gather === undefined ? undefined : splitColumns(mask, gather);
  const main = gathered ? gathered.tiles : mask;
  if (!(main.op === 'const' && main.value === false)) passes.push({ kind: 'tiles', mask: main });
  if (gathered && gather !== undefined)
    passes.push({
      kind: 'columns',
      set: gather,
      mask: and(gathered.columns, has(gather, [index('k')])),
    });
  if (restSize !== undefined) passes.push({ kind: 'rest', size: restSize, mask: droppedBy(mask) });
  return passes;
}

/** Are keys gathered by a list? */
export const gathers = (passes: readonly KernelPass[]): boolean =>
  passes.some(({ kind }) => kind === 'columns');
