// The verbs that show kernels: emit, and the CUDA half of explain. NVRTC compiles; no GPU is needed.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { annotated } from '../../codegen/attention/annotate.ts';
import { lifted } from '../../dsl/definition.ts';
import { DeviceError } from '../../dsl/diagnostic.ts';
import { pattern } from '../../dsl/pattern.ts';
import { patterns } from '../../patterns/index.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { launchesOf } from '../../runtime/cuda/launches.ts';
import { checkCall } from '../../runtime/plans.ts';
import { folder, say, warploom } from './command.ts';

const shape = { batch: 1, heads: 2, kvHeads: 2, qLen: 256, kLen: 256, headDim: 64, valueDim: 64 };

async function kernelOf(own: { readonly definition: unknown }) {
  const call = checkCall(own as never, { shape, dtype: 'bf16' });
  const [part] = await launchesOf(call, 'sm_80');
  return part!.attention.kernel;
}

describe('the readable text', () => {
  test.each(['vertical-slash', 'flex-prefill', 'causal'])(
    'of %s is the canonical one with comments and #line between its lines',
    async (name) => {
      const own = patterns.get(name)!;
      const { source } = await kernelOf(own);
      const text = annotated(source, {
        banner: ['b'],
        path: 'attention.cu',
        ...lifted(own.definition),
      });
      const lines = text.split('\n');
      const left = source.split('\n');
      const added = lines.filter((line) => line !== left[0] || left.shift() === undefined);
      expect(left).toEqual([]);
      expect(added.filter((line) => !/^(\/\/|#line )/.test(line))).toEqual([]);
      // Every way back names the line that follows it.
      for (const [at, line] of lines.entries()) {
        const number = /^#line (\d+) "attention.cu"$/.exec(line)?.[1];
        if (number !== undefined) expect(Number(number)).toBe(at + 2);
      }
    },
  );

  test('an error in it names the line of the author', async () => {
    const own = pattern('broken').mask(({ q, k }) => k <= q && q - k < 77);
    const { source, name } = await kernelOf(own);
    const broken = source.replace(/(bool allowed_tiles\(.*\n {2}return )/, '$1nothing && ');
    const path = `${name}.cu`;
    const text = annotated(broken, { banner: [], path, ...lifted(own.definition) });
    const refusal = await compileKernel({ name, source: text }, 'sm_80').catch((error) => error);
    expect(refusal).toBeInstanceOf(DeviceError);
    expect(refusal.message).toMatch(/R011.*"?nothing"? is undefined[\s\S]*kernels\.test\.ts:\d+/);
    expect(refusal.message).toMatch(/\| .*q - k < 77/);
    // What comes after counts as before.
    const late = text.replace(/(void attention\()/, 'nothing $1');
    const other = await compileKernel({ name, source: `${late}\nnever` }, 'sm_80').catch((e) => e);
    expect(other.message).toContain('attention.cu');
  });
});

describe('emit', () => {
  test('one kernel for people: what it is made for, and the line of the author', async () => {
    const words = ['emit', 'vertical-slash', '--kernel', 'attention', '--head-dim', '64'];
    const { code, out, err } = await say(...words, '--arch', 'sm_80', '--verbose');
    expect(code).toBe(0);
    expect(out).toMatch(/^\/\/ warploom: the kernel 'attention' of vertical-slash\n/);
    expect(out).toMatch(/made for: bf16, head dim 64, .* probe 64, grain 64$/m);
    expect(out).toMatch(/serves: .* verticals, slashes$/m);
    expect(out).toMatch(/^\/\/ {3}k <= q && \(columns\.has/m);
    expect(err).toMatch(/^kernel +threads +shared +registers +spilled\nattention /);
  });

  test('a kernel by which back-end, and with which of its knobs', async () => {
    const of = async (name: string, arch: string, ...words: string[]) => {
      const { out } = await say('emit', name, '--kernel', 'attention', '--arch', arch, ...words);
      return out.match(/^\/\/ made by: {2}(.*)$/m)?.[1];
    };
    expect(await of('causal', 'sm_90a', '--tile', '128x64')).toBe(
      'hopper 128x64, 2 stages, 1 Q buffer, speculative',
    );
    expect(await of('causal', 'sm_90', '--tile', '128x64')).toBe(
      'portable 128x64, 8 warps, 1 stage, 1 block',
    );
  });

  test('all kernels of a call, their captured tensors unknown, as PTX', async () => {
    const { code, out } = await say('emit', 'documents', '--format', 'ptx', '--arch', 'sm_80');
    expect(code).toBe(0);
    expect(out.match(/\.visible \.entry/g)).toHaveLength(2);
    expect(out).toMatch(/\.target sm_80/);
  });

  test('kernels that estimate are PTX by the options that make them machine code', async () => {
    for (const name of ['vertical-slash', 'block-sparse', 'flash-prefill']) {
      const { code, out, err } = await say('emit', name, '--format', 'ptx', '--arch', 'sm_90a');
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toMatch(/\.entry attention\b/);
    }
  });

  test('machine code goes into a file, one kernel each', async () => {
    const file = join(folder(), 'a.cubin');
    const words = ['emit', 'a-shape', '--format', 'cubin', '--arch', 'sm_80', '--head-dim', '64'];
    expect((await say(...words, '--out', file, '--tile', '64x32')).code).toBe(0);
    expect(readFileSync(file).subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    expect(await say(...words)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--out FILE/),
    });
    const several = ['emit', 'documents', '--format', 'cubin', '--out', file];
    expect((await say(...several)).err).toMatch(/--kernel attention/);
  });

  test('what cannot be', async () => {
    const refused = async (...words: string[]) => {
      const { code, out, err } = await say('emit', 'causal', '--arch', 'sm_80', ...words);
      expect(out).toBe('');
      return `${code} ${err}`;
    };
    expect(await refused('--kernel', 'none')).toMatch(/^2 .*it launches attention/s);
    expect(await refused('--tile', 'large')).toMatch(/^2 .*128x64/s);
    expect(await refused('--tile', '100x64')).toMatch(/^1 .*S001/s);
    expect(await refused('--head-dim', '12')).toMatch(/^1 .*R013/s);
    expect(await refused('--arch', 'sm_12345')).toMatch(/^1 .*R010/s);
    expect(await refused('--arch', 'sm_75')).toMatch(/^2 .*Give one from sm_80 on/s);
  });
});

describe('explain', () => {
  test('an architecture that no kernel is for', async () => {
    const { code, out, err } = await say('explain', 'causal', '--arch', 'hopper');
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/Give one from sm_80 on/);
  });

  test.each(['fp32', 'bf16'])('an architecture that NVRTC does not know, of %s', async (dtype) => {
    for (const arch of ['sm_999', 'sm_80a']) {
      const { code, out, err } = await say('explain', 'causal', '--arch', arch, '--dtype', dtype);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(new RegExp(`^error\\[R010\\]: .*'${arch}'`));
    }
  });

  const words = ['explain', 'block-sparse', '--random', '1,2,2,512,64', '--arch', 'sm_80'];

  test('launches, resources and workspace', async () => {
    const budget = ['--blocks-per-row', '3', '--dtype', 'bf16', '--json'];
    const { code, out } = await say(...words, ...budget);
    expect(code).toBe(0);
    const { cuda, dense } = JSON.parse(out);
    expect(dense).toEqual([]);
    expect(cuda).toMatchObject({ arch: 'sm_80', parts: [{ pattern: 'block-sparse' }] });
    const [{ kernels, workspaceBytes }] = cuda.parts;
    expect(workspaceBytes).toBeGreaterThan(0);
    expect(kernels.at(-1)).toMatchObject({ kernel: 'attention', launches: 1, spillBytes: 0 });
    expect(kernels.at(-1).registers).toBeGreaterThan(100);
  });

  test('no estimate where budgets leave nothing out', async () => {
    const { out } = await say(...words, '--dtype', 'bf16', '--json');
    const { cuda, dense } = JSON.parse(out);
    expect(dense).toEqual([0, 1]);
    const [{ kernels, workspaceBytes }] = cuda.parts;
    expect([kernels.length, workspaceBytes]).toEqual([1, 0]);
    expect((await say(...words)).out).toContain('heads 0-1: every key that the mask could allow');
  });

  test('says which stated knobs a chip does not have', async () => {
    const source = `
import { pattern } from 'warploom';
export const mine = pattern('mine')
  .mask(({ q, k }) => k <= q)
  .schedule({ softmax: 'classic', work: ['longest', 'heads'] });
`;
    const file = `${folder({ 'mine.ts': source })}/mine.ts#mine`;
    const explained = async (arch: string) => {
      const sizes = ['--random', '1,2,2,512,64', '--dtype', 'bf16', '--arch', arch];
      const { code, out, err } = await warploom('explain', file, ...sizes);
      expect([code, err]).toEqual([0, '']);
      return out;
    };
    expect(await explained('sm_80')).toMatch(/portable .*\(not tuned; it has no work, softmax\)/);
    expect(await explained('sm_90a')).toMatch(/hopper .* classic, longest first \(not tuned\)/);
  });

  test('says how much a stated tile spills, and takes it', async () => {
    const source = `
import { pattern } from 'warploom';
const capped = pattern('capped')
  .mask(({ q, k }) => k <= q)
  .score(({ s }) => 50 * Math.tanh(s / 50) - 3 * Math.tanh(s / 7));
export const large = capped.schedule({ qTile: 128, kTile: 160 });
export const fitting = capped.schedule({ qTile: 128, kTile: 64 });
`;
    const file = join(folder({ 'capped.ts': source }), 'capped.ts');
    const sizes = ['--random', '1,2,2,512,128', '--dtype', 'bf16', '--arch', 'sm_90a'];
    const { out } = await warploom('explain', `${file}#large`, ...sizes, '--json');
    const [{ attention, kernels }] = JSON.parse(out).cuda.parts;
    expect(attention).toMatchObject({ backend: 'hopper', isStated: true });
    expect(attention.knobs).toMatchObject({ qTile: 128, kTile: 160 });
    expect(kernels[0].spillBytes).toBeGreaterThan(0);
    const large = (await warploom('explain', `${file}#large`, ...sizes)).out;
    expect(large).toContain(`the stated tile spills ${kernels[0].spillBytes} B a thread`);
    const fitting = (await warploom('explain', `${file}#fitting`, ...sizes)).out;
    expect(fitting).toMatch(/hopper 128x64/);
    expect(fitting).not.toContain('the stated tile spills');
  });

  test('says why there are none', async () => {
    const { code, out } = await say(...words);
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/kernels for sm_80: .*no kernel for fp32/),
    ]);
    const file = join(folder(), 'libnvrtc.so.13');
    writeFileSync(file, '');
    const before = process.env.WARPLOOM_NVRTC;
    process.env.WARPLOOM_NVRTC = file;
    try {
      const none = await say(...words, '--dtype', 'bf16');
      expect([none.code, none.out]).toEqual([0, expect.stringMatching(/names no NVRTC/)]);
    } finally {
      if (before === undefined) delete process.env.WARPLOOM_NVRTC;
      else process.env.WARPLOOM_NVRTC = before;
    }
  });
});
