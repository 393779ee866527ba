// What a Hopper kernel is launched with, for random patterns and calls: every argument, and blocks and
// sections by the size of the call. Tensor maps are hopper-maps.test.ts.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kernelOf, ofHopper } from '../../codegen/attention/choice.ts';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import type { HopperKnobs } from '../../codegen/attention/hopper/knobs.ts';
import { sectionOf } from '../../codegen/attention/hopper/order.ts';
import { attentionLaunch } from '../../codegen/attention/launch.ts';
import { passesOf, withFixed } from '../../codegen/attention/passes.ts';
import type { Step } from '../../codegen/kernel.ts';
import { traceSets } from '../../dsl/definition.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { stridesOf } from '../../runtime/dtype.ts';
import { arbitraryShape } from '../arbitraries.ts';
import {
  arbitraryCall,
  type CallData,
  chosenOf,
  paramsOf,
  patternOf,
  type RandomCall,
} from '../laws/arbitraries.ts';
import { runs } from '../laws/settings.ts';

type Launch = Extract<Step, { op: 'launch' }>;

const axes = (strides: readonly number[]) => {
  const [batch = 0, head = 0, row = 0] = strides;
  return { batch, head, row };
};

const dtypeOf = ({ dtype }: CallData): 'fp16' | 'bf16' => (dtype === 'fp16' ? 'fp16' : 'bf16');

function specIn({ pattern, data }: RandomCall) {
  const { definition } = patternOf({ ...pattern, knobs: {} });
  const numbers = { window: 17, block: 8, level: 0.5 };
  const graph = traceSets(definition, numbers);
  const { headDim, valueDim } = data.shape;
  const shape = { headDim, valueDim, dtype: dtypeOf(data) };
  return specOf({ definition, numbers, graph, segments: false, shape });
}

/** The launch of the attention kernel of a call, and what it was made from. */
function launchOf(call: RandomCall, multiprocessors: number, own: Partial<HopperKnobs> = {}) {
  const { data } = call;
  const { shape, layouts } = data;
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const spec = specIn(call);
  const dtype = dtypeOf(data);
  const [knobs] = hopperCandidates(headDim, valueDim);
  const attention = kernelOf(spec, ofHopper({ ...knobs!, ...own }));
  const sets = Object.entries(chosenOf(data)).map(([name, { units }]) => [
    name,
    { domain: units[0]!.domain, perGroup: false },
  ]);
  const { steps } = attentionLaunch({
    ...{ attention, multiprocessors, dtype, shape },
    declarations: spec.declarations,
    strides: {
      q: axes(stridesOf([batch, heads, qLen, headDim], layouts[0])),
      k: axes(stridesOf([batch, kvHeads, kLen, headDim], layouts[1])),
      v: axes(stridesOf([batch, kvHeads, kLen, valueDim], layouts[2])),
      out: axes(stridesOf([batch, heads, qLen, valueDim], layouts[0])),
    },
    params: paramsOf(data),
    sets: Object.fromEntries(sets),
    captured: { doc: { shape: [batch, kLen] }, weight: { shape: [heads] } },
  });
  return { attention, launch: steps.at(-1) as Launch, qTile: knobs!.qTile };
}

// A mask that folds to false leaves no pass, and no kernel of this back-end.
const calls = arbitraryCall({}, arbitraryShape({ least: 1, most: 400 })).filter(
  ({ pattern: { mask } }) => passesOf(withFixed(mask, {}), undefined, undefined).length > 0,
);
const counts = fc.integer({ min: 1, max: 150 });

