// The generated attention kernel keeps the rules of the device, and needs each of its waits, barriers and
// commits: without any one of them the emulator finds a fault.

import { describe, expect, it } from 'vitest';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import { attentionLaunch } from '../../codegen/attention/launch.ts';
import type { LaunchList } from '../../codegen/kernel.ts';
import { lifted } from '../../dsl/definition.ts';
import { pattern } from '../../dsl/pattern.ts';
import { KernelFault } from '../../runtime/emulator/fault.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { fp32FromBf16 } from '../../runtime/half.ts';
import { tensor } from '../../runtime/tensor.ts';

// Tiles of queries: an empty one, one with empty rows, full and partial ones; the keys end inside of a tile.
const late = pattern('late').mask(({ q, k }) => k <= q && q >= 70 && q - k < 90);
const length = 210;
const dim = 32;

function listOf(stages: number): LaunchList {
  const { declarations, mask } = lifted(late.definition);
  const attention = attentionKernel({
    declarations,
    mask,
    score: undefined,
    fixed: {},
    gather: undefined,
    restSize: undefined,
    perGroup: new Set(),
    dtype: 'bf16',
    headDim: dim,
    valueDim: dim,
    segments: false,
    knobs: { qTile: 64, kTile: 32, warps: 4, stages, blocks: 1 },
  });
  const shape = { batch: 1, heads: 1, kvHeads: 1, qLen: length, kLen: length };
  const rows = { batch: length * dim, head: length * dim, row: dim };
  return attentionLaunch({
    multiprocessors: 1,
    attention,
    declarations,
    dtype: 'bf16',
    shape: { ...shape, headDim: dim, valueDim: dim },
    strides: { q: rows, k: rows, v: rows, out: rows },
    params: {},
    sets: {},
    captured: {},
  });
}

const random = (seed: number): Uint8Array => {
  const data = tensor.random([1, 1, length, dim], { dtype: 'bf16', seed }).data as Uint16Array;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};
const [q, k, v] = [random(1), random(2), random(3)];

async function outputOf(list: LaunchList, seed = 0): Promise<Float32Array> {
  const buffers = {
    q,
    k,
    v,
    out: { bytes: 2 * length * dim },
    lse: { bytes: 4 * length },
    error: new Uint8Array(8).fill(0xff),
  };
  const { out } = await runEmulated(list, buffers, { seed });
  return fp32FromBf16(new Uint16Array(out.buffer));
}

/** The same list with another text of its attention kernel. */
const withSource = (list: LaunchList, change: (source: string) => string): LaunchList => ({
  ...list,
  steps: list.steps.map((step) => {
    if (step.op === 'fill') return step;
    return { ...step, kernel: { ...step.kernel, source: change(step.kernel.source) } };
  }),
});

/** Where the kernel's own text waits, meets or commits: [from, to) of each statement. */
function places(source: string): (readonly [number, number])[] {
  const own = source.indexOf('// ---- kernel ----');
  return [...source.matchAll(/\b(__sync\w+|copy_commit|copy_wait<[^;]*>)\([^;]*\);/g)]
    .filter(({ index }) => index > own)
    .map(({ 0: text, index }) => [index, index + text.length] as const);
}

describe.each([1, 2])('attention with %d stages', (stages) => {
  const list = listOf(stages);
  const step = list.steps.find((one) => one.op === 'launch');
  const source = step?.op === 'launch' ? step.kernel.source : '';

  it('gives the same bits in any order of its threads', async () => {
    const first = await outputOf(list);
    expect(first.some((x) => x !== 0)).toBe(true);
    expect(first.every(Number.isFinite)).toBe(true);
    for (let seed = 1; seed <= 20; seed++) expect(await outputOf(list, seed)).toEqual(first);
  });

  it('needs each wait, barrier and commit', async () => {
    const needed = places(source);
    expect(needed.length).toBeGreaterThan(6);
    for (const [from, to] of needed) {
      const gone = withSource(list, (text) => text.slice(0, from) + text.slice(to));
      const found = await outputOf(gone).then(
        () => 'nothing',
        (error: unknown) => error,
      );
      const line = source.slice(0, from).split('\n').length;
      expect(found, `line ${line}: ${source.slice(from, to)}`).toBeInstanceOf(KernelFault);
    }
  });
});
