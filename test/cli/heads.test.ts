// `--heads FILE --layer N` in place of a pattern: what each head runs with, and files that do not fit.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, root, say } from './command.ts';

const slash = (v: number, s: number) => ['vertical_and_slash', v, s, 0.9];
const layers = [
  { 0: slash(30, 100), 1: slash(40, 120), 2: slash(50, 140), 3: slash(60, 160) },
  { 0: slash(30, 100), 1: ['stream_llm', 16, 32, 0.9], 2: ['block_sparse', 0, 0, null], 3: slash(60, 160) },
]; // biome-ignore format: a table
const dir = folder({ 'heads.json': JSON.stringify(layers), 'cut.json': '[{"0": ["vertical' });
const file = join(dir, 'heads.json');
const random = ['--random', '1,4,2,320,16'];
const run = (...words: string[]) => say('run', '--heads', file, ...words);

describe('a layer', () => {
  test.each([[], ['--device', 'emulated:sm_80']])(
    'of heads with budgets of their own %s',
    async (...device) => {
      const { code, out, err } = await run(
        '--layer',
        '0',
        ...random,
        '--check',
        '--json',
        ...device,
      );
      expect([code, err]).toEqual([0, '']);
      const { heads, check } = JSON.parse(out);
      expect(check.isWithin).toBe(true);
      expect(heads.map(({ params }: { params: unknown }) => params)).toMatchObject([
        { verticals: 30, slashes: 100 },
        { verticals: 40, slashes: 120 },
        { verticals: 50, slashes: 140 },
        { verticals: 60, slashes: 160 },
      ]);
    },
  );

  test.each([[], ['--device', 'emulated:sm_80']])(
    'of heads with patterns of their own %s',
    async (...device) => {
      const { code, out, err } = await run(
        '--layer',
        '1',
        ...random,
        '--check',
        '--json',
        ...device,
      );
      expect([code, err]).toEqual([0, '']);
      const { byHead, heads, check } = JSON.parse(out);
      expect([byHead, check.isWithin]).toEqual([true, true]);
      expect(heads).toMatchObject([
        { pattern: 'vertical-slash', params: { verticals: 30, slashes: 100 } },
        { pattern: 'a-shape', params: { sinks: 16, window: 32 } },
        { pattern: 'block-sparse', params: { block: 64, blocksPerRow: 100 } },
        { pattern: 'vertical-slash', params: { verticals: 60, slashes: 160 } },
      ]);
    },
  );

  test('takes numbers from the command line instead, and is explained', async () => {
    const words = ['--layer', '0', ...random, '--verticals', '35', '--json'];
    const { out } = await run(...words);
    expect(JSON.parse(out).heads[3].params).toMatchObject({ verticals: 35, slashes: 160 });
    const explained = await say('explain', '--heads', file, '--layer', '1', ...random);
    expect(explained.code).toBe(0);
    for (const name of ['vertical-slash', 'a-shape', 'block-sparse'])
      expect(explained.out).toContain(name);
    // As many heads as the layer has, where the command does not say it.
    const short = await say('explain', '--heads', file, '--layer', '1', '--length', '256');
    expect(short.out).toMatch(/batch 1, 4 heads/);
    expect((await say('run', '--heads', file, '--layer', '1', '--help')).out).toMatch(
      /Parameters of vertical-slash, a-shape, block-sparse:/,
    );
  });

  test('of a published file', async () => {
    const configs = join(root, '..', 'shared', 'data', 'minference-configs');
    const phi = readdirSync(configs).find((name) => name.startsWith('Phi'))!;
    const words = ['--layer', '8', '--random', '1,32,32,128,8', '--json'];
    const { code, out } = await say('run', '--heads', join(configs, phi), ...words);
    expect(code).toBe(0);
    const names = JSON.parse(out).heads.map(({ pattern }: { pattern: string }) => pattern);
    expect([...new Set(names)].sort()).toEqual(['a-shape', 'vertical-slash']);
  });
});

describe('what does not fit', () => {
  const refused = async (code: number, says: RegExp, ...words: string[]) => {
    const ended = await say('run', ...words);
    expect(ended.err).toMatch(says);
    expect([ended.code, ended.out]).toEqual([code, '']);
  };

  test('half of a name, or two patterns', async () => {
    await refused(2, /--heads without a layer\n.*--layer N/, '--heads', file, ...random);
    await refused(2, /--layer without a file\n.*--heads FILE/, '--layer', '1', ...random);
    const both = ['a-shape', '--heads', file, '--layer', '0', ...random];
    await refused(2, /both a pattern, 'a-shape', and --heads/, ...both);
  });

  test('a layer that is not there, or other heads than the tensors have', async () => {
    const far = ['--heads', file, '--layer', '2', ...random];
    await refused(1, /S007.*has no layer 2\n.*layers 0 to 1/, ...far);
    const other = ['--heads', file, '--layer', '0', '--random', '1,8,2,64,16'];
    await refused(1, /S007.*4 patterns for 8 heads/, ...other);
  });

  test('a file that is not there, or damaged', async () => {
    await refused(1, /F001.*no such file/, '--heads', join(dir, 'no.json'), '--layer', '0');
    const cut = join(dir, 'cut.json');
    await refused(1, /F006.*cut\.json': it is not JSON/, '--heads', cut, '--layer', '0');
  });
});

test('chosen sets are kept in a file, and taken instead of an estimate', async () => {
  const kept = join(dir, 'sets.safetensors');
  const first = await run(
    '--layer',
    '1',
    ...random,
    '--chosen-out',
    kept,
    '--out',
    join(dir, 'a.safetensors'),
  );
  expect([first.code, first.err]).toEqual([0, '']);
  expect(first.out).toContain(`wrote the chosen sets to ${kept}`);
  const words = ['--layer', '1', ...random, '--chosen', kept, '--check'];
  for (const device of ['cpu', 'emulated:sm_80']) {
    const again = await run(...words, '--device', device, '--json');
    expect([again.code, again.err]).toEqual([0, '']);
  }
  expect((await run(...words, '--out', join(dir, 'b.safetensors'))).code).toBe(0);
  const [a, b] = ['a', 'b'].map((name) => readFileSync(join(dir, `${name}.safetensors`)));
  expect(a!.equals(b!)).toBe(true);
  const explained = await say(
    'explain',
    '--heads',
    file,
    '--layer',
    '1',
    ...random,
    '--chosen',
    kept,
  );
  expect(explained.code).toBe(0);
  expect((await run('--layer', '0', ...random, '--chosen', kept)).err).toMatch(/T011/);
});
