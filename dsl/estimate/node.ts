// The graph that tracing an estimate leaves behind: plain frozen data, one node per step.
// Who computes it: runtime/cpu/estimate (fp32, streaming) and runtime/reference/estimate.ts (float64).

import type { Always } from './values.ts';

/** Vectors of the head dimension, one per row. Blocks are anchored at absolute positions. */
export type VectorNode =
  | { readonly op: 'input'; readonly of: 'q' | 'k' }
  | { readonly op: 'last'; readonly of: VectorNode; readonly size: number }
  | {
      readonly op: 'pool';
      readonly of: VectorNode;
      readonly size: number;
      readonly how: 'mean' | 'max';
    };

/** Scaled logits [rows, columns]. */
export type ScoreNode =
  | { readonly op: 'dot'; readonly left: VectorNode; readonly right: VectorNode }
  /** Cells of `stride` x `stride`, summed along their antidiagonals; weights are summed to blocks of `block`. */
  | { readonly op: 'antidiagonal'; readonly stride: number; readonly block: number }
  | { readonly op: 'causal'; readonly of: ScoreNode };

/** Weights [rows, columns]; behind `exp` their factor is open within a query block. */
export type WeightNode =
  | { readonly op: 'softmax'; readonly of: ScoreNode }
  | { readonly op: 'exp'; readonly of: ScoreNode }
  | { readonly op: 'sumPerBlock'; readonly of: WeightNode; readonly size: number }
  | { readonly op: 'sumPerGroup'; readonly of: WeightNode };

/** Weights [members] of one axis. */
export type SumNode =
  | { readonly op: 'sumPerKey' | 'sumPerDistance'; readonly of: WeightNode }
  | { readonly op: 'poolSums'; readonly of: SumNode; readonly size: number }
  | { readonly op: 'sumsPerGroup'; readonly of: SumNode };

export type Selectable = ScoreNode | WeightNode | SumNode;

export type ChosenNode =
  | {
      readonly op: 'topk';
      readonly of: Selectable;
      readonly count: number;
      readonly always: Required<Always>;
    }
  | {
      readonly op: 'above';
      readonly of: WeightNode | SumNode;
      readonly share: number;
      readonly reference: 'max' | 'sum';
      readonly always: Required<Always>;
      readonly capacity: number;
    }
  | {
      readonly op: 'cover';
      readonly of: WeightNode | SumNode;
      readonly mass: number;
      readonly always: Required<Always>;
      readonly capacity: number;
    }
  | { readonly op: 'dilate'; readonly of: ChosenNode; readonly size: number }
  | {
      readonly op: 'where';
      readonly verdict: VerdictNode;
      readonly yes: ChosenNode | 'none';
      readonly no: ChosenNode | 'none';
    };

export interface DivergenceNode {
  readonly op: 'divergence';
  readonly left: SumNode;
  readonly right: SumNode;
}

export interface VerdictNode {
  readonly op: 'below';
  readonly of: DivergenceNode;
  readonly limit: number;
}

export type EstimateNode =
  | VectorNode
  | ScoreNode
  | WeightNode
  | SumNode
  | ChosenNode
  | DivergenceNode
  | VerdictNode;

/** One axis of a value: tokens, blocks of `size` tokens, or distances. */
export interface AxisShape {
  readonly axis: 'q' | 'k' | 'qBlock' | 'kBlock' | 'distance';
  /** Tokens per member: 1, or the block size. */
  readonly size: number;
}

export type TokenAxis = AxisShape & { readonly axis: 'q' | 'k' | 'qBlock' | 'kBlock' };

/** The rows of a vector node; `last` limits how many of them there are, not what they are. */
export function rowsOf(node: VectorNode): TokenAxis {
  if (node.op === 'input') return { axis: node.of, size: 1 };
  if (node.op === 'last') return rowsOf(node.of);
  const of = rowsOf(node.of);
  return { axis: of.axis === 'q' ? 'qBlock' : 'kBlock', size: node.size };
}

/** Rows and columns of scores and weights, as a selection sees them. */
export function axesOfScores(node: ScoreNode | WeightNode): readonly [TokenAxis, TokenAxis] {
  switch (node.op) {
    case 'dot':
      return [rowsOf(node.left), rowsOf(node.right)];
    case 'antidiagonal':
      return [
        { axis: 'qBlock', size: node.block },
        { axis: 'kBlock', size: node.block },
      ];
    case 'sumPerBlock':
      return [{ axis: 'qBlock', size: node.size }, axesOfScores(node.of)[1]];
    default:
      return axesOfScores(node.of);
  }
}

export const isSum = (node: EstimateNode): node is SumNode =>
  node.op === 'sumPerKey' ||
  node.op === 'sumPerDistance' ||
  node.op === 'poolSums' ||
  node.op === 'sumsPerGroup';

export function axisOfSums(node: SumNode): AxisShape {
  switch (node.op) {
    case 'sumPerKey':
      return axesOfScores(node.of)[1];
    case 'sumPerDistance':
      return { axis: 'distance', size: 1 };
    case 'poolSums':
      return { axis: 'kBlock', size: node.size };
    case 'sumsPerGroup':
      return axisOfSums(node.of);
  }
}

/** The axes of a chosen set, in the order of the arguments of `has`. */
export function axesOfChosen(node: ChosenNode): readonly AxisShape[] {
  if (node.op === 'dilate') return axesOfChosen(node.of);
  if (node.op === 'where') {
    const known = node.yes === 'none' ? node.no : node.yes;
    return known === 'none' ? [] : axesOfChosen(known);
  }
  return isSum(node.of) ? [axisOfSums(node.of)] : axesOfScores(node.of);
}

/** The inputs of a node that are nodes. */
export function inputsOf(node: EstimateNode): readonly EstimateNode[] {
  switch (node.op) {
    case 'input':
    case 'antidiagonal':
      return [];
    case 'dot':
    case 'divergence':
      return [node.left, node.right];
    case 'where':
      return [node.verdict, node.yes, node.no].filter((part) => part !== 'none');
    default:
      return [node.of];
  }
}

/**
 * Is the value one per KV head: has it passed `sumPerGroup`? What is made of several values (`where`,
 * `divergence`) is one per KV head only when all of them are.
 */
export function isPerGroup(node: EstimateNode): boolean {
  if (node.op === 'sumPerGroup' || node.op === 'sumsPerGroup') return true;
  const inputs = inputsOf(node);
  return inputs.length > 0 && inputs.every(isPerGroup);
}

/** Is a factor of the weights left open (behind `exp`)? */
export function isOpen(node: WeightNode | SumNode): boolean {
  if (node.op === 'softmax') return false;
  if (node.op === 'exp') return true;
  return isOpen(node.of);
}
