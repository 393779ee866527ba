// The hand-written CUDA primitives of codegen/device as text, ready to be put before a kernel. The only
// thing that code generation reads from disk: it never changes while a process runs.

import { readFileSync } from 'node:fs';

const texts = new Map<string, string>();

/** What begins each primitive file in the text of a kernel; the emulator finds its own versions by it. */
export const deviceMarker = (name: string): string => `// ---- device/${name}.cuh ----`;

interface Primitive {
  readonly name: string;
  readonly text: string;
}

/** The named files, `types` first, each once. */
export const devicePrimitives = (...names: readonly string[]): string => joined(filesOf(names));

/**
 * The same without what the text of a kernel has no use for: functions and structs stay that it mentions, and
 * those that these mention. Readers see what they need, and compilers parse less.
 */
export function primitivesFor(kernel: string, ...names: readonly string[]): string {
  const files = filesOf(names);
  const wanted = new Set<string>();
  const mention = (text: string): void => {
    for (const [word] of codeOf(text).matchAll(/\w+/g)) wanted.add(word);
  };
  mention(kernel);
  for (const { text } of files) mention(text.replace(declarations, ''));
  // What is declared mentions only what is above it, so the last one is asked first.
  const all = files.flatMap(({ text }) => [...text.matchAll(declarations)]).reverse();
  for (const [text, name] of all) if (wanted.has(name!)) mention(text);
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

const joined = (files: readonly Primitive[]): string =>
  files.map(({ name, text }) => `${deviceMarker(name)}\n${text}`).join('\n');

const filesOf = (names: readonly string[]): Primitive[] =>
  [...new Set(['types', ...names])].map((name) => ({ name, text: textOf(name) }));

function textOf(name: string): string {
  let text = texts.get(name);
  if (text === undefined) {
    text = readFileSync(new URL(`./device/${name}.cuh`, import.meta.url), 'utf8');
    texts.set(name, text);
  }
  return text;
}
