// `warploom run` in this process: what it prints, writes and refuses.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../runtime/files/safetensors.ts';
import { tensor } from '../../runtime/tensor.ts';
import { folder, root, say } from './command.ts';

const small = ['--random', '1,2,1,96,8'];

describe('what it says', () => {
  test('each head, its density and its tiles, and the time', async () => {
    const { code, out, err } = await say('run', 'a-shape', ...small, '--window', '16');
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toMatch(/^a-shape {2}\(sinks 128, window 16\)$/m);
    expect(out).toMatch(/heads 2\/1, 96 queries x 96 keys, dim 8, fp32; cpu/);
    expect(out).toMatch(/^0-1 +100 % +\d+ % +3 +1 +2$/m);
    expect(out).toMatch(/attention .* a head/);
  });

  test('no check where tensors leave no bound', async () => {
    const x = tensor(new Float32Array(16).fill(1e30), { shape: [1, 1, 2, 8] });
    const v = tensor(new Float32Array(16).fill(1), { shape: [1, 1, 2, 8] });
    const file = join(folder(), 'large.safetensors');
    const q = tensor(new Float32Array(16).fill(1e-30), { shape: [1, 1, 2, 8] });
    await writeSafetensors(file, { q: x, k: x, v });
    const { code, err } = await say('run', 'causal', '--input', file, '--check');
    expect([code, /T010/.test(err)]).toEqual([1, true]);
    await writeSafetensors(file, { q, k: x, v });
    const fine = await say('run', 'causal', '--input', file, '--check');
    expect([fine.code, fine.err]).toEqual([0, '']);
  });

  test('heads with different numbers stand apart', async () => {
    const words = ['run', 'sliding-window', '--random', '1,2,1,256,8', '--window', '16,256'];
    const { code, out } = await say(...words, '--json');
    expect(code).toBe(0);
    const { heads } = JSON.parse(out);
    expect(heads.map((head: { params: unknown }) => head.params)).toEqual([
      { window: 16 },
      { window: 256 },
    ]);
    expect(heads[0].density).toBeLessThan(heads[1].density);
  });

  test('an object for a program, and nothing else', async () => {
    const { code, out, err } = await say('run', 'vertical-slash', ...small, '--json', '--check');
    expect([code, err]).toEqual([0, '']);
    const data = JSON.parse(out);
    expect(data).toMatchObject({
      pattern: 'vertical-slash',
      shape: { batch: 1, heads: 2, kvHeads: 1, qLen: 96, kLen: 96, headDim: 8, valueDim: 8 },
      dtype: 'fp32',
      device: { kind: 'cpu' },
      check: { rows: 96, isWithin: true },
    });
    expect(data.heads).toHaveLength(2);
    expect(data.check.error.out).toBeLessThanOrEqual(data.check.bound.out);
  });

  test('fewer query rows than keys, and another dtype', async () => {
    const words = ['run', 'tri-shape', '--random', '2,2,2,80,16,20', '--dtype', 'bf16', '--check'];
    const { code, out } = await say(...words);
    expect(out).toMatch(/20 queries x 80 keys, dim 16, bf16/);
    expect(out).toMatch(/oracle, all rows: .* within the bound/);
    expect(code).toBe(0);
  });

  test('the same seed gives the same output', async () => {
    const dir = folder();
    for (const name of ['a', 'b']) {
      const file = join(dir, `${name}.safetensors`);
      expect((await say('run', 'causal', ...small, '--seed', '7', '--out', file)).code).toBe(0);
    }
    const [a, b] = ['a', 'b'].map((name) => readFileSync(join(dir, `${name}.safetensors`)));
    expect(a!.equals(b!)).toBe(true);
  });
});

