// Is the function in the file the function that runs? Two lowerings of one function are compared: the
// source's, and that of the running function's own text, which transforms may have reworded.

import type { Declarations } from '../declarations.ts';
import { type Diagnostic, diagnostic, type Span } from '../diagnostic.ts';
import { evaluate } from '../evaluate.ts';
import { children, type Expression, walk } from '../expression.ts';
import { points } from './flips.ts';
import { compareWording } from './normal.ts';
import { environment, sameResult } from './points.ts';
import { isHole } from './value.ts';

/** `open`: the running text holds names that the file does not have, so only running it decides. */
export type Agreement = 'same' | 'open' | Diagnostic;

/**
 * Compares the source's expression with that of the running text. Another wording is another function:
 * points alone would miss an edit that shows at few of them (of random edits they missed a quarter).
 * They decide only what has too many cases to play through.
 */
export function compareForms(
  source: Expression,
  running: Expression,
  declarations: Declarations,
): Agreement {
  for (const node of walk(running)) if (isHole(node)) return 'open';
  const wording = compareWording(source, running);
  if (wording === 'same') return 'same';
  if (wording === 'different') return describeDifference(source, running);
  for (const point of points([source, running], declarations, 'thorough')) {
    const env = environment(point);
    if (!sameResult(evaluate(source, env), evaluate(running, env))) {
      return describeDifference(source, running);
    }
  }
  return 'same';
}

function describeDifference(source: Expression, running: Expression): Diagnostic {
  const [a, b] = smallestDifference(source, running);
  const [before, after] = [quote(a.span), quote(b.span)];
  return diagnostic('L009', `the file says ${before}, and the function that runs says ${after}`, {
    span: a.span,
    notes: b.span ? [{ what: 'the text of the function that runs', span: b.span }] : [],
    help: 'run again: the file was edited after it was loaded, or its source map is wrong',
  });
}

function quote(span: Span | undefined): string {
  if (!span) return 'something else';
  const text = span.source.text.slice(span.start, span.end).replace(/\s+/g, ' ');
  return text.length <= 60 ? `'${text}'` : `'${text.slice(0, 57)}...'`;
}

/** Goes down while the two have one shape and differ in one child. */
function smallestDifference(a: Expression, b: Expression): readonly [Expression, Expression] {
  const shape = ({ ...node }: Expression): string => {
    const name = 'name' in node ? node.name : '';
    return `${node.op} ${name} ${children(node).length}`;
  };
  if (shape(a) !== shape(b)) return [a, b];
  const different = children(a)
    .map((child, i) => [child, children(b)[i]!] as const)
    .filter(([x, y]) => compareWording(x, y) !== 'same');
  const [only, another] = different;
  return only && !another ? smallestDifference(...only) : [a, b];
}
