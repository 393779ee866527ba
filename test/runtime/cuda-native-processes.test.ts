// The CUDA core and the life of processes and threads, on a simulated driver: no driver, ends with work in
// flight, worker threads, garbage collection, and calls that make no sense. Each in a process of its own, on the
// bare addon.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, simulatedDriver } from '../native/simulated.ts';

/** What every script begins with. */
const prelude = `
  const { Worker, isMainThread, parentPort } = require('node:worker_threads');
  const addon = require(${JSON.stringify(join(root, 'build/Release/warploom.node'))});
  const bytes = (text) => new TextEncoder().encode(text);
  const kernels = bytes('kernel add_one argument=16\\nkernel wait argument=16\\nkernel fault argument=16');
  const launch = ({ handle }, address, count) => {
    const list = new Uint8Array(80);
    new Uint32Array(list.buffer).set([1, 80, handle, 0, 1, 1, 1, 32, 1, 1, 0, 0, 0, 0, 0, 16]);
    new BigUint64Array(list.buffer).set([BigInt(address), BigInt(count)], 8);
    return list;
  };
  const open = async () => {
    const device = await addon.openCudaDevice(0);
    const module = await device.load(kernels);
    const run = (name, address = 0, count = 0) =>
      device.run(launch(device.function(module, name, 0), address, count));
    return { device, module, run };
  };
  const alive = async (device) => {
    const error = await device.load(bytes('control report')).catch((error) => error);
    return Object.fromEntries([...error.message.matchAll(/(\\w+)=(\\d+)/g)].map(([, k, n]) => [k, +n]));
  };
`;

interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** Runs a script to its end; fails where it does not end by itself. */
function runScript(
  script: string,
  settings: Record<string, string> = {},
  flags: string[] = [],
): Ended {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, '-e', `${prelude}\n(async () => {\n${script}\n})()`],
    {
      encoding: 'utf8',
      timeout: 30_000,
      env: { ...process.env, WARPLOOM_LIBCUDA: simulatedDriver(), ...settings },
    },
  );
  return { status, signal, output: `${stdout}${stderr}`.trim() };
}

describe('without a driver', () => {
  const report = `console.log(JSON.stringify(addon.cudaDevices()));
    await addon.openCudaDevice(0).catch((error) => console.log(error.kind, error.message));`;

  it.each([
    [
      'no such file',
      { WARPLOOM_LIBCUDA: '/nowhere/libcuda.so.1' },
      /WARPLOOM_LIBCUDA is set, but .*nowhere/,
    ],
    [
      'another library',
      { WARPLOOM_LIBCUDA: 'libc.so.6' },
      /libc.so.6 is too old: it has no cuInit/,
    ],
    ['no device', { SIMULATED_DEVICES: '0' }, /cuInit: CUDA_ERROR_NO_DEVICE \(100\)/],
  ])('%s: says why, and opens nothing', (_, settings, reason) => {
    const { status, output } = runScript(report, settings);
    expect(status).toBe(0);
    const [first, second] = output.split('\n');
    const listed = JSON.parse(first!);
    expect(listed.devices).toEqual([]);
    expect(listed.error).toMatch(reason);
    expect(second).toMatch(/^argument there is no CUDA driver: /);
  });
});

describe('a process ends cleanly with work in flight', () => {
  const busy = `
    const { device, run } = await open();
    const address = device.alloc(1 << 22);
    const event = device.event();
    run('wait', 0, 100_000);
    const view = new Uint8Array(1 << 22);
    const all = [device.download(address, view), device.upload(address, view), device.load(kernels),
      device.synchronize(), device.elapsed(event, device.event())];
    for (const one of all) one.catch(() => {});
    console.log('begun');`;

  it.each([
    ['by itself', '', 0],
    ['by process.exit', 'process.exit(3);', 3],
    ['by process.exit in the next turn', 'setImmediate(() => process.exit(4));', 4],
    ['by an error', "throw new Error('an end');", 1],
    ['while it disposes', 'device.dispose(); process.exit(5);', 5],
    [
      'after a fault',
      "run('fault'); await device.synchronize().catch(() => {}); process.exit(6);",
      6,
    ],
  ])('%s', (_, end, code) => {
    const { status, signal, output } = runScript(busy + end);
    expect({ status, signal }).toEqual({ status: code, signal: null });
    expect(output).toMatch(/^begun/);
  });
});

