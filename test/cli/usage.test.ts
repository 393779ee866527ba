// The command line misused, its help, and the verbs that only look: explain, draw, check, doctor.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { folder, say, warploom } from './command.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('misuse ends with 2, one line and a hint', () => {
  const cases: [what: string, words: string, says: RegExp][] = [
    ['no verb', '', /no verb\n.*warploom --help/],
    ['an unknown verb', 'rnu', /unknown command 'rnu'\n.*did you mean run/],
    ['an unknown option', 'run a-shape --windw 5', /unknown option '--windw'\n.*did you mean --window/],
    ['an option of other patterns', 'run causal --window 5', /unknown option '--window'\n.*: warploom run --help/],
    ['a parameter before the pattern', 'run --window 5 a-shape', /before '--window'\n.*run PATTERN --window/],
    ['no pattern', 'run', /missing required argument 'pattern'/],
    ['no tensors', 'run a-shape', /no tensors\n.*--random/],
    ['half of the tensors', 'run a-shape --q x.npy', /--k and --v missing/],
    ['both files and random', 'run causal --random 1,1,1,8,8 --input x.safetensors', /cannot be used with/],
    ['a dtype for files', 'bench causal --input x.safetensors --dtype bf16', /--dtype .* cannot be used with .*--input/],
    ['a seed for files', 'run causal --q x.npy --k x.npy --v x.npy --seed 2', /--seed .* cannot be used with .*--q/],
    ['a layout of random tensors', 'run causal --random 1,1,1,8,8 --layout bshd', /--layout .* cannot be used with .*--random/],
    ['a layout of a length', 'draw causal --length 64 --layout bhsd', /--layout .* cannot be used with .*--length/],
    ['a layout of nothing', 'explain causal --layout bshd', /--layout without files\n.*--input/],
    ['a seed of numbers that nobody sees', 'tune causal --random 1,1,8,8 --seed 3', /unknown option '--seed'/],
    ['a fallback from sets that are given', 'run vertical-slash --random 1,1,1,8,8 --chosen x --fallback dense', /--chosen .* cannot be used with .*--fallback/],
    ['threads of no CPU', 'run causal --random 1,1,1,8,8 --threads 2 --device emulated:sm_80', /--threads on emulated:sm_80\n.*--device cpu/],
    ['threads of no CPU to time', 'bench causal --random 1,1,1,8,8 --threads 0 --device emulated:sm_80', /--threads on emulated:sm_80\n/],
    ['a captured tensor twice', 'run documents --random 1,1,1,8,8 --tensor doc=a.npy --tensor doc=b.npy', /Give 'doc' once/],
    ['a tile of another kernel', 'emit vertical-slash --kernel list_columns --tile 64x64 --arch sm_80', /--tile of the kernel 'list_columns'\n.*leave/],
    ['kernels in no folder', 'compile causal --cache=', /Name a folder/],
    ['sets of a pattern without any', 'run causal --random 1,1,1,8,8 --chosen-out x.safetensors', /'causal', which chooses nothing/],
    ['two outputs in one file', 'run causal --random 1,1,1,8,8 --out x.safetensors --chosen-out ./x.safetensors', /--chosen-out are one file/],
    ['several tensors in one array', 'run causal --random 1,1,1,8,8 --out x.npy', /--out writes several tensors, which x.npy cannot hold\n.*\.safetensors/],
    ['no number', 'run a-shape --random 1,1,1,8,8 --window wide', /'wide' is invalid/],
    ['too few sizes', 'run causal --random 1,1,8', /batch,heads\[,kvHeads\],length,dim/],
    ['sizes that are none', 'run causal --random 1,1,1,-8,8', /whole number/],
    ['an unknown layout', 'run causal --random 1,1,1,8,8 --layout sbhd', /Allowed choices are bhsd, bshd/],
    ['.npy for --input', 'run causal --input x.npy', /takes a \.safetensors file/],
    ['a budget without a unit', 'tune causal --random 1,1,8,8 --budget 30', /Give a time such as 30s/],
    ['nothing to check', 'check', /no files to check/],
  ]; // biome-ignore format: a table

  test.each(cases)('%s', async (_, words, says) => {
    const { code, out, err } = await say(...words.split(' ').filter(Boolean));
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(says);
    expect(err.trimEnd().split('\n')).toHaveLength(2);
    expect(err).toMatch(/^warploom: .*\n {2}= help: /);
  });
});

