// Files: what is written is read, streams stay small, and a write that fails leaves nothing behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DType } from '../../runtime/dtype.ts';
import { writeAtomically } from '../../runtime/files/atomic.ts';
import { makeFolder } from '../../runtime/files/folder.ts';
import { openNpy, writeNpy } from '../../runtime/files/npy.ts';
import { openSafetensors, writeSafetensors } from '../../runtime/files/safetensors.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warploom-files-'));
});
afterAll(() => rm(folder, { recursive: true }));

const dtypes = fc.constantFrom<DType>('fp32', 'fp16', 'bf16', 'i32');
const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 8 });
const tensors = fc.tuple(dtypes, shapes).map(([dtype, shape]): Tensor => {
  if (dtype !== 'i32') return tensor.random(shape, { dtype, seed: 5 });
  const count = shape.reduce((product, n) => product * n, 1);
  return tensor(
    Array.from({ length: count }, (_, i) => Math.imul(i, 0x9e3779b1)),
    { shape, dtype },
  );
});

function safetensorsBytes(header: unknown, data: Uint8Array): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

describe('safetensors', () => {
  it('reads what it wrote: names, metadata, dtypes, shapes, bits', async () => {
    const names = fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__');
    const path = join(folder, 'all.safetensors');
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(names, tensors),
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          fc.string(),
        ),
        async (written, metadata) => {
          await writeSafetensors(path, written, metadata);
          const file = await openSafetensors(path);
          expect(file.metadata).toEqual({ ...metadata });
          expect([...file.names].sort()).toEqual(Object.keys(written).sort());
          for (const name of file.names) {
            const { dtype, shape, data } = await file.read(name);
            expect({ dtype, shape, data }).toEqual({
              dtype: written[name]!.dtype,
              shape: [...written[name]!.shape],
              data: written[name]!.data,
            });
          }
          await file.close();
          const length = (await readFile(path)).readBigUInt64LE();
          expect(length % 8n).toBe(0n);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes any name, even those of Object.prototype', async () => {
    const path = join(folder, 'proto.safetensors');
    const odd = Object.fromEntries([
      ['__proto__', tensor([1])],
      ['constructor', tensor([2])],
      ['1', tensor([3])],
    ]);
    await writeSafetensors(path, odd);
    for (const [name, one] of Object.entries(odd)) {
      expect((await tensor.load(path, name)).at(0)).toBe(one.at(0));
    }
    await expect(tensor.load(path, 'toString')).rejects.toThrow('error[F004]');
  });

  it('writes bshd by its shown shape, and loads either order', async () => {
    const path = join(folder, 'layout.safetensors');
    const t = tensor.random([2, 3, 5, 4], { layout: 'bshd', dtype: 'fp16' });
    await writeSafetensors(path, { t });
    const loaded = await tensor.load(path);
    expect(loaded.layout).toBe('bhsd');
    expect(await loaded.read()).toEqual(await t.read());
    await writeSafetensors(path, { raw: { dtype: 'fp16', shape: [2, 5, 3, 4], data: t.data } });
    const same = await tensor.load(path, { name: 'raw', layout: 'bshd' });
    expect(same.shape).toEqual([2, 3, 5, 4]);
    expect(await same.read()).toEqual(await t.read());
  });

  it('narrows F64 and I64 that fit', async () => {
    const path = join(folder, 'wide.safetensors');
    const floats = Float64Array.of(1 / 3, -0, Number.NaN);
    const ints = BigInt64Array.of(-1n, 2n ** 31n - 1n, -(2n ** 31n));
    const wide = (third: bigint) => {
      ints[2] = third;
      const data = Buffer.concat([new Uint8Array(floats.buffer), new Uint8Array(ints.buffer)]);
      const header = {
        f: { dtype: 'F64', shape: [3], data_offsets: [0, 24] },
        i: { dtype: 'I64', shape: [3], data_offsets: [24, 48] },
      };
      return writeFile(path, safetensorsBytes(header, data));
    };
    await wide(-(2n ** 31n));
    expect([...(await (await tensor.load(path, 'f')).read())]).toEqual([
      Math.fround(1 / 3),
      -0,
      Number.NaN,
    ]);
    expect([...(await tensor.load(path, 'i')).data]).toEqual([-1, 2 ** 31 - 1, -(2 ** 31)]);
    await wide(2n ** 31n);
    await expect(tensor.load(path, 'i')).rejects.toThrow('element 2');
    await expect(tensor.load(path, 'i')).rejects.toThrow('2147483648');
  });

  it('writes a stream, and refuses one of another length without leaving a file', async () => {
    const path = join(folder, 'stream', 'x.safetensors');
    await mkdir(join(folder, 'stream'));
    const source = (pieces: number) => ({
      dtype: 'fp32' as const,
      shape: [3, 100],
      chunks: (async function* () {
        for (let i = 0; i < pieces; i++) yield new Float32Array(100).fill(i);
      })(),
    });
    for (const pieces of [2, 4]) {
      await expect(writeSafetensors(path, { s: source(pieces) })).rejects.toThrow('error[T012]');
      expect(await readdir(join(folder, 'stream'))).toEqual([]);
    }
    await writeSafetensors(path, { s: source(3) });
    expect((await tensor.load(path)).at(2, 99)).toBe(2);
    const wrong = { dtype: 'fp16' as const, shape: [1], chunks: [new Float32Array(1)] };
    await expect(writeSafetensors(path, { wrong })).rejects.toThrow('error[T003]');
    expect((await tensor.load(path)).at(2, 99)).toBe(2);
  });

  it('streams a tensor of 6 GB in little memory', async () => {
    // A sparse file: 6 GB of zeros that take no disk, with one row written near the end.
    const path = join(folder, 'large.safetensors');
    const shape = [1, 8, 3 * 2 ** 20, 128];
    const bytes = 2 * 8 * 3 * 2 ** 20 * 128;
    const header = { k: { dtype: 'BF16', shape, data_offsets: [0, bytes] } };
    const start = safetensorsBytes(header, new Uint8Array(0));
    await writeFile(path, start);
    await truncate(path, start.length + bytes);
    const handle = await open(path, 'r+');
    await handle.write(Uint16Array.of(0x3f80), 0, 2, start.length + bytes - 2);
    await handle.close();

    const file = await openSafetensors(path);
    const before = process.memoryUsage().rss;
    expect(file.info('k')).toEqual({ name: 'k', stored: 'BF16', dtype: 'bf16', shape, bytes });
    const [last] = await file.readRange('k', bytes / 2 - 1, 1);
    expect(last).toBe(0x3f80);
    let rows = 0;
    let peak = 0;
    for await (const chunk of file.chunks('k', 2 ** 16)) {
      rows += chunk.length / 128;
      peak = Math.max(peak, process.memoryUsage().rss);
      // Half a gigabyte is enough to show that memory does not grow.
      if (rows >= 2 ** 21) break;
    }
    await file.close();
    expect(peak - before).toBeLessThan(400e6);
    await expect(file.readRange('k', 0, 1)).rejects.toThrow('it was closed');
    await rm(path);
  });

  it('chunks are the whole, in order', async () => {
    const path = join(folder, 'chunks.safetensors');
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer({ min: 1, max: 9 }), async (t, rows) => {
        await writeSafetensors(path, { t });
        const file = await openSafetensors(path);
        const got: number[] = [];
        for await (const chunk of file.chunks('t', rows)) got.push(...chunk);
        expect(got).toEqual([...t.data]);
        await file.close();
      }),
      { numRuns: 40 },
    );
    const file = await openSafetensors(path);
    const [name] = file.names;
    await expect(file.chunks(name!, 0).next()).rejects.toThrow('error[T006]');
    await expect(file.readRange(name!, 0, 1e9)).rejects.toThrow('error[T002]');
    await file.close();
  });
});

