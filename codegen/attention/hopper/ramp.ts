// A bias that is linear in the key, as ALiBi's, by the products: one step more makes `product + slope * key` of the keys
// of a tile, from its first one on, and what is left of the bias is one number for a row and a tile. An addition for
// each score would be issued while the unit of exponentials stands idle; the step is a 16th of the products of a head
// of 128.
//
// Its first factor is the slope, alike in all rows, from registers. A slope has 24 bits and an element 8, so it is three
// of them. Its second factor, the ramp, is `key + 8 * column`: the rows of 16 bytes that columns are made of follow each
// other, so that each of them is that of column c at eight keys, of column c + 1 at the eight before, and so on. That
// takes 2 bytes a key, where a column of its own beside seven unused ones would take 16, and there is no such room
// beside the tiles. A part p of the slope that is in columns c and 2 c as 2 p and -p has no share of `8 * column`.
//
// All of it is bf16, whatever the elements of Q and K are: integers up to 256 are exact, and slopes have the exponents
// of floats. Products of another type may have the same accumulators.
//
// What a key adds to its product is rounded as coarsely as it is large. A unit of a steep slope (../steps.ts) has a ramp of
// none: its scores become exponents one by one.

import { scalarText } from '../../expression.ts';
import type { KernelContext } from '../backend.ts';
import type { KernelPass } from '../passes.ts';
import { type HopperKnobs, hopperRegisterProblem, isApart, type SharedLayout } from './knobs.ts';

/** Rows of 16 bytes: those of the tile's keys, and of columns beyond the first. */
const rowsOf = ({ kTile }: HopperKnobs): number => kTile / 8 + 8;

/** Bytes that tiles leave, before or behind them: they are aligned to 1024, and a block has room for 1024 more. */
const leftBytes = 512;

/** Registers of a thread: the first factor, what is left of the bias for two rows, the descriptor. */
const heldRegisters = 8;

/** Can the products of a kernel have a ramp: are its keys tiles, and is there room? */
export const canRamp = (
  { knobs, valueDim }: Pick<KernelContext<HopperKnobs>, 'knobs' | 'valueDim'>,
  passes: readonly KernelPass[],
): boolean =>
  !isApart(knobs) &&
  passes.every(({ kind }) => kind === 'tiles') &&
  rowsOf(knobs) * 16 <= leftBytes &&
  hopperRegisterProblem(knobs, valueDim, heldRegisters) === undefined;

/** `write_ramp`, `slope_factor`, `bias_at` and `add_bias` of a score with a ramp. */
export function rampText({ score, knobs, names }: KernelContext<HopperKnobs>): string {
  if (!score?.ramp) return '';
  return `// ---- a ramp: the part of each key in the author's score, as one step of the products ----

constexpr int ramp_rows = ${rowsOf(knobs)};  // of 8 keys each

// The second factor: column c has key + 8 c, a row further on for each 8 keys and for each column.
WARPLOOM_DEVICE void write_ramp(u8* to) {
  for (int i = threadIdx.x; i < ramp_rows * 4; i += blockDim.x)
    reinterpret_cast<u32*>(to)[i] = pack_bf16((float)(2 * i), (float)(2 * i + 1));
  shared_written();
}

// The first factor of this lane, in all rows the same: high in column 0, middle in 1 and 2, low in 3 and 6.
WARPLOOM_DEVICE void slope_factor(float slope, u32 (&factor)[1][1][4]) {
  const float high = float_of_bf16((u16)pack_bf16(slope, 0.f)), rest = slope - high;
  const float middle = float_of_bf16((u16)pack_bf16(rest, 0.f)), low = rest - middle;
  const int pair = threadIdx.x & 3;
  const float first = pair == 0 ? high : pair == 1 ? -middle : pair == 2 ? 0.f : -low;
  const float second = pair == 0 ? 2.f * middle : pair == 1 ? 2.f * low : 0.f;
  factor[0][0][0] = factor[0][0][1] = pack_bf16(first, second);
  factor[0][0][2] = factor[0][0][3] = 0u;
}

// What the author's score adds to an exponent of 2 at a key.
WARPLOOM_DEVICE float bias_at(const Unit& u, int q, int k) {
  return ${scalarText(score.ramp.bias, names, 'score')};
}

// Products of such a unit become exponents of 2.
WARPLOOM_DEVICE void add_bias(const Unit& u, int q, int k, Scores& s) {
#pragma unroll
  for (int j = 0; j < score_blocks; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      s[0][j][e] = fmaf(s[0][j][e], ${scalarText(score.scale, names)}, bias_at(u, q + 8 * (e >> 1), k + 8 * j + (e & 1)));
}`;
}

/** `ramp`: where it lies. It is written before the block meets. */
export const rampPlaceText = (
  { score }: Pick<KernelContext, 'score'>,
  { bytes }: SharedLayout,
): string =>
  score?.ramp
    ? `  const u32 before = first - shared_address(shared);  // of 1024 bytes; the others are behind
  const u32 ramp_from = before >= ${leftBytes} ? 0 : before + ${bytes};
  const u32 ramp = shared_address(shared) + ramp_from;
  write_ramp(shared + ramp_from);
`
    : '';
