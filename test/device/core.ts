// The claims of core-program.ts, which are tried when this is imported. It ends the device for its process, by a
// kernel that faults.

import assert from 'node:assert/strict';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { encodeLaunchList, type LaunchRecord } from '../../runtime/cuda/launch-list.ts';
import { type CudaDevice, cudaDevices, openCudaDevice } from '../../runtime/cuda/native.ts';
import { encodeTensorMap } from '../../runtime/cuda/tensor-map.ts';
import { attentionOnTwo } from './two-devices.ts';

const argument = 'struct Argument { unsigned long long address, number; };\n';
const kernel = (name: string, body: string) => ({
  name,
  source: `${argument}extern "C" __global__ void ${name}(const __grid_constant__ Argument p) {\n${body}\n}\n`,
});
const kernels = [
  kernel(
    'add_one',
    `const unsigned long long i = blockIdx.x * 256ull + threadIdx.x;
     if (i < p.number) reinterpret_cast<unsigned*>(p.address)[i] += 1;`,
  ),
  kernel(
    'wait',
    `unsigned long long start, now;
     asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
     do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - start < p.number * 1000);`,
  ),
  kernel(
    'shape',
    `extern __shared__ unsigned memory[];
     unsigned cluster, shared;
     asm volatile("mov.u32 %0, %cluster_nctaid.x;" : "=r"(cluster));
     asm volatile("mov.u32 %0, %dynamic_smem_size;" : "=r"(shared));
     memory[shared / 4 - 1] = shared;
     unsigned* out = reinterpret_cast<unsigned*>(p.address);
     const unsigned all[8] = {gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z, cluster,
                              memory[shared / 4 - 1]};
     if (blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y + threadIdx.z == 0)
       for (int i = 0; i < 8; ++i) out[i] = all[i];`,
  ),
  kernel('fault', 'reinterpret_cast<volatile unsigned*>(p.address)[1ull << 40] = 1;'),
];

const { devices, driver, error } = cudaDevices();
const first = devices[0];
if (first === undefined) {
  console.log(`skipped: ${error ?? 'no CUDA device'}`);
  process.exit(0);
}
console.log(`${first.name}, driver ${driver}`, first);
const arch = `sm_${first.major}${first.minor}${first.major >= 9 ? 'a' : ''}`;

async function open(ordinal = 0) {
  const device = await openCudaDevice(ordinal);
  const handles: Record<string, number> = {};
  for (const one of kernels) {
    const { cubin } = await compileKernel(one, arch);
    const module = await device.load(cubin);
    handles[one.name] = device.function(
      module,
      one.name,
      one.name === 'shape' ? 200_000 : 0,
    ).handle;
  }
  const launch = (
    name: string,
    address: number,
    number: number,
    rest: Partial<LaunchRecord> = {},
  ): LaunchRecord =>
    ({
      op: 'launch',
      handle: handles[name]!,
      grid: [name === 'add_one' ? Math.ceil(number / 256) : 1, 1, 1],
      block: [name === 'add_one' ? 256 : 1, 1, 1],
      sharedBytes: 0,
      args: new Uint8Array(BigUint64Array.of(BigInt(address), BigInt(number)).buffer),
      ...rest,
    }) as LaunchRecord;
  const run = (...records: LaunchRecord[]) => device.run(encodeLaunchList(records));
  return { device, launch, run };
}

const claims: [string, () => unknown][] = [];
const claim = (name: string, act: () => unknown) => claims.push([name, act]);
const { device, launch, run } = await open();
const rising = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);
const median = (samples: number[]) => samples.sort((a, b) => a - b)[samples.length >> 1]!;
const codeOf = (code: string) => ({ code });

