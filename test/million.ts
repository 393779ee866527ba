// One head of 1M tokens with each kind of mask that planning must be quick for: used by a test and a benchmark.

import type { Binding } from '../dsl/analysis/binding.ts';
import { Captured } from '../dsl/analysis/zones.ts';
import { BitSet } from '../dsl/chosen.ts';
import { lifted } from '../dsl/definition.ts';
import { pattern } from '../dsl/pattern.ts';
import type { UnitRequest } from '../dsl/plan/unit.ts';
import { aShape, documents, verticalSlash } from '../patterns/index.ts';

export const million = 2 ** 20;

type Bound = Pick<Binding, 'params' | 'captured' | 'sets'>;

/** Numbers of documents of 2000 to 4000 tokens. */
function documentNumbers(): Int32Array {
  const numbers = new Int32Array(million);
  for (let k = 0, doc = 0, left = 0; k < million; k += 1, left -= 1) {
    if (left === 0) {
      doc += 1;
      left = 2000 + ((doc * 7919) % 2000);
    }
    numbers[k] = doc;
  }
  return numbers;
}

/** 1000 columns, and 2048 near and 64 x 64 clustered distances dilated by 64: the budget (1000, 6096). */
function verticalSlashSets(): Record<string, BitSet> {
  const columns = new BitSet({ rowFrom: 0, rows: 1, columns: million, arity: 1 });
  for (let i = 0; i < 1000; i += 1) columns.add(0, (i * 1_047_559) % million);
  const distances = new BitSet({ rowFrom: 0, rows: 1, columns: million + 63, arity: 1 });
  distances.addRange(0, 0, 2048 + 63);
  for (let i = 0; i < 64; i += 1) {
    const start = 4096 + ((i * 16_273) % (million - 8192));
    distances.addRange(0, start, start + 127);
  }
  return { columns, distances };
}

/** Makes everything that a call would have at hand before planning; what planning adds is made by the plan. */
const bound: Readonly<Record<string, () => Bound>> = {
  'a-shape': () => ({ params: { sinks: 128, window: 4096 }, captured: {}, sets: {} }),
  'vertical-slash': () => ({
    params: { verticals: 1000, slashes: 6096, probe: 64, grain: 64 },
    captured: {},
    sets: verticalSlashSets(),
  }),
  documents: () => ({
    params: {},
    captured: { doc: new Captured('int', [1, million], documentNumbers()) },
    sets: {},
  }),
  bits: () => ({ params: {}, captured: {}, sets: {} }),
};

/** Of every tile nothing but intervals can tell, and no tile is full or left out. */
const bits = pattern('bits').mask(({ q, k }) => (q ^ k) % 3 === 0);

export const millionMasks = Object.keys(bound);

/** A request to plan one of the masks, with fresh data. */
export function millionRequest(name: string): UnitRequest {
  const asked = { 'a-shape': aShape, 'vertical-slash': verticalSlash, documents, bits }[name]!;
  const shape = {
    batch: 1,
    heads: 1,
    kvHeads: 1,
    qLen: million,
    kLen: million,
    headDim: 128,
    valueDim: 128,
  };
  const { mask } = lifted(asked.definition);
  const { gather } = asked.definition.knobs;
  const binding = { shape, unit: { batch: 0, head: 0, kvHead: 0 }, ...bound[name]!() };
  return { binding, mask, qTile: 64, kTile: 64, gather };
}
