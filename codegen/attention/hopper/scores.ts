// The author's score of the products of a step, as exponents of 2 less the reference of their row.

import type { Expression } from '../../../dsl/expression.ts';
import { scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import type { KernelContext } from '../backend.ts';
import { gathers } from '../passes.ts';
import { withSteepText } from '../scores.ts';
import type { SmallScore } from '../tanh.ts';
import { groupsOf, type HopperKnobs, isApart } from './knobs.ts';

/** `apply_score`. Needs `Scores`, `key_of` and `score`. */
export function applyText({
  knobs,
  valueDim,
  passes,
  score,
  names,
}: KernelContext<HopperKnobs>): string {
  // Entries of a list are keys of their own; of tiles and pools the first of a lane is enough.
  const isListed = gathers(passes);
  const place = isListed
    ? 'key_of(u, p, index, visit, column + j * 8 + e), 0'
    : 'place_of(visit, j * 8) + column - j * 8, j * 8 + e';
  const of = (name: string, more = ''): string =>
    `${name}(u, s[0][j][half * 2 + e], q + 8 * half, ${place}, reference[half]${more});`;
  const { small } = score!;
  const each = (statement: string): string => eachText('  ', '0', 'blocks', statement);
  const loops = small
    ? groupsText(small, names, groupBlocks(knobs, valueDim), of)
    : each(`s[0][j][half * 2 + e] = ${of('score')}`);
  const steep = each(`s[0][j][half * 2 + e] += steep_bias(u, q + 8 * half, ${place});`);
  return `${small ? `${smallText(small, names)}\n\n` : ''}// Products become exponents of 2 of the author's scores, less the reference of their row, in the first score blocks.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column,
                                 const float (&reference)[2], Scores& s) {
${withSteepText(score!, loops, steep)}
}`;
}

/** A statement for each element of some blocks of scores. */
const eachText = (indent: string, first: string, last: string, statement: string): string =>
  [
    '#pragma unroll',
    `${indent}for (int j = ${first}; j < ${last}; ++j)`,
    '#pragma unroll',
    `${indent}  for (int e = 0; e < 2; ++e)`,
    '#pragma unroll',
    `${indent}    for (int half = 0; half < 2; ++half) ${statement}`,
  ].join('\n');

/** A polynomial of an odd function of so many coefficients has this degree. */
const degreeOf = (coefficients: readonly unknown[]): number => 2 * coefficients.length - 1;

const rangesOf = ({ tanhs }: SmallScore) =>
  tanhs[0]!.ranges.map(({ coefficients }, range) => ({
    degree: degreeOf(coefficients),
    count: coefficients.length,
    coefficients: tanhs.map(({ ranges }) => ranges[range]!.coefficients),
    limits: tanhs.map(({ ranges }) => ranges[range]!.limit),
  }));

/** `score_of_degree_<n>` for each range of small numbers. */
function smallText(small: SmallScore, names: Names): string {
  const { tanhs, value } = small;
  return rangesOf(small)
    .map(({ degree, count }) => {
      const lines = tanhs.flatMap(({ name, of }, i) => {
        const terms = Array.from({ length: count }, (_, power) => `c[${i}][${power}]`);
        return [
          `  const float of_${name} = ${scalarText(of, names, 'score')}, square_${i} = of_${name} * of_${name};`,
          `  const float per_${name} = ${terms.reduceRight((higher, lower) => `fmaf(square_${i}, ${higher}, ${lower})`)};`,
          `  largest[${i}] = max(largest[${i}], __float_as_uint(square_${i}));  // NaN is the largest`,
        ];
      });
      return `// The score by polynomials of degree ${degree} for tanh, and the largest square that it is taken of.
WARPLOOM_DEVICE float score_of_degree_${degree}(const Unit& u, float s, int q, int k, int step, float reference,
                                        const float (&c)[${tanhs.length}][${count}], u32 (&largest)[${tanhs.length}]) {
${lines.join('\n')}
  return ${fusedText(value, names)};
}`;
    })
    .join('\n\n');
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

/** Score blocks of a group, for all of which a warp takes what the largest argument needs: as many as find room. */
const groupBlocks = (knobs: HopperKnobs, valueDim: number): number =>
  groupsOf(knobs) === 2 && !isApart(knobs) && valueDim <= 128 ? 4 : 2;

function groupsText(
  small: SmallScore,
  names: Names,
  blocks: number,
  of: (name: string, more?: string) => string,
): string {
  const ranges = rangesOf(small);
  const tanhs = small.tanhs.length;
  const coefficientsText = ({ degree, count, coefficients }: (typeof ranges)[number]): string => {
    const rows = coefficients.map(
      (row) => `{${row.map((one) => scalarText(one, names)).join(', ')}}`,
    );
    return `const float c${degree}[${tanhs}][${count}] = {${rows.join(', ')}};`;
  };
  const group = (indent: string, statement: string): string =>
    eachText(indent, 'first', `min(first + ${blocks}, blocks)`, statement);
  const cases = ranges.map((range, i) => {
    const all = range.limits.map(
      (limit, at) => `largest[${at}] < __float_as_uint(${scalarText(limit, names)})`,
    );
    return `if (__all_sync(FULL_WARP, ${all.join(' & ')})) {
${i === 0 ? '' : `      ${coefficientsText(range)}\n`}${group('      ', `s[0][j][half * 2 + e] = ${of(`score_of_degree_${range.degree}`, `, c${range.degree}, seen`)}`)}
    }`;
  });
  const [first] = ranges;
  return `  ${coefficientsText(first!)}
#pragma unroll
  for (int first = 0; first < blocks; first += ${blocks}) {
    // Products are overwritten when it is known by which polynomial: two sets of them would not find room.
    u32 largest[${tanhs}] = {}, seen[${tanhs}] = {};
${group('    ', of(`score_of_degree_${first!.degree}`, `, c${first!.degree}, largest`))}
    ${cases.join(' else ')} else {
${group('      ', `s[0][j][half * 2 + e] = ${of('score')}`)}
    }
  }`;
}
