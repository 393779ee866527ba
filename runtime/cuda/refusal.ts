// A log of NVRTC as diagnostics: which error, and where in the generated text and in the author's file.
// Nothing here compiles.

import { readFileSync } from 'node:fs';
import {
  DeviceError,
  type Diagnostic,
  diagnostic,
  type Note,
  type Source,
  type Span,
} from '../../dsl/diagnostic.ts';

/** A kernel as the compiler saw it; `path` is what the log calls it. */
export interface Refused {
  readonly name: string;
  readonly path: string;
  readonly source: string;
  readonly log: string;
  /** What the compiler calls its failure, for a log that says nothing. */
  readonly reason: string;
}

/** More errors than this are the aftermath of the first. */
const mostShown = 5;

/** One error of the log. Lines count from 1; `line` and `file` follow the `#line` directives. */
interface LogError {
  readonly what: string;
  readonly file?: string;
  readonly line?: number;
  /** The line of text as the log quotes it, and the character in it that the caret points to. */
  readonly quote?: string;
  readonly column?: number;
}

/** The error R011 for a kernel that the compiler refuses. */
export function refusal(refused: Refused): DeviceError {
  const errors = errorsOf(refused);
  const shown = errors.slice(0, mostShown).map((error, at) => {
    const left = at === mostShown - 1 ? errors.length - mostShown : 0;
    return diagnosticOf(refused, error, at === 0, left);
  });
  return new DeviceError(shown as [Diagnostic, ...Diagnostic[]]);
}

function diagnosticOf(refused: Refused, error: LogError, isFirst: boolean, left: number) {
  const what = `the compiler refuses the kernel '${refused.name}': ${error.what}`;
  const generated = spanInGenerated(refused, error);
  const author = spanOfAuthor(refused, error);
  const notes: Note[] = [];
  if (author && generated) notes.push({ what: 'which became', span: generated });
  else if (error.file !== undefined && error.file !== refused.path && !author) {
    notes.push({ what: `it came from ${error.file}:${error.line}, which cannot be read` });
  }
  if (left > 0) notes.push({ what: `${left} more errors follow` });
  return diagnostic('R011', what, {
    span: author ?? generated,
    notes,
    ...(isFirst && { help: 'kernels are written by warploom: report this with the pattern' }),
  });
}

const compilerError = /^(.*)\((\d+)\): (?:catastrophic |internal )?error(?: #[\w-]+)?: (.*)$/;
const otherError = /^\s*(?:ptxas (?:.*, (line \d+); )?(?:error|fatal)|nvrtc: error)\s*: (.*)$/;

function errorsOf({ log, reason }: Refused): [LogError, ...LogError[]] {
  const lines = log.split('\n');
  const all = lines.flatMap((line, at): LogError[] => {
    const [, file, number, what] = compilerError.exec(line) ?? [];
    if (file !== undefined && what !== undefined) {
      return [{ file, line: Number(number), ...bodyOf(lines, at + 1, what) }];
    }
    const [, place, other] = otherError.exec(line) ?? [];
    if (other === undefined) return [];
    return [{ what: place === undefined ? other : `${other} (${place} of its PTX)` }];
  });
  // That it gave up is no news after why.
  const errors = all.filter(({ what }, at) => at === 0 || !what.includes('aborted due to errors'));
  const [first, ...others] = errors;
  const said = lines.find((line) => line.trim() !== '')?.trim();
  return first ? [first, ...others] : [{ what: said ?? reason }];
}

/** What stands below an error: more of its sentence, then the quoted line with a caret under it. */
function bodyOf(lines: readonly string[], from: number, what: string) {
  const end = lines.findIndex((line, at) => at >= from && /^\s*(\^|$)/.test(line));
  const caret = lines[end]?.indexOf('^') ?? -1;
  const body = lines.slice(from, end < 0 ? from : end);
  const quoted = caret < 0 ? undefined : body.pop();
  const sentence = [what, ...body.map((line) => line.trim())].join('; ');
  if (quoted === undefined) return { what: sentence };
  const indent = quoted.search(/\S/);
  return { what: sentence, quote: quoted.trim(), column: Math.max(0, caret - indent) };
}

/** The place in the text that was compiled: `#line` is followed backwards, the quote decides. */
function spanInGenerated(refused: Refused, error: LogError): Span | undefined {
  const lines = refused.source.split('\n');
  const placed = placesOf(lines, refused.path).flatMap(({ file, line }, at) =>
    file === error.file && line === error.line ? [at] : [],
  );
  const holds = (at: number) => error.quote !== undefined && lines[at]!.includes(error.quote);
  const at = placed.find(holds) ?? placed[0];
  if (at === undefined) return undefined;
  const text = lines[at]!;
  const within = holds(at) ? text.indexOf(error.quote!) + error.column! : text.search(/\S|$/);
  const start = lines.slice(0, at).join('\n').length + (at > 0 ? 1 : 0) + within;
  const width = /^\w+/.exec(text.slice(within))?.[0].length ?? 1;
  const source: Source = { path: refused.path, text: refused.source };
  return { source, start, end: start + width };
}

/** The file and line that each line of the text claims to be. */
function placesOf(lines: readonly string[], path: string): { file: string; line: number }[] {
  let file = path;
  let next = 1;
  return lines.map((text) => {
    const place = { file, line: next++ };
    const [, line, name] = /^\s*#\s*(?:line\s+)?(\d+)(?:\s+"(.*)")?\s*$/.exec(text) ?? [];
    if (line !== undefined) {
      next = Number(line);
      file = name ?? file;
    }
    return place;
  });
}

/** The whole line in the author's file: columns of the generated text mean nothing there. */
function spanOfAuthor(refused: Refused, { file, line }: LogError): Span | undefined {
  if (file === undefined || line === undefined || file === refused.path) return undefined;
  try {
    const text = readFileSync(file, 'utf8');
    const lines = text.split('\n');
    const own = lines[line - 1];
    if (own === undefined) return undefined;
    const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    const start = before + Math.max(0, own.search(/\S/));
    return { source: { path: file, text }, start, end: before + own.trimEnd().length };
  } catch {
    return undefined;
  }
}
