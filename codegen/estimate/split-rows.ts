// The rows of a pass that are shared by several blocks, launch by launch: one counts, the next chooses. Where their tallies
// lie, zeros before, and what launches leave to the next that counts. Device side: device/select-split.cuh.

import type { Kernel } from '../kernel.ts';
import type { FieldValues } from '../struct.ts';
import { splitColumns } from './largest.ts';
import { at, type Launches, type Place } from './launches.ts';

/** Bytes that such a row needs beside its weights: a tally, and weights at the threshold. */
const rowBytes = { tally: 4 * (2 ** 12 + 8), listed: 8 * 2 ** 14 } as const;

/** Rows whose rest is to be chosen. */
interface Rest {
  readonly units: number;
  readonly tallies: Place;
}

/** What a kernel is told. */
interface Told {
  readonly args: FieldValues;
  readonly buffers: Readonly<Record<string, Place>>;
}

/** A launch of each kernel. */
export interface SplitLaunch {
  readonly count: Kernel;
  readonly choose: Kernel;
  /** Of the longest row. */
  readonly columns: number;
  readonly units: number;
  readonly both: Told;
  /** What counting is told besides. */
  readonly counting: Told;
}

export class SplitRows {
  readonly #launches: Launches;
  /** Rows of the pass, and those that have been launched. */
  readonly #count: number;
  #launched = 0;
  #before: Rest | undefined;

  /** Every row of the pass has a tally of its own, so that one fill is enough for all launches. */
  constructor(launches: Launches, count: number) {
    this.#launches = launches;
    this.#count = count;
    const bytes = count * rowBytes.tally;
    if (count > 0) launches.fill(at(launches.need('tallies', bytes)), bytes, 0);
  }

  launch({ count, choose, columns, units, both, counting }: SplitLaunch): void {
    const before = this.#before;
    const tallies = at('tallies', this.#launched * rowBytes.tally);
    const listed = at(this.#launches.need('listed', units * rowBytes.listed));
    this.#launched += units;
    const leaves = this.#launched < this.#count;
    this.#before = leaves ? { units, tallies } : undefined;
    const parts = Math.ceil(columns / splitColumns);
    const buffers = { ...both.buffers, tallies, listed };
    this.#launches.launch(
      count,
      [parts + (before ? 1 : 0), Math.max(units, before?.units ?? 0), 1],
      { ...both.args, ...counting.args, units, before_units: before?.units ?? 0 },
      { ...buffers, ...counting.buffers, before: before?.tallies ?? tallies },
    );
    this.#launches.launch(
      choose,
      [parts, units, 1],
      { ...both.args, leaves: Number(leaves) },
      buffers,
    );
  }
}