describe('npy', () => {
  it('reads what it wrote, whole and in chunks', async () => {
    const path = join(folder, 'x.npy');
    await fc.assert(
      fc.asyncProperty(tensors, async (t) => {
        if (t.dtype === 'bf16') {
          await expect(writeNpy(path, t)).rejects.toThrow('error[T003]');
          return;
        }
        await writeNpy(path, t);
        const loaded = await tensor.load(path);
        expect([loaded.dtype, loaded.shape, loaded.data]).toEqual([t.dtype, t.shape, t.data]);
        const file = await openNpy(path);
        const got: number[] = [];
        for await (const chunk of file.chunks(3)) got.push(...chunk);
        expect(got).toEqual([...t.data]);
        await file.close();
      }),
      { numRuns: 60 },
    );
  });

  const npy = (version: number, header: string, data: Uint8Array) => {
    const long = version > 1;
    const start = Buffer.from(
      `\x93NUMPY${String.fromCharCode(version)}\0${'\0'.repeat(long ? 4 : 2)}`,
      'latin1',
    );
    if (long) start.writeUInt32LE(header.length, 8);
    else start.writeUInt16LE(header.length, 8);
    return Buffer.concat([start, Buffer.from(header, 'latin1'), data]);
  };
  const six = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);

  it('reads versions 1 to 3, any order of keys, Python 2 numbers, Fortran order', async () => {
    const path = join(folder, 'odd.npy');
    const plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    for (const version of [1, 2, 3]) {
      await writeFile(path, npy(version, plain, six));
      expect((await tensor.load(path)).at(1, 0)).toBe(4);
    }
    await writeFile(path, npy(1, '{"shape":(2L,3L),"descr":"<f4","fortran_order":False}', six));
    expect((await tensor.load(path)).at(1, 0)).toBe(4);
    await writeFile(path, npy(1, plain.replace('False', 'True'), six));
    expect([...(await tensor.load(path)).data]).toEqual([1, 3, 5, 2, 4, 6]);
    const file = await openNpy(path);
    await expect(file.readRange(0, 1)).rejects.toThrow('np.ascontiguousarray');
    await file.close();
  });
});

