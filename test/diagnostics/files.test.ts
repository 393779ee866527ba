// The codes of files: for each a bad file and the mended one, and headers from an enemy.
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileError, ShapeError } from '../../dsl/diagnostic.ts';
import { writeAtomically } from '../../runtime/files/atomic.ts';
import { openNpy } from '../../runtime/files/npy.ts';
import { openSafetensors, writeSafetensors } from '../../runtime/files/safetensors.ts';
import { tensor } from '../../runtime/tensor.ts';
import { badFiles } from './bad-files.ts';

const { folder, thrown } = badFiles();

function safetensors(header: unknown, dataBytes: number, claimed?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
}

function npy(header: string, dataBytes: number): Buffer {
  const start = Buffer.from('\x93NUMPY\x01\0\0\0', 'latin1');
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header, 'latin1'), Buffer.alloc(dataBytes)]);
}

const good = { x: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] } };
const entry = (change: object) => ({ x: { ...good.x, ...change } });
const two = (begin: number) => ({
  ...good,
  y: { dtype: 'F16', shape: [2], data_offsets: [begin, begin + 4] },
});

describe('F001: a file that cannot be read', () => {
  it('is not there, is a directory, or is of another kind', async () => {
    expect(await thrown(tensor.load(join(folder, 'none.npy')))).toMatchInlineSnapshot(`
      "error[F001]: 'none.npy' cannot be read: there is no such file
        = help: check the path (seen from .) and its permissions"
    `);
    await mkdir(join(folder, 'dir.npy'));
    expect(await thrown(tensor.load(join(folder, 'dir.npy')))).toContain('it is a directory');
    expect(await thrown(tensor.load('model.pt'))).toMatchInlineSnapshot(`
      "error[F001]: 'model.pt' cannot be read: its kind is not known
        = help: name a .safetensors or .npy file; safetensors.torch.save_file converts others"
    `);
    expect(await thrown(openNpy('/dev/zero'))).toContain('it is no ordinary file');
  });
});

