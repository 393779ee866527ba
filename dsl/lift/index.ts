// The author's function as an expression. The running function is the truth; its source file gives
// spans, names and constants. The parser is loaded when the first function is lifted, not before.

import type { Liftable } from '../declarations.ts';
import {
  type Diagnostic,
  diagnostic,
  invariant,
  LiftError,
  type Note,
  throwIfAny,
} from '../diagnostic.ts';
import { type Expression, walk } from '../expression.ts';
import { compareForms } from './agree.ts';
import { type Located, locate, parseFunction } from './locate.ts';
import { type Lowered, lowerFunction, newContext } from './lower.ts';
import { fileRoot, lonelyRoot, runningRoot } from './names.ts';
import { findLifted } from './stored.ts';
import { type FunctionNode, loadParser, spanOf, type Ts, textOf } from './syntax.ts';
import { type Context, isHole, Scope } from './value.ts';
import { type Check, verify } from './verify.ts';

export { captureSite } from './callsite.ts';
export { liftKey, registerLifted, type StoredTable, storable } from './stored.ts';

/** The lifted form of a mask or score; throws one LiftError with everything that is wrong. */
export function lift(request: Liftable): Expression {
  const { expression, findings } = diagnose(request);
  throwIfAny(findings, LiftError);
  return expression!;
}

/** The lifted form where there is one, and everything that is wrong. */
export function diagnose(request: Liftable): {
  readonly expression?: Expression;
  readonly findings: readonly Diagnostic[];
} {
  const stored = findLifted(request);
  if (stored) return { expression: stored, findings: [] };
  loadParser();
  const text = String(request.fn);
  const located = locate(request.site, request.step);
  const source = located.is === 'found' ? findSource(request, located.argument) : undefined;
  return source ? liftFromSource(request, source, text) : liftFromText(request, located, text);
}

interface Found {
  readonly context: Context;
  readonly node: FunctionNode;
  readonly scope: Scope;
}

/** The function that the argument of the call is, or names. */
function findSource(request: Liftable, argument: Ts.Expression): Found | undefined {
  const context = newContext(request);
  const value = context.value(argument, new Scope(fileRoot(argument)));
  return value.is === 'function' ? { context, node: value.node, scope: value.scope } : undefined;
}

function liftFromSource(request: Liftable, { context, node, scope }: Found, text: string) {
  const source = lowerFunction(context, node, scope);
  const running = textOf(node) === text ? source : lowerRunning(request, node, text);
  if (source.findings.length > 0) {
    const isDoubtful = running && running !== source && running.findings.length === 0;
    return { findings: isDoubtful ? source.findings.map(withDoubt) : source.findings };
  }
  const { expression } = source;
  const isOpen = !running || running.findings.length > 0;
  const agreement =
    running === source ? 'same'
    : isOpen ? 'open'
    : compareForms(expression, running.expression, request.declarations); // biome-ignore format: a table
  if (typeof agreement === 'object') return { findings: [agreement] };
  const finding = check({
    request,
    expression,
    others: running && running !== source ? [running.expression] : [],
    effort: agreement === 'same' ? 'usual' : 'thorough',
    span: spanOf(node),
  });
  return finding ? { findings: [finding] } : { expression, findings: [] };
}

/** Runs function and form side by side; no form leaves with a placeholder in it. */
function check(what: Check): Diagnostic | undefined {
  for (const node of walk(what.expression)) {
    invariant(!isHole(node), 'a lifted form with a hole and no finding');
  }
  return verify(what);
}

const doubt: Note = {
  what: 'the function that runs does not say this: was the file edited after it was loaded?',
};
const withDoubt = (finding: Diagnostic): Diagnostic => ({
  ...finding,
  notes: [...finding.notes, doubt],
});

/** The running function's own text, its free names looked up where the function stands in its file. */
function lowerRunning(request: Liftable, node: FunctionNode, text: string): Lowered | undefined {
  const running = parseFunction(text);
  if (!running) return undefined;
  const context = newContext(request);
  return lowerFunction(context, running, new Scope(runningRoot(node)));
}

/** No source: the text of the function has to do. */
function liftFromText(request: Liftable, located: Located, text: string) {
  const why = located.is === 'lost' ? located.why : 'the call passes a function made elsewhere';
  const node = parseFunction(text);
  if (!node) {
    const finding = diagnostic('L012', 'this function does not show its text', {
      span: { source: { path: '<function>', text }, start: 0, end: text.length },
      help: `write the function where it is used: .${request.step}(({ q, k }) => ...)`,
    });
    return { findings: [explain(finding, located, why)] };
  }
  const context = newContext(request);
  const { expression, findings } = lowerFunction(context, node, new Scope(lonelyRoot()));
  if (findings.length > 0) return { findings: findings.map((one) => explain(one, located, why)) };
  const finding = check({ request, expression, others: [], effort: 'usual', span: spanOf(node) });
  return finding ? { findings: [finding] } : { expression, findings: [] };
}

/** A name that only the file could explain is told with what is wrong with the file. */
function explain(finding: Diagnostic, located: Located, why: string): Diagnostic {
  if (finding.code !== 'L012') return finding;
  const notes = [...finding.notes, { what: why }];
  const error = located.is === 'lost' ? located.error : undefined;
  if (!error) return { ...finding, notes };
  const what = finding.what.replace(
    'there is no source to find it in',
    'its file cannot be parsed',
  );
  return { ...finding, code: 'L021', what, notes: [...notes, error] };
}