describe('worker threads', () => {
  it('each have their own device, and may be ended at work', () => {
    const { status, output } = runScript(`
      const work = ${JSON.stringify(prelude)} + \`
        (async () => {
          const { device, run } = await open();
          for (let i = 0; ; i++) {
            const address = device.alloc(4096);
            await device.upload(address, new Uint32Array(1024).fill(i));
            run('add_one', address, 1024);
            const out = new Uint32Array(1024);
            const reading = device.download(address, out);
            device.free(address);
            await reading;
            if (!out.every((x) => x === i + 1)) throw new Error('wrong');
            parentPort.postMessage(i);
          }
        })();\`;
      const { device } = await open();
      const before = await alive(device);
      for (let round = 0; round < 3; round++) {
        const workers = Array.from({ length: 3 }, () => new Worker(work, { eval: true }));
        await Promise.all(workers.map((one) => new Promise((resolve, reject) => {
          one.on('message', (i) => i >= 20 + round && resolve());
          one.on('error', reject);
        })));
        await Promise.all(workers.map((one) => one.terminate()));
      }
      console.log(JSON.stringify([before, await alive(device)]));`);
    expect(status, output).toBe(0);
    const [before, after] = JSON.parse(output);
    expect(after).toMatchObject({ contexts: 1, pools: 1, blocks: 0, modules: before.modules });
  });
});

describe('garbage collection', () => {
  it('closes devices that are forgotten, and hears of the memory that they hold', () => {
    const { status, output } = runScript(
      `
      const { device } = await open();
      const before = await alive(device);
      const external = () => process.memoryUsage().external;
      const start = external();
      await (async () => {
        for (let i = 0; i < 10; i++) {
          const { device, run } = await open();
          const address = device.alloc(1 << 20);
          run('add_one', address, 16);
          device.event();
          device.download(address, new Uint8Array(1 << 20));
        }
      })();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const held = external() - start;
      for (let i = 0; i < 5; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(JSON.stringify({ before, after: await alive(device), held, left: external() - start }));`,
      {},
      ['--expose-gc'],
    );
    expect(status, output).toBe(0);
    const { before, after, held, left } = JSON.parse(output);
    for (const kind of ['contexts', 'pools', 'modules'])
      expect(after[kind], kind).toBe(before[kind]);
    expect(after).toMatchObject({ streams: 1, blocks: 0, events: 0 });
    expect(held).toBeGreaterThan(10 * 2 ** 20);
    expect(left).toBeLessThan(3 * 2 ** 20);
  });
});

describe('calls that make no sense', () => {
  it('throw or reject, and never end the process', () => {
    const { status, signal, output } = runScript(`
      const { device, module } = await open();
      const address = device.alloc(64);
      const detached = new Uint8Array(8);
      structuredClone(detached, { transfer: [detached.buffer] });
      const odd = [undefined, null, true, NaN, Infinity, -1, 0, 0.5, 2 ** 31, 2 ** 53, 1e300, '', 'x', 5n,
        Symbol('s'), {}, [], () => {}, new Uint8Array(0), new Float64Array(3), detached, new ArrayBuffer(4),
        new DataView(new ArrayBuffer(3)), address, module, device, new Date(), new Proxy({}, {})];
      const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(device))
        .filter((name) => !['constructor', 'dispose'].includes(name));
      let calls = 0, refused = 0;
      const attempt = async (call) => {
        calls++;
        try { await call(); } catch (error) {
          refused++;
          if (!(error instanceof Error)) console.log('not an error', error);
        }
      };
      for (const name of methods) {
        const method = device[name];
        for (const a of odd) {
          await attempt(() => method.call(a)); // another this
          for (const b of odd) {
            // Freed and bare memory are fine to name, not to write to.
            await attempt(() => device[name](a, b, odd[(calls * 7) % odd.length]));
          }
        }
      }
      for (const a of odd) {
        await attempt(() => addon.openCudaDevice(a));
        await attempt(() => device.tensorMap({ sizes: a, strides: a, box: a, type: a, address: a }));
        await attempt(() => device.tensorMap({ sizes: [a], strides: [], box: [a], type: 0, address: 0 }));
        await attempt(() => new device.constructor(a));
        await attempt(() => addon.cudaDevices(a));
      }
      await device.synchronize();
      await device.dispose();
      for (const name of methods) for (const a of odd) await attempt(() => device[name](a, a, a));
      console.log(calls, refused);`);
    expect({ status, signal }, output).toEqual({ status: 0, signal: null });
    const [, calls, refused] = output.match(/^(\d+) (\d+)$/)!.map(Number);
    expect(calls).toBeGreaterThan(10_000);
    expect(refused).toBeGreaterThan(calls! * 0.6);
  });
});
