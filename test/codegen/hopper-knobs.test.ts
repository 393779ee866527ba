// What tiles of the Hopper kernel cost, for every tile that could be: shared memory and registers. A block
// that has less than it uses would write over its neighbours; one that asks for more waits for ever.

import { describe, expect, it } from 'vitest';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import {
  groupsOf,
  type HopperKnobs,
  hopperProblem,
  pipelines,
  registersOf,
  sharedLayout,
  slabsOf,
  threadsOf,
  withTile,
} from '../../codegen/attention/hopper/knobs.ts';

/** Shared memory of a block on an H100, and the registers of a multiprocessor. */
const [blockBytes, allRegisters] = [227 * 1024, 64 * 1024];
const multiples = (of: number, to: number): number[] =>
  Array.from({ length: Math.floor(to / of) }, (_, i) => (i + 1) * of);
const dims = [8, 16, 40, 64, 72, 96, 120, 128, 136, 192, 200, 256];
const controls = [600, 1024, 1025, 2048, 3000];

const tiles: HopperKnobs[] = [];
for (const [warps, blocks] of [
  [8, 1],
  [12, 1],
  [4, 2],
] as const)
  for (const kTile of multiples(16, 256))
    for (const stages of [1, 2, 3, 4])
      for (const qBuffers of [1, 2] as const)
        for (const pingPong of [false, true])
          tiles.push({
            ...{ qTile: warps * 16, kTile, warps, stages, blocks },
            ...{
              qBuffers,
              pingPong,
              speculative: true,
              boxes: 1,
              headsPerTile: 1,
              work: 'sections',
            },
          });

interface Case {
  readonly knobs: HopperKnobs;
  readonly headDim: number;
  readonly valueDim: number;
  readonly control: number;
}

/** The tiles that the model lets pass. */
function* legal(): Generator<Case> {
  for (const knobs of tiles)
    for (const headDim of dims)
      for (const valueDim of dims)
        for (const control of controls)
          if (hopperProblem(knobs, headDim, valueDim, control) === undefined)
            yield { knobs, headDim, valueDim, control };
}

/** The parts of shared memory as [from, to), the output left out where it lies where the queries were. */
function partsOf({ knobs, headDim, valueDim, control }: Case): [number, number][] {
  const layout = sharedLayout(knobs, headDim, valueDim, control);
  const groups = groupsOf(knobs);
  const run = (from: number, count: number, bytes: number) =>
    Array.from({ length: count }, (_, i): [number, number] => [
      from + i * bytes,
      from + (i + 1) * bytes,
    ]);
  return [
    ...run(0, knobs.qBuffers * groups, layout.qGroup),
    ...run(layout.kFrom, knobs.stages, layout.k),
    ...run(layout.vFrom, knobs.stages, layout.v),
    ...(layout.outReplacesQ ? [] : run(layout.outFrom, groups, layout.outGroup)),
  ];
}

