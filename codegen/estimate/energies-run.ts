// The launches of energies, chunk by chunk of blocks of queries, and the selections that read them.

import { energiesKernel } from './energies.ts';
import { at, errorBuffer } from './launches.ts';
import { groupsOf, type Pass, sumPlace, sumRows } from './places.ts';
import { select } from './selections.ts';
import { pool } from './stored.ts';
import { gridArguments } from './text.ts';
import { tensorArguments } from './vectors.ts';
import type { Wave } from './waves.ts';

export function runEnergies(wave: Wave, all: Pass): void {
  const { pass, plan, shape, strides, dtype, backend, factors, launches } = all;
  const [reading] = pass.readings;
  const { block, group } = reading!.want;
  const kernel = energiesKernel(pass, { block: block!, group }, shape, dtype, backend);
  const members = factors.columns.line;
  pool('right', members, wave, all);
  const groups = groupsOf(wave, all);
  for (const chunk of plan.chunks) {
    const blocks = sumRows(reading!, chunk, all);
    const count = blocks.to - blocks.from;
    const { sums, stride, units } = sumPlace(reading!, count, wave, all);
    const unitCount = units.to - units.from;
    launches.launch(
      kernel,
      [count, unitCount, 1],
      {
        ...tensorArguments('q', strides.q, shape),
        ...gridArguments(pass.grid),
        heads: shape.heads,
        kv_heads: shape.kvHeads,
        unit_from: units.from,
        group_from: groups.from,
        block_from: blocks.from,
        members: members.to - members.from,
        stride,
      },
      { q: at('q'), pools: at('right'), sums, error: at(errorBuffer) },
    );
    select(reading!, chunk, wave, all);
  }
}
