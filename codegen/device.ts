// The hand-written CUDA primitives of codegen/device as text, ready to be put before a kernel. The only
// thing that code generation reads from disk: it never changes while a process runs.

import { readFileSync } from 'node:fs';

const texts = new Map<string, string>();

/** What begins each primitive file in the text of a kernel; the emulator finds its own versions by it. */
export const deviceMarker = (name: string): string => `// ---- device/${name}.cuh ----`;

/** The named files, `types` first, each once. */
export function devicePrimitives(...names: readonly string[]): string {
  return [...new Set(['types', ...names])]
    .map((name) => `${deviceMarker(name)}\n${textOf(name)}`)
    .join('\n');
}

function textOf(name: string): string {
  let text = texts.get(name);
  if (text === undefined) {
    text = readFileSync(new URL(`./device/${name}.cuh`, import.meta.url), 'utf8');
    texts.set(name, text);
  }
  return text;
}
