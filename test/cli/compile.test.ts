// `warploom compile`: what it leaves in its folder, for processes that have that folder and no NVRTC, and what it says
// of mistakes.

import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { simulatedDriver } from '../native/simulated.ts';
import { folder, say, start } from './command.ts';

const names = ['WARPLOOM_CACHE', 'WARPLOOM_KERNELS', 'WARPLOOM_NVRTC', 'WARPLOOM_LIBCUDA'];
const usual = names.map((name) => [name, process.env[name]] as const);
afterEach(() => {
  for (const [name, value] of usual) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});
/** Nothing of any other process is in the way. */
beforeEach(() => {
  process.env.WARPLOOM_CACHE = folder();
});

const entriesOf = (place: string): string[] =>
  existsSync(join(place, 'ahead')) ? readdirSync(join(place, 'ahead')).sort() : [];

const sizes = ['--head-dim', '64', '--query-heads', '2', '--length', '256'];

async function compiled(...words: string[]) {
  const { code, out, err } = await say('compile', ...words, '--json');
  const { kernels, failures } = JSON.parse(out);
  return { code, err, failures, kernels: kernels as Record<string, unknown>[] };
}
const states = (kernels: readonly Record<string, unknown>[]) => kernels.map(({ state }) => state);

/** The call of those sizes as a process sees it that has the kernels and no NVRTC. */
const words = ['--random', '1,2,2,256,64', '--dtype', 'bf16', '--arch', 'sm_80', '--json'];
async function withoutNvrtc(kernels: string, pattern: string, ...more: string[]) {
  Object.assign(process.env, { WARPLOOM_KERNELS: kernels, WARPLOOM_NVRTC: '/nowhere' });
  const { out } = await say('explain', pattern, ...words, ...more);
  return JSON.parse(out).cuda;
}

describe('a folder that was filled', () => {
  let filled = '';
  const budget = ['--blocks-per-row', '2'];
  const asked = ['causal', 'block-sparse', '--arch', 'sm_80', ...sizes];
  beforeAll(async () => {
    process.env.WARPLOOM_CACHE = folder();
    filled = folder();
    const { code, kernels } = await compiled(...asked, ...budget, '--cache', filled);
    expect(code).toBe(0);
    expect(new Set(states(kernels))).toEqual(new Set(['compiled']));
    expect(kernels.some(({ kernel }) => /^estimate_topk/.test(String(kernel)))).toBe(true);
    expect(kernels[0]).toMatchObject({ pattern: 'causal', kernel: 'attention', arch: 'sm_80' });
    expect(kernels[0]!.registers).toBeGreaterThan(100);
    expect(entriesOf(filled)).toHaveLength(kernels.length);
  });

  test('has every kernel of the calls, for processes without NVRTC, and stays as it is', async () => {
    const before = entriesOf(filled);
    expect((await withoutNvrtc(filled, 'causal')).parts).toHaveLength(1);
    const { parts } = await withoutNvrtc(filled, 'block-sparse', ...budget);
    expect(parts[0].kernels.length).toBeGreaterThan(3);
    expect(entriesOf(filled)).toEqual(before);
    expect(readdirSync(process.env.WARPLOOM_CACHE!)).toEqual([]);
  });

  test('does as a cache too', async () => {
    Object.assign(process.env, { WARPLOOM_CACHE: filled, WARPLOOM_NVRTC: '/nowhere' });
    const { out } = await say('explain', 'causal', ...words);
    expect(JSON.parse(out).cuda.parts).toHaveLength(1);
  });

  test('is read where nobody may write', async () => {
    const copy = folder();
    cpSync(filled, copy, { recursive: true });
    chmodSync(join(copy, 'ahead'), 0o555);
    for (const name of entriesOf(copy)) chmodSync(join(copy, 'ahead', name), 0o444);
    expect((await withoutNvrtc(copy, 'causal')).parts).toHaveLength(1);
    chmodSync(join(copy, 'ahead'), 0o755);
  });

  test('says what is missing of another call, as ever', async () => {
    const { reason } = await withoutNvrtc(filled, 'a-shape');
    expect(reason).toMatchObject({ code: 'R009' });
  });

  test('is not filled again', async () => {
    const before = entriesOf(filled);
    const { kernels } = await compiled(...asked, ...budget, '--cache', filled);
    expect(new Set(states(kernels))).toEqual(new Set(['cached']));
    const text = await say('compile', ...asked, ...budget, '--cache', filled);
    expect(text.out).toMatch(
      /^pattern +kernel +arch +registers +spilled +time\n *causal +attention/,
    );
    expect(text.out).toContain(`0 compiled, ${before.length} cached in `);
  });

  test('gets back what is damaged, and nobody takes it meanwhile', async () => {
    const copy = folder();
    cpSync(filled, copy, { recursive: true });
    for (const name of entriesOf(copy)) {
      const file = join(copy, 'ahead', name);
      const bytes = readFileSync(file);
      bytes[bytes.length - 100]! ^= 1;
      writeFileSync(file, bytes);
    }
    expect((await withoutNvrtc(copy, 'causal')).reason).toMatchObject({ code: 'R009' });
    delete process.env.WARPLOOM_NVRTC;
    const { kernels } = await compiled('causal', '--arch', 'sm_80', ...sizes, '--cache', copy);
    expect(states(kernels)).toEqual(['compiled']);
    expect((await withoutNvrtc(copy, 'causal')).parts).toHaveLength(1);
  });
});

