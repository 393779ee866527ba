// Where a builder method was called: one stack frame, captured at once and read when someone asks.
// It does not open the file; locate.ts does.

import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CallSite } from '../declarations.ts';

/**
 * A frame that V8 has noted but not yet written out. Capturing takes about 1 us; writing it out
 * costs more (4 us plain, milliseconds where source maps apply), so that waits for the first question.
 */
class CapturedSite implements CallSite {
  #holder: { stack?: unknown } | undefined;
  #site: CallSite | undefined;

  constructor(holder: { stack?: unknown }) {
    this.#holder = holder;
  }

  get #read(): CallSite {
    if (!this.#site) {
      this.#site = parseStack(this.#holder?.stack) ?? { file: '', line: 0, column: 0 };
      this.#holder = undefined;
    }
    return this.#site;
  }

  /** Empty where the frame has no file: a REPL, `eval`, a foreign `Error.prepareStackTrace`. */
  get file(): string {
    return this.#read.file;
  }

  get line(): number {
    return this.#read.line;
  }

  get column(): number {
    return this.#read.column;
  }
}

/**
 * The place that called `ownFunction`, which must be on the stack. Undefined where the engine does
 * not let us ask for one frame (frozen intrinsics).
 */
export function captureSite(ownFunction: (...args: never[]) => unknown): CallSite | undefined {
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  if (limit ? !limit.writable : !Object.isExtensible(Error)) return undefined;
  const holder: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = 1;
    Error.captureStackTrace(holder, ownFunction);
  } finally {
    if (limit) Error.stackTraceLimit = limit.value as number;
    else delete (Error as { stackTraceLimit?: number }).stackTraceLimit;
  }
  return new CapturedSite(holder);
}

/** The first frame of a stack's text that lies in a file. */
function parseStack(stack: unknown): CallSite | undefined {
  if (typeof stack !== 'string') return undefined;
  const frame = stack.split('\n').find((line) => /^\s+at /.test(line));
  return frame === undefined ? undefined : parseFrame(frame);
}

/**
 * One line `at name (place)` or `at place`, place = path:line:column. Paths may hold spaces and
 * parentheses, names too (`Object.<anonymous>`, `new A`, `f [as mask]`): the place begins at the
 * first ' (' that an absolute path or a file URL follows.
 */
export function parseFrame(frame: string): CallSite | undefined {
  const text = frame.replace(/^\s*at (async )?/, '').trimEnd();
  if (/(^|\()eval at /.test(text)) return undefined; // the place of the eval is not the place of the call
  if (!text.endsWith(')')) return parsePlace(text);
  for (let from = text.indexOf(' ('); from >= 0; from = text.indexOf(' (', from + 1)) {
    const site = parsePlace(text.slice(from + 2, -1));
    if (site) return site;
  }
  return undefined;
}

function parsePlace(place: string): CallSite | undefined {
  const match = /^(.*):(\d+):(\d+)$/.exec(place);
  if (!match) return undefined;
  const [, path = '', line, column] = match;
  const file = toPath(path);
  return file === undefined ? undefined : { file, line: Number(line), column: Number(column) };
}

function toPath(path: string): string | undefined {
  if (!path.startsWith('file://')) return isAbsolute(path) ? path : undefined;
  try {
    return fileURLToPath(path);
  } catch {
    return undefined; // a file URL of another host
  }
}
