// Scores by polynomials for tanh of small numbers: which of them a step may take, as votes of a warp say.

import type { Expression } from '../../../dsl/expression.ts';
import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { SmallScore } from '../tanh.ts';
import { eachText } from './score-blocks.ts';

/** A polynomial of an odd function of so many coefficients has this degree. */
const degreeOf = (coefficients: readonly unknown[]): number => 2 * coefficients.length - 1;

type Range = ReturnType<typeof rangesOf>[number];

const rangesOf = ({ tanhs }: SmallScore) =>
  tanhs[0]!.ranges.map(({ coefficients }, range) => ({
    degree: degreeOf(coefficients),
    count: coefficients.length,
    coefficients: tanhs.map(({ ranges }) => ranges[range]!.coefficients),
    limits: tanhs.map(({ ranges }) => ranges[range]!.limit),
  }));

/** `look_at` and `is_small`. */
function lookText({ tanhs }: SmallScore, names: Names): string {
  const count = tanhs.length;
  const looks = tanhs.map(
    ({ of }, i) => `  const int bits_${i} = __float_as_int(${scalarText(of, names, 'score')});
  highest[${i}] = max(highest[${i}], bits_${i});
  lowest[${i}] = max(lowest[${i}], (u32)bits_${i});`,
  );
  return `// The bits of the highest argument of a tanh, and of the lowest: as whole numbers, floats are in the order of their sizes.
WARPLOOM_DEVICE void look_at(const Unit& u, float s, int q, int k, int step, float reference, int (&highest)[${count}],
                             u32 (&lowest)[${count}]) {
${looks.join('\n')}
}
// Are the squares of both below a limit? NaN is not.
WARPLOOM_DEVICE bool is_small(int highest, u32 lowest, float limit) {
  const float largest = __uint_as_float(max((u32)highest, lowest & 0x7fffffffu));
  return largest * largest < limit;
}`;
}

/** `Shortest` and `shortest_of`. */
function shortestText(small: SmallScore, names: Names): string {
  const [{ count, coefficients, limits }] = rangesOf(small) as [Range, ...Range[]];
  return `// The shortest polynomial, and what squares it is for: of the task, so that no step waits for shared memory to have them.
struct Shortest {
  float c[${small.tanhs.length}][${count}], limit[${small.tanhs.length}];
};
WARPLOOM_DEVICE Shortest shortest_of(const Unit& u) {
  return {${rowsText(coefficients, names)}, {${limits.map((limit) => scalarText(limit, names)).join(', ')}}};
}`;
}

/**
 * What `smallLoops` needs, after `score`: `Shortest`, what looks first, and `score_of_degree_<n>` for each range of small
 * numbers.
 */
export function smallText(small: SmallScore, names: Names): string {
  const { tanhs, value } = small;
  const degrees = rangesOf(small).map(({ degree, count }) => {
    const lines = tanhs.flatMap(({ name, of }, i) => {
      const terms = Array.from({ length: count }, (_, power) => `c[${i}][${power}]`);
      return [
        `  const float of_${name} = ${scalarText(of, names, 'score')}, square_${i} = of_${name} * of_${name};`,
        `  const float per_${name} = ${terms.reduceRight((higher, lower) => `fmaf(square_${i}, ${higher}, ${lower})`)};`,
      ];
    });
    return `// The score by polynomials of degree ${degree} for tanh.
WARPLOOM_DEVICE float score_of_degree_${degree}(const Unit& u, float s, int q, int k, int step, float reference,
                                        const float (&c)[${tanhs.length}][${count}]) {
${lines.join('\n')}
  return ${fusedText(value, names)};
}`;
  });
  return [shortestText(small, names), lookText(small, names), ...degrees].join('\n\n');
}

/** A product and what is added to it: compilers do not fuse what they move behind a branch. */
function fusedText(node: Expression, names: Names): string {
  const text = (part: Expression): string => scalarText(part, names, 'score');
  if (node.op === 'binary' && (node.name === 'add' || node.name === 'sub')) {
    const [product, added] = node.args;
    const sign = node.name === 'sub' ? '-' : '';
    if (product.op === 'binary' && product.name === 'mul')
      return `fmaf(${product.args.map(text).join(', ')}, ${sign}${text(added)})`;
  }
  return text(node);
}

/** Score blocks of a group, for all of which a warp takes what the largest argument needs. */
const groupBlocks = 2;

/**
 * By the shortest polynomial that the arguments of a whole step allow, as votes of a warp say. Where none does, by the
 * longest one or as the score is, group by group: each vote is waited for, and jumps over much text. Steps that begin a
 * task are few, and compilers take their time for each text: they go by groups.
 */
export function smallLoops(
  small: SmallScore,
  names: Names,
  of: (name: string, more?: string) => string,
): string {
  const ranges = rangesOf(small);
  const tanhs = small.tanhs.length;
  const look = (
    indent: string,
    first: string,
    last: string,
  ): string => `${indent}int highest[${tanhs}] = {};
${indent}u32 lowest[${tanhs}] = {};
${eachText(indent, first, last, of('look_at', ', highest, lowest'))}`;
  const areSmall = (limits: readonly string[]): string => {
    const each = limits.map((limit, at) => `is_small(highest[${at}], lowest[${at}], ${limit})`);
    return `__all_sync(FULL_WARP, ${each.join(' & ')})`;
  };
  const limitsOf = ({ limits }: Range): string[] => limits.map((one) => scalarText(one, names));
  const byDegree = (
    degree: number,
    c: string,
    indent: string,
    first: string,
    last: string,
  ): string =>
    eachText(
      indent,
      first,
      last,
      `s[0][j][half * 2 + e] = ${of(`score_of_degree_${degree}`, `, ${c}`)}`,
    );
  const byRange = (range: Range, indent: string, first: string, last: string): string =>
    `${indent}${coefficientsText(range, names)}
${byDegree(range.degree, `c${range.degree}`, indent, first, last)}`;
  const [shortest, ...longer] = ranges as [Range, ...Range[]];
  const longest = ranges.at(-1)!;
  const end = `min(first + ${groupBlocks}, blocks)`;
  return `  auto by_groups = [&]() {
#pragma unroll
    for (int first = 0; first < blocks; first += ${groupBlocks}) {
${look('      ', 'first', end)}
      if (${areSmall(limitsOf(longest))}) {
${byRange(longest, '        ', 'first', end)}
      } else {
${eachText('        ', 'first', end, `s[0][j][half * 2 + e] = ${of('score')}`)}
      }
    }
  };
  if constexpr (begins) {
    by_groups();
  } else {
${look('    ', '0', 'blocks')}
    if (${areSmall(shortest.limits.map((_, at) => `shortest.limit[${at}]`))}) {
${byDegree(shortest.degree, 'shortest.c', '      ', '0', 'blocks')}
    } else ${longer
      .map(
        (range) => `if (${areSmall(limitsOf(range))}) {
${byRange(range, '      ', '0', 'blocks')}
    } else `,
      )
      .join('')}by_groups();
  }`;
}

const coefficientsText = ({ degree, count, coefficients }: Range, names: Names): string =>
  `const float c${degree}[${coefficients.length}][${count}] = ${rowsText(coefficients, names)};`;

/** The coefficients of each tanh. */
const rowsText = (coefficients: Range['coefficients'], names: Names): string =>
  `{${coefficients.map((row) => `{${row.map((one) => scalarText(one, names)).join(', ')}}`).join(', ')}}`;
