// The author's score of the products of a step, as exponents of 2 less the reference of their row.

import type { KernelContext } from '../backend.ts';
import { gathers } from '../passes.ts';
import { withSteepText } from '../scores.ts';
import type { HopperKnobs } from './knobs.ts';
import { eachText } from './score-blocks.ts';
import { smallLoops, smallText } from './small-scores.ts';

/** `apply_score`. Needs `Scores`, `key_of` and `score`. */
export function applyText({ passes, score, names }: KernelContext<HopperKnobs>): string {
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
    ? smallLoops(small, names, of)
    : each(`s[0][j][half * 2 + e] = ${of('score')}`);
  const steep = each(`s[0][j][half * 2 + e] += steep_bias(u, q + 8 * half, ${place});`);
  return `${small ? `${smallText(small, names)}\n\n` : ''}// Products become exponents of 2 of the author's scores, less the reference of their row, in the first score blocks.
template <int blocks = score_blocks${small ? ', bool begins = false' : ''}>
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column,
                                 const float (&reference)[2], ${small ? 'const Shortest& shortest, ' : ''}Scores& s) {
${withSteepText(score!, loops, steep)}
}`;
}
