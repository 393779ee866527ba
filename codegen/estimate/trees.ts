// The sets of an estimate as trees of bitmaps: selections, dilations, choices between two sets, with the
// buffers that they live in. The same tree for all heads, but for numbers. Computes nothing.

import type { SetDomain } from '../../dsl/chosen.ts';
import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import { isLeaf, type Leaf, textOf, type Want, wantOf } from '../../dsl/estimate/demand.ts';
import { domainOf } from '../../dsl/estimate/domain.ts';
import { type ChosenNode, isPerGroup } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../dsl/shape.ts';

interface Bitmap {
  readonly perGroup: boolean;
  readonly domain: SetDomain;
  /** The buffer of its bits: [units, rows, words]. */
  readonly bits: string;
  /** The buffer that says which units a capacity made dense: [units]; undefined where none can. */
  readonly dense: string | undefined;
}

export interface Selection extends Bitmap {
  readonly op: 'selection';
  /** Of each query head. */
  readonly leaves: readonly Leaf[];
}

export interface Dilation extends Bitmap {
  readonly op: 'dilation';
  readonly of: Tree;
  readonly size: number;
}

/** `yes` where the distance of two vectors of sums is below a limit, else `no`; undefined is the empty set. */
export interface Choice extends Bitmap {
  readonly op: 'choice';
  readonly left: Want;
  readonly right: Want;
  /** Of each query head. */
  readonly limits: readonly number[];
  readonly yes: Tree | undefined;
  readonly no: Tree | undefined;
}

export type Tree = Selection | Dilation | Choice;

export interface SetPlan {
  readonly name: string;
  readonly tree: Tree;
}

/** The text of a node without the numbers that are launch data. */
function structureOf(node: ChosenNode | 'none'): unknown {
  if (node === 'none') return node;
  if (isLeaf(node)) return [node.op, node.op === 'above' && node.reference, wantOf(node.of).key];
  if (node.op === 'dilate') return [node.size, structureOf(node.of)];
  const { left, right } = node.verdict.of;
  const sides = [structureOf(node.yes), structureOf(node.no)];
  return [wantOf(left).key, wantOf(right).key, sides];
}

/** `nodes` has one node per query head, of equal structure. */
function treeOf(nodes: readonly ChosenNode[], bits: string, shape: LaunchShape): Tree {
  const [node] = nodes as readonly [ChosenNode];
  const common = { bits, perGroup: isPerGroup(node), domain: domainOf(node, shape) };
  if (isLeaf(node)) {
    const dense = node.op === 'topk' ? undefined : `${bits} dense`;
    return { ...common, op: 'selection', dense, leaves: nodes as readonly Leaf[] };
  }
  if (node.op === 'dilate') {
    const inner = nodes.map((other) => (other as typeof node).of);
    const of = treeOf(inner, `${bits} undilated`, shape);
    return { ...common, op: 'dilation', dense: of.dense, of, size: node.size };
  }
  const choices = nodes as readonly (typeof node)[];
  const side = (name: 'yes' | 'no') =>
    node[name] === 'none'
      ? undefined
      : treeOf(
          choices.map((other) => other[name] as ChosenNode),
          `${bits} ${name}`,
          shape,
        );
  const [yes, no] = [side('yes'), side('no')];
  return {
    ...common,
    op: 'choice',
    dense: yes?.dense || no?.dense ? `${bits} dense` : undefined,
    left: wantOf(node.verdict.of.left),
    right: wantOf(node.verdict.of.right),
    limits: choices.map(({ verdict }) => verdict.limit),
    yes,
    no,
  };
}

/** The sets of a launch. throws: PlanError E010 for heads that choose by different steps. */
export function setsOf(graphs: readonly EstimateGraph[], shape: LaunchShape): SetPlan[] {
  return Object.keys(graphs[0] ?? {}).map((name) => {
    const nodes = graphs.map((graph) => graph[name]!);
    const known = new Set([...new Set(nodes)].map((one) => textOf(structureOf(one))));
    if (known.size > 1) {
      throw new PlanError([
        diagnostic('E010', `heads choose '${name}' by different steps`, {
          help: 'give each kind of head its own pattern with byHead, or use the CPU device',
        }),
      ]);
    }
    return { name, tree: treeOf(nodes, `set ${name}`, shape) };
  });
}

/** All bitmaps of a tree, those that others are made of first. */
export function bitmapsOf(tree: Tree): Tree[] {
  if (tree.op === 'selection') return [tree];
  if (tree.op === 'dilation') return [...bitmapsOf(tree.of), tree];
  return [...[tree.yes, tree.no].flatMap((side) => (side ? bitmapsOf(side) : [])), tree];
}