describe('F002: a damaged safetensors file', () => {
  const path = () => join(folder, 'a.safetensors');

  it('mended, it opens', async () => {
    for (const [header, bytes] of [
      [good, 24],
      [two(24), 28],
      [{}, 0],
      [entry({ shape: [], data_offsets: [0, 4] }), 4],
      [entry({ shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] }), 0],
      [`{"x":{"shape":[2,3],"dtype":"F32","data_offsets":[0,24]}}   `, 24],
    ] as const) {
      await writeFile(path(), safetensors(header, bytes));
      await (await openSafetensors(path())).close();
    }
  });

  it.each<[string, () => Buffer, string]>([
    ['empty', () => Buffer.alloc(0), 'it has only 0 bytes'],
    [
      'a length of 2^60',
      () => safetensors(good, 24, 2n ** 60n),
      'its header would take 1152921504606846976',
    ],
    [
      'a length past the end',
      () => safetensors(good, 24, 1000n),
      'its header would take 1000 bytes',
    ],
    ['a header of 0 bytes', () => safetensors('', 24), 'its header is not JSON'],
    ['not JSON', () => safetensors('{"x":', 24), 'its header is not JSON'],
    ['not UTF-8', () => Buffer.concat([safetensors('', 0, 2n), Buffer.of(0xff, 0xfe)]), 'not JSON'],
    ['a list', () => safetensors('[]', 0), 'its header is not a JSON object'],
    ['nested deep', () => safetensors('['.repeat(1e6), 0), 'its header is not'],
    [
      'a key twice',
      () => safetensors(`{"x":${JSON.stringify(good.x)},"\\u0078":${JSON.stringify(good.x)}}`, 24),
      "has the key 'x' twice",
    ],
    [
      'a key of an entry twice',
      () => safetensors('{"x":{"dtype":"F32","dtype":"F16"}}', 24),
      "'dtype' twice",
    ],
    ['an entry that is no object', () => safetensors({ x: 3 }, 24), "tensor 'x': its entry is not"],
    [
      'a negative size',
      () => safetensors(entry({ shape: [-2, -3] }), 24),
      "tensor 'x': 'shape' is not",
    ],
    ['a fractional size', () => safetensors(entry({ shape: [1.5, 4] }), 24), "'shape' is not"],
    [
      'a size of null, as NaN is written',
      () => safetensors(entry({ shape: [Number.NaN] }), 24),
      "'shape' is not",
    ],
    [
      'a huge product',
      () => safetensors(entry({ shape: [2 ** 40, 2 ** 40] }), 24),
      'more bytes than any file has',
    ],
    [
      'a million axes',
      () => safetensors(entry({ shape: new Array(1e6).fill(2) }), 24),
      'of 1000000 axes',
    ],
    [
      'a shape of other bytes',
      () => safetensors(entry({ shape: [2, 4] }), 24),
      'takes 32 bytes, its data_offsets hold 24',
    ],
    [
      'an unknown dtype',
      () => safetensors(entry({ dtype: 'F33' }), 24),
      "the dtype 'F33' is unknown",
    ],
    [
      'a dtype of Object',
      () => safetensors(entry({ dtype: 'constructor' }), 24),
      "the dtype 'constructor' is unknown",
    ],
    ['offsets backwards', () => safetensors(entry({ data_offsets: [24, 0] }), 24), 'run backwards'],
    [
      'one offset',
      () => safetensors(entry({ data_offsets: [0] }), 24),
      "'data_offsets' is not two",
    ],
    [
      'a cut file',
      () => safetensors(good, 23),
      'its data end at byte 24, but the file has only 23',
    ],
    ['a tail', () => safetensors(good, 25), 'its tensors end at byte 24 of 25'],
    ['a gap', () => safetensors(two(26), 30), 'leave a gap'],
    ['an overlap', () => safetensors(two(20), 24), 'overlap'],
    [
      'metadata of numbers',
      () => safetensors({ __metadata__: { a: 1 } }, 0),
      "'__metadata__' is not",
    ],
    [
      'a pointer of LFS',
      () => Buffer.from('version https://git-lfs.github.com/spec/v1'),
      'git lfs pull',
    ],
  ])('%s', async (_, bytes, words) => {
    await writeFile(path(), bytes());
    const text = await thrown(openSafetensors(path()));
    expect(text).toMatch(/^error\[F002\]: 'a\.safetensors'/);
    expect(text).toContain(words);
  });

  it('says which tensor, what and how to mend it', async () => {
    await writeFile(path(), safetensors(entry({ shape: [2, 4] }), 24));
    expect(await thrown(openSafetensors(path()))).toMatchInlineSnapshot(`
      "error[F002]: 'a.safetensors', tensor 'x': the shape [2, 4] of F32 takes 32 bytes, its data_offsets hold 24
        = help: the file is damaged or not a safetensors file: copy it again or write it anew"
    `);
  });

  it('mutated headers give an error of ours or a file that can be read', async () => {
    const valid = safetensors({ __metadata__: { format: 'pt' }, ...two(24) }, 28);
    await survives(path(), valid, async () => {
      const file = await openSafetensors(path());
      try {
        for (const name of file.names) await file.read(name);
      } finally {
        await file.close();
      }
    });
  });

  it('refuses at reading what has no counterpart: T003', async () => {
    await writeFile(path(), safetensors(entry({ dtype: 'F8_E4M3', shape: [24] }), 24));
    expect(await thrown(tensor.load(path()))).toMatchInlineSnapshot(`
      "error[T003]: 'a.safetensors', tensor 'x': F8_E4M3 has no counterpart
        = help: convert it first to one of F32, F16, BF16, I32, F64, I64"
    `);
  });
});

