// The estimates that are timed: the works of the built-in methods at the lengths that count.

import { traceSets } from '../../../dsl/definition.ts';
import type { EstimateGraph } from '../../../dsl/estimate/trace.ts';
import { defaultOf, isTensorInput } from '../../../dsl/given.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { patterns } from '../../../index.ts';

export interface IndexWork {
  readonly name: string;
  readonly pattern: string;
  /** Parameters that are not the defaults. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly shape: LaunchShape;
}

const K = 1024;

function work(
  pattern: string,
  length: number,
  numbers: Readonly<Record<string, number>>,
  sizes: Partial<LaunchShape> = {},
): IndexWork {
  const shape = {
    ...{ batch: 1, heads: 32, kvHeads: 8, qLen: length, kLen: length, headDim: 128, valueDim: 128 },
    ...sizes,
  };
  const lengthText =
    length >= K * K ? `${length / K / K}M` : length >= K ? `${length / K}K` : length;
  const text = Object.entries(numbers).map(([name, value]) => `${name} ${value}`);
  return { name: [pattern, lengthText, ...text].join(' '), pattern, numbers, shape };
}

const verticalSlash = { verticals: 1000, slashes: 6096 };
/** Of q, only the last rows are read: the others need no memory. */
const lastRows = { qLen: 128 };

export const works: readonly IndexWork[] = [
  work('vertical-slash', 128 * K, verticalSlash, lastRows),
  work('vertical-slash', K * K, verticalSlash, lastRows),
  work('block-sparse', 128 * K, { block: 64, blocksPerRow: 100 }),
  work('flash-prefill', 128 * K, { share: 0.1 }),
  work('x-attention', 128 * K, { block: 128, stride: 16 }),
  work('flex-prefill', 128 * K, {}),
];

/** The same methods at sizes for the emulator. */
export const tinyWorks: readonly IndexWork[] = works.map(({ pattern, numbers }) =>
  work(
    pattern,
    300,
    { ...numbers, block: 32 },
    { heads: 4, kvHeads: 2, headDim: 32, valueDim: 32 },
  ),
);

/** The graph of each head; `budgets` are parameters with one number per head. */
export function graphsOf(
  { pattern, numbers, shape }: IndexWork,
  budgets: Readonly<Record<string, readonly number[]>> = {},
): EstimateGraph[] {
  const { definition } = patterns.get(pattern)!;
  const given = Object.entries(definition.given).filter(([, entry]) => !isTensorInput(entry));
  const traced = new Map<string, EstimateGraph>();
  return Array.from({ length: shape.heads }, (_, head) => {
    const own: Record<string, number> = {};
    for (const [name, entry] of given)
      own[name] = budgets[name]?.[head] ?? numbers[name] ?? defaultOf(entry as never)!;
    const key = JSON.stringify(own);
    const graph = traced.get(key) ?? traceSets(definition, own);
    traced.set(key, graph);
    return graph;
  });
}
