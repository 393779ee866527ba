// The TypeScript parser: the only import of ts-morph, loaded when the first function is lifted.
// Syntax trees and their spans, nothing else: no types, no programs, no meaning.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { ts as Ts } from 'ts-morph';
import { invariant, type Source, type Span } from '../diagnostic.ts';

/** The types of the parser's namespace (`Ts.Node`); its values are `ts`. */
export type { Ts };

/** The parser; set by `loadParser`, which every entry into lifting calls first. */
export let ts: typeof Ts;

export type FunctionNode =
  | Ts.ArrowFunction
  | Ts.FunctionExpression
  | Ts.FunctionDeclaration
  | Ts.MethodDeclaration;

/** Loads the parser once (0.3 s), synchronously, so that importing the language does not. */
export function loadParser(): void {
  if (ts) return;
  // A bundle may lie where no package can be found, and a CommonJS bundle has no import.meta.url:
  // there the working directory has to do.
  const places = [import.meta.url as string | undefined, join(process.cwd(), 'bundle.cjs')];
  for (const place of places) {
    try {
      if (place) ts = (createRequire(place)('ts-morph') as typeof import('ts-morph')).ts;
      if (ts) return;
    } catch (error) {
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error('a mask is lifted with ts-morph, which is not installed: npm install ts-morph');
}

/** A parsed text. `shift` is what was put before the text to make it parse. */
export interface Parsed {
  readonly source: Source;
  readonly tree: Ts.SourceFile;
  readonly shift: number;
  /** The first syntax error, if any. */
  readonly error: { readonly what: string; readonly span: Span } | undefined;
}

const parsedOf = new WeakMap<Ts.SourceFile, Parsed>();

/** Parses a text; the name's extension says which dialect it is, and what runs is JavaScript. */
export function parse(source: Source, before = '', after = ''): Parsed {
  const name = source.path.startsWith('<') ? 'function.js' : source.path;
  const text = before + source.text + after;
  const tree = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true, dialect(name));
  const shift = before.length;
  // The list is there on every source file, but TypeScript leaves it out of its public types.
  const [first] = (tree as unknown as { parseDiagnostics: readonly Ts.DiagnosticWithLocation[] })
    .parseDiagnostics;
  const error = first && {
    what: sentence(ts.flattenDiagnosticMessageText(first.messageText, ' ')),
    span: { source, start: first.start - shift, end: first.start - shift + first.length },
  };
  const parsed = { source, tree, shift, error };
  parsedOf.set(tree, parsed);
  return parsed;
}

/** TypeScript's words in our style. */
const sentence = (text: string): string =>
  text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '');

function dialect(name: string): Ts.ScriptKind {
  if (/\.[cm]?ts$/.test(name)) return ts.ScriptKind.TS;
  if (name.endsWith('.tsx')) return ts.ScriptKind.TSX;
  if (/\.[cm]?js$/.test(name)) return ts.ScriptKind.JS;
  return name.endsWith('.jsx') ? ts.ScriptKind.JSX : ts.ScriptKind.TS;
}

/** The text that a node was parsed from. */
export function parsedAround(node: Ts.Node): Parsed {
  const parsed = parsedOf.get(node.getSourceFile());
  invariant(parsed, 'a syntax node outside the parsed files');
  return parsed;
}

/** Where a node stands in the author's text. */
export function spanOf(node: Ts.Node): Span {
  const { source, tree, shift } = parsedAround(node);
  return { source, start: node.getStart(tree) - shift, end: node.getEnd() - shift };
}

/** The author's text of a node. */
export function textOf(node: Ts.Node): string {
  const { source, start, end } = spanOf(node);
  return source.text.slice(start, end);
}

/** Is it written in TypeScript? JavaScript has lost `const` and `as const` to its compilers. */
export const isTyped = (node: Ts.Node): boolean =>
  !/\.([cm]?js|jsx)$|^</.test(parsedAround(node).source.path);

/** What stands inside parentheses and TypeScript's assertions, which mean nothing at run time. */
export function strip(node: Ts.Expression): Ts.Expression {
  let inner = node;
  while (
    ts.isParenthesizedExpression(inner) ||
    ts.isAsExpression(inner) ||
    ts.isSatisfiesExpression(inner) ||
    ts.isNonNullExpression(inner) ||
    ts.isTypeAssertionExpression(inner)
  ) {
    inner = inner.expression;
  }
  return inner;
}

export function isFunction(node: Ts.Node): node is FunctionNode {
  return (
    ts.isArrowFunction(node) ||
    ts.isFunctionExpression(node) ||
    ts.isFunctionDeclaration(node) ||
    ts.isMethodDeclaration(node)
  );
}
