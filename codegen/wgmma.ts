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
  /**
   * The steps after the first, which add; with A in registers it is an array by steps. All are one statement: a compiler's
   * time goes by statements, each of which writes every accumulator.
   */
  readonly further?: readonly FurtherStep[];
}

/** How much further on the descriptors of a step are than those of the first, in units of 16 bytes. */
export interface FurtherStep {
  /** Of A in shared memory. */
  readonly a?: number;
  readonly b: number;
}

const types = { bf16: 'bf16', fp16: 'f16' } as const;
const setters = { overwritten: '0', added: '1' } as const;

/** Parameters in C, and what ends the instruction. */
const factors = {
  shared: { parameter: () => 'u64 a', majors: '0, 0' },
  registers: {
    parameter: (bySteps: boolean) => (bySteps ? 'const u32 (*a)[4]' : 'const u32 (&a)[4]'),
    majors: '1',
  },
} as const;

/** `void name(float (&d)[1][blocks][4], <A>, u64 b)`: descriptors are of `matrix_descriptor`. */
export function productText(step: ProductStep): string {
  const { name, dtype, columns, blocks = columns / 8, from, result, further = [] } = step;
  const { parameter, majors } = factors[from];
  const bySteps = step.further !== undefined;
  const steps = 1 + further.length;
  const count = columns / 2;
  const sums = Array.from({ length: count }, (_, i) => `d[0][${i >> 2}][${i & 3}]`);
  const width = steps > 1 ? 32 : 16; // a line
  const constraint = result === 'overwritten' ? '=f' : '+f';
  const [first, ...others] = wrapped(
    sums.map((sum) => `"${constraint}"(${sum})`),
    width / 2,
  );
  const registers = Array.from({ length: 4 * steps }, (_, i) =>
    bySteps ? `"r"(a[${i >> 2}][${i & 3}])` : `"r"(a[${i}])`,
  );
  const operands = [...(from === 'shared' ? ['"l"(a)'] : registers), '"l"(b)'];
  const placeOf = (operand: number): string => `%${count + operand}`;
  const b = placeOf(operands.length - 1);
  const isEither = result === 'either';
  const adds = isEither ? placeOf(operands.length) : setters[result];
  const type = types[dtype];
  const furtherText = ({ a = 0, b: more }: FurtherStep, isSecond: boolean): string =>
    [
      ...(isSecond && result !== 'added' ? ['setp.ne.b32 p, 1, 0;\\n'] : []),
      ...(from === 'shared' ? [movedText('a', placeOf(0), a)] : []),
      movedText('b', b, more),
    ].join('');
  const instructionText = (i: number): string[] => {
    const registersOfStep = Array.from({ length: 4 }, (_, j) => placeOf(4 * i + j)).join(', ');
    const isFirst = i === 0;
    const a = from === 'registers' ? `{${registersOfStep}}` : isFirst ? placeOf(0) : 'a';
    const sets = isFirst ? '' : furtherText(further[i - 1]!, i === 1);
    const places = wrapped(
      sums.map((_, j) => `%${j}`),
      width,
    );
    const end = `}, ${a}, ${isFirst ? b : 'b'}, p, 1, 1, ${majors};\\n${i === steps - 1 ? '}\\n' : ''}`;
    const lines = steps > 1 ? [...places.slice(0, -1), places.at(-1) + end] : [...places, end];
    return [
      `${sets}wgmma.mma_async.sync.aligned.m64n${columns}k16.f32.${type}.${type} {`,
      ...lines,
    ].map((line) => `      "${line}"`);
  };
  const locals = steps > 1 ? `.reg .b64 ${from === 'shared' ? 'a, ' : ''}b;\\n` : '';
  return [
    `WARPLOOM_DEVICE void ${name}(float (&d)[1][${blocks}][4], ${parameter(bySteps)}, u64 b${isEither ? ', int add' : ''}) {`,
    '  asm volatile(',
    `      "{\\n.reg .pred p;\\n${locals}setp.ne.b32 p, ${adds}, 0;\\n"`,
    ...Array.from({ length: steps }, (_, i) => instructionText(i)).flat(),
    `      : ${first}`,
    ...others.map((line) => `        ${line}`),
    `      : ${[...operands, ...(isEither ? ['"r"(add)'] : [])].join(', ')});`,
    '}',
  ].join('\n');
}

/** A descriptor so many units of 16 bytes further on. */
const movedText = (to: string, from: string, more: number): string =>
  `add.s64 ${to}, ${from}, ${more};\\n`;

/** Lines of at most `width` items, with a comma after each but the last. */
const wrapped = (items: readonly string[], width: number): string[] =>
  Array.from({ length: Math.ceil(items.length / width) }, (_, i) => {
    const to = (i + 1) * width;
    return items.slice(i * width, to).join(', ') + (to < items.length ? ', ' : '');
  });