describe('on an emulated device', () => {
  const words = ['--random', '1,2,1,96,16', '--device', 'emulated:sm_80'];

  test('sets chosen there, planned for the report, checked by the oracle', async () => {
    const { code, out, err } = await say('run', 'vertical-slash', ...words, '--json', '--check');
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({
      dtype: 'bf16',
      device: { kind: 'emulated', name: 'emulated:sm_80', arch: 'sm_80' },
      heads: [{ head: 0 }, { head: 1 }],
      check: { isWithin: true },
    });
  });

  test('a static pattern has no time of an estimate', async () => {
    const { code, out } = await say('run', 'a-shape', ...words, '--window', '16');
    expect(code).toBe(0);
    expect(out).toMatch(/dim 16, bf16; emulated:sm_80/);
    expect(out).toMatch(/^attention .* a head\)$/m);
  });

  test('a dtype without kernels, and a device that is none', async () => {
    const fp32 = await say('run', 'causal', ...words, '--dtype', 'fp32');
    expect([fp32.code, fp32.err]).toEqual([1, expect.stringMatching(/R013.*fp32/)]);
    const none = await say('run', 'causal', ...words.slice(0, 2), '--device', 'tpu');
    expect([none.code, none.err]).toEqual([1, expect.stringMatching(/R002.*'tpu'/)]);
  });
});

describe('files', () => {
  test('q, k, v and captured tensors of one file; out and lse are written', async () => {
    const dir = folder();
    const [input, output] = [join(dir, 'in.safetensors'), join(dir, 'out.safetensors')];
    const make = (seed: number) => tensor.random([1, 1, 32, 8], { seed, dtype: 'fp16' });
    const doc = tensor([Array.from({ length: 32 }, (_, i) => Math.floor(i / 10))], {
      dtype: 'i32',
    });
    await writeSafetensors(input, { q: make(1), k: make(2), v: make(3), doc });
    const { code, out } = await say(
      'run',
      'documents',
      '--input',
      input,
      '--out',
      output,
      '--check',
    );
    expect(out).toMatch(/within the bound/);
    expect(code).toBe(0);
    const written = await openSafetensors(output);
    expect(written.info('out')).toMatchObject({ dtype: 'fp16', shape: [1, 1, 32, 8] });
    expect(written.info('lse')).toMatchObject({ dtype: 'fp32', shape: [1, 1, 32] });
    await written.close();
    expect(readdirSync(dir).sort()).toEqual(['in.safetensors', 'out.safetensors']);
  });

  test('one file each, in the other layout', async () => {
    const dir = folder();
    const files: string[] = [];
    for (const [i, name] of ['q', 'k', 'v'].entries()) {
      const file = join(dir, `${name}.safetensors`);
      // As [batch, sequence, head, dim] in the file.
      await writeSafetensors(file, { [name]: tensor.random([1, 40, 2, 8], { seed: i }) });
      files.push(`--${name}`, i === 1 ? `${file}#k` : file);
    }
    const { code, out } = await say('run', 'causal', ...files, '--layout', 'bshd', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ layout: 'bshd', shape: { heads: 2, kLen: 40 } });
  });

  test('a real head', async () => {
    const file = join(root, 'examples/data/sink.safetensors');
    const words = ['run', 'a-shape', '--input', file, '--sinks', '64', '--window', '512'];
    const { code, out } = await say(...words, '--check-rows', '4');
    expect(out).toMatch(/oracle, 4 of 4 096 rows: .* within the bound/);
    expect(code).toBe(0);
  });
});