test('an unknown pattern suggests the nearest, and ends with 1', async () => {
  const { code, err } = await say('run', 'a-shap');
  expect(code).toBe(1);
  expect(err).toMatch(/error\[R001\]: there is no pattern 'a-shap'\n.*did you mean a-shape/);
  expect((await say('run', 'zzzzzz')).err).toMatch(/there is causal, .*path\/to\/file\.ts#export/);
});

test.each([
  ['package.json', /R001.*is no TypeScript and no JavaScript/],
  ['test/', /R001.*is no file/],
  ['test/nowhere.ts', /R001.*there is no file/],
])('%s is no file of patterns', async (path, says) => {
  const { code, err } = await say('explain', join(import.meta.dirname, '../..', path));
  expect(code).toBe(1);
  expect(err).toMatch(says);
});

test('help before the pattern is help', async () => {
  const { code, out, err } = await say('run', '--help', 'causal');
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^Usage: warploom run/);
});

test('help names every verb, the parameters of a pattern and its tensors', async () => {
  const { code, out } = await say('--help');
  expect(code).toBe(0);
  for (const verb of [
    'run',
    'check',
    'draw',
    'explain',
    'emit',
    'bench',
    'tune',
    'compile',
    'doctor',
    'a-shape',
  ])
    expect(out).toContain(verb);
  const own = (await say('run', 'block-sparse', '--help')).out;
  expect(own).toMatch(/--blocks-per-row <n> +integer from 0 \(default: 100\)/);
  expect(own).toMatch(/--block <n> +integer from 1 \(default: 64; fixed/);
  expect(own).toMatch(/Examples:/);
  expect((await say('run', 'documents', '--help')).out).toMatch(
    /--tensor doc=FILE {2}i32 \[batch, k\]/,
  );
  expect((await say('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe('explain', () => {
  test('sizes that no call can have', async () => {
    expect((await say('explain', 'causal', '--length', '4000000000')).err).toMatch(
      /T009.*4000000000/,
    );
    expect((await say('explain', 'causal', '--random', '1,1,64,0')).err).toMatch(
      /T002.*dimension is 0/,
    );
    expect((await say('explain', 'all')).err).toMatch(/R001.*no pattern 'all'/);
  });

  test('a length that no memory holds', async () => {
    const { code, out } = await say(
      'explain',
      'a-shape',
      '--random',
      '1,32,8,1048576,128',
      '--window',
      '4096',
    );
    expect(code).toBe(0);
    expect(out).toMatch(/32 heads over 8 of K and V, 1 048 576 queries x 1 048 576 keys/);
    expect(out).toMatch(/every allowed pair is visited once \(proved/);
    expect(out).toMatch(/workspace +none/);
  });

  test('as data, with sets made from random tensors', async () => {
    const { out, err } = await say('explain', 'block-sparse', '--length', '512', '--json');
    expect(err).toBe('');
    const { pattern, parts } = JSON.parse(out);
    expect(pattern).toBe('block-sparse');
    expect(parts[0].fixed).toEqual(['block']);
    expect(parts[0].launch.groups[0].proof.counterexample).toBeUndefined();
    expect(parts[0].launch.workspace['set bits']).toBeGreaterThan(0);
  });
});

describe('bench', () => {
  const words = ['bench', '--random', '1,2,1,128,32', '--rounds', '1'];
  const of = (name: string, device: string) =>
    say(words[0]!, name, ...words.slice(1), '--device', device);

  test('a pattern beside dense causal attention', async () => {
    const { code, out } = await of('a-shape', 'cpu');
    expect(code).toBe(0);
    expect(out).toMatch(/100 % of the causal pairs visited, medians of 1 round$/m);
    expect(out).toMatch(/^ +time +host +TFLOP\/s visited +TFLOP\/s dense +of dense$/m);
    expect(out).toMatch(/^dense causal .* 100 %$/m);
  });

  test.each([
    ['no keys', 'causal', ['--random', '1,2,0,32'], /^medians of 1 round$/m],
    ['no batch entries', 'causal', ['--random', '0,2,64,32'], /^medians of 1 round$/m],
    [
      'a window of none',
      'sliding-window',
      ['--random', '1,2,64,32', '--window', '0'],
      /^0 % of the causal pairs visited/m,
    ],
  ])('work of no pairs has no share that is no number: %s', async (_, name, more, says) => {
    const asked = ['bench', name, ...more, '--rounds', '1', '--device', 'cpu'];
    const [text, data] = [await say(...asked), await say(...asked, '--json')];
    expect([text.code, data.code]).toEqual([0, 0]);
    expect(text.out).toMatch(says);
    expect(text.out + data.out).not.toMatch(/NaN|Infinity/);
    expect(JSON.parse(data.out).pairs.visited).toBe(0);
  });

  test('with and without the estimate, as data', async () => {
    const { code, out } = await say(
      ...[words[0]!, 'vertical-slash', ...words.slice(1)],
      ...['--device', 'emulated:sm_80', '--json'],
    );
    expect(code).toBe(0);
    const { measured, pairs, device } = JSON.parse(out);
    expect(device.arch).toBe('sm_80');
    expect(measured.map(({ what }: { what: string }) => what)).toEqual([
      'with estimate',
      'attention',
      'dense causal',
    ]);
    expect(pairs).toEqual({ visited: 128 * 129, dense: 128 * 129 });
    for (const { ms, teraflops } of measured) {
      expect(ms).toBeGreaterThan(0);
      expect(teraflops.dense).toBeCloseTo((2 * pairs.dense * 64) / (ms * 1e9), 9);
    }
  });
});

describe('draw', () => {
  test('an SVG in a file or on stdout', async () => {
    const file = join(folder(), 'plan.svg');
    const words = ['draw', 'a-shape', '--length', '512', '--window', '64'];
    const { code, out, err } = await say(...words, '--out', file);
    expect([code, out]).toEqual([0, '']);
    expect(err).toMatch(/wrote .*plan\.svg/);
    const svg = readFileSync(file, 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect((await say(...words)).out).toBe(svg);
  });

  test('one head of several, and none that is not there', async () => {
    const words = ['draw', 'sliding-window', '--random', '1,2,1,512,8', '--window', '16,400'];
    const [a, b] = [await say(...words), await say(...words, '--head', '1')];
    expect(a.out).not.toBe(b.out);
    const none = await say(...words, '--head', '2');
    expect(none.code).toBe(1);
    expect(none.err).toMatch(/T002.*no head 2/);
  });
});

test('doctor finds this machine well, and says so to programs too', async () => {
  const { code, out } = await say('doctor', '--json');
  const { ok, findings } = JSON.parse(out);
  expect([code, ok]).toEqual([0, true]);
  const names = findings.map(({ what }: { what: string }) => what);
  expect(names).toEqual(
    expect.arrayContaining([
      'node',
      'addon',
      'self-test',
      'threads',
      'driver',
      'nvrtc',
      'cache',
      'device',
    ]),
  );
});

test('doctor misses kernels where WARPLOOM_KERNELS says that there are some', async () => {
  const empty = folder();
  const file = join(folder({ file: '' }), 'file');
  for (const [named, says] of [
    [join(empty, 'nowhere'), /nowhere, which does not exist$/],
    [file, /file, which is no folder$/],
    [empty, /holds no kernels that were compiled ahead$/],
  ] as const) {
    vi.stubEnv('WARPLOOM_KERNELS', named);
    const { code, out } = await say('doctor', '--json');
    const { findings } = JSON.parse(out);
    const ahead = findings.filter(({ what }: { what: string }) => what === 'compiled ahead');
    expect(ahead[0]).toMatchObject({ state: 'missing', found: expect.stringMatching(says) });
    expect(ahead[0].fix).toMatch(/warploom compile --cache/);
    expect(code).toBe(0);
  }
});

// Of the last Node's own recursive mkdir never returns.
test.each([
  ['a file', () => join(folder({ file: '' }), 'file')],
  ['a folder in a file', () => join(folder({ file: '' }), 'file', 'cache')],
  ['one that knows no names', () => '/proc/warploom/cache'],
])('doctor misses a cache where there can be no folder: %s', async (_, place) => {
  vi.stubEnv('WARPLOOM_CACHE', place());
  const { code, out } = await say('doctor', '--json');
  const { findings } = JSON.parse(out);
  expect(findings.find(({ what }: { what: string }) => what === 'cache')).toEqual({
    what: 'cache',
    state: 'missing',
    found: expect.stringMatching(/kernels' cannot be written: .+$/),
    fix: 'name another folder: WARPLOOM_CACHE',
  });
  expect(code).toBe(0);
});

test.each([
  ['gpu', 1, 'broken', /no device 'gpu'/, /this version has: cpu, /],
  ['emulated:sm_80', 0, 'ok', /^emulated:sm_80: WARPLOOM_DEVICE names it$/, undefined],
  ['', 0, 'ok', /^(cpu, |cuda:0).*: the best there is$/, undefined],
])(
  "doctor opens the device that WARPLOOM_DEVICE names: '%s'",
  async (name, ends, state, found, fix) => {
    vi.stubEnv('WARPLOOM_DEVICE', name);
    const { code, out } = await say('doctor', '--json');
    const { findings } = JSON.parse(out);
    const device = findings.find(({ what }: { what: string }) => what === 'device');
    expect([code, device.state]).toEqual([ends, state]);
    expect(device.found).toMatch(found);
    if (fix) expect(device.fix).toMatch(fix);
  },
);

test('doctor misses a driver that WARPLOOM_LIBCUDA names', async () => {
  vi.stubEnv('WARPLOOM_LIBCUDA', '/nowhere/libcuda.so.1');
  const { code, out } = await warploom('doctor', '--json');
  const { findings } = JSON.parse(out);
  expect(findings.find(({ what }: { what: string }) => what === 'driver')).toMatchObject({
    state: 'missing',
    found: expect.stringMatching(/^none: WARPLOOM_LIBCUDA is set, but .*nowhere/),
    fix: expect.stringMatching(/unset WARPLOOM_LIBCUDA/),
  });
  expect(code).toBe(0);
});
