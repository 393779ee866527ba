// The hand-written CUDA primitives of codegen/device as text, ready to be put before a kernel. The only
// thing that code generation reads from disk: it never changes while a process runs.

import { readFileSync } from 'node:fs';

const primitives = new Map<string, Primitive>();

/** What begins each primitive file in the text of a kernel; the emulator finds its own versions by it. */
export const deviceMarker = (name: string): string => `// ---- device/${name}.cuh ----`;

/** One file, and by their words what it and its declarations mention. */
interface Primitive {
  readonly name: string;
  readonly text: string;
  readonly words: readonly string[];
  readonly declared: readonly { readonly name: string; readonly words: readonly string[] }[];
}

/** The named files, `types` first, each once. */
export const devicePrimitives = (...names: readonly string[]): string => joined(filesOf(names));

/**
 * The same without what the text of a kernel has no use for: functions and structs stay that it mentions, and
 * those that these mention. Readers see what they need, and compilers parse less.
 */
export function primitivesFor(kernel: string, ...names: readonly string[]): string {
  const files = filesOf(names);
  const wanted = new Set(wordsOf(kernel));
  const mention = (words: readonly string[]): void => {
    for (const word of words) wanted.add(word);
  };
  for (const { words } of files) mention(words);
  // What is declared mentions only what is above it, so the last one is asked first.
  const all = files.flatMap(({ declared }) => declared).reverse();
  for (const { name, words } of all) if (wanted.has(name)) mention(words);
  const used = files.map(({ name, text }) => ({
    name,
    text: text
      .replace(declarations, (whole, own: string) => (wanted.has(own) ? whole : ''))
      .replace(/\n{3,}/g, '\n\n')
      .replace(/\n+$/, '\n'),
  }));
  return joined(used.filter(({ text }) => /\S/.test(codeOf(text))));
}

/**
 * A function or a struct, the comment and the template line above it included: on one line, down to a brace at the
 * margin, or, where another file has the body, to a semicolon.
 */
const declarations =
  /^(?:(?:\/[/*]| \*).*\n)*(?:template <.*?>[ \n])?(?:WARPLOOM_DEVICE [^(\n]*?|struct (?:alignas\(\d+\) )?)\b(\w+)(?:\([^{};]*;|(?:\(| \{)(?:.*\}|[\s\S]*?\n\};?))\n/gm;

const codeOf = (text: string): string => text.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '');

const wordsOf = (text: string): readonly string[] => codeOf(text).match(/\w+/g) ?? [];

const joined = (files: readonly Pick<Primitive, 'name' | 'text'>[]): string =>
  files.map(({ name, text }) => `${deviceMarker(name)}\n${text}`).join('\n');

const filesOf = (names: readonly string[]): Primitive[] =>
  [...new Set(['types', ...names])].map(primitiveOf);

function primitiveOf(name: string): Primitive {
  const known = primitives.get(name);
  if (known) return known;
  const text = readFileSync(new URL(`./device/${name}.cuh`, import.meta.url), 'utf8');
  const declared = [...text.matchAll(declarations)].map(([whole, own]) => ({
    name: own!,
    words: wordsOf(whole),
  }));
  const primitive = { name, text, words: wordsOf(text.replace(declarations, '')), declared };
  primitives.set(name, primitive);
  return primitive;
}
