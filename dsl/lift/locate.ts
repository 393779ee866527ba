// From a call site to the syntax of the function that was passed there, and the syntax of the text
// that a running function gives of itself. What they mean is the matter of lower.ts.

import type { CallSite } from '../declarations.ts';
import type { Span } from '../diagnostic.ts';
import { openFile } from './files.ts';
import {
  type FunctionNode,
  isFunction,
  type Parsed,
  parse,
  spanOf,
  strip,
  type Ts,
  ts,
} from './syntax.ts';

export type Located =
  /** The call `.mask(argument)` of the site. */
  | { readonly is: 'found'; readonly argument: Ts.Expression }
  /** Why the source does not help, as the rest of a sentence about the site. */
  | { readonly is: 'lost'; readonly why: string; readonly error?: Parsed['error'] };

/** Finds the call at a site in the file on disk. */
export function locate(site: CallSite | undefined, step: string): Located {
  if (!site?.file) return lost('the call was not made from a file');
  const parsed = openFile(site.file);
  if (!parsed) return lost(`${site.file} cannot be read`);
  if (parsed.error) return { ...lost(`${site.file} cannot be parsed`), error: parsed.error };
  const call = callAt(parsed, site);
  const [argument] = call?.arguments ?? [];
  if (!argument) {
    return lost(`${site.file}:${site.line}:${site.column} holds no call of .${step}`);
  }
  return { is: 'found', argument };
}

const lost = (why: string): Located & { is: 'lost' } => ({ is: 'lost', why });

/** The call at the position that V8 reports of `a.mask(...)`: its name, or for one like `with` what follows the name. */
function callAt({ tree }: Parsed, site: CallSite): Ts.CallExpression | undefined {
  const starts = tree.getLineStarts();
  const lineStart = starts[site.line - 1];
  if (lineStart === undefined) return undefined;
  const offset = lineStart + site.column - 1;
  const visit = (node: Ts.Node): Ts.CallExpression | undefined => {
    if (offset < node.pos || offset >= node.end) return undefined;
    const inner = ts.forEachChild(node, visit);
    if (inner) return inner;
    if (!ts.isCallExpression(node)) return undefined;
    const places = [nameStart(node, tree), node.expression.end, node.arguments.pos - 1];
    return places.includes(offset) ? node : undefined;
  };
  return visit(tree);
}

/** The name and the arguments of the call at a site. */
export function spanAt(parsed: Parsed, site: CallSite): Span | undefined {
  const call = callAt(parsed, site);
  return call && { ...spanOf(call), start: nameStart(call, parsed.tree) - parsed.shift };
}

function nameStart(call: Ts.CallExpression, tree: Ts.SourceFile): number {
  const callee = strip(call.expression);
  const name = ts.isPropertyAccessExpression(callee) ? callee.name : callee;
  return name.getStart(tree);
}

/** The syntax of `String(fn)`; undefined where the engine shows none (bound and native functions). */
export function parseFunction(text: string): FunctionNode | undefined {
  const source = { path: '<function>', text };
  return functionIn(parse(source, '(', ')')) ?? functionIn(parse(source, '({', '})'));
}

function functionIn(parsed: Parsed): FunctionNode | undefined {
  const [statement] = parsed.tree.statements;
  if (parsed.error || !statement || !ts.isExpressionStatement(statement)) return undefined;
  const node = strip(statement.expression);
  if (isFunction(node)) return node;
  // A method: `{ near({ q, k }) { ... } }`.
  if (!ts.isObjectLiteralExpression(node)) return undefined;
  const [property] = node.properties;
  return property && isFunction(property) ? property : undefined;
}
