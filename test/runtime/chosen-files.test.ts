// Chosen sets on disk: what is written is read back, used as it is, and never misread.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BitSet, type ChosenSet, type ChosenSetsData, hullOf } from '../../dsl/chosen.ts';
import { PatternError } from '../../dsl/diagnostic.ts';
import {
  aShape,
  blockSparse,
  byHead,
  compile,
  flashPrefill,
  loadChosen,
  openDevice,
  readChosen,
  saveChosen,
  tensor,
  verticalSlash,
} from '../../index.ts';
import type { AnySets } from '../../runtime/parts.ts';
import { law, runs } from '../laws/settings.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warploom-sets-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A unit of these columns: rows of its own, where it has two axes. */
const unit = (arity: 1 | 2, columns: number): fc.Arbitrary<BitSet> =>
  fc
    .record({
      rowFrom: arity === 1 ? fc.constant(0) : fc.nat(5),
      rows: arity === 1 ? fc.constant(1) : fc.nat(4),
      picks: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
    })
    .map(({ rowFrom, rows, picks }) => {
      const set = new BitSet({ rowFrom, rows, columns, arity });
      if (columns > 0 && rows > 0)
        for (const [row, column] of picks) set.add(rowFrom + (row % rows), column % columns);
      return set;
    });

const someSet: fc.Arbitrary<ChosenSet> = fc
  .record({
    arity: fc.constantFrom(1 as const, 2 as const),
    columns: fc.nat(100),
    units: fc.nat(4),
  })
  .chain(({ arity, columns, units }) =>
    fc.record({
      axes: fc.constant(
        arity === 1
          ? [{ axis: 'distance', size: 1 }]
          : [
              { axis: 'qBlock', size: 32 },
              { axis: 'kBlock', size: 128 },
            ],
      ),
      perGroup: fc.boolean(),
      units: fc.array(unit(arity, columns), { minLength: units, maxLength: units }),
      dense: fc.array(fc.boolean(), { minLength: units, maxLength: units }),
      rows: fc.option(fc.record({ from: fc.nat(3), to: fc.nat(9) }), { nil: undefined }),
    }),
  );

const name = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('__proto__', 'a.bits', '0.a'));
const someSets: fc.Arbitrary<ChosenSetsData> = fc
  .array(fc.tuple(name, someSet), { maxLength: 3 })
  .map((all) => Object.fromEntries(all));

/** All that a set says of itself, by asking it. */
function facts({ axes, perGroup, units, dense, rows: computed }: ChosenSet) {
  const members = units.map((set) => {
    const { rowFrom, rows } = units.length > 0 ? hullOf(units) : set.domain;
    return Array.from({ length: rows }, (_, i) => [...set.members(rowFrom + i)].join(' '));
  });
  return { axes, perGroup, dense, computed, members };
}

const factsOf = (sets: ChosenSetsData) =>
  Object.entries(sets).map(([own, set]) => [own, facts(set)] as const);

describe('a file of chosen sets', () => {
  law('gives back what was written, for one pattern and for a list', () => {
    let count = 0;
    return fc.assert(
      fc.asyncProperty(someSets, fc.array(someSets, { maxLength: 3 }), async (one, list) => {
        const path = join(folder, `${count++}.safetensors`);
        await saveChosen(path, one);
        expect(factsOf(await loadChosen(path))).toEqual(factsOf(one));
        await saveChosen(path, list);
        const again = await loadChosen<readonly ChosenSetsData[]>(path);
        expect(again.map(factsOf)).toEqual(list.map(factsOf));
      }),
      runs(60),
    );
  });

  law('with any byte changed gives sets or an error of ours', async () => {
    const path = join(folder, 'good.safetensors');
    const bad = join(folder, 'bad.safetensors');
    const set = new BitSet({ rowFrom: 0, rows: 1, columns: 40, arity: 1 });
    set.addRange(0, 3, 37);
    const axes = [{ axis: 'k', size: 1 }];
    await saveChosen(path, { columns: { axes, perGroup: false, units: [set], dense: [false] } });
    const bytes = await readFile(path);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const changed = Buffer.from(bytes);
          changed[at]! ^= by;
          await writeFile(bad, changed);
          const read = await loadChosen(bad).catch((error: unknown) => error);
          if (read instanceof PatternError) return;
          expect(read).not.toBeInstanceOf(Error);
          for (const { units } of Object.values(read as ChosenSetsData))
            for (const one of units)
              expect(Math.max(-1, ...one.members())).toBeLessThan(one.domain.columns);
        },
      ),
      runs(300),
    );
  });
});

describe('sets that were kept', () => {
  const shape = { heads: 4, kvHeads: 2, headDim: 16 };
  const inputs = {
    q: tensor.random([1, 4, 200, 16], { seed: 1, dtype: 'bf16' }),
    k: tensor.random([1, 2, 330, 16], { seed: 2, dtype: 'bf16' }),
    v: tensor.random([1, 2, 330, 16], { seed: 3, dtype: 'bf16' }),
  };
  const mixed = byHead([verticalSlash, blockSparse, aShape, verticalSlash]);
  const cases = [
    ['one per head', verticalSlash, { verticals: [30, 40, 50, 60], slashes: 110 }],
    ['one per KV head', flashPrefill, { tail: 20 }],
    ['one list per pattern', mixed, { verticals: 30, slashes: 110, blocksPerRow: 2, window: 9 }],
  ] as const;

  it.each(cases)('serve like those that were chosen: %s', async (what, pattern, params) => {
    for (const name of ['cpu', 'emulated:sm_80']) {
      await using device = await openDevice(name);
      const attend = await compile(pattern as typeof mixed, { ...shape, dtype: 'bf16', device });
      const first = await attend(inputs, params);
      const path = join(folder, `${what} ${name}.safetensors`);
      await saveChosen(path, first.chosen as AnySets);
      const chosen = await loadChosen<readonly ChosenSetsData[]>(path);
      const again = await attend({ ...inputs, chosen }, params);
      expect(await again.out.read()).toEqual(await first.out.read());
      const [written, read] = [[first.chosen].flat(), [chosen].flat()];
      for (const [i, sets] of written.entries())
        expect(factsOf(read[i]!)).toEqual(factsOf(await readChosen(sets)));
      const [set] = Object.values(read[0]!);
      expect(set!.units[0]!.bits.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
  });
});