describe('the launch of a Hopper kernel', () => {
  it('gives every argument, and no other', () => {
    fc.assert(
      fc.property(calls, counts, (call, multiprocessors) => {
        const { attention, launch } = launchOf(call, multiprocessors);
        const { params } = attention.kernel;
        const addresses = Object.keys(launch.buffers).map((name) => [name, 256] as const);
        const bytes = params.pack({ ...launch.args, ...Object.fromEntries(addresses) });
        expect(bytes).toHaveLength(params.bytes);
        const maps = params.fields.filter(({ type }) => type === 'map').map(({ name }) => name);
        expect(Object.keys(launch.maps!).sort()).toEqual(maps.sort());
        // Most devices take 4 KB of arguments.
        expect(params.bytes).toBeLessThan(4096);
        for (const name of maps) expect(params.offsets[name]! % 64).toBe(0);
      }),
      runs(150),
    );
  });

  it('has a block for each multiprocessor, and none that never has a tile', () => {
    fc.assert(
      fc.property(calls, counts, (call, multiprocessors) => {
        const { launch, qTile } = launchOf(call, multiprocessors);
        const { shape } = call.data;
        const first = Math.floor(queryOffset(shape) / qTile);
        const tiles = Math.floor((shape.kLen - 1) / qTile) - first + 1;
        const units = shape.batch * shape.heads;
        expect(launch.grid).toEqual([Math.min(multiprocessors, tiles * units), 1, 1]);
        expect(launch.args).toMatchObject({ tiles, units, first_tile: first });
      }),
      runs(100),
    );
  });

  it('has the queries of several heads in a tile, and boxes of them', () => {
    const shape = arbitraryShape({ least: 1, most: 400, heads: 4 });
    const some = arbitraryCall({}, shape).filter(
      ({
        pattern: { mask },
        data: {
          shape: { heads, kvHeads },
        },
      }) =>
        (heads / kvHeads) % 2 === 0 &&
        passesOf(withFixed(mask, {}), undefined, undefined).length > 0,
    );
    fc.assert(
      fc.property(some, counts, (call, multiprocessors) => {
        const { launch, qTile } = launchOf(call, multiprocessors, { headsPerTile: 2 });
        fc.pre(qTile === 128);
        const { shape: sizes } = call.data;
        const first = Math.floor(queryOffset(sizes) / 64);
        const tiles = Math.floor((sizes.kLen - 1) / 64) - first + 1;
        const units = (sizes.batch * sizes.heads) / 2;
        expect(launch.grid).toEqual([Math.min(multiprocessors, tiles * units), 1, 1]);
        expect(launch.args).toMatchObject({ tiles, units, first_tile: first });
        expect(launch.maps!.q_map!.box.slice(0, 3)).toEqual([64, 64, 1]);
        const headsPerTile = sizes.heads / sizes.kvHeads;
        const { launch: other } = launchOf(call, multiprocessors, { headsPerTile });
        const queries = 128 / headsPerTile;
        expect(other.maps!.out_map!.box.slice(0, 3)).toEqual([64, queries, 64 / queries]);
      }),
      runs(30),
    );
  });

  it('draws sections of whole groups of heads whose keys and values fit L2', () => {
    const one = fc.sample(calls, { numRuns: 1, seed: 1 })[0]!;
    const { attention } = launchOf(one, 132, { work: 'sections' });
    const row = { batch: 8, head: 8, row: 8 };
    const facts = { params: {}, sets: {}, captured: {}, multiprocessors: 132 };
    const strides = { q: row, k: row, v: row, out: row };
    const dim = fc.integer({ min: 1, max: 32 }).map((n) => 8 * n);
    const sizes = fc.record({
      kLen: fc.oneof(fc.integer({ min: 1, max: 2 ** 20 }), fc.integer({ min: 1, max: 5000 })),
      kvHeads: fc.integer({ min: 1, max: 9 }),
      group: fc.integer({ min: 1, max: 8 }),
      batch: fc.integer({ min: 1, max: 3 }),
      headDim: dim,
      valueDim: dim,
    });
    fc.assert(
      fc.property(sizes, ({ group, ...rest }) => {
        const shape = { ...rest, heads: rest.kvHeads * group, qLen: 1 };
        const units = shape.batch * shape.heads;
        const { declarations } = specIn(one);
        const call = { ...facts, declarations, dtype: 'bf16', shape, strides } as const;
        const { section } = attention.launch({ call, tiles: 3, units, columnsCapacity: 0 })
          .args as { section: number };
        expect(sectionOf('longest', shape, units)).toBe(units);
        expect(sectionOf('heads', shape, units)).toBe(group);
        expect(sectionOf('head', shape, units)).toBe(1);
        const bytes = (kvHeads: number) =>
          kvHeads * shape.kLen * (shape.headDim + shape.valueDim) * 2;
        expect(section).toBeGreaterThanOrEqual(1);
        expect(section).toBeLessThanOrEqual(units);
        if (section === units) return;
        expect(section % group).toBe(0);
        const kvHeads = section / group;
        if (kvHeads > 1) expect(bytes(kvHeads)).toBeLessThanOrEqual(32e6);
        if (kvHeads < 64) expect(bytes(2 * kvHeads)).toBeGreaterThan(32e6);
      }),
      runs(300),
    );
  });
});
