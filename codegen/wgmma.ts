// The asynchronous matrix product of a warpgroup (Hopper) as a function of the kernel: the instruction names every
// accumulator, so its text depends on the tile. What goes around it is device/warpgroup.cuh.
// Source: PTX ISA, wgmma.mma_async; a step is 16 along the sum, N columns are N / 2 accumulators a thread.

/** One step: D of 64 rows, accumulators as those of mma.sync, 16 rows a warp. */
export interface ProductStep {
  readonly name: string;
  readonly dtype: 'fp16' | 'bf16';
  /** A multiple of 8, up to 256. */
  readonly columns: number;
  /** Blocks of 8 columns that `d` has, when it has more than `columns`: the first ones are the result's. */
  readonly blocks?: number;
  /**
   * Where A is. `shared`: D = A B^T, both in shared memory in rows along the sum. `registers`: D = A B, with B in
   * shared memory in rows across the sum.
   */
  readonly from: 'shared' | 'registers';
  /**
   * What becomes of `d`. Where it is overwritten, nothing of it is read, and nothing need be kept until then;
   * `either` is decided as the kernel runs, by one more argument `add`.
   */
  readonly result: 'overwritten' | 'added' | 'either';
}

const types = { bf16: 'bf16', fp16: 'f16' } as const;
const setters = { overwritten: '0', added: '1' } as const;

/** Parameters in C, and operands of the instruction with what they are given; what ends the instruction. */
const factors = {
  shared: { parameters: 'u64 a, u64 b', operands: ['"l"(a)', '"l"(b)'], majors: '0, 0' },
  registers: {
    parameters: 'const u32 (&a)[4], u64 b',
    operands: [...[0, 1, 2, 3].map((i) => `"r"(a[${i}])`), '"l"(b)'],
    majors: '1',
  },
} as const;

/** `void name(float (&d)[1][blocks][4], <A>, u64 b)`: descriptors are of `matrix_descriptor`. */
export function productText(step: ProductStep): string {
  const { name, dtype, columns, blocks = columns / 8, from, result } = step;
  const { parameters, operands, majors } = factors[from];
  const count = columns / 2;
  const sums = Array.from({ length: count }, (_, i) => `d[0][${i >> 2}][${i & 3}]`);
  const constraint = result === 'overwritten' ? '=f' : '+f';
  const [first, ...others] = wrapped(
    sums.map((sum) => `"${constraint}"(${sum})`),
    8,
  );
  const places = operands.map((_, i) => `%${count + i}`);
  const a = from === 'shared' ? places[0]! : `{${places.slice(0, 4).join(', ')}}`;
  const isEither = result === 'either';
  const adds = isEither ? `%${count + operands.length}` : setters[result];
  const type = types[dtype];
  return [
    `WARPLOOM_DEVICE void ${name}(float (&d)[1][${blocks}][4], ${parameters}${isEither ? ', int add' : ''}) {`,
    '  asm volatile(',
    `      "{\\n.reg .pred p;\\nsetp.ne.b32 p, ${adds}, 0;\\n"`,
    `      "wgmma.mma_async.sync.aligned.m64n${columns}k16.f32.${type}.${type} {"`,
    ...wrapped(
      sums.map((_, i) => `%${i}`),
      16,
    ).map((line) => `      "${line}"`),
    `      "}, ${a}, ${places.at(-1)}, p, 1, 1, ${majors};\\n}\\n"`,
    `      : ${first}`,
    ...others.map((line) => `        ${line}`),
    `      : ${[...operands, ...(isEither ? ['"r"(add)'] : [])].join(', ')});`,
    '}',
  ].join('\n');
}

/** Lines of at most `width` items, with a comma after each but the last. */
const wrapped = (items: readonly string[], width: number): string[] =>
  Array.from({ length: Math.ceil(items.length / width) }, (_, i) => {
    const to = (i + 1) * width;
    return items.slice(i * width, to).join(', ') + (to < items.length ? ', ' : '');
  });
