// Launch lists that are run again and again, on a simulated driver: that each run works on the addresses it is given,
// that it takes one call of the driver from the second on, and what becomes of it where the driver fails.

import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeLaunchList, type LaunchRecord } from '../../runtime/cuda/launch-list.ts';
import {
  type CudaDevice,
  type GraphRule,
  openCudaDevice,
  type Patch,
} from '../../runtime/cuda/native.ts';
import {
  aliveObjects,
  argument,
  driverCalls,
  failCall,
  kernels,
  useSimulatedDriver,
} from '../native/simulated.ts';

useSimulatedDriver({ devices: 2 });

let device: CudaDevice;
let handles: Map<string, number>;
const open = async (ordinal = 0) => {
  const opened = await openCudaDevice(ordinal);
  const module = await opened.load(kernels);
  const names = ['add_one', 'wait', 'fault'];
  const known = names.map((name) => [name, opened.function(module, name, 0).handle] as const);
  return { opened, module, known: new Map(known) };
};

beforeAll(async () => {
  const { opened, known } = await open();
  [device, handles] = [opened, known];
});
beforeEach(() => driverCalls(device));
afterAll(() => device.dispose());

type Job = { readonly kernel: string; readonly place: number } | { readonly fill: number };
const cells = 16;

/** Every job over a place of its own: kernels add one to the cells there, fills set their bytes. */
function prepare(
  jobs: readonly Job[],
  { graphs = { records: 2, run: 2 }, on = device, known = handles }: Partial<Preparation> = {},
): number {
  const records = jobs.map((job): LaunchRecord => {
    if ('fill' in job) return { op: 'fill', address: 0, bytes: 4 * cells, value: job.fill };
    const args = argument(0, job.kernel === 'fault' ? 0 : cells);
    const shape = { grid: [1, 1, 1], block: [32, 1, 1], sharedBytes: 0 } as const;
    return { op: 'launch', handle: known.get(job.kernel)!, ...shape, args };
  });
  let start = 0;
  const addresses = records.map((record, place): Patch => {
    const at = start + (record.op === 'launch' ? 64 : 8);
    start += encodeLaunchList([record]).length;
    return { at, place, offset: 0 };
  });
  const list = encodeLaunchList(records);
  return on.prepare({ list, places: jobs.length, addresses, maps: [], graphs });
}

interface Preparation {
  readonly graphs: GraphRule;
  readonly on: CudaDevice;
  readonly known: Map<string, number>;
}

const add = { kernel: 'add_one', place: 0 };
const three = [{ fill: 0 }, add, add];
const read = async (address: number, on = device) => {
  const out = new Uint32Array(cells);
  await on.download(address, out);
  return [...out];
};
/** The calls that put work into the stream, or change how. */
const ofWork = async () =>
  Object.fromEntries(
    Object.entries(await driverCalls(device)).filter(([name]) => /Launch|Memset|Graph/.test(name)),
  );

