// Source files on disk: read and parsed once per version, and found from a relative import.
// What is declared in them is the matter of scope.ts.

import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Parsed, parse } from './syntax.ts';

interface Entry {
  readonly version: string;
  readonly parsed: Parsed;
}

const cache = new Map<string, Entry>();

/** The parsed file, or undefined where there is none to read. A file with a syntax error has `error`. */
export function openFile(path: string): Parsed | undefined {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    const version = `${mtimeMs} ${size} ${ino}`;
    const known = cache.get(path);
    if (known?.version === version) return known.parsed;
    const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
    const parsed = parse({ path, text });
    cache.set(path, { version, parsed });
    return parsed;
  } catch {
    return undefined;
  }
}

/** Is it a file of the author, and not a package? */
export const isRelative = (specifier: string): boolean =>
  /^\.\.?(\/|$)/.test(specifier) || specifier.startsWith('file://') || isAbsolute(specifier);

/** The endings to try after a specifier, and the TypeScript that a compiled ending may stand for. */
const endings = ['', '.ts', '.tsx', '.mts', '.js', '.mjs', '.cjs', '/index.ts', '/index.js'];
const typedEndings: ReadonlyArray<readonly [RegExp, string]> = [
  [/\.js$/, '.ts'],
  [/\.js$/, '.tsx'],
  [/\.mjs$/, '.mts'],
  [/\.cjs$/, '.cts'],
  [/\.jsx$/, '.tsx'],
];

/** The file that a relative import of `from` means, as Node, TypeScript and the bundlers agree. */
export function openImport(from: string, specifier: string): Parsed | undefined {
  const plain = specifier.replace(/\?.*$/, '');
  const base = plain.startsWith('file://') ? fileURLToPath(plain) : resolve(dirname(from), plain);
  const asTyped = typedEndings
    .filter(([ending]) => ending.test(base))
    .map(([ending, typed]) => base.replace(ending, typed));
  const asWritten = endings.map((ending) => base + ending);
  // A TypeScript file that says './x.js' means './x.ts', even where a compiled './x.js' lies beside.
  const typedFirst = /\.[cm]?tsx?$/.test(from);
  for (const path of typedFirst ? [...asTyped, ...asWritten] : [...asWritten, ...asTyped]) {
    if (isFile(path)) return openFile(path);
  }
  return undefined;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
