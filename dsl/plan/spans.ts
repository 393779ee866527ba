// Which keys a query tile may need, as sorted disjoint spans: linear constraints give bounds, chosen
// sets give their own runs, shifted. A superset of the truth, never less; what it does not understand
// it leaves in, and the tiles are then judged one by one (walk.ts).

import type { Binding } from '../analysis/binding.ts';
import { boxEnvironment } from '../analysis/binding.ts';
import { type Box, close, copyOf } from '../analysis/box.ts';
import type { Formula } from '../analysis/formula.ts';
import { intervalOf } from '../analysis/interval.ts';
import { collect } from '../analysis/linear.ts';
import { narrow } from '../analysis/possible.ts';
import { binary, type Expression, index, int, mentions } from '../expression.ts';

/** Keys `[from, to)`, flat: from, to, from, to ... ascending, disjoint, not touching. */
export type Spans = readonly number[];

/** Every key k for which some query of the box may satisfy the formula, and maybe more. */
export function spansOf(formula: Formula, box: Box, binding: Binding): Spans {
  switch (formula.op) {
    case 'true':
      return [box.k0, box.k1 + 1];
    case 'false':
      return [];
    case 'linear':
    case 'and':
      return spansOfAll(formula.op === 'and' ? formula.parts : [formula], box, binding);
    case 'or':
      return unite(formula.parts.map((part) => spansOf(part, box, binding)));
    case 'atom': {
      const understood = spansOfAtom(formula.expression, box, binding);
      return understood ?? [box.k0, box.k1 + 1];
    }
  }
}

function spansOfAll(parts: readonly Formula[], outer: Box, binding: Binding): Spans {
  const box = copyOf(outer);
  for (const part of parts) if (part.op === 'linear' && !narrow(box, part)) return [];
  if (!close(box)) return [];
  let spans: Spans = [box.k0, box.k1 + 1];
  for (const part of parts) {
    if (part.op === 'linear') continue;
    spans = intersect(spans, spansOf(part, box, binding));
    if (spans.length === 0) break;
  }
  return spans;
}

/** How an argument of `has` depends on the key: `sign * k + (something of q)`, or `floor((k + shift) / block)`. */
export type KeyArgument =
  | { readonly form: 'shift'; readonly sign: 1 | -1; readonly rest: Expression }
  | { readonly form: 'block'; readonly block: number; readonly shift: number };

/** Understands the last argument of a `has`; undefined when it has another form. */
export function keyArgument(arg: Expression): KeyArgument | undefined {
  if (arg.op === 'binary' && arg.name === 'floordiv' && arg.args[1].op === 'const') {
    const { q, k, constant, others } = collect(arg.args[0]);
    const block = arg.args[1].value as number;
    if (q === 0 && k === 1 && others.length === 0 && block > 0)
      return { form: 'block', block, shift: constant };
  }
  const { k, others } = collect(arg);
  if ((k !== 1 && k !== -1) || others.some(([, part]) => mentions(part, 'index', 'k')))
    return undefined;
  const rest = binary('sub', arg, k === 1 ? index('k') : binary('sub', int(0), index('k')));
  return { form: 'shift', sign: k, rest };
}