describe('a list that is run again', () => {
  it('takes one call of the driver from the second run on, and one more for what changed', async () => {
    const list = prepare(three);
    const [a, b] = [device.alloc(4 * cells), device.alloc(4 * cells)];
    const run = (...places: number[]) => device.replay(list, Float64Array.from(places));
    run(a, a, a);
    expect(await ofWork()).toEqual({ cuMemsetD8Async: 1, cuLaunchKernel: 2 });
    run(a, a, a);
    expect(await ofWork()).toEqual({
      cuGraphCreate: 1,
      cuGraphAddMemsetNode: 1,
      cuGraphAddKernelNode: 2,
      cuGraphInstantiate: 1,
      cuGraphLaunch: 1,
    });
    run(a, a, a);
    expect(await ofWork()).toEqual({ cuGraphLaunch: 1 });
    expect(await read(a)).toEqual(Array(cells).fill(2));
    run(b, b, a);
    expect(await ofWork()).toEqual({
      cuGraphExecMemsetNodeSetParams: 1,
      cuGraphExecKernelNodeSetParams: 1,
      cuGraphLaunch: 1,
    });
    expect([await read(a), await read(b)]).toEqual([Array(cells).fill(3), Array(cells).fill(1)]);
    for (const address of [a, b]) device.free(address);
    device.forget(list);
  });

  it('does on every run what its records do one after the other, wherever they are sent', async () => {
    const job = fc.oneof(fc.constant(add), fc.record({ fill: fc.integer({ min: 0, max: 255 }) }));
    const at = fc.nat(3);
    const works = fc
      .integer({ min: 1, max: 5 })
      .chain((count) =>
        fc.tuple(
          fc.array(job, { minLength: count, maxLength: count }),
          fc.array(fc.array(at, { minLength: count, maxLength: count }), { maxLength: 6 }),
        ),
      );
    const rules = fc.record({ records: fc.nat(4), run: fc.integer({ min: 1, max: 3 }) });
    await fc.assert(
      fc.asyncProperty(works, rules, async ([jobs, runs], graphs) => {
        const list = prepare(jobs, { graphs });
        const blocks = Array.from({ length: 4 }, () => device.alloc(4 * cells));
        const model = blocks.map(() => new Uint32Array(cells));
        for (const address of blocks) device.write(address, new Uint32Array(cells));
        for (const places of runs) {
          device.replay(
            list,
            Float64Array.from(places, (place) => blocks[place]!),
          );
          for (const [i, one] of jobs.entries()) {
            const own = model[places[i]!]!;
            if ('fill' in one) own.fill(one.fill * 0x01010101);
            else for (let cell = 0; cell < cells; cell += 1) own[cell]! += 1;
          }
        }
        for (const [i, address] of blocks.entries()) {
          expect(await read(address)).toEqual([...model[i]!]);
          device.free(address);
        }
        device.forget(list);
      }),
      { numRuns: 60 },
    );
  });

  it('is launched record by record where it is short, or nobody wants graphs', async () => {
    const address = device.alloc(4 * cells);
    for (const [jobs, records] of [
      [[add], 2],
      [three, 0],
    ] as const) {
      const list = prepare(jobs, { graphs: { records, run: 1 } });
      const places = new Float64Array(jobs.length).fill(address);
      for (let i = 0; i < 3; i += 1) device.replay(list, places);
      expect(Object.keys(await ofWork()).filter((name) => /Graph/.test(name))).toEqual([]);
      device.forget(list);
    }
    device.free(address);
  });

  it('runs one record of it alone when asked', async () => {
    const list = prepare(three);
    const address = device.alloc(4 * cells);
    const places = new Float64Array(3).fill(address);
    for (let i = 0; i < 3; i += 1) device.replay(list, places);
    device.step(list, places, 1);
    expect(await read(address)).toEqual(Array(cells).fill(3));
    device.step(list, places, 0);
    expect(await read(address)).toEqual(Array(cells).fill(0));
    expect(() => device.step(list, places, 3)).toThrow('no record 3');
    device.free(address);
    device.forget(list);
  });

  it('gives its graph back when it is forgotten, though it still runs, and with the device', async () => {
    const before = await aliveObjects(device);
    const list = prepare([{ fill: 0 }, { kernel: 'wait', place: 0 }, add]);
    const address = device.alloc(4 * cells);
    const places = new Float64Array(3).fill(address);
    for (let i = 0; i < 3; i += 1) device.replay(list, places);
    device.forget(list);
    expect(await read(address)).toEqual(Array(cells).fill(1));
    device.free(address);
    expect(await aliveObjects(device)).toEqual(before);
    expect(() => device.replay(list, places)).toThrow(`no launch list ${list}`);

    const { opened: own, known } = await open();
    const kept = prepare(three, { on: own, known });
    const there = own.alloc(4 * cells);
    for (let i = 0; i < 3; i += 1) own.replay(kept, new Float64Array(3).fill(there));
    expect(await aliveObjects(device)).toMatchObject({ graphs: 1, executables: 1 });
    await own.dispose();
    expect(await aliveObjects(device)).toEqual(before);
  });

  it('is checked when it is made, and so are the addresses of a run', async () => {
    const list = encodeLaunchList([{ op: 'fill', address: 0, bytes: 4, value: 0 }]);
    const plan = { list, places: 1, addresses: [], maps: [], graphs: { records: 0, run: 1 } };
    for (const patch of [
      { at: list.length - 4, place: 0, offset: 0 },
      { at: 8, place: 1, offset: 0 },
    ])
      expect(() => device.prepare({ ...plan, addresses: [patch] })).toThrow(/goes beyond/);
    expect(() => device.prepare({ ...plan, list: list.subarray(8) })).toThrow(/size is wrong/);
    const made = device.prepare({ ...plan, addresses: [{ at: 8, place: 0, offset: 0 }] });
    expect(() => device.replay(made, new Float64Array(2))).toThrow(/1 places, not 2/);
    for (const address of [-1, Number.NaN, 2 ** 53])
      expect(() => device.replay(made, Float64Array.of(address))).toThrow(/no address/);
    device.forget(made);
  });
});

