// What a tuner may try: within the resources of the chip, both back-ends, all defaults among it.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { choiceName, choiceProblem, ofHopper, ofPortable } from '../../codegen/attention/choice.ts';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { controlBytes } from '../../codegen/attention/hopper/control.ts';
import { mostShared, registersOf, sharedLayout } from '../../codegen/attention/hopper/knobs.ts';
import { legalKnobs } from '../../codegen/attention/legal.ts';
import { registerProblem, sharedBytes, tileCandidates } from '../../codegen/attention/tiles.ts';

const dims = fc.integer({ min: 1, max: 32 }).map((n) => 8 * n);
const hopper = { arch: 'sm_90a', blockSharedBytes: 232_448 };
const unitBytes = 128;

describe('legal knobs', () => {
  test('fit shared memory and registers', () =>
    fc.assert(
      fc.property(dims, dims, (headDim, valueDim) => {
        const all = legalKnobs({ ...hopper, headDim, valueDim });
        expect(all.length).toBeGreaterThan(0);
        for (const { backend, knobs } of all) {
          if (backend === 'portable') {
            expect(sharedBytes(knobs, headDim, valueDim)).toBeLessThanOrEqual(232_448);
            expect(registerProblem(knobs, valueDim)).toBeUndefined();
            continue;
          }
          const control = controlBytes({ knobs, unitBytes });
          const { bytes } = sharedLayout(knobs, headDim, valueDim, control);
          expect(bytes + control).toBeLessThanOrEqual(mostShared(knobs));
          const { compute, copy } = registersOf(knobs, valueDim);
          const groups = knobs.warps / 4;
          expect(groups * compute + copy).toBeLessThanOrEqual([0, 256, 504, 512][groups]!);
          expect(copy).toBeGreaterThanOrEqual(24);
        }
      }),
      { numRuns: 60 },
    ));

  test('are all different, and of the portable kernel alone where the chip is no Hopper', () => {
    for (const dim of [64, 128, 256]) {
      const all = legalKnobs({ ...hopper, headDim: dim, valueDim: dim });
      expect(new Set(all.map(choiceName)).size).toBe(all.length);
      const arch = { arch: 'sm_89', blockSharedBytes: 99 * 1024 };
      const others = legalKnobs({ ...arch, headDim: dim, valueDim: dim });
      expect(others.every(({ backend }) => backend === 'portable')).toBe(true);
      expect(others.length).toBeGreaterThan(5);
    }
  });

  test('hold the tiles of the issue where they fit', () => {
    const all = legalKnobs({ ...hopper, headDim: 64, valueDim: 64 });
    const tiles = new Set(
      all.flatMap(({ backend, knobs: { qTile, kTile } }) =>
        backend === 'hopper' ? [`${qTile}x${kTile}`] : [],
      ),
    );
    const keys = [64, 80, 96, 112, 128, 160, 176, 192].map((kTile) => `128x${kTile}`);
    const halves = [64, 80, 96, 128].map((kTile) => `64x${kTile}`);
    expect([...tiles]).toEqual([...keys, '192x80', '192x96', '192x112', '192x128', ...halves]);
  });

  test.each([64, 96, 128, 192, 256])('let every default of dim %d be', (dim) => {
    const defaults = [
      ...hopperCandidates(dim, dim).map(ofHopper),
      ...tileCandidates(dim, dim).map(ofPortable),
    ];
    const sizes = { headDim: dim, valueDim: dim };
    for (const choice of defaults)
      expect([choiceName(choice), choiceProblem(choice, sizes, 232_448)]).toEqual([
        choiceName(choice),
        undefined,
      ]);
  });
});

test('the table of defaults has an entry for every head and length', () =>
  fc.assert(
    fc.property(dims, dims, fc.integer({ min: 0, max: 2 ** 22 }), (headDim, valueDim, kLen) => {
      expect(hopperCandidates(headDim, valueDim, kLen).length).toBeGreaterThan(0);
    }),
  ));
