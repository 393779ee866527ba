// What the emulator calls a fault, and how it runs lists.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { faultKinds } from '../../runtime/emulator/fault.ts';
import { runEmulated } from '../../runtime/emulator/run.ts';
import { portableCases, portableLaunch } from './emulator-fault-cases.ts';
import { checkFaults } from './emulator-faults.ts';
import { hopperCases, hopperLaunch } from './emulator-hopper-cases.ts';
import { bytesOf, int, kernelOf, launch, pointer, words } from './emulator-kernels.ts';

const data = Uint32Array.from({ length: 64 }, (_, i) => i);

describe('a fault', () => {
  checkFaults(portableCases, portableLaunch);

  it.each([
    [[0, 1, 1], 32, 0, 'has 0 blocks along x'],
    [[1, 65536, 1], 32, 0, 'has 65536 blocks along y'],
    [[1, 1, 1], 1056, 0, 'has 1056 threads in a block'],
    [[1, 1, 1], 32, 240_000, 'bytes of shared memory'],
  ] as const)('is a launch of %j blocks of %d threads with %d shared bytes', async (...size) => {
    const [grid, threads, sharedBytes, what] = size;
    const fields = [pointer('data', 'const u32')];
    const kernel = kernelOf('large', { fields, body: '', threads, sharedBytes });
    const done = runEmulated(launch(kernel, {}, grid), { data: bytesOf(data) });
    await expect(done).rejects.toMatchObject({
      kind: 'launch',
      what: expect.stringContaining(what),
    });
  });

  it('has a case for each kind', () => {
    const cases = [...Object.values(portableCases), ...Object.values(hopperCases)];
    const kinds = new Set(['launch', ...cases.map(({ kind }) => kind)]);
    expect([...kinds].sort()).toEqual(Object.keys(faultKinds).sort());
  });

  it('reads like this', async () => {
    const { list, buffers } = portableLaunch(
      portableCases['a shared write that another thread reads']!,
      '',
    );
    const { message } = await runEmulated(list, buffers).then(
      () => new Error('no fault'),
      (error: Error) => error,
    );
    // Lines move with the primitives.
    expect(message.replace(/line \d+|^\d+(?= \|)/gm, 'line N')).toBe(
      'race: faulty, block (0, 0, 0), warp 1, lane 0, line N: writes byte 128 of shared memory, ' +
        'which thread 0 read at line N, with no barrier between\nline N | all[threadIdx.x] = 1;',
    );
  });
});

describe('a fault of copies, barriers and products', () => {
  checkFaults(hopperCases, hopperLaunch);
});

describe('a launch list', () => {
  const add = kernelOf('add', {
    fields: [pointer('from', 'const u32'), pointer('to', 'u32'), int('n')],
    body: '  p.to[threadIdx.x] = p.from[threadIdx.x] + (u32)p.n;',
  });
  const step = (from: string, offset: number, to: string, n: number) =>
    ({
      op: 'launch',
      kernel: add,
      grid: [1, 1, 1],
      args: { n },
      buffers: { from: { buffer: from, offset }, to: { buffer: to, offset: 0 } },
    }) as const;

  it('runs its steps in order, over workspace, fills and offsets', async () => {
    const list = {
      workspace: [{ name: 'between', bytes: 128 }],
      steps: [
        step('data', 128, 'between', 5),
        step('between', 0, 'out', 100),
        { op: 'fill', buffer: 'out', offset: 4, bytes: 4, value: 0xff },
      ],
    } as const;
    const result = await runEmulated(list, { data: bytesOf(data), out: { bytes: 160 } });
    const want = Uint32Array.from({ length: 32 }, (_, i) => (i === 1 ? 0xffffffff : 137 + i));
    expect(words(result.out).slice(0, 32)).toEqual(want);
    // What nothing wrote stays poison.
    expect(words(result.out).slice(32)).toEqual(new Uint32Array(8).fill(0xffffffff));
    expect(result.data).toEqual(bytesOf(data));
  });

  it('names the kernel that reads workspace which no step has written', async () => {
    const list = {
      workspace: [{ name: 'between', bytes: 128 }],
      steps: [step('data', 0, 'out', 0), step('between', 0, 'out', 0)],
    } as const;
    const done = runEmulated(list, { data: bytesOf(data), out: { bytes: 128 } });
    await expect(done).rejects.toThrow("reads byte 0 of 'between', which nothing wrote");
  });

  it('prints what its kernels print', async () => {
    const print = kernelOf('print', {
      fields: [pointer('data', 'const u32')],
      body: '  if (threadIdx.x == 3) printf("%u of %d\\n", p.data[threadIdx.x], 7);',
    });
    let printed = '';
    const onPrint = (text: string) => {
      printed += text;
    };
    await runEmulated(launch(print), { data: bytesOf(data) }, { onPrint });
    expect(printed).toBe('3 of 7\n');
  });

  it('runs the text that a person has changed, and says so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'warploom-debug-'));
    const list = { workspace: [], steps: [step('data', 0, 'out', 1)] } as const;
    const buffers = { data: bytesOf(data), out: { bytes: 128 } };
    const said: string[] = [];
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said.push(String(text));
      return true;
    });
    try {
      const first = await runEmulated(list, buffers, { debug: folder });
      const path = join(folder, 'add.cu');
      const text = readFileSync(path, 'utf8');
      expect(text).toBe(add.source);
      expect(said).toEqual([]);
      writeFileSync(path, text.replace('(u32)p.n', '7u'));
      const second = await runEmulated(list, buffers, { debug: folder });
      expect([words(first.out)[3], words(second.out)[3]]).toEqual([4, 10]);
      expect(said).toEqual([`emulator: ${path} is run, which is not what was generated\n`]);
    } finally {
      write.mockRestore();
      rmSync(folder, { recursive: true });
    }
  });

  it('says why a kernel does not compile', async () => {
    const broken = kernelOf('broken', { fields: [pointer('data', 'u32')], body: 'p.dat[0] = 1;' });
    await expect(runEmulated(launch(broken), { data: bytesOf(data) })).rejects.toThrow(
      /broken\.cu:\d+:3: error: .*dat/,
    );
  });
});
