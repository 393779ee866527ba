// Law 6 on sets that a call is given: of any density, alike or not for rows that share a tile. Sets that patterns choose
// have the diagonal, and much else that kernels might come to rely on. Random calls, and the check of one.

import fc from 'fast-check';
import type { BitSet, ChosenSetsData } from '../../../dsl/chosen.ts';
import type { AnyPattern } from '../../../dsl/pattern.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { patterns } from '../../../patterns/index.ts';
import type { Device } from '../../../runtime/device.ts';
import type { FloatType } from '../../../runtime/dtype.ts';
import { numbersFrom } from '../../arbitraries.ts';
import { emptySets } from '../../bench/attention/sets.ts';
import { checkInputs, randomInputs } from './devices.ts';

export interface GivenSets {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  /** Do neighbouring rows of blocks have the same? */
  readonly isAlike: boolean;
  /** Are columns and distances runs, or scattered? */
  readonly areRuns: boolean;
  /** What share of the blocks of a row are members; of columns, distances and runs of these, fewer. */
  readonly density: number;
  /** As many as keys of a box, one less, or none of these. */
  readonly run: number;
  readonly seed: number;
}

export interface GivenOptions {
  readonly longest: number;
  readonly dims: Pick<LaunchShape, 'headDim' | 'valueDim'>;
  readonly dtype: FloatType;
}

export const givenSets = ({ longest, dims, dtype }: GivenOptions): fc.Arbitrary<GivenSets> =>
  fc.record({
    shape: fc
      .record({
        batch: fc.constantFrom(1, 1, 2),
        heads: fc.constantFrom([1, 1], [2, 1], [4, 1], [4, 2]),
        qLen: fc.oneof(fc.constantFrom(64, 128, 200, 256), fc.integer({ min: 1, max: 256 })),
        kLen: fc.oneof(fc.integer({ min: 256, max: longest }), fc.constant(longest)),
      })
      .map(({ heads: [heads, kvHeads], ...lengths }) => ({ ...lengths, heads, kvHeads, ...dims })),
    dtype: fc.constant(dtype),
    isAlike: fc.boolean(),
    areRuns: fc.boolean(),
    density: fc.constantFrom(0, 0.05, 0.2, 0.5, 0.9, 1),
    run: fc.constantFrom(1, 64, 127, 128, 200),
    seed: fc.nat(2 ** 20),
  });

const grain = 64;

/** Rows of blocks: every block by itself; neighbours are alike if the call says so. */
function fillRows(unit: BitSet, { isAlike, density, seed }: GivenSets, own: number): void {
  const { rowFrom, rows, columns } = unit.domain;
  for (let row = rowFrom; row < rowFrom + rows; row += 1) {
    const chance = numbersFrom(seed + own + (isAlike ? row >> 1 : row));
    for (let at = 0; at < columns; at += 1) if (chance() < density) unit.add(row, at);
  }
}

/** One row: runs of members, or where a call is of scattered ones few of them. */
function fillLine(unit: BitSet, { areRuns, density, run }: GivenSets, next: () => number): void {
  const { columns } = unit.domain;
  const step = areRuns ? grain : 1;
  for (let from = 0; from < columns; from += step)
    if (next() < density / (areRuns ? 2 : 8))
      unit.addRange(0, from, Math.min(from + (areRuns ? run : 1), columns));
}

/** The built-in patterns that choose sets. */
export const givenPatterns: ReadonlyMap<string, AnyPattern> = new Map(
  [...patterns].filter(([, { definition }]) => definition.estimates.length > 0),
);

/** Runs one call and compares. */
export async function checkGivenSets(device: Device, call: GivenSets, name: string): Promise<void> {
  const pattern = givenPatterns.get(name)!;
  const next = numbersFrom(call.seed);
  const chosen: ChosenSetsData = emptySets(pattern, call.shape);
  for (const { units } of Object.values(chosen))
    for (const unit of units)
      if (unit.domain.arity === 2) fillRows(unit, call, Math.floor(next() * 2 ** 20));
      else fillLine(unit, call, next);
  await checkInputs(device, pattern, call, { ...randomInputs(call), chosen });
}
