// Where an author's function was when something was thrown in it, or a step was called that cannot be: the steps of an
// estimate, which check what they are given as they run, have no text of their own to point to.

import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CallSite } from '../declarations.ts';
import { PatternError, type Span } from '../diagnostic.ts';
import { parseFrame } from './callsite.ts';
import { openFile } from './files.ts';
import { spanAt } from './locate.ts';
import { loadParser } from './syntax.ts';

/** Where the files of the language lie: their frames are not the author's. A CommonJS bundle has no such place. */
function ownFolder(): string | undefined {
  const url = import.meta.url as string | undefined;
  return url && join(fileURLToPath(url), '..', '..') + sep;
}

/** The call that an error was thrown in, of the function that ran last and is not ours; undefined where no file says it. */
export function spanOfThrown(error: unknown): Span | undefined {
  const own = ownFolder();
  if (!own || !(error instanceof Error)) return undefined;
  const stack = error.stack ?? '';
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  const sites = frames.flatMap((frame) => parseFrame(frame) ?? []);
  return spanOfSite(sites.find(({ file }) => !file.startsWith(own)));
}

/** The call at a site; undefined where no file says it. */
export function spanOfSite(site: CallSite | undefined): Span | undefined {
  if (!site?.file) return undefined;
  try {
    loadParser();
  } catch {
    return undefined; // what is wrong says more than that there is no parser
  }
  const parsed = openFile(site.file);
  return parsed && spanAt(parsed, site);
}

/** Runs an author's function. What refuses a step in it without a place is thrown with the place of the call. */
export function ranBy<T>(author: () => T): T {
  try {
    return author();
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const span = spanOfThrown(error);
    const [first, ...others] = error.diagnostics.map((one) => ({ ...one, span: one.span ?? span }));
    const Kind = error.constructor as typeof PatternError;
    throw new Kind([first!, ...others], { cause: error });
  }
}