claim('a child ends cleanly with work in flight', async () => {
  if (process.argv.includes('--child')) return;
  const { spawnSync } = await import('node:child_process');
  const start = performance.now();
  const args = [...process.execArgv, process.argv[1]!, 'test:core', '--child'];
  const { status, signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.deepEqual({ status, signal }, { status: 7, signal: null }, stderr);
  return `${(performance.now() - start).toFixed(0)} ms`;
});

claim('the compiler reports to the core what ptxas reports', async () => {
  for (const one of kernels) {
    const { cubin, report } = await compileKernel(one, arch);
    const module = await device.load(cubin);
    const made = device.function(module, one.name, 0);
    assert.equal(made.registers, report.registers);
    assert.equal(made.spillBytes, 0);
    await device.unload(module);
  }
});

for (const bytes of [4096, 1 << 20, 1 << 28]) {
  claim(`uploads, launches, copies and downloads of ${bytes} bytes are in order`, async () => {
    const count = bytes / 4;
    const given = rising(count);
    const [a, b] = [device.alloc(bytes), device.alloc(bytes)];
    let start = performance.now();
    await device.upload(a, given);
    const up = performance.now() - start;
    run(launch('wait', 0, 20_000), launch('add_one', a, count), {
      op: 'copy',
      to: b,
      from: a,
      bytes,
    });
    await device.upload(a, new Uint32Array(count).fill(7));
    const [x, y] = [new Uint32Array(count), new Uint32Array(count)];
    start = performance.now();
    const reading = [device.download(b, x), device.download(a, y)];
    device.free(a);
    device.free(b);
    const other = device.alloc(bytes);
    run({ op: 'fill', address: other, bytes, value: 3 });
    await Promise.all(reading);
    const down = performance.now() - start;
    device.free(other);
    assert.ok(x.every((value, i) => value === i + 1));
    assert.ok(y.every((value) => value === 7));
    const rate = (times: number, ms: number) => `${((times * bytes) / ms / 1e6).toFixed(1)} GB/s`;
    return `up ${rate(1, up)}, down ${rate(2, down)}`;
  });
}

for (const kind of ['fresh', 'used'] as const) {
  claim(`a gigabyte of ${kind} host memory`, async () => {
    const bytes = 2 ** 30;
    const address = device.alloc(bytes);
    const given = new Uint8Array(bytes).fill(3);
    const out = new Uint8Array(bytes);
    if (kind === 'used') out.fill(1);
    const rate = async (copy: () => Promise<void>) => {
      const start = performance.now();
      await copy();
      return `${(bytes / (performance.now() - start) / 1e6).toFixed(1)} GB/s`;
    };
    const up = await rate(() => device.upload(address, given));
    const down = await rate(() => device.download(address, out));
    device.free(address);
    assert.equal(Buffer.compare(given, out), 0);
    return `up ${up}, down ${down}`;
  });
}

claim('writes are in order and take their bytes at once', async () => {
  const copies = device.alloc(400);
  const cell = device.alloc(4);
  const view = new Uint32Array(1);
  run(launch('wait', 0, 10_000));
  for (let i = 0; i < 100; i++) {
    view[0] = 2 * i;
    device.write(cell, view);
    run(launch('add_one', cell, 1), { op: 'copy', to: copies + 4 * i, from: cell, bytes: 4 });
  }
  const out = new Uint32Array(100);
  await device.download(copies, out);
  assert.deepEqual(
    out,
    rising(100).map((i) => 2 * i + 1),
  );
  device.free(copies);
  device.free(cell);
});

claim('grid, block, cluster and shared memory arrive', async () => {
  const address = device.alloc(32);
  const out = new Uint32Array(8);
  const shape = { grid: [4, 2, 3], block: [32, 2, 1], sharedBytes: 150_000 } as const;
  run(launch('shape', address, 0, shape));
  await device.download(address, out);
  assert.deepEqual([...out], [4, 2, 3, 32, 2, 1, 1, 150_000]);
  run(launch('shape', address, 0, { ...shape, cluster: [2, 1, 1], overlaps: true }));
  await device.download(address, out);
  assert.deepEqual([...out], [4, 2, 3, 32, 2, 1, 2, 150_000]);
  device.free(address);
  assert.throws(() => run(launch('add_one', 0, 0)), codeOf('R006')); // an empty grid
});

claim('events measure the device', async () => {
  const from = device.event();
  run(launch('wait', 0, 5000));
  const to = device.event();
  const milliseconds = await device.elapsed(from, to);
  assert.ok(milliseconds > 4.9 && milliseconds < 6, String(milliseconds));
  device.drop(from);
  device.drop(to);
  return `${milliseconds.toFixed(3)} ms`;
});

claim('tensor maps are encoded', () => {
  const address = device.alloc(1 << 20);
  const map = encodeTensorMap(device, {
    type: 'bf16',
    address,
    sizes: [128, 4096],
    strides: [256],
    box: [64, 64],
    swizzle: 128,
    promotion: 256,
  });
  assert.ok(map.some((byte) => byte !== 0));
  device.free(address);
});

claim('memory that is not there is an error, and less of it works', async () => {
  const { free } = device.memory();
  assert.throws(() => device.alloc(2 * free), codeOf('R007'));
  const most = Math.floor(free * 0.9);
  device.free(device.alloc(most));
  const halves = [device.alloc(most / 2), device.alloc(most / 2 - 256)];
  for (const half of halves) device.free(half);
  device.free(device.alloc(most));
  return `${(most / 2 ** 30).toFixed(1)} GiB`;
});

claim('ten thousand calls hold no memory', async () => {
  await device.synchronize();
  const before = device.memory();
  const samples: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const start = performance.now();
    const scratch = device.alloc(1 << 20);
    const out = device.alloc(1 << 22);
    run(
      { op: 'fill', address: scratch, bytes: 1 << 20, value: 0 },
      launch('add_one', scratch, 1000),
      launch('add_one', out, 1000),
    );
    device.free(scratch);
    device.free(out);
    samples.push(performance.now() - start);
    if (i % 100 === 99) await device.synchronize();
  }
  const after = device.memory();
  assert.equal(after.held, before.held);
  assert.ok(before.free - after.free < 1 << 26, `${before.free - after.free} bytes less are free`);
  return `${(1000 * median(samples)).toFixed(1)} us of the calling thread for 2 allocations, 3 records, 2 frees`;
});

