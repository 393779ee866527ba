// The matrix products of a warpgroup: Q K^T with both operands in shared memory, P V with P in registers. The
// instruction names every accumulator, so its text depends on the tile.
// Source: PTX ISA, wgmma.mma_async; a step is 16 along the sum, N columns are N / 2 accumulators a thread.

import type { KernelContext } from '../backend.ts';
import { padded } from '../tiles.ts';
import type { HopperKnobs } from './knobs.ts';

const types = { bf16: 'bf16', fp16: 'f16' } as const;

/** Lines of at most `width` items. */
function wrapped(
  items: readonly string[],
  width: number,
  indent: string,
  open: string,
  close: string,
) {
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += width) {
    const last = i + width >= items.length;
    lines.push(
      `${indent}${open}${items.slice(i, i + width).join(', ')}${last ? '' : ', '}${close}`,
    );
  }
  return lines;
}

/** One product of `columns` columns as a function; `operands` are its inputs in C after the accumulators. */
function productText(
  title: string,
  parameters: string,
  columns: number,
  dtype: keyof typeof types,
  inputs: readonly { readonly constraint: 'l' | 'r'; readonly value: string }[],
  suffix: string,
): string {
  const blocks = columns / 8;
  const count = columns / 2;
  const outputs = Array.from({ length: count }, (_, i) => `"+f"(d[0][${i >> 2}][${i & 3}])`);
  const places = Array.from({ length: count }, (_, i) => `%${i}`);
  const at = (i: number): string => `%${count + i}`;
  const first =
    inputs.length === 5 ? `{${[0, 1, 2, 3].map(at).join(', ')}}, ${at(4)}` : `${at(0)}, ${at(1)}`;
  const type = types[dtype];
  return [
    `WARPLOOM_DEVICE void ${title}(float (&d)[1][${blocks}][4], ${parameters}) {`,
    '  asm volatile(',
    `      "{\\n.reg .pred p;\\nsetp.ne.b32 p, ${at(inputs.length)}, 0;\\n"`,
    `      "wgmma.mma_async.sync.aligned.m64n${columns}k16.f32.${type}.${type} {"`,
    ...wrapped(places, 16, '      ', '"', '"'),
    `      "}, ${first}, p, 1, 1${suffix};\\n}\\n"`,
    ...wrapped(outputs, 4, '      ', '', '').map((line, i) =>
      i === 0 ? line.replace('      ', '      : ') : `  ${line}`,
    ),
    `      : ${inputs.map(({ constraint, value }) => `"${constraint}"(${value})`).join(', ')}, "r"(add));`,
    '}',
  ].join('\n');
}

/** `multiply_shared`, `multiply_registers`: one step each; `add` 0 overwrites the accumulators. */
export function productsText({ dtype, knobs, valueDim }: KernelContext<HopperKnobs>): string {
  return [
    '// ---- products: one step of 16 along the sum; accumulators as those of mma.sync, 16 rows a warp ----',
    `// d = a b^T: both in shared memory, rows of 16 elements along the sum.
${productText(
  'multiply_shared',
  'u64 a, u64 b, int add',
  knobs.kTile,
  dtype,
  [
    { constraint: 'l', value: 'a' },
    { constraint: 'l', value: 'b' },
  ],
  ', 0, 0',
)}`,
    `// d += a b: a in registers, b in shared memory with its rows along the sum.
${productText(
  'multiply_registers',
  'const u32 (&a)[4], u64 b, int add',
  padded(valueDim),
  dtype,
  [
    ...[0, 1, 2, 3].map((i) => ({ constraint: 'r' as const, value: `a[${i}]` })),
    { constraint: 'l' as const, value: 'b' },
  ],
  ', 1',
)}`,
  ].join('\n\n');
}