describe('writing at once', () => {
  it('replaces through a symbolic link, keeps the mode, passes on what the writer throws', async () => {
    const inner = await mkdtemp(join(folder, 'atomic-'));
    const path = join(inner, 'a.txt');
    await writeFile(path, 'old', { mode: 0o640 });
    await symlink(path, join(inner, 'link'));
    await writeAtomically(join(inner, 'link'), 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    const fault = new Error('mine');
    const failing = writeAtomically(path, async (sink) => {
      await sink.write('half');
      throw fault;
    });
    await expect(failing).rejects.toBe(fault);
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await readdir(inner)).sort()).toEqual(['a.txt', 'link']);
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it.each(['SIGINT', 'SIGTERM', 'exit'] as const)('leaves nothing behind on %s', async (how) => {
    const inner = await mkdtemp(join(folder, 'signal-'));
    const module = new URL('../../runtime/files/atomic.ts', import.meta.url).href;
    const script = `
      import { writeAtomically } from ${JSON.stringify(module)};
      await writeAtomically(${JSON.stringify(join(inner, 'x'))}, async (sink) => {
        await sink.write('half');
        process.stdout.write('ready');
        if (${JSON.stringify(how)} === 'exit') process.exit(3);
        await new Promise((resolve) => setTimeout(resolve, 20000));
      });`;
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await once(child.stdout, 'data');
    if (how !== 'exit') {
      expect(await readdir(inner)).toHaveLength(1);
      child.kill(how);
    }
    const [status, signal] = await once(child, 'exit');
    expect(how === 'exit' ? status : signal).toBe(how === 'exit' ? 3 : how);
    expect(await readdir(inner)).toEqual([]);
  });
});

describe('a folder that is asked for', () => {
  it('is there, with those above it, however often it is asked for', async () => {
    const deep = join(folder, 'made', 'one', 'two');
    makeFolder(deep, 0o700);
    makeFolder(deep);
    for (const path of [deep, join(folder, 'made')])
      expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  it('is refused where no folder can be', async () => {
    const file = join(folder, 'in-its-place');
    await writeFile(file, '');
    expect(() => makeFolder(file)).toThrow(/F005.*there is a file in its place/);
    expect(() => makeFolder(join(file, 'below'))).toThrow(/F005.*is not a directory/);
    // Of these Node's own recursive mkdir never returns.
    expect(() => makeFolder('/proc/one')).toThrow(/F005.*no folder can be made in '\/proc'/);
    expect(() => makeFolder('/proc/one/two')).toThrow(/F005.*no folder can be made in '\/proc'/);
  });
});