claim('a launch alone', async () => {
  const list = encodeLaunchList([launch('wait', 0, 0)]);
  const samples: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const start = performance.now();
    device.run(list);
    samples.push(performance.now() - start);
    if (i % 100 === 99) await device.synchronize();
  }
  return `${(1000 * median(samples)).toFixed(2)} us`;
});

/** A list of so many small kernels, each over a place of its own, run again and again. */
function replayed(kernels: number, isGraph: boolean) {
  const records = Array.from({ length: kernels }, () => launch('add_one', 0, 1));
  const list = encodeLaunchList(records);
  const addresses = records.map((_, place) => {
    return { at: (place * list.length) / kernels + 64, place, offset: 0 };
  });
  const graphs = { records: isGraph ? 1 : 0, run: 1 };
  return device.prepare({ list, places: kernels, addresses, maps: [], graphs });
}

claim('a list that is run again works on the addresses of each run, as a graph too', async () => {
  const blocks = [device.alloc(4), device.alloc(4), device.alloc(4)];
  for (const isGraph of [false, true]) {
    for (const block of blocks) device.write(block, new Uint32Array(1));
    const list = replayed(6, isGraph);
    const runs = 50;
    const wanted = new Uint32Array(3);
    for (let i = 0; i < runs; i += 1) {
      const places = Array.from({ length: 6 }, (_, j) => (i * j + (i >> 2)) % 3);
      for (const place of places) wanted[place]! += 1;
      device.replay(
        list,
        Float64Array.from(places, (place) => blocks[place]!),
      );
    }
    for (const [i, block] of blocks.entries()) {
      const out = new Uint32Array(1);
      await device.download(block, out);
      assert.equal(out[0], wanted[i]);
    }
    device.forget(list);
  }
  for (const block of blocks) device.free(block);
});

for (const kernels of [1, 2, 3, 4, 8, 16, 24]) {
  claim(`${kernels} small kernels in a row, launched one by one and as a graph`, async () => {
    const block = device.alloc(4096);
    const said: string[] = [];
    /** How many kernels have another address each time. */
    for (const [name, isGraph, changed] of [
      ['one by one', false, kernels],
      ['graph', true, 0],
      ['graph, 1 changed', true, 1],
      ['graph, all changed', true, kernels],
    ] as const) {
      const list = replayed(kernels, isGraph);
      const places = new Float64Array(kernels).fill(block);
      const [host, all]: [number[], number[]] = [[], []];
      for (let round = 0; round < 40; round += 1) {
        const calls = 20;
        const from = device.event();
        const start = performance.now();
        for (let i = 0; i < calls; i += 1) {
          places.fill(block + 4 * (round * calls + i), 0, changed);
          device.replay(list, places);
        }
        host.push((1000 * (performance.now() - start)) / calls);
        const to = device.event();
        all.push((1000 * (await device.elapsed(from, to))) / calls);
        for (const event of [from, to]) device.drop(event);
      }
      said.push(`${name} ${median(host).toFixed(1)} us (${median(all).toFixed(1)} on the device)`);
      device.forget(list);
    }
    device.free(block);
    return said.join(', ');
  });
}

