// What `run` tells of each stage: times, predicted cost, and how much of dense attention is kept.

import { describe, expect, test } from 'vitest';
import { causal, compile, openDevice, outputError, recall, tensor } from '../../index.ts';
import { stageOf } from '../../runtime/commands/performed.ts';
import { builtIn, launchOf } from '../codegen/estimate-calls.ts';
import { say } from './command.ts';

const random = ['--random', '1,2,1,256,16'];

describe('run --json', () => {
  test('has the time of each stage of an estimate, and the predicted cost of each head', async () => {
    const { code, out } = await say(
      'run',
      'vertical-slash',
      ...random,
      '--slashes',
      '110',
      '--verticals',
      '40',
      '--json',
    );
    expect(code).toBe(0);
    const { ms, heads } = JSON.parse(out);
    expect(Object.keys(ms.stages).sort()).toEqual(['attention', 'convert', 'estimate', 'select']);
    for (const time of Object.values<number>(ms.stages)) expect(time).toBeGreaterThan(0);
    const { attention: _, ...before } = ms.stages;
    const sum = Object.values<number>(before).reduce((a, b) => a + b, 0);
    expect(sum).toBeLessThanOrEqual(ms.estimate);
    for (const { cost, density } of heads) {
      expect(cost).toBeGreaterThan(0.5 * density);
      expect(cost).toBeLessThan(2 * density);
    }
  });

  test.each(['cpu', 'emulated:sm_80'])(
    'says which heads attend to all that they could, on %s',
    async (device) => {
      const words = ['run', 'vertical-slash', '--random', '1,2,1,700,16', '--verticals', '1'];
      const rest = ['--slashes', '20,690', '--device', device, '--check', '--json'];
      const denseOf = async (...more: string[]) => {
        const { code, out } = await say(...words, ...rest, ...more);
        expect(code).toBe(0);
        const { heads, ms } = JSON.parse(out);
        if (device === 'cpu') expect(Object.keys(ms.stages)).toContain('estimate');
        return heads.map(({ dense }: { dense: boolean }) => dense);
      };
      expect(await denseOf()).toEqual([false, false]);
      expect(await denseOf('--fallback', 'dense')).toEqual([false, true]);
      const { out } = await say('run', 'vertical-slash', ...random, '--device', device);
      expect(out).toContain('heads 0-1: every key that the mask could allow, none chosen');
    },
  );

  test.each(['cpu', 'emulated:sm_80'])('says which heads chose too much, on %s', async (device) => {
    const words = ['run', 'x-attention', '--random', '2,2,1,500,16', '--block', '16'];
    const rest = ['--stride', '4', '--mass', '0.1,1', '--device', device, '--check', '--json'];
    const headsOf = async (...more: string[]) => {
      const { code, out } = await say(...words, ...rest, ...more);
      expect(code).toBe(0);
      return JSON.parse(out).heads as { dense: boolean; costKnown: string }[];
    };
    const [plain, asked] = [await headsOf(), await headsOf('--fallback', 'dense')];
    expect(plain.map(({ dense }) => dense)).toEqual([false, false, false, false]);
    expect(asked.map(({ dense }) => dense)).toEqual([false, true, false, true]);
    for (const { costKnown } of [...plain, ...asked]) expect(costKnown).toBe('after selection');
    const { out } = await say(...words, ...rest.slice(0, -1), '--fallback', 'dense');
    expect(out).toContain('head 1: every key that the mask could allow, as what they chose');
  });

  test('explain says how much would be too much', async () => {
    const { out } = await say('explain', 'x-attention', '--random', '1,2,1,500,16', '--json');
    const { limits, dense } = JSON.parse(out);
    expect(dense).toEqual([]);
    expect(limits).toEqual([{ heads: [0, 1], limits: { blocks: expect.any(Number) } }]);
    const text = (await say('explain', 'x-attention', '--random', '1,2,1,500,16')).out;
    const count = limits[0].limits.blocks;
    expect(text).toContain(`heads 0-1: cost known after selection; ${count} of blocks would cost`);
  });

  test.each(['cpu', 'emulated:sm_80'])(
    'has what each head keeps of dense attention, on %s',
    async (device) => {
      const words = ['run', 'a-shape', ...random, '--sinks', '4', '--window', '16', '--recall'];
      const { code, out } = await say(...words, '--dtype', 'bf16', '--json', '--device', device);
      expect(code).toBe(0);
      const found = JSON.parse(out).recall;
      const { q, k, v } = Object.fromEntries(
        ['q', 'k', 'v'].map((name, i) => [
          name,
          tensor.random([1, name === 'q' ? 2 : 1, 256, 16], { seed: i, dtype: 'bf16' }),
        ]),
      ) as Record<'q' | 'k' | 'v', ReturnType<typeof tensor.random>>;
      await using cpu = await openDevice('cpu');
      const sizes = { heads: 2, kvHeads: 1, headDim: 16, dtype: 'bf16' as const, device: cpu };
      const dense = await (await compile(causal, sizes))({ q, k, v });
      const { aShape } = await import('../../index.ts');
      const sparse = await (await compile(aShape, sizes))({ q, k, v }, { sinks: 4, window: 16 });
      const expected = await recall(sparse.lse, dense.lse);
      const errors = await outputError(sparse.out, dense.out);
      for (const [head, one] of expected.entries()) {
        expect(found[head]).toMatchObject({ batch: 0, head });
        expect(found[head].mean).toBeCloseTo(one.mean, 4);
        expect(found[head].min).toBeCloseTo(one.min, 4);
        expect(errors[head]!.relative).toBeGreaterThan(0.1);
        expect(found[head].outputError).toBeCloseTo(errors[head]!.relative, 2);
      }
      expect((await say(...words)).out).toMatch(/^heads +density +cost +mass +output error /m);
    },
  );

  test('refuses to compare a pattern with a score', async () => {
    const { code, err } = await say('run', 'alibi-softcap', ...random, '--recall');
    expect(code).toBe(2);
    expect(err).toMatch(/--recall of a pattern with a score/);
  });
});

describe('stages of kernels', () => {
  const names = ['vertical-slash', 'block-sparse', 'x-attention', 'flash-prefill', 'flex-prefill'];

  test.each(names)('%s has kernels that estimate, and kernels that select', (name) => {
    const { list } = launchOf(builtIn(name, {}));
    const stages = list.steps.flatMap((step) =>
      step.op === 'launch' ? [stageOf(step.kernel.name)] : [],
    );
    expect(new Set(stages)).toContain('estimate');
    expect(new Set(stages)).toContain('select');
    expect(new Set(stages)).not.toContain('attention');
    expect(stages.includes('convert')).toBe(name === 'vertical-slash' || name === 'flex-prefill');
  });
});
