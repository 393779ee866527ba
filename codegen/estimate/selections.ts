// The launches that select: one for each run of heads of equal numbers.

import { at } from './launches.ts';
import type { ReadingPlan } from './passes.ts';
import { groupsOf, type Pass, statisticsOf, sumRows, weightsOf } from './places.ts';
import { runsOfEqual } from './runs.ts';
import { numbersOf } from './select.ts';
import { gridArguments } from './text.ts';
import type { Chunk, Wave } from './waves.ts';

/** Selects from rows of a chunk, or from sums of one axis. */
export function select(
  reading: ReadingPlan,
  chunk: Chunk | undefined,
  wave: Wave,
  all: Pass,
): void {
  const { shape, launches, pass, needed, kernels } = all;
  const rows = chunk ? sumRows(reading, chunk, all) : { from: 0, to: 1 };
  const { sums: weights, stride } = weightsOf(reading, rows, wave, all);
  const count = rows.to - rows.from;
  const isRaw = !reading.isDirect || pass.how === 'raw';
  for (const [s, selection] of reading.selections.entries()) {
    const { perGroup, domain, bits, dense } = selection;
    const kernel = kernels.readings.get(reading)!.select[s]!;
    const units = perGroup ? groupsOf(wave, all) : wave;
    const perBatch = perGroup ? shape.kvHeads : shape.heads;
    const words = Math.ceil(domain.columns / 32);
    // A wave may hold parts of several batch entries.
    for (let batch = Math.floor(units.from / perBatch); batch * perBatch < units.to; batch++) {
      const first = batch * perBatch;
      const within = { from: Math.max(0, units.from - first), to: units.to - first };
      for (const run of runsOfEqual(numbersOf(selection), shape, needed, within)) {
        const { from, to, numbers } = run;
        const before = first + from - units.from;
        launches.launch(
          kernel,
          [count, to - from, 1],
          {
            ...gridArguments(pass.grid),
            stride,
            row_from: rows.from,
            rows: count,
            ...numbers,
            words,
            set_from: domain.rowFrom,
            set_rows: domain.rows,
            unit: first + from,
          },
          {
            weights: at(weights.buffer, weights.offset + 4 * before * count * stride),
            ...(isRaw ? {} : { statistics: at(statisticsOf(all).buffer, 8 * before * count) }),
            bits: at(bits),
            ...(dense ? { dense: at(dense) } : {}),
          },
        );
      }
    }
  }
}
