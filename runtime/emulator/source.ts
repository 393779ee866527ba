// The text of a kernel as the host's C++ compiler takes it: the same text that NVRTC compiles, with the
// primitives exchanged for their host twins. Nothing here compiles.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Kernel } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { hostProducts } from './products.ts';

/** Where the host twins of codegen/device lie: `<name>.h` for each `<name>.cuh` that holds PTX. */
export const twins = fileURLToPath(new URL('./device/', import.meta.url));

const fileMarker = /^\/\/ ---- device\/([\w-]+)\.cuh ----$/;
const kernelMarker = /^\/\/ ---- kernel ----$/;

/** A run of lines of a kernel's text: of one primitive file, or of the kernel itself. */
interface Part {
  readonly primitive: string | undefined;
  /** The number of its first line, from 1. */
  readonly line: number;
  readonly lines: string[];
}

function partsOf(source: string): Part[] {
  let part: Part = { primitive: undefined, line: 1, lines: [] };
  const parts = [part];
  for (const [i, line] of source.split('\n').entries()) {
    const primitive = fileMarker.exec(line)?.[1];
    if (primitive !== undefined || kernelMarker.test(line)) {
      part = { primitive, line: i + 1, lines: [] };
      parts.push(part);
    }
    part.lines.push(line);
  }
  return parts;
}

// The size is the launch's to give, so the array becomes a pointer to where the engine has put it.
const dynamicShared =
  /\bextern\s+__shared__\s+((?:(?:__align__|alignas)\s*\(\s*\d+\s*\)\s*)?)([A-Za-z_][\w ]*?)\s+(\w+)\s*\[\s*\]\s*;/g;

/** The name that the compiler, and so every message, has for the text of a kernel. */
export const fileOf = (kernel: Kernel): string => `${kernel.name}.cu`;

/** One translation unit of C++17. Lines are numbered as in the kernel's own text, which is called `file`. */
export function hostSource(kernel: Kernel, file: string = fileOf(kernel)): string {
  let alignment = 16;
  const text = ['#include "cuda.h"'];
  for (const { primitive, line, lines } of partsOf(kernel.source)) {
    if (primitive !== undefined && existsSync(`${twins}${primitive}.h`)) {
      text.push(`#include "${primitive}.h"`);
      continue;
    }
    const own = hostProducts(lines.join('\n')).replace(
      dynamicShared,
      (_, aligned: string, type, name) => {
        alignment = Math.max(alignment, Number(/\d+/.exec(aligned)?.[0] ?? 1));
        return `${type}* const ${name} = (${type}*)warploomDynamicShared();`;
      },
    );
    invariant(
      !/\basm\b/.test(own),
      primitive === undefined
        ? `${kernel.name} holds PTX of its own`
        : `codegen/device/${primitive}.cuh holds PTX and has no twin in runtime/emulator/device`,
    );
    text.push(`#line ${line} ${JSON.stringify(file)}`, own);
  }
  return `${[...text, '#line 1 "entry"', ...entryOf(kernel, alignment)].join('\n')}\n`;
}

/** What the engine looks for: the kernel behind one pointer, where its shared variables lie, and what it shares. */
function entryOf({ name, params, source }: Kernel, alignment: number): string[] {
  const blocks = /__launch_bounds__\(\s*\d+\s*,\s*(\d+)\s*\)/.exec(source)?.[1] ?? 1;
  const offsets = Object.entries(params.offsets).map(
    ([field, offset]) =>
      `static_assert(__builtin_offsetof(${params.name}, ${field}) == ${offset}, "${field}");`,
  );
  return [
    ...offsets,
    `static_assert(sizeof(${params.name}) <= ${params.bytes}, "the struct");`,
    'extern "C" {',
    '__attribute__((no_sanitize("thread"))) void warploomEntry(const void* params) {',
    `  ${name}(*(const ${params.name}*)params);`,
    '}',
    '__attribute__((visibility("hidden"))) extern unsigned char __start_warploom_shared[];',
    '__attribute__((visibility("hidden"))) extern unsigned char __stop_warploom_shared[];',
    'extern const struct { void *from, *to; unsigned long long alignment, blocks; } warploomLayout = {',
    `  __start_warploom_shared, __stop_warploom_shared, ${alignment}, ${blocks}};`,
    '}',
  ];
}

/** All host files that a compiled kernel depends on, in a fixed order: part of what names it. */
export function twinTexts(): string {
  const files = readdirSync(twins).filter((file) => file.endsWith('.h'));
  return files
    .sort()
    .map((file) => readFileSync(twins + file, 'utf8'))
    .join('\0');
}