/** Spans of `has` or `not has`; undefined for atoms of any other form. */
function spansOfAtom(expression: Expression, box: Box, binding: Binding): Spans | undefined {
  const negated = expression.op === 'not';
  const node = negated ? expression.args[0] : expression;
  if (node.op !== 'has') return undefined;
  const set = binding.sets[node.set]!;
  const argument = keyArgument(node.args.at(-1)!);
  if (!argument) return undefined;
  const env = boxEnvironment(binding, box);
  let [r0, r1] = [0, 0];
  if (node.args.length === 2) {
    if (mentions(node.args[0]!, 'index', 'k')) return undefined;
    const rows = intervalOf(node.args[0]!, env);
    [r0, r1] = [rows.lo, rows.hi];
    if (r1 - r0 > 256) return undefined;
  }
  // May any row hold the member; for the negation: must all rows hold it.
  const { rowFrom, rows } = set.domain;
  const everyRowInside = r0 >= rowFrom && r1 < rowFrom + rows;
  const runs = negated ? (everyRowInside ? set.runs(r0, r1, 'every') : []) : set.runs(r0, r1);
  const keys: number[] = [];
  const bounds = argument.form === 'shift' ? intervalOf(argument.rest, env) : undefined;
  for (let i = 0; i < runs.length; i += 2) {
    const [first, last] = [runs[i]!, runs[i + 1]! - 1];
    let [from, to] = [0, 0];
    if (argument.form === 'block') {
      [from, to] = [
        first * argument.block - argument.shift,
        (last + 1) * argument.block - argument.shift,
      ];
    } else {
      // member = sign * k + rest, with rest anywhere in [lo, hi]: any of them for may, all for must.
      const [lo, hi] = negated ? [bounds!.hi, bounds!.lo] : [bounds!.lo, bounds!.hi];
      [from, to] = argument.sign === 1 ? [first - hi, last - lo + 1] : [lo - last, hi - first + 1];
    }
    if (from < to && to > box.k0 && from <= box.k1)
      keys.push(Math.max(from, box.k0), Math.min(to, box.k1 + 1));
  }
  const spans = unite([sortPairs(keys)]);
  return negated ? complement(spans, box.k0, box.k1 + 1) : spans;
}

/** Is every atom of the formula one whose spans are understood? */
export function isUnderstood(formula: Formula): boolean {
  if (formula.op === 'and' || formula.op === 'or') return formula.parts.every(isUnderstood);
  if (formula.op !== 'atom') return true;
  const node = formula.expression.op === 'not' ? formula.expression.args[0] : formula.expression;
  return node.op === 'has' && keyArgument(node.args.at(-1)!) !== undefined;
}

function sortPairs(pairs: number[]): number[] {
  let sorted = true;
  for (let i = 2; i < pairs.length && sorted; i += 2) sorted = pairs[i]! >= pairs[i - 2]!;
  if (sorted) return pairs;
  const order = Array.from({ length: pairs.length / 2 }, (_, i) => i).sort(
    (a, b) => pairs[2 * a]! - pairs[2 * b]!,
  );
  return order.flatMap((i) => [pairs[2 * i]!, pairs[2 * i + 1]!]);
}

/** The union; spans that overlap or touch become one. */
export function unite(lists: readonly Spans[]): Spans {
  const pairs = lists.length === 1 ? lists[0]! : sortPairs(lists.flat());
  const result: number[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    if (result.length > 0 && pairs[i]! <= result.at(-1)!) {
      result[result.length - 1] = Math.max(result.at(-1)!, pairs[i + 1]!);
    } else if (pairs[i]! < pairs[i + 1]!) {
      result.push(pairs[i]!, pairs[i + 1]!);
    }
  }
  return result;
}

export function intersect(a: Spans, b: Spans): Spans {
  const result: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [from, to] = [Math.max(a[i]!, b[j]!), Math.min(a[i + 1]!, b[j + 1]!)];
    if (from < to) result.push(from, to);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return result;
}

/** Where the first span with a key from `key` on lies; the length where there is none. */
export function firstAfter(spans: Spans, key: number): number {
  let [low, high] = [0, spans.length / 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[2 * middle + 1]! > key) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}

/** What of `[from, to)` the spans leave out. */
export function complement(spans: Spans, from: number, to: number): Spans {
  const result: number[] = [];
  let at = from;
  for (let i = 0; i < spans.length; i += 2) {
    if (spans[i]! > at) result.push(at, Math.min(spans[i]!, to));
    at = Math.max(at, spans[i + 1]!);
  }
  if (at < to) result.push(at, to);
  return result;
}