describe('a driver that fails', () => {
  it.each([
    'cuGraphCreate',
    'cuGraphAddKernelNode',
    'cuGraphInstantiate',
    'cuGraphExecKernelNodeSetParams',
    'cuGraphLaunch',
  ])('at %s is asked for every record instead, and nothing is lost or done twice', async (call) => {
    const graphs = async () => (await aliveObjects(device)).graphs;
    const before = await graphs();
    const list = prepare(three);
    const [a, b] = [device.alloc(4 * cells), device.alloc(4 * cells)];
    const run = (address: number) => device.replay(list, new Float64Array(3).fill(address));
    run(a);
    if (call === 'cuGraphExecKernelNodeSetParams') run(a);
    await failCall(device, call, 2 /* CUDA_ERROR_OUT_OF_MEMORY */);
    await driverCalls(device);
    run(b);
    expect(await ofWork()).toMatchObject({ cuMemsetD8Async: 1, cuLaunchKernel: 2 });
    run(b);
    expect(await ofWork()).toEqual({ cuMemsetD8Async: 1, cuLaunchKernel: 2 });
    expect(await read(b)).toEqual(Array(cells).fill(2));
    for (const address of [a, b]) device.free(address);
    device.forget(list);
    expect(await graphs()).toBe(before);
  });

  it('by a kernel that faults refuses the device, and no other', async () => {
    const { opened: bad, known } = await open(1);
    const list = prepare(
      [{ fill: 0 }, { kernel: 'wait', place: 0 }, { kernel: 'fault', place: 0 }],
      {
        on: bad,
        known,
      },
    );
    const address = bad.alloc(4 * cells);
    const places = new Float64Array(3).fill(address);
    bad.replay(list, places);
    const lost = { code: 'R008' };
    await expect(bad.synchronize()).rejects.toMatchObject(lost);
    for (const call of [
      () => bad.replay(list, places),
      () => bad.step(list, places, 0),
      () => bad.forget(list),
      () => prepare(three, { on: bad, known }),
    ])
      expect(call).toThrow(expect.objectContaining(lost));
    await bad.dispose();
    const well = prepare(three);
    const here = device.alloc(4 * cells);
    for (let i = 0; i < 3; i += 1) device.replay(well, new Float64Array(3).fill(here));
    expect(await read(here)).toEqual(Array(cells).fill(2));
    device.free(here);
    device.forget(well);
  });

  it('a fault that shows when the graph is launched is one too', async () => {
    const list = prepare(three);
    const places = new Float64Array(3).fill(device.alloc(4 * cells));
    device.replay(list, places);
    device.replay(list, places);
    await failCall(device, 'cuGraphLaunch', 700);
    expect(() => device.replay(list, places)).toThrow(expect.objectContaining({ code: 'R008' }));
    expect(() => device.alloc(64)).toThrow(expect.objectContaining({ code: 'R008' }));
  });
});
