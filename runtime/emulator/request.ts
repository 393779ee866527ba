// What the driver sends to the runner (engine/runner.cc): buffers, their bytes, steps. One sequence of
// bytes, in which lines and raw bytes alternate.

import type { LaunchList } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { addressInMap, emulatedMap } from './tensor-map.ts';

/** The contents of a buffer, or the size of one whose contents are undefined. */
export type Contents = Uint8Array | { readonly bytes: number };

export interface RequestOptions {
  readonly seed: number;
  readonly processes: number;
  /** Of each launch. */
  readonly seconds: number;
}

/** `modules` has the path of each launch step's compiled kernel, in order. */
export function requestOf(
  list: LaunchList,
  buffers: Readonly<Record<string, Contents>>,
  modules: readonly string[],
  { seed, processes, seconds }: RequestOptions,
): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const text = new TextEncoder();
  const line = (...words: readonly (string | number)[]) => {
    parts.push(text.encode(`${words.join(' ')}\n`));
  };
  const names: string[] = [];
  const number = (name: string): number => {
    const at = names.indexOf(name);
    invariant(at >= 0, `a launch list names the buffer '${name}', which is not given`);
    return at;
  };
  line('seed', seed);
  line('processes', processes);
  line('seconds', seconds);
  for (const [name, contents] of Object.entries(buffers)) {
    const isGiven = contents instanceof Uint8Array;
    line('buffer', isGiven ? contents.length : contents.bytes, isGiven ? 'io' : 'o', word(name));
    names.push(name);
  }
  for (const { name, bytes } of list.workspace) {
    invariant(!names.includes(name), `two buffers are called '${name}'`);
    line('buffer', bytes, 'w', word(name));
    names.push(name);
  }
  line('steps');
  for (const contents of Object.values(buffers)) {
    if (contents instanceof Uint8Array) parts.push(contents);
  }
  let module = 0;
  for (const step of list.steps) {
    if (step.op === 'fill') {
      line('fill', number(step.buffer), step.offset, step.bytes, step.value & 0xff);
      continue;
    }
    const { kernel, grid, args, buffers: addresses, maps = {} } = step;
    const { threads, sharedBytes } = kernel;
    const { offsets } = kernel.params;
    const zeros = Object.fromEntries(Object.keys(addresses).map((field) => [field, 0]));
    const params = kernel.params.pack({ ...args, ...zeros });
    // Where the runner writes the address of which place.
    const places = Object.entries(addresses).map(([field, place]) => ({
      at: offsets[field]!,
      ...place,
    }));
    for (const [field, { buffer, offset, ...map }] of Object.entries(maps)) {
      params.set(emulatedMap(map), offsets[field]!);
      places.push({ at: offsets[field]! + addressInMap, buffer, offset });
    }
    line(
      'launch',
      ...grid,
      threads,
      sharedBytes,
      params.length,
      places.length,
      kernel.name,
      modules[module]!,
    );
    parts.push(params);
    line();
    for (const { at, buffer, offset } of places) line(at, number(buffer), offset);
    module += 1;
  }
  line('end');
  return parts;
}

/** Names are words in the request. */
const word = (name: string): string => name.replace(/\s/g, '_') || '_';
