// File names with wildcards, for shells that leave them alone (and `**`, which most do). Reads folders,
// never files.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const isWild = (pattern: string): boolean => /[*?{[]/.test(pattern);

/** A module that can be imported; declarations hold no code. */
const isModule = (path: string): boolean =>
  /\.[cm]?[jt]sx?$/.test(path) && !/\.d\.[cm]?ts$/.test(path);

/**
 * The files that the words mean, each once: a file as it is (there or not), a folder with all modules in
 * it, a pattern with the modules that match. Folders named node_modules or with a dot are left out.
 */
export function expand(words: readonly string[]): string[] {
  const files = words.flatMap((word) => {
    const stat = statSync(word, { throwIfNoEntry: false });
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
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
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
