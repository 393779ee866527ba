// What the selections and divergences of a graph read, flattened: which scores, made into which
// weights, summed over what. Equal texts mean equal values. Computes nothing.

import type { ChosenNode, DivergenceNode, ScoreNode, Selectable, SumNode } from './node.ts';
import type { EstimateGraph } from './trace.ts';

/** A step that picks members by weight. */
export type Leaf = Extract<ChosenNode, { op: 'topk' | 'above' | 'cover' }>;

/** Values of one pass over scores. */
export interface Want {
  /** Same text, same values. */
  readonly key: string;
  readonly scores: ScoreNode;
  readonly how: 'raw' | 'softmax' | 'exp';
  /** What is kept of each row: the row itself, or its part in sums per column or distance. */
  readonly keep: 'rows' | 'keys' | 'distances';
  /** Queries per row, when rows are summed. */
  readonly block: number | undefined;
  /** Summed over the query heads of one KV head. */
  readonly group: boolean;
  /** Members per block, when sums are pooled. */
  readonly pool: number | undefined;
}

/** Everything one head's graph needs, by text. */
export interface Demand {
  readonly wants: ReadonlyMap<string, Want>;
  readonly leaves: ReadonlyMap<string, { readonly node: Leaf; readonly want: Want }>;
}

/** The text of a node: equal text, equal meaning. */
export const textOf = (node: unknown): string => JSON.stringify(node);

export function wantOf(node: Selectable): Want {
  let block: number | undefined;
  let pool: number | undefined;
  let group = false;
  let keep: Want['keep'] = 'rows';
  let how: Want['how'] = 'raw';
  // Sums commute, so the order of the steps does not matter: only what is summed over.
  for (let step: Selectable = node; ; step = step.of) {
    switch (step.op) {
      case 'dot':
      case 'antidiagonal':
      case 'causal': {
        const shape = { scores: step, how, keep, block, group, pool };
        return { ...shape, key: textOf(shape) };
      }
      case 'softmax':
      case 'exp':
        how = step.op;
        break;
      case 'sumPerBlock':
        block = step.size;
        break;
      case 'sumPerGroup':
      case 'sumsPerGroup':
        group = true;
        break;
      case 'sumPerKey':
        keep = 'keys';
        break;
      case 'sumPerDistance':
        keep = 'distances';
        break;
      case 'poolSums':
        pool = step.size;
        break;
      default:
        step satisfies never;
    }
  }
}

export const isLeaf = (node: ChosenNode): node is Leaf =>
  node.op === 'topk' || node.op === 'above' || node.op === 'cover';

export function demandOf(graph: EstimateGraph): Demand {
  const wants = new Map<string, Want>();
  const leaves = new Map<string, { node: Leaf; want: Want }>();
  const add = (node: Selectable): Want => {
    const want = wantOf(node);
    wants.set(want.key, want);
    return want;
  };
  const visit = (node: ChosenNode): void => {
    if (isLeaf(node)) leaves.set(textOf(node), { node, want: add(node.of) });
    else if (node.op === 'dilate') visit(node.of);
    else {
      for (const sums of sidesOf(node.verdict.of)) add(sums);
      if (node.yes !== 'none') visit(node.yes);
      if (node.no !== 'none') visit(node.no);
    }
  };
  Object.values(graph).forEach(visit);
  return { wants, leaves };
}

export const sidesOf = (node: DivergenceNode): readonly [SumNode, SumNode] => [
  node.left,
  node.right,
];