// Bytes of a valid file changed, removed, repeated or cut, most of them in its header.
async function survives(path: string, valid: Buffer, read: () => Promise<void>): Promise<void> {
  const edit = fc.record({
    at: fc.integer({ min: 0, max: valid.length - 1 }),
    remove: fc.integer({ min: 0, max: 4 }),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc
        .constantFrom(
          '{',
          '}',
          '[',
          ']',
          ',',
          '"',
          "'",
          '(',
          '9',
          '-1',
          '1e99',
          'null',
          ':{',
          '0',
          '>',
        )
        .map((text) => Uint8Array.from(Buffer.from(text))),
    ),
  });
  let errors = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      let bytes = valid;
      for (const { at, remove, insert } of edits) {
        bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
      }
      await writeFile(path, bytes);
      try {
        await read();
      } catch (error) {
        errors++;
        if (!(error instanceof FileError || error instanceof ShapeError)) throw error;
      }
    }),
    { numRuns: 1500 },
  );
  expect(errors).toBeGreaterThan(100);
}

describe('F003: a damaged .npy file', () => {
  const path = () => join(folder, 'a.npy');
  const header = (change: Record<string, string> = {}) => {
    const parts = { descr: "'<f4'", fortran_order: 'False', shape: '(2, 3)', ...change };
    const items = Object.entries(parts).map(([key, value]) => `'${key}': ${value}, `);
    return `{${items.join('')}}\n`;
  };

  it('mended, it opens', async () => {
    for (const [shape, bytes] of [
      ['(2, 3)', 24],
      ['()', 4],
      ['(3,)', 12],
      ['(0, 5)', 0],
    ] as const) {
      await writeFile(path(), npy(header({ shape }), bytes));
      expect((await tensor.load(path())).data.byteLength).toBe(bytes);
    }
  });

  it.each<[string, () => Buffer, string]>([
    ['empty', () => Buffer.alloc(0), 'it does not begin'],
    ['another file', () => Buffer.from('PK\x03\x04 and more'), 'it does not begin'],
    [
      'a version of the future',
      () => Buffer.from('\x93NUMPY\x04\0\0\0\0\0', 'latin1'),
      'its version is 4',
    ],
    ['a cut version 2', () => Buffer.from('\x93NUMPY\x02\0\0\0', 'latin1'), 'it has only 10 bytes'],
    [
      'a header of 4 GB',
      () => Buffer.from('\x93NUMPY\x02\0\xff\xff\xff\xff', 'latin1'),
      'its header would take 4294967295',
    ],
    ['a header past the end', () => npy(header(), 0).subarray(0, 40), 'its header would take'],
    ['no dictionary', () => npy('os.system("ls")', 24), 'not a dictionary'],
    [
      'a call as a value',
      () => npy(header({ shape: 'tuple(2, 3)' }), 24),
      'not a dictionary of three',
    ],
    ['a key twice', () => npy(header().replace('{', "{'shape': (1,), "), 24), "has 'shape' twice"],
    ['a key too many', () => npy(header({ extra: '1' }), 24), "an unknown key 'extra'"],
    ['no descr', () => npy("{'fortran_order': False, 'shape': (2, 3)}", 24), "lacks 'descr'"],
    [
      'an order that is no boolean',
      () => npy(header({ fortran_order: '1' }), 24),
      "'fortran_order' is neither",
    ],
    ['a number as shape', () => npy(header({ shape: '(6)' }), 24), "'shape' is not a tuple"],
    ['a negative size', () => npy(header({ shape: '(-2, -3)' }), 24), "'shape' is not a tuple"],
    [
      'a size beyond numbers',
      () => npy(header({ shape: `(${'9'.repeat(400)},)` }), 24),
      "'shape' is not a tuple",
    ],
    [
      'a huge product',
      () => npy(header({ shape: '(9999999999, 9999999999)' }), 24),
      'more bytes than any file has',
    ],
    ['a cut file', () => npy(header(), 23), 'takes 24 bytes, the file holds 23'],
    ['a tail', () => npy(header(), 25), 'takes 24 bytes, the file holds 25'],
  ])('%s', async (_, bytes, words) => {
    await writeFile(path(), bytes());
    const text = await thrown(openNpy(path()));
    expect(text).toMatch(/^error\[F003\]: 'a\.npy'/);
    expect(text).toContain(words);
  });

  it('mutated headers give an error of ours or a file that can be read', async () => {
    await survives(path(), npy(header(), 24), async () => {
      await tensor.load(path());
    });
  });

  it('refuses what has no counterpart: T003', async () => {
    await writeFile(path(), npy(header({ descr: "'>f4'" }), 24));
    expect(await thrown(tensor.load(path()))).toMatchInlineSnapshot(`
      "error[T003]: 'a.npy': dtype '>f4' is big-endian
        = help: np.save(path, x.astype('<f4')) writes little-endian"
    `);
    await writeFile(path(), npy(header({ descr: "'|u1'", shape: '(24,)' }), 24));
    expect(await thrown(tensor.load(path()))).toContain("dtype '|u1' has no counterpart");
    await writeFile(path(), npy(header({ descr: "[('a', '<f4'), ('b', '<f4')]" }), 48));
    expect(await thrown(tensor.load(path()))).toContain('is a structured array');
  });
});

