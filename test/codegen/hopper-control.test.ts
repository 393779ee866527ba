// What a Hopper kernel declares in shared memory is no more than its model says, however much its pattern is
// given: the tiles that fit are chosen by it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KernelContext } from '../../codegen/attention/backend.ts';
import { controlBytes } from '../../codegen/attention/hopper/control.ts';
import { hopper } from '../../codegen/attention/hopper/index.ts';
import type { HopperKnobs } from '../../codegen/attention/hopper/knobs.ts';
import { judgesApart } from '../../codegen/attention/hopper/stand-ins.ts';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import type { Kernel } from '../../codegen/kernel.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import * as x from '../../dsl/expression.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { runs } from '../laws/settings.ts';

/** How much a pattern is given. */
interface Given {
  readonly params: number;
  readonly tensors: number;
  readonly rank: number;
  readonly sets: number;
  /** Loads that are the same for all pairs of a unit, and so kept with it. */
  readonly uniforms: number;
  readonly hasScore: boolean;
  /** Of stand-ins that a warp judges: the mask then asks for nothing of what is given. */
  readonly restSize: number | undefined;
}
type Knobs = Pick<HopperKnobs, 'warps' | 'boxes' | 'stages' | 'qBuffers' | 'speculative'>;

const named = <Value>(count: number, name: string, value: Value): Record<string, Value> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, value]));

/** The kernel of a mask that asks for all that it is given, and the bytes that the model says. */
function kernelOf(given: Given, knobs: Knobs): { kernel: Kernel; bytes: number } {
  const { params, tensors, rank, sets, uniforms, hasScore, restSize } = given;
  const declarations: Declarations = {
    params: named(params, 'number', { kind: 'int', lo: 0, hi: 100 }),
    tensors: named(tensors, 'tensor', { kind: 'int', rank }),
    sets: named(sets, 'set', { arity: 1 }),
  };
  const [q, k] = [x.index('q'), x.index('k')];
  const atoms = [
    x.compare('le', k, q),
    ...Object.keys(declarations.params).map((name) => x.compare('ne', x.param(name, 'int'), k)),
    ...Object.keys(declarations.tensors).map((name) => {
      const at = Array.from({ length: rank }, () => x.index('head'));
      return x.compare('ne', x.at(name, 'int', [...at.slice(1), k]), q);
    }),
    ...Array.from({ length: tensors === 0 ? 0 : uniforms }, (_, i) => {
      const at = Array.from({ length: rank }, () => x.int(i));
      return x.compare('ne', x.at('tensor0', 'int', at), k);
    }),
    ...Object.keys(declarations.sets).map((name) => x.has(name, [k])),
  ];
  const context: KernelContext<HopperKnobs>[] = [];
  const all = {
    qTile: knobs.warps * 16,
    kTile: 64,
    blocks: 1,
    pingPong: false,
    headsPerTile: 1,
    work: 'sections' as const,
    ...knobs,
  };
  const { kernel } = attentionKernel(
    {
      ...{
        declarations,
        mask: restSize === undefined ? atoms.reduce((a, b) => x.and(a, b)) : atoms[0]!,
        fixed: {},
        gather: undefined,
      },
      score: hasScore ? x.binary('mul', x.index('s'), x.real(0.5)) : undefined,
      ...{ restSize, perGroup: new Set<string>(), dtype: 'bf16', segments: false },
      ...{ headDim: 64, valueDim: 64, knobs: all },
    },
    { ...hopper, problem: (own) => void context.push(own) },
  );
  return { kernel, bytes: controlBytes(context[0]!, judgesApart(context[0]!)) };
}

/** Only two warpgroups ask for boxes of their own. */
const cuts = [
  { warps: 8, boxes: 1 },
  { warps: 8, boxes: 2 },
  { warps: 8, boxes: 3 },
  { warps: 12, boxes: 1 },
] as const;
const knobs: fc.Arbitrary<Knobs> = fc
  .record({
    cut: fc.constantFrom(...cuts),
    stages: fc.integer({ min: 1, max: 4 }),
    qBuffers: fc.constantFrom(1 as const, 2 as const),
    speculative: fc.boolean(),
  })
  .map(({ cut, ...more }) => ({ ...cut, ...more }));
const givens: fc.Arbitrary<Given> = fc.record({
  params: fc.nat(40),
  tensors: fc.nat(6),
  rank: fc.integer({ min: 1, max: 4 }),
  sets: fc.nat(6),
  uniforms: fc.nat(5),
  hasScore: fc.boolean(),
  restSize: fc.constantFrom(undefined, 16),
});

describe('what a Hopper kernel declares in shared memory', () => {
  it('is no more than its model says, and hardly less', async () => {
    const nvrtc = await findNvrtc();
    await fc.assert(
      fc.asyncProperty(givens, knobs, async (given, own) => {
        const { kernel, bytes } = kernelOf(given, own);
        // The declarations alone: what follows them takes a second to compile.
        const end = kernel.source.indexOf('struct Tiles {');
        expect(end).toBeGreaterThan(0);
        const source = `${kernel.source.slice(0, end)}
static_assert(sizeof(Control) <= ${bytes}, "too few");
static_assert(sizeof(Control) >= ${Math.floor(bytes * 0.8) - 64}, "too many");
extern "C" __global__ void attention(const __grid_constant__ Arguments p) {}
`;
        await nvrtc.compile({ name: 'attention', source, arch: 'sm_90a' });
      }),
      runs(60),
    );
  });

  it.each<Given & Knobs>([
    { params: 0, tensors: 0, rank: 1, sets: 0, uniforms: 0, hasScore: false, restSize: undefined, warps: 8, boxes: 1, stages: 2, qBuffers: 2, speculative: true },
    { params: 3, tensors: 0, rank: 1, sets: 1, uniforms: 0, hasScore: false, restSize: 16, warps: 8, boxes: 1, stages: 2, qBuffers: 2, speculative: true },
    { params: 30, tensors: 0, rank: 1, sets: 0, uniforms: 0, hasScore: true, restSize: undefined, warps: 12, boxes: 1, stages: 2, qBuffers: 1, speculative: true },
    { params: 5, tensors: 4, rank: 2, sets: 5, uniforms: 3, hasScore: false, restSize: undefined, warps: 8, boxes: 1, stages: 3, qBuffers: 1, speculative: false },
    { params: 5, tensors: 2, rank: 2, sets: 2, uniforms: 2, hasScore: false, restSize: undefined, warps: 8, boxes: 2, stages: 2, qBuffers: 2, speculative: true },
    { params: 0, tensors: 0, rank: 1, sets: 1, uniforms: 0, hasScore: false, restSize: undefined, warps: 8, boxes: 3, stages: 2, qBuffers: 1, speculative: true },
  ])('is what ptxas reports, but for the alignment of what follows: %j', async (one) => {
    const { kernel, bytes } = kernelOf(one, one);
    const { staticShared } = (await compileKernel(kernel, 'sm_90a')).report;
    expect(staticShared - 1024).toBeLessThanOrEqual(bytes);
    expect(staticShared).toBeGreaterThanOrEqual(bytes / 2);
  }); // biome-ignore format: a table
});