describe('the shared memory of a tile', () => {
  it('has parts that are aligned, apart and inside', () => {
    let count = 0;
    for (const one of legal()) {
      const { knobs, headDim, valueDim, control } = one;
      const { bytes } = sharedLayout(knobs, headDim, valueDim, control);
      const parts = partsOf(one).sort(([a], [b]) => a - b);
      for (const [i, [from, to]] of parts.entries()) {
        const before = i === 0 ? 0 : parts[i - 1]![1];
        if (from % 1024 !== 0 || from < before || to > bytes)
          expect.fail(`${JSON.stringify(one)}: [${from}, ${to}) after ${before} of ${bytes}`);
      }
      count += 1;
    }
    expect(count).toBeGreaterThan(10_000);
  });

  it('has room for what is copied and staged', () => {
    for (const { knobs, headDim, valueDim, control } of legal()) {
      const layout = sharedLayout(knobs, headDim, valueDim, control);
      const bytes = (rows: number, dim: number) => rows * slabsOf(dim) * 128;
      const isWrong =
        layout.qGroup < bytes(64, headDim) ||
        layout.outGroup < bytes(64, valueDim) ||
        layout.k !== bytes(knobs.kTile, headDim) ||
        layout.v !== bytes(knobs.kTile, valueDim) ||
        // A warpgroup may write its output only over queries of its own.
        (layout.outReplacesQ && (layout.outGroup !== layout.qGroup || layout.outFrom !== 0)) ||
        (layout.outReplacesQ && pipelines(knobs, layout));
      if (isWrong) expect.fail(JSON.stringify({ knobs, headDim, valueDim, layout }));
    }
  });

  it('fits a block, the alignment of its start and what the kernel declares included', () => {
    for (const { knobs, headDim, valueDim, control } of legal()) {
      const { bytes } = sharedLayout(knobs, headDim, valueDim, control);
      // ptxas rounds what is declared up to the alignment of the rest.
      const total = bytes + 1024 + Math.ceil(control / 1024) * 1024;
      // Each block keeps 1 KB to itself, of 228 in all.
      const most = Math.min(blockBytes, (228 * 1024) / knobs.blocks - 1024);
      if (total > most) expect.fail(JSON.stringify({ knobs, headDim, valueDim, control }));
    }
  });
});

it('the registers of a block are those that it was launched with', () => {
  for (const knobs of tiles)
    for (const valueDim of dims) {
      const groups = groupsOf(knobs);
      const { compute, copy } = registersOf(knobs, valueDim);
      const launched = Math.floor(allRegisters / (threadsOf(knobs) * knobs.blocks) / 8) * 8;
      const isWrong =
        groups * compute + copy > (groups + 1) * launched ||
        compute < launched ||
        copy > launched ||
        // What setmaxnreg takes.
        [compute, copy].some((count) => count % 8 !== 0 || count < 24 || count > 256);
      if (isWrong) expect.fail(JSON.stringify({ knobs, valueDim, compute, copy }));
    }
});

it('a candidate of every head is legal, with much to hold', () => {
  for (const headDim of dims)
    for (const valueDim of dims) {
      const problems = hopperCandidates(headDim, valueDim).map((knobs) =>
        hopperProblem(knobs, headDim, valueDim, 2048),
      );
      expect(problems, `head ${headDim}, value ${valueDim}`).toContain(undefined);
    }
});

describe('a tile that is stated', () => {
  it('is completed where it is one of whole warpgroups', () => {
    expect(withTile({ qTile: 192, kTile: 80 })).toMatchObject({
      ...{ qTile: 192, kTile: 80, warps: 12, stages: 2 },
    });
    expect(withTile({ kTile: 64, warps: 8, stages: 3 })).toMatchObject({
      ...{ qTile: 128, kTile: 64, warps: 8, stages: 3 },
    });
  });

  it('is none of this back-end where it is another', () => {
    for (const stated of [
      { qTile: 64, warps: 8 },
      { qTile: 256 },
      { qTile: 100 },
      { qTile: 128, warps: 4 },
    ])
      expect(withTile(stated)).toBeUndefined();
  });

  it('has a problem where it does not fit', () => {
    const [tile] = tiles;
    expect(hopperProblem({ ...tile!, warps: 6 }, 64, 64, 0)).toMatch(/warpgroups/);
    expect(hopperProblem({ ...tile!, blocks: 2 }, 64, 64, 0)).toMatch(
      /are 1 a multiprocessor, not 2/,
    );
    expect(
      hopperProblem({ ...tile!, warps: 4, qTile: 64, blocks: 2, pingPong: true }, 64, 64, 0),
    ).toMatch(/take turns/);
    expect(hopperProblem({ ...tile!, qTile: 64 }, 64, 64, 0)).toMatch(/64 query rows/);
    expect(hopperProblem({ ...tile!, kTile: 24 }, 64, 64, 0)).toMatch(/24 keys/);
    expect(hopperProblem({ ...tile!, kTile: 256 }, 256, 256, 0)).toMatch(/bytes/);
  });
});
