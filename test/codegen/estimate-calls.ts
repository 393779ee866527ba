// What the tests of estimation kernels share: small calls, and the sets that the emulated kernels give.

import { estimateLaunch, type SetBuffer } from '../../codegen/estimate/index.ts';
import type { EstimateLaunchRequest } from '../../codegen/estimate/request.ts';
import type { HalfType, Strides } from '../../codegen/estimate/vectors.ts';
import { BitSet, type ChosenSet, type ChosenSetsData } from '../../dsl/chosen.ts';
import { axesOfChosen, type ChosenNode } from '../../dsl/estimate/node.ts';
import {
  type EstimateGraph,
  type EstimateProgram,
  traceEstimate,
} from '../../dsl/estimate/trace.ts';
import type { Inputs } from '../../dsl/estimate/values.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { patterns } from '../../patterns/index.ts';
import { type Contents, runEmulated } from '../../runtime/emulator/run.ts';
import { checkInputs, graphsPerHead } from '../../runtime/inputs.ts';
import { type Tensor, tensor } from '../../runtime/tensor.ts';

export interface Call {
  readonly graphs: readonly EstimateGraph[];
  readonly shape: LaunchShape;
  readonly q: Tensor;
  readonly k: Tensor;
}

export interface CallSizes extends Partial<LaunchShape> {
  readonly dtype?: HalfType;
  readonly layout?: 'bhsd' | 'bshd';
}

/** Sizes by default: 2 batch entries of 4 query and 2 KV heads, 100 queries at the end of 130 keys. */
export function tensorsOf({ dtype = 'bf16', layout = 'bhsd', ...sizes }: CallSizes = {}) {
  const shape: LaunchShape = {
    batch: 2,
    heads: 4,
    kvHeads: 2,
    qLen: 100,
    kLen: 130,
    headDim: 16,
    valueDim: 16,
    ...sizes,
  };
  const { batch, heads, kvHeads, qLen, kLen, headDim } = shape;
  const q = tensor.random([batch, heads, qLen, headDim], { dtype, layout, seed: 1, scale: 2 });
  const k = tensor.random([batch, kvHeads, kLen, headDim], { dtype, layout, seed: 2 });
  return { shape, q, k };
}

export const trace = (program: (inputs: Inputs) => Record<string, unknown>): EstimateGraph =>
  traceEstimate(program as unknown as EstimateProgram, {});

/** The same graph for all heads. */
export function callOf(graph: EstimateGraph, sizes?: CallSizes): Call {
  const { shape, q, k } = tensorsOf(sizes);
  return { shape, q, k, graphs: Array.from({ length: shape.heads }, () => graph) };
}

/** A built-in pattern with its parameters, numbers or one number per head. */
export function builtIn(
  name: string,
  params: Readonly<Record<string, number | readonly number[]>>,
  sizes?: CallSizes,
): Call {
  const { definition } = patterns.get(name)!;
  const { q: queries, k: keys } = tensorsOf(sizes);
  const checked = checkInputs(definition, { q: queries, k: keys, v: keys }, params);
  const { q, k, shape } = checked;
  return { shape, q, k, graphs: graphsPerHead(definition, checked.params, shape) };
}

export type Options = Pick<EstimateLaunchRequest, 'only' | 'scoreBytes' | 'backend'> & {
  /** Of the order in which the emulator runs threads. */
  readonly seed?: number;
};

export function launchOf({ graphs, shape, q, k }: Call, own: Options = {}) {
  const { only, scoreBytes, backend } = own;
  const [first, second] = [q, k].map(({ strides }) => strides.slice(0, 3) as unknown as Strides);
  const strides = { q: first!, k: second! };
  const dtype = q.dtype as HalfType;
  return estimateLaunch({ graphs, shape, dtype, strides, only, scoreBytes, backend });
}

const bytesOf = ({ data }: Tensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const wordsOf = (bytes: Uint8Array): Uint32Array => new Uint32Array(bytes.slice().buffer);

export interface Emulated {
  readonly sets: ChosenSetsData;
  /** The batch entry, head and row of the first score that is not finite. */
  readonly error: { batch: number; head: number; row: number } | undefined;
}

/** The sets of a call by the emulated kernels. */
export async function emulate(call: Call, options: Options = {}): Promise<Emulated> {
  const { list, results, sets, errorBuffer } = launchOf(call, options);
  const known: Record<string, Contents> = { q: bytesOf(call.q), k: bytesOf(call.k) };
  for (const { name, bytes } of results) known[name] = { bytes };
  const after = await runEmulated(list, known, { seed: options.seed ?? 0 });
  const read = (name: string, { domain, units, buffer, ...set }: SetBuffer): ChosenSet => {
    const words = wordsOf(after[buffer]!);
    const size = domain.rows * Math.ceil(domain.columns / 32);
    const own = Array.from({ length: units }, (_, unit) => {
      return new BitSet(domain, words.slice(unit * size, (unit + 1) * size));
    });
    const dense = set.dense
      ? [...wordsOf(after[set.dense]!)].map((flag) => flag !== 0)
      : own.map(() => false);
    const axes = axesOfChosen(call.graphs[0]![name]!);
    return { axes, perGroup: set.perGroup, units: own, dense };
  };
  const [low, high] = wordsOf(after[errorBuffer]!);
  return {
    sets: Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, read(name, set)])),
    error:
      high === 0xffffffff ? undefined : { batch: high! >>> 16, head: high! & 0xffff, row: low! },
  };
}

const bareNode = (node: ChosenNode): ChosenNode =>
  node.op === 'dilate' ? bareNode(node.of) : node;

/** The call without its dilations. */
export function bare(call: Call): Call {
  const graphs = call.graphs.map((graph) =>
    Object.fromEntries(Object.entries(graph).map(([name, node]) => [name, bareNode(node)])),
  );
  return { ...call, graphs };
}