describe('one clear error', () => {
  const refused = async (code: number, ...words: string[]) => {
    const ended = await say(...words);
    expect([ended.code, ended.out]).toEqual([code, '']);
    expect(ended.err).not.toMatch(/\n\s+at /);
    return ended.err;
  };

  test('a parameter outside its schema', async () => {
    expect(await refused(1, 'run', 'a-shape', ...small, '--window', '-5')).toMatch(
      /T006.*'window' is -5/,
    );
    expect(await refused(1, 'run', 'a-shape', ...small, '--window', 'NaN')).toMatch(
      /T006.*'window' is NaN/,
    );
    expect(await refused(1, 'run', 'a-shape', ...small, '--window', '1,2,3')).toMatch(
      /T008.*3 numbers for 2 heads/,
    );
  });

  test('a captured tensor that is missing says how to give it', async () => {
    expect(await refused(1, 'run', 'documents', ...small)).toMatch(
      /T004.*'doc' is missing: i32\('batch', 'k'\)\n.*--tensor doc=FILE/,
    );
  });

  test('a captured tensor of a name that is misspelt says which was meant', async () => {
    const misspelt = ['--tensor', 'docs=x.npy'];
    expect(await refused(1, 'run', 'documents', ...small, ...misspelt)).toMatch(
      /T004.*'doc' is missing[\s\S]*T005.*'documents' takes no tensor 'docs'\n.*did you mean doc$/m,
    );
    expect(await refused(1, 'explain', 'causal', ...misspelt)).toMatch(
      /T005.*'causal' takes no tensor 'docs'\n.*it takes none/,
    );
  });

  test('of a file that has it under a name that is misspelt, too; others may lie beside it', async () => {
    const file = join(folder(), 'all.safetensors');
    const main = Object.fromEntries(
      ['q', 'k', 'v'].map((name) => [name, tensor.random([1, 1, 4, 8], { seed: 1 })]),
    );
    const doc = tensor.zeros([1, 4], { dtype: 'i32' });
    await writeSafetensors(file, { ...main, docs: doc, weights: main.q! });
    const words = ['--input', file, '--device', 'cpu'];
    expect(await refused(1, 'run', 'documents', ...words)).toMatch(
      /T004.*'doc' is missing: .*all\.safetensors' holds 'docs'\n.*rename it, or give --tensor doc=.*all\.safetensors#docs$/m,
    );
    const given = ['--tensor', `doc=${file}#docs`];
    expect((await say('run', 'documents', ...words, ...given)).code).toBe(0);
    await writeSafetensors(file, { ...main, weights: main.q! });
    expect(await refused(1, 'run', 'documents', ...words)).toMatch(
      /T004.*'doc' is missing: i32\('batch', 'k'\)\n.*give --tensor doc=FILE\[#name\]$/m,
    );
  });

  test('tensors of the wrong rank, dtype and size', async () => {
    const dir = folder();
    const file = join(dir, 'in.safetensors');
    const make = (shape: number[]) => tensor.random(shape, { seed: 1 });
    const ids = tensor(new Int32Array(32 * 8), { shape: [1, 1, 32, 8] });
    await writeSafetensors(file, {
      flat: make([32, 8]),
      q: make([1, 1, 32, 8]),
      ids,
      k: make([1, 1, 32, 4]),
    });
    const files = (q: string, k: string, v: string) => [
      '--q',
      `${file}#${q}`,
      '--k',
      `${file}#${k}`,
      '--v',
      `${file}#${v}`,
    ];
    expect(await refused(1, 'run', 'causal', ...files('flat', 'q', 'q'))).toMatch(/T001/);
    expect(await refused(1, 'run', 'causal', ...files('q', 'ids', 'q'))).toMatch(/T003/);
    expect(await refused(1, 'run', 'causal', ...files('q', 'k', 'q'))).toMatch(/T002/);
    expect(await refused(1, 'run', 'causal', '--random', '1,3,2,8,8')).toMatch(/T007/);
    // Each tensor has fewer elements than an array may have, and all are more than any machine of ours holds.
    expect(await refused(1, 'run', 'causal', '--random', '1024,1,1,4194304,1024')).toMatch(
      /T012.*take 4[89].*, and .* are free/,
    );
  });

  test('a file that is cut, missing, or without the tensor', async () => {
    const dir = folder();
    const cut = join(dir, 'cut.safetensors');
    writeFileSync(
      cut,
      readFileSync(join(root, 'examples/data/sink.safetensors')).subarray(0, 3000),
    );
    expect(await refused(1, 'run', 'causal', '--input', cut)).toMatch(/F002/);
    expect(await refused(1, 'run', 'causal', '--input', join(dir, 'none.safetensors'))).toMatch(
      /F001/,
    );
    const other = join(dir, 'other.safetensors');
    await writeSafetensors(other, { x: tensor.zeros([1]) });
    expect(await refused(1, 'run', 'causal', '--input', other)).toMatch(/F004/);
  });

  test('a place that cannot be written to, before anything runs', async () => {
    const dir = folder();
    const to = (path: string) => refused(1, 'run', 'causal', ...small, '--out', path);
    expect(await to(join(dir, 'no', 'o.safetensors'))).toMatch(/F005.*no directory/);
    expect(await to(dir)).toMatch(/F005.*it is a directory/);
    expect(await to('/etc/passwd/o.safetensors')).toMatch(/F005/);
    expect(await to('/dev/null')).toMatch(/F005.*no ordinary file/);
    expect(await to('')).toMatch(/F005.*no name/);
    expect(existsSync(join(dir, 'no'))).toBe(false);
  });
});
