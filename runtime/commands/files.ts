// Names of files: wildcards, for shells that leave them alone (and `**`, which most do), and whether a
// result can be written where it was asked for. Looks at folders, opens no file.

import { accessSync, constants, readdirSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diagnostic, FileError } from '../../dsl/diagnostic.ts';

/** What stands at a path; undefined for nothing, and for what may not be looked at. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

const isWild = (pattern: string): boolean => /[*?{[]/.test(pattern);

/** A module that can be imported; declarations hold no code. */
export const isModule = (path: string): boolean =>
  /\.[cm]?[jt]sx?$/.test(path) && !/\.d\.[cm]?ts$/.test(path);

/**
 * The files that the words mean, each once: a file as it is (there or not), a folder with all modules in
 * it, a pattern with the modules that match. Folders named node_modules or with a dot are left out.
 */
export function expand(words: readonly string[]): string[] {
  const files = words.flatMap((word) => {
    const stat = statOf(word);
    if (stat?.isDirectory()) return walk(word);
    if (stat || !isWild(word)) return [word];
    const parts = word.split('/');
    const fixed = parts.slice(0, parts.findIndex(isWild)).join('/');
    const matches = matcher(word);
    const from = fixed === '' ? (word.startsWith('/') ? '/' : '.') : fixed;
    return walk(from).filter((path) => matches.test(path));
  });
  return [...new Set(files)];
}

function walk(folder: string): string[] {
  if (!statOf(folder)?.isDirectory()) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    if (entry.name === 'node_modules' || entry.name.startsWith('.')) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() && isModule(path) ? [path] : [];
  });
}

/** `*` and `?` within a name, `**` across folders, `{a,b}`, `[ab]`; a final `**` is every file below. */
export function matcher(pattern: string): RegExp {
  const plain = pattern.replace(/^\.\//, '');
  const text = plain.replace(/\*\*\/|\*\*|\*|\?|\{[^}]*\}|\[[^\]]*\]|[.+^$()|\\]/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.startsWith('{'))
      return `(?:${part.slice(1, -1).replaceAll('.', '\\.').replaceAll(',', '|')})`;
    return part.startsWith('[') ? part : `\\${part}`;
  });
  return new RegExp(`^${text}$`);
}

/** A long run must not end at a folder that is not there. Throws FileError F005. */
export function checkPlace(path: string): void {
  const refuse = (why: string, help: string): never => {
    throw new FileError([diagnostic('F005', `'${path}' cannot be written: ${why}`, { help })]);
  };
  if (path === '') refuse('it has no name', 'name an ordinary file');
  const folder = dirname(path);
  const there = statOf(path);
  if (there && !there.isFile()) {
    const kind = there.isDirectory() ? 'a directory' : 'no ordinary file';
    refuse(`it is ${kind}`, 'name an ordinary file');
  }
  if (!statOf(folder)?.isDirectory()) {
    refuse(`there is no directory '${folder}'`, 'make the directory first: mkdir -p');
  }
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    refuse('permission is denied', 'write to another directory, or change its permissions');
  }
}
