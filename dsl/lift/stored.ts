// Lifted forms that a package ships: found by what the function says of itself, without any parser.
// The JSON is written by the build; here are its key, its two directions, and the table.

import { createHash } from 'node:crypto';
import type { Declarations, Liftable } from '../declarations.ts';
import { children, type Expression, withChildren } from '../expression.ts';

/** Lifted forms as JSON, by `liftKey`. */
export type StoredTable = Readonly<Record<string, unknown>>;

const table = new Map<string, Expression>();

/** Adds the forms of a compiled package. They were compared with their functions when it was built. */
export function registerLifted(forms: Readonly<Record<string, Expression>> | StoredTable): void {
  for (const [key, form] of Object.entries(forms)) table.set(key, revive(form as Stored));
}

export function findLifted(request: Liftable): Expression | undefined {
  return table.size === 0 ? undefined : table.get(liftKey(request));
}

/** Names a function by its text and everything else that its lifted form depends on. */
export function liftKey(request: Liftable): string {
  const { step, pattern, fn, declarations } = request;
  const text = [step, pattern, String(fn), declarationText(declarations)].join('\0');
  return createHash('sha256').update(text).digest('hex');
}

/** Declarations in one order, bounds included: JSON would write Infinity as null. */
function declarationText({ params, tensors, sets }: Declarations): string {
  const sorted = <T>(record: Readonly<Record<string, T>>, text: (value: T) => string): string =>
    Object.keys(record)
      .sort()
      .map((name) => `${name}:${text(record[name]!)}`)
      .join();
  return [
    sorted(params, ({ kind, lo, hi }) => `${kind} ${lo} ${hi}`),
    sorted(tensors, ({ kind, rank }) => `${kind} ${rank}`),
    sorted(sets, ({ arity }) => String(arity)),
  ].join(';');
}

type Stored = Expression | (Omit<Expression & { op: 'const' }, 'value'> & { value: string });

/** The form as plain JSON data: without spans, and with non-finite numbers and -0 as text. */
export function storable(node: Expression): unknown {
  const { span: _, ...rest } = withChildren(node, children(node).map(storable) as Expression[]);
  if (node.op !== 'const' || typeof node.value !== 'number') return rest;
  const isPlain = Number.isFinite(node.value) && !Object.is(node.value, -0);
  return isPlain ? rest : { ...rest, value: Object.is(node.value, -0) ? '-0' : String(node.value) };
}

function revive(node: Stored): Expression {
  if (node.op === 'const')
    return { ...node, value: typeof node.value === 'string' ? Number(node.value) : node.value };
  return withChildren(node, children(node).map(revive));
}
