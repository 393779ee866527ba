// Launch lists as the native core keeps them: bytes, and where the addresses of their buffers go. Not how they run.

import type { BoxMap, Kernel, LaunchList, Step } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { encodeLaunchList, type LaunchRecord, offsetsOfArguments } from './launch-list.ts';
import type { Places, ReadyList } from './machine.ts';
import type { CudaFunction, Patch, ReplayPlan } from './native.ts';
import { inDriversNumbers } from './tensor-map.ts';

/** The bytes of a list, and where the addresses of its buffers go. */
export class EncodedList implements ReadyList {
  readonly list: LaunchList;
  readonly bytes: Uint8Array;
  /** The buffers that it names; places of patches count them. */
  readonly buffers: readonly string[];
  readonly patches: readonly Patch[];
  readonly maps: readonly (Patch & { readonly map: object })[];

  constructor(list: LaunchList, functionOf: (kernel: Kernel) => CudaFunction) {
    this.list = list;
    const records = list.steps.map((step) => recordOf(step, functionOf));
    this.bytes = encodeLaunchList(records);
    const starts = offsetsOfArguments(records);
    const places = new Map<string, number>();
    const placeOf = (buffer: string): number => {
      const place = places.get(buffer) ?? places.size;
      places.set(buffer, place);
      return place;
    };
    const patches: Patch[] = [];
    const maps: (Patch & { map: object })[] = [];
    for (const [i, step] of list.steps.entries()) {
      const start = starts[i]!;
      if (step.op === 'fill') {
        patches.push({ at: start, place: placeOf(step.buffer), offset: step.offset });
        continue;
      }
      const { offsets } = step.kernel.params;
      for (const [field, { buffer, offset }] of Object.entries(step.buffers))
        patches.push({ at: start + offsets[field]!, place: placeOf(buffer), offset });
      for (const [field, { buffer, offset, ...box }] of Object.entries(step.maps ?? {})) {
        const at = start + offsets[field]!;
        maps.push({ at, place: placeOf(buffer), offset, map: mapOf(box) });
      }
    }
    this.buffers = [...places.keys()];
    this.patches = patches;
    this.maps = maps;
  }
}

const mapOf = (map: BoxMap): object => inDriversNumbers({ ...map, address: 0 });

function recordOf(step: Step, functionOf: (kernel: Kernel) => CudaFunction): LaunchRecord {
  if (step.op === 'fill') return { op: 'fill', address: 0, bytes: step.bytes, value: step.value };
  const { kernel, grid, args, buffers } = step;
  const values = { ...args };
  for (const field of Object.keys(buffers)) values[field] = 0;
  return {
    op: 'launch',
    handle: functionOf(kernel).handle,
    grid,
    block: [kernel.threads, 1, 1],
    sharedBytes: kernel.sharedBytes,
    args: kernel.params.pack(values),
  };
}

/** The list that runs all of these one after the other: a place for each buffer of each of them, in this order. */
export function joined(lists: readonly EncodedList[]): Omit<ReplayPlan, 'graphs'> {
  const addresses: Patch[] = [];
  const maps: (Patch & { readonly map: object })[] = [];
  let [bytes, places] = [0, 0];
  for (const one of lists) {
    const [at, place] = [bytes, places];
    const moved = <P extends Patch>(patch: P): P => ({
      ...patch,
      at: patch.at + at,
      place: patch.place + place,
    });
    addresses.push(...one.patches.map(moved));
    maps.push(...one.maps.map(moved));
    bytes += one.bytes.length;
    places += one.buffers.length;
  }
  const list = Buffer.concat(lists.map((one) => one.bytes));
  return { list, places, addresses, maps };
}

/** Writes the addresses of a run where `joined` has places for them. */
export function fillPlaces(
  out: Float64Array,
  lists: readonly EncodedList[],
  places: readonly Places[],
): void {
  let at = 0;
  for (let i = 0; i < lists.length; i += 1) {
    const own = places[i]!;
    for (const buffer of lists[i]!.buffers) {
      const address = own[buffer];
      invariant(address !== undefined, `the buffer '${buffer}' has no place`);
      out[at] = address;
      at += 1;
    }
  }
}
