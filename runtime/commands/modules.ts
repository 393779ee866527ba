// Modules of the user, imported with whatever Node needs for TypeScript; what goes wrong is one
// diagnostic in the user's own file. What they export is the matter of target.ts.

import { register } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  type Diagnostic,
  diagnostic,
  LiftError,
  PatternError,
  type Span,
} from '../../dsl/diagnostic.ts';
import { parseFrame } from '../../dsl/lift/callsite.ts';
import { openFile } from '../../dsl/lift/files.ts';
import { loadParser } from '../../dsl/lift/syntax.ts';
import { diagnosticsOf } from './failure.ts';
import { isModule, statOf } from './files.ts';

/** Specifiers that a user's file imports, and the URLs of this package's modules that they mean. */
export type OwnModules = Readonly<Record<string, string>>;

/**
 * Runs in Node's loader thread. `warploom` is always the copy that runs, so that a file anywhere on the
 * disk finds it and no second copy is loaded; TypeScript is ES modules, whatever package.json is near.
 */
const hooks = `
let own;
export function initialize(urls) { own = urls; }
export async function resolve(specifier, context, next) {
  const url = own[specifier];
  if (url !== undefined) return { url, format: 'module', shortCircuit: true };
  const found = await next(specifier, context);
  // tsx marks what it takes for CommonJS by a query, at times an escaped one.
  const [path] = found.url.split(/\\?|%3F/);
  const isOwn = /\\.tsx?$/.test(path) && !path.includes('/node_modules/');
  return isOwn && found.format === 'commonjs' ? { ...found, url: path, format: 'module' } : found;
}`;

let prepared: Promise<void> | undefined;

async function prepare(own: OwnModules): Promise<void> {
  // From source, tsx is what runs us.
  if (!import.meta.url.endsWith('.ts')) (await import('tsx/esm/api')).register();
  register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: own });
}

/**
 * Imports a module by its path. Throws PatternError: R001 for a file that is not there or throws, L021
 * for one that cannot be parsed, with a code frame; what the file itself throws as diagnostics passes.
 */
export async function importModule(
  path: string,
  own: OwnModules,
): Promise<Readonly<Record<string, unknown>>> {
  const stat = statOf(path);
  if (!stat?.isFile() || !isModule(path)) {
    const help = 'name a module: path/to/file.ts#export';
    const what = stat?.isFile()
      ? `'${shown(path)}' is no TypeScript and no JavaScript`
      : stat
        ? `'${shown(path)}' is no file`
        : `there is no file '${shown(path)}'`;
    throw new PatternError([diagnostic('R001', what, { help })]);
  }
  prepared ??= prepare(own);
  await prepared;
  loading = path;
  try {
    const module = await unheard<Readonly<Record<string, unknown>>>(
      () => import(pathToFileURL(path).href),
    );
    // What it rejects and nobody awaits is told before its patterns are used.
    await new Promise((resolve) => setImmediate(resolve));
    return module;
  } catch (error) {
    if (diagnosticsOf(error)) throw error;
    const broken = syntaxError(path, error);
    if (broken) throw new LiftError([broken], { cause: error });
    throw new PatternError([importFailure(path, error)], { cause: error });
  } finally {
    loading = undefined;
  }
}

const signals = ['SIGINT', 'SIGTERM'] as const;

/** While this runs the system ends the process on a signal: who listens would have to wait for the end of a loop. */
async function unheard<Value>(run: () => Promise<Value>): Promise<Value> {
  const listeners = signals.map((name) => process.listeners(name));
  for (const name of signals) process.removeAllListeners(name);
  try {
    return await run();
  } finally {
    for (const [i, name] of signals.entries())
      for (const listener of listeners[i]!) process.on(name, listener);
  }
}

/** The module whose top level runs. */
let loading: string | undefined;

/** Of a process that ends: a module that ends it, or waits for what never comes, as it is loaded. */
export function unfinishedModule(): Diagnostic | undefined {
  if (loading === undefined) return undefined;
  return diagnostic('R001', `'${shown(loading)}' ends the process while it is loaded`, {
    help: 'its top level has to run to its end: no process.exit, and no await of what never comes',
  });
}

/** The file as a user would name it. */
export const shown = (path: string): string => {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short || '.';
};

/** The module, or one that it imports, does not parse: Node and tsx name the file, our parser the place. */
function syntaxError(path: string, error: unknown): Diagnostic | undefined {
  loadParser();
  const { message = '', stack = '' } = error instanceof Error ? error : {};
  const named =
    `${message}\n${stack}`.match(/(file:\/\/)?\/[^\n]*?\.[cm]?[jt]sx?(?=[:\s?]|$)/gm) ?? [];
  const files = named.map((name) => (name.startsWith('file:') ? fileURLToPath(name) : name));
  for (const file of new Set([path, ...files])) {
    const found = openFile(file)?.error;
    if (!found) continue;
    return diagnostic('L021', `'${shown(file)}' cannot be parsed: ${found.what}`, {
      span: found.span,
      help: 'mend the syntax; nothing of the file was run',
    });
  }
  return undefined;
}

/** The module throws while it is loaded, or imports what is not there. */
function importFailure(path: string, error: unknown): Diagnostic {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const [line = ''] = message.replace(/\.$/, '').split('\n');
  const isMissing = /^Cannot find (package|module)|does not provide an export/.test(line);
  const what = isMissing
    ? `'${shown(path)}' cannot be loaded: ${line.replace(/^C/, 'c')}`
    : `'${shown(path)}' throws while it is loaded: ${line}`;
  return diagnostic('R001', what, {
    span: spanOf(stack, isOurs),
    help: isMissing
      ? 'check the import; packages are looked for from the folder of the file'
      : 'its top level has to run without an error',
  });
}

/** An error that nobody awaited, as a diagnostic where a file of the user threw it. */
export function strayError(error: unknown): Diagnostic | undefined {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const span = spanOf(stack);
  if (!span || span.source.path.startsWith(ourFolder)) return undefined;
  const what = `'${shown(span.source.path)}' throws: ${message.split('\n')[0]}`;
  return diagnostic('R001', what, { span, help: 'catch it, or await what rejects' });
}

/** Of this package: its root in the repository, dist/ in the package. */
const ourFolder = fileURLToPath(new URL('../..', import.meta.url));

/** Code that loads and serves modules, and is no place of their mistakes. */
const isOurs = (file: string): boolean =>
  ['cli.', 'runtime/', 'dsl/', 'codegen/'].some((name) => file.startsWith(join(ourFolder, name)));

/** The first frame in a file that is no package's, and not to be skipped. */
function spanOf(stack: string, isSkipped = (_file: string) => false): Span | undefined {
  loadParser();
  for (const frame of stack.split('\n').filter((line) => /^\s+at /.test(line))) {
    const site = parseFrame(frame);
    if (!site || site.file.includes('/node_modules/') || isSkipped(site.file)) continue;
    const source = openFile(site.file)?.source;
    if (!source || site.file === fileURLToPath(import.meta.url)) continue;
    const lines = source.text.split('\n').slice(0, site.line - 1);
    const start = lines.join('\n').length + (site.line > 1 ? 1 : 0) + site.column - 1;
    const word = /^[\w$]+/.exec(source.text.slice(start))?.[0].length ?? 1;
    return { source, start, end: start + word };
  }
  return undefined;
}