test('a whole call runs from it on a device without NVRTC', async () => {
  const filled = folder();
  const { kernels } = await compiled('causal', '--arch', 'sm_90a', ...sizes, '--cache', filled);
  expect(kernels).toMatchObject([{ arch: 'sm_90a', state: 'compiled' }]);
  const empty = folder();
  const run = async (place: string) => {
    Object.assign(process.env, {
      WARPLOOM_LIBCUDA: simulatedDriver(),
      WARPLOOM_NVRTC: '/nowhere',
      WARPLOOM_KERNELS: place,
    });
    // The simulated driver launches whatever it is given, and computes nothing.
    const { code, out, err } = await start(['run', 'causal', ...words.slice(0, 4), '--json']).ended;
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out).device.kind;
  };
  expect(await run(filled)).toBe('cuda');
  expect(await run(empty)).toBe('cpu');
});

test('candidates that spill are there too: the next process asks them again', async () => {
  const text = `
import { pattern } from 'warploom';
export const long = pattern('long')
  .mask(({ q, k }) => k <= q && (q * 7 + k * 3) % 11 < 9)
  .score(({ s, q, k }) => 50 * Math.tanh(s / 50) - Math.log2(1 + q - k) + Math.sqrt(q + k + 1) * ((q ^ k) & 7));
`;
  const file = `${folder({ 'long.ts': text })}/long.ts#long`;
  const filled = folder();
  const asked = ['compile', file, '--arch', 'sm_90a', '--length', '256', '--cache', filled];
  const { kernels } = JSON.parse((await start([...asked, '--json']).ended).out);
  const passedOver = kernels.map((one: { isPassedOver: boolean }) => one.isPassedOver);
  expect(passedOver.length).toBeGreaterThan(1);
  expect(passedOver).toEqual([...passedOver.slice(1).fill(true), false]);
  expect(kernels[0].spillBytes).toBeGreaterThan(0);
  expect(entriesOf(filled)).toHaveLength(kernels.length);
  Object.assign(process.env, { WARPLOOM_KERNELS: filled, WARPLOOM_NVRTC: '/nowhere' });
  const call = ['--random', '1,1,1,256,128', '--dtype', 'bf16', '--arch', 'sm_90a', '--json'];
  const { out } = await start(['explain', file, ...call]).ended;
  expect(JSON.parse(out).cuda.parts[0].kernels).toMatchObject([
    { kernel: 'attention', spillBytes: 0 },
  ]);
});

test('what fails is one error, and the rest goes in', async () => {
  const filled = folder();
  const asked = ['causal', 'a-shape', '--arch', 'sm_80,sm_12345', ...sizes, '--cache', filled];
  const { code, err, failures, kernels } = await compiled(...asked);
  expect([code, failures]).toEqual([1, 1]);
  expect(err.match(/error\[R010\]/g)).toHaveLength(1);
  expect(kernels.map(({ pattern, arch }) => `${pattern} ${arch}`)).toEqual([
    'causal sm_80',
    'a-shape sm_80',
  ]);
});

test.each<[string, string, RegExp]>([
  ['an architecture', 'causal --arch hopper', /^2 .*Give one from sm_80 on/s],
  ['a pattern', 'causal nosuch', /^1 error\[R001\]: there is no pattern 'nosuch'/],
  ['no pattern', '', /^2 .*missing required argument 'patterns'/],
  ['heads', 'causal --query-heads 3 --kv-heads 2', /^1 error\[T\d{3}\]/],
  ['a dimension', 'causal a-shape --head-dim 12', /^1 error\[R013\]/],
  ['a length', 'causal --length 0', /^2 .*Give a whole number from 1/s],
  [
    'a folder',
    'causal --cache package.json',
    /^1 error\[F005\]: '.*package.json\/ahead' cannot be/,
  ],
])('one line for %s', async (_, asked, said) => {
  const { code, out, err } = await say('compile', ...asked.split(' ').filter(Boolean));
  expect(out).toBe('');
  expect(`${code} ${err}`).toMatch(said);
  expect(err.match(/error\[|warploom: /g)).toHaveLength(1);
});

test('all is every built-in, and each takes the parameters that it has', async () => {
  const { out } = await say('compile', 'all', '--help');
  expect(out).toContain('--blocks-per-row <n>');
  expect(out).toContain('--slashes <n>');
});