describe('F004: a tensor that the file does not hold', () => {
  it('lists the names that are there, the likeliest first', async () => {
    const path = join(folder, 'names.safetensors');
    const names = Array.from({ length: 30 }, (_, i) => `layers.${i}.q`);
    await writeSafetensors(path, Object.fromEntries(names.map((name) => [name, tensor([1])])));
    const text = await thrown(tensor.load(path, 'layers.7.Q'));
    expect(text).toContain("error[F004]: 'names.safetensors' holds no tensor 'layers.7.Q'");
    expect(text).toContain("it holds 'layers.7.q', ");
    expect(text).toContain('and 10 more');
    expect(await thrown(tensor.load(path))).toContain('holds 30 tensors, and none was named');
    expect((await tensor.load(path, 'layers.7.q')).at(0)).toBe(1);
  });

  it('knows that a .npy file has no names', async () => {
    const path = join(folder, 'x.npy');
    await writeFile(path, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4));
    expect(await thrown(tensor.load(path, 'x'))).toContain('error[F004]');
    expect((await tensor.load(path)).at(0)).toBe(0);
  });
});

describe('F005: a file that cannot be written', () => {
  it('has no directory, no permission, or is no file', async () => {
    const missing = join(folder, 'missing', 'a.svg');
    expect(await thrown(writeAtomically(missing, 'x'))).toMatchInlineSnapshot(`
      "error[F005]: 'missing/a.svg' cannot be written: its directory does not exist
        = help: make the directory first: mkdir -p"
    `);
    await mkdir(join(folder, 'missing'));
    await writeAtomically(missing, 'x');

    expect(await thrown(writeAtomically(folder, 'x'))).toContain('it is a directory');
    expect(await thrown(writeAtomically('/dev/null', 'x'))).toContain('it is no ordinary file');
    expect(await thrown(writeAtomically(join(missing, 'b'), 'x'))).toContain('is not a directory');
    const name = 'n'.repeat(300);
    expect(await thrown(writeAtomically(join(folder, name), 'x'))).toContain(
      'its name is too long',
    );
    expect(await readdir(join(folder, 'missing'))).toEqual(['a.svg']);
  });

  it.skipIf(process.getuid?.() === 0)('has no permission (as root, everyone has)', async () => {
    const locked = join(folder, 'locked');
    await mkdir(locked, { mode: 0o500 });
    expect(await thrown(writeAtomically(join(locked, 'a'), 'x'))).toContain('permission is denied');
    await chmod(locked, 0o700);
    await writeAtomically(join(locked, 'a'), 'x');
  });

  it('has a name or metadata that the format does not allow', async () => {
    const path = join(folder, 'reserved.safetensors');
    const one = tensor([1]);
    expect(await thrown(writeSafetensors(path, { __metadata__: one }))).toContain('error[F005]');
    const wrong = { a: 1 } as unknown as Record<string, string>;
    expect(await thrown(writeSafetensors(path, { one }, wrong))).toContain('error[F005]');
    await writeSafetensors(path, { one }, { a: '1' });
  });
});