claim('waiting for an idle device', async () => {
  const samples: number[] = [];
  for (let i = 0; i < 200; i++) {
    const start = performance.now();
    await device.synchronize();
    samples.push(performance.now() - start);
  }
  return `${(1000 * median(samples)).toFixed(1)} us`;
});

claim('a second owner disposes of its own only', async () => {
  const own = await open();
  const before = device.memory().free;
  own.device.alloc(1 << 30);
  own.run(own.launch('wait', 0, 50_000));
  const start = performance.now();
  await own.device.dispose();
  const took = performance.now() - start;
  assert.ok(took > 45, `${took} ms`);
  assert.throws(() => own.device.alloc(64), codeOf('R003'));
  assert.ok(device.memory().free >= before);
  return `${took.toFixed(0)} ms with 50 ms of work`;
});

claim('a damaged cubin and one for another device are errors', async () => {
  const { cubin } = await compileKernel(kernels[0]!, arch);
  await assert.rejects(device.load(cubin.slice(0, 1000)), /cut short/);
  const other = await compileKernel(kernels[0]!, first.major === 8 ? 'sm_90' : 'sm_80');
  const refused = await device.load(other.cubin).then(
    () => 'taken',
    (error: Error) => error.message.split('\n')[0]!,
  );
  return refused;
});

/** Of the same architecture, so that it runs the same kernels. */
const second = devices[1] && devices[1].major === first.major && devices[1].minor === first.minor;

claim('two devices are at work at one time', async () => {
  if (!second) return 'not tried: there is one';
  const other = await open(1);
  const both = [
    { device, launch, run },
    { device: other.device, launch: other.launch, run: other.run },
  ];
  const count = 1 << 20;
  const addresses = both.map((one) => one.device.alloc(4 * count));
  await Promise.all(
    both.map((one, i) =>
      one.device.upload(
        addresses[i]!,
        rising(count).map((at) => at + 7 * i),
      ),
    ),
  );
  const start = performance.now();
  for (const [i, one] of both.entries()) {
    one.run(one.launch('wait', 0, 100_000));
    for (let times = 0; times <= i; times++) one.run(one.launch('add_one', addresses[i]!, count));
  }
  const read = both.map(() => new Uint32Array(count));
  await Promise.all(both.map((one, i) => one.device.download(addresses[i]!, read[i]!)));
  const took = performance.now() - start;
  assert.deepEqual(
    read[0],
    rising(count).map((at) => at + 1),
  );
  assert.deepEqual(
    read[1],
    rising(count).map((at) => at + 9),
  );
  assert.ok(took < 180, `${took} ms for 100 ms of work on each`);
  device.free(addresses[0]!);
  await other.device.dispose();
  await device.synchronize();
  return `${took.toFixed(0)} ms for 100 ms of work on each`;
});

claim('attention on two devices has the same bits', () =>
  second ? attentionOnTwo() : 'not tried: there is one',
);

claim('a fault refuses the device, and leaving still works', async () => {
  const other = second ? await open(1) : undefined;
  const spare = device.alloc(1024);
  const view = new Uint8Array(1024);
  run(launch('fault', spare, 0));
  await assert.rejects(device.download(spare, view), codeOf('R008'));
  assert.throws(() => device.alloc(64), codeOf('R008'));
  assert.throws(() => device.free(spare), codeOf('R008'));
  assert.throws(() => run(launch('wait', 0, 1)), codeOf('R008'));
  await assert.rejects(device.synchronize(), codeOf('R008'));
  await device.dispose();
  await assert.rejects(openCudaDevice(0), codeOf('R008'));
  if (!other) return;
  // The driver gives up on the whole process, as CUDA's manual says.
  assert.throws(() => other.run(other.launch('wait', 0, 1000)), codeOf('R008'));
  await other.device.dispose();
  return 'the second device of the process is refused too';
});

/** Leaves while everything is at work. */
function leave(device: CudaDevice): never {
  const address = device.alloc(1 << 28);
  run(launch('wait', 0, 300_000));
  void device.download(address, new Uint8Array(1 << 28));
  void device.synchronize();
  void device.dispose();
  process.exit(7);
}

if (process.argv.includes('--child')) leave(device);
let wrong = 0;
for (const [name, act] of claims) {
  try {
    const said = await act();
    console.log(`well   ${name}${said ? `: ${said}` : ''}`);
  } catch (error) {
    wrong++;
    console.log(`WRONG  ${name}: ${error instanceof Error ? error.stack : error}`);
  }
}
process.exitCode = wrong > 0 ? 1 : 0;
