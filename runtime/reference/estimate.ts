// The oracle of estimates: the same graph in float64, dense, one matrix a step; shares nothing with any
// device but the graph and the form of the result. Slow on purpose: it is what every step means.
//
// Positions: row r of q is position r + kLen - qLen; queries at negative positions belong to no block and
// see nothing. Blocks are anchored at absolute positions: block(x) = floor(x / size); a partial block is
// the mean or maximum of its valid members.
// last(n): the last min(n, queries) queries, at their positions. dot: logits times 1 / sqrt(headDim).
// causal(): column c is visible to row r when the last key of c is not after the last position of r.
// antidiagonal: cell (a, b) = sum over i < S of q[a S + S - 1 - i] . k[b S + i] / (sqrt(dim) S), missing
// tokens as zeros; causal, softmax and exp act on cells, what reads them sees sums over blocks.
// softmax(): over the visible columns of a row; a row that sees nothing gives zeros.
// exp(): e^(s - M), M the maximum of the row, and of all rows and heads once they are summed.
// sumPerKey: [columns]; sumPerDistance: [kLen], by q - k >= 0; sumPerBlock: over aligned blocks of
// queries, a block sees what its last query sees; sumPerGroup: over the query heads of one KV head.

import { BitSet, type ChosenSet, type ChosenSetsData } from '../../dsl/chosen.ts';
import { diagnostic, PlanError } from '../../dsl/diagnostic.ts';
import {
  axesOfChosen,
  axesOfScores,
  axisOfSums,
  type ChosenNode,
  isPerGroup,
  isSum,
  type ScoreNode,
  type Selectable,
  type SumNode,
  type VectorNode,
  type WeightNode,
} from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Tensor } from '../tensor.ts';
import { choose, type Outcome, type Weighed } from './choose.ts';
import {
  addMatrices,
  blocksOf,
  exp,
  largest,
  type Matrix,
  type Member,
  mergeColumns,
  mergeRows,
  positionsOf,
  range,
  scaled,
  softmax,
} from './matrix.ts';
import { dot, rowsOfHead } from './values.ts';

export interface OracleInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly shape: LaunchShape;
}

interface Vectors {
  readonly members: readonly Member[];
  readonly rows: readonly Float64Array[];
}

/** The heads of one KV head of one batch entry; every step is computed once per head and kept. */
export class Oracle {
  readonly #inputs: OracleInputs;
  readonly #batch: number;
  readonly #kvHead: number;
  readonly #known = new Map<string, unknown>();

  constructor(inputs: OracleInputs, batch: number, kvHead: number) {
    this.#inputs = inputs;
    this.#batch = batch;
    this.#kvHead = kvHead;
  }

  /** The query heads. */
  get heads(): readonly number[] {
    const { heads, kvHeads } = this.#inputs.shape;
    const size = heads / kvHeads;
    return range(this.#kvHead * size, (this.#kvHead + 1) * size);
  }

  /** The set of a node for one head. */
  choose(node: ChosenNode, head: number): Outcome {
    switch (node.op) {
      case 'topk':
      case 'above':
      case 'cover':
        return choose(node, this.weigh(node.of, head));
      case 'dilate': {
        const { set, dense } = this.choose(node.of, head);
        const { columns, rowFrom, rows } = set.domain;
        const result = new BitSet({ ...set.domain, columns: columns + node.size - 1 });
        for (const row of range(rowFrom, rowFrom + rows)) {
          for (const member of set.members(row)) {
            for (const i of range(0, node.size)) result.add(row, member + i);
          }
        }
        return { set: result, dense };
      }
      case 'where': {
        const { left, right } = node.verdict.of;
        const isBelow = this.divergence(left, right, head) < node.verdict.limit;
        const [chosen, other] = isBelow ? [node.yes, node.no] : [node.no, node.yes];
        const sides = [chosen, other].map((side) =>
          side === 'none' ? undefined : this.choose(side, head),
        );
        return within(sides[0], sides[1]);
      }
    }
  }

  /**
   * The Jensen-Shannon distance of two vectors of sums, each divided by its total; zeros alone count as
   * uniform, and vectors of no members have distance 0.
   */
  divergence(left: SumNode, right: SumNode, head: number): number {
    const [p, r] = [left, right].map((node) => {
      const { values } = this.#sums(node, head);
      const total = values.reduce((sum, value) => sum + value, 0);
      return values.map((value) => (total > 0 ? value / total : 1 / values.length));
    });
    const part = (x: number, y: number) => (x === 0 ? 0 : x * Math.log((2 * x) / (x + y)));
    let sum = 0;
    for (const [i, x] of p!.entries()) sum += (part(x, r![i]!) + part(r![i]!, x)) / 2;
    return Math.sqrt(Math.max(0, sum));
  }

  /** The rows that a selection sees, with their weights and what is visible. */
  weigh(node: Selectable, head: number): Weighed {
    if (isSum(node)) {
      const { values } = this.#sums(node, head);
      const visible = Array.from(values, () => true);
      const rows = [{ row: 0, values, visible, blocks: undefined }];
      return { arity: 1, rowFrom: 0, columns: values.length, rows };
    }
    const matrix = this.#matrix(node, head);
    const [rowAxis, columnAxis] = axesOfScores(node);
    const { kLen } = this.#inputs.shape;
    const columns = Math.ceil(kLen / columnAxis.size);
    const rows = matrix.rows.map(({ index, positions }, r) => {
      const values = new Float64Array(columns);
      const visible = Array.from(values, () => false);
      for (const [c, column] of matrix.columns.entries()) {
        values[column.index] = matrix.values[r]![c]!;
        visible[column.index] = matrix.visible[r]![c]!;
      }
      const blocks = positions.map((position) => Math.floor(position / columnAxis.size));
      return { row: index, values, visible, blocks };
    });
    const rowFrom = rows[0]?.row ?? Math.floor(kLen / rowAxis.size);
    return { arity: 2, rowFrom, columns, rows };
  }

  #once<T>(step: string, node: object, head: number, compute: () => T): T {
    const key = `${step} ${head} ${JSON.stringify(node)}`;
    if (!this.#known.has(key)) this.#known.set(key, compute());
    return this.#known.get(key) as T;
  }

  /** Values of one axis, each standing for `value * e^shift`. */
  #sums(node: SumNode, head: number): { values: Float64Array; shift: number } {
    switch (node.op) {
      case 'sumPerKey':
      case 'sumPerDistance': {
        const { rows, columns, values, visible, shifts } = this.#matrix(node.of, head);
        const shift = largest(shifts);
        const result = new Float64Array(Math.ceil(this.#inputs.shape.kLen / axisOfSums(node).size));
        for (const [r, row] of rows.entries()) {
          for (const [c, column] of columns.entries()) {
            if (!visible[r]![c]) continue;
            const distance = row.positions[0]! - column.positions[0]!;
            const at = node.op === 'sumPerKey' ? column.index : distance;
            if (at >= 0) result[at]! += scaled(values[r]![c]!, shifts[r]! - shift);
          }
        }
        return { values: result, shift };
      }
      case 'poolSums': {
        const { values, shift } = this.#sums(node.of, head);
        const result = new Float64Array(Math.ceil(values.length / node.size));
        for (const [i, value] of values.entries()) result[Math.floor(i / node.size)]! += value;
        return { values: result, shift };
      }
      case 'sumsPerGroup': {
        if (isPerGroup(node.of)) return this.#sums(node.of, head);
        const parts = this.heads.map((other) => this.#sums(node.of, other));
        const shift = largest(parts.map((part) => part.shift));
        const result = new Float64Array(parts[0]!.values.length);
        for (const part of parts) {
          for (const [i, value] of part.values.entries()) {
            result[i]! += scaled(value, part.shift - shift);
          }
        }
        return { values: result, shift };
      }
    }
  }

  /** Scores or weights as what reads them sees them: antidiagonal cells summed to blocks. */
  #matrix(node: ScoreNode | WeightNode, head: number): Matrix {
    return this.#once('matrix', node, head, () => {
      switch (node.op) {
        case 'softmax':
          return this.#blocked(softmax(this.#scores(node.of, head)), node.of);
        case 'exp':
          return this.#blocked(exp(this.#scores(node.of, head)), node.of);
        case 'sumPerBlock': {
          const matrix = this.#matrix(node.of, head);
          return mergeRows(matrix, blocksOf(positionsOf(matrix.rows), node.size));
        }
        case 'sumPerGroup':
          if (isPerGroup(node.of)) return this.#matrix(node.of, head);
          return addMatrices(this.heads.map((other) => this.#matrix(node.of, other)));
        default:
          return this.#blocked(this.#scores(node, head), node);
      }
    });
  }

  #blocked(matrix: Matrix, scores: ScoreNode): Matrix {
    const node = withoutCausal(scores);
    if (node.op === 'dot') return matrix;
    const rows = blocksOf(positionsOf(matrix.rows), node.block);
    const columns = blocksOf(positionsOf(matrix.columns), node.block);
    return mergeColumns(mergeRows(matrix, rows), columns);
  }

  /** Throws PlanError E004 for a visible score that is not finite. */
  #scores(node: ScoreNode, head: number): Matrix {
    const inner = withoutCausal(node);
    const [left, right] =
      inner.op === 'dot'
        ? [this.#vectors(inner.left, head), this.#vectors(inner.right, head)]
        : [this.#cells('q', inner.stride, head), this.#cells('k', inner.stride, head)];
    const { headDim } = this.#inputs.shape;
    const scale = 1 / (Math.sqrt(headDim) * (inner.op === 'dot' ? 1 : inner.stride));
    const visible = left.members.map((row) =>
      right.members.map(
        (column) => node === inner || column.positions.at(-1)! <= row.positions.at(-1)!,
      ),
    );
    const values = left.rows.map((row, r) =>
      Float64Array.from(right.rows, (column, c) => {
        if (!visible[r]![c]) return 0;
        const score = dot(row, column) * scale;
        if (Number.isFinite(score)) return score;
        const where = `head ${head} of batch ${this.#batch}`;
        throw new PlanError([
          diagnostic('E004', `${inner.op} of the estimate is ${score} for ${where}`, {
            help: 'look for NaN and infinities in q and k of that head',
          }),
        ]);
      }),
    );
    const shifts = left.rows.map(() => 0);
    return { rows: left.members, columns: right.members, values, visible, shifts };
  }

  #vectors(node: VectorNode, head: number): Vectors {
    switch (node.op) {
      case 'input':
        return this.#tokens(node.of, head);
      case 'last': {
        const { members, rows } = this.#vectors(node.of, head);
        const from = Math.max(0, members.length - node.size);
        return { members: members.slice(from), rows: rows.slice(from) };
      }
      case 'pool': {
        const { members, rows } = this.#vectors(node.of, head);
        const first = members[0]?.index ?? 0;
        const blocks = blocksOf(positionsOf(members), node.size);
        const pooled = blocks.map(({ positions }) => {
          const inside = positions.map((position) => rows[position - first]!);
          return inside[0]!.map((_, d) =>
            node.how === 'mean'
              ? inside.reduce((sum, row) => sum + row[d]!, 0) / inside.length
              : inside.reduce((most, row) => Math.max(most, row[d]!), -Infinity),
          );
        });
        return { members: blocks, rows: pooled };
      }
    }
  }

  /** The queries at positions from 0, or the keys. */
  #tokens(of: 'q' | 'k', head: number): Vectors {
    return this.#once('tokens', [of], head, () => {
      const { shape, q, k } = this.#inputs;
      const offset = of === 'q' ? shape.kLen - shape.qLen : 0;
      const rows =
        of === 'q' ? rowsOfHead(q, this.#batch, head) : rowsOfHead(k, this.#batch, this.#kvHead);
      const positions = range(Math.max(0, offset), shape.kLen);
      const members = positions.map((position) => ({ index: position, positions: [position] }));
      return { members, rows: rows.slice(Math.max(0, -offset)) };
    });
  }

  /** Cells of `stride` tokens as one long vector, queries in reverse, missing tokens as zeros. */
  #cells(of: 'q' | 'k', stride: number, head: number): Vectors {
    const { members, rows } = this.#tokens(of, head);
    const { headDim } = this.#inputs.shape;
    const first = members[0]?.index ?? 0;
    const cells = blocksOf(positionsOf(members), stride);
    const vectors = cells.map(({ index, positions }) => {
      const vector = new Float64Array(stride * headDim);
      for (const position of positions) {
        const i = position - index * stride;
        vector.set(rows[position - first]!, headDim * (of === 'q' ? stride - 1 - i : i));
      }
      return vector;
    });
    return { members: cells, rows: vectors };
  }
}

function withoutCausal(node: ScoreNode): Exclude<ScoreNode, { op: 'causal' }> {
  return node.op === 'causal' ? withoutCausal(node.of) : node;
}

/** The chosen side of a `where` (empty without one) in the domain that both sides fit in. */
function within(chosen: Outcome | undefined, other: Outcome | undefined): Outcome {
  const domains = [chosen, other].flatMap((side) => (side ? [side.set.domain] : []));
  const rowFrom = Math.min(...domains.map((domain) => domain.rowFrom));
  const rowTo = Math.max(...domains.map((domain) => domain.rowFrom + domain.rows));
  const columns = Math.max(...domains.map((domain) => domain.columns));
  const set = new BitSet({ arity: domains[0]!.arity, rowFrom, rows: rowTo - rowFrom, columns });
  if (!chosen) return { set, dense: false };
  const { domain } = chosen.set;
  for (const row of range(domain.rowFrom, domain.rowFrom + domain.rows)) {
    for (const member of chosen.set.members(row)) set.add(row, member);
  }
  return { set, dense: chosen.dense };
}

/** The sets of all heads: `graphs` has one graph per query head. throws: PlanError E004. */
export function estimateReference(
  graphs: readonly EstimateGraph[],
  inputs: OracleInputs,
): ChosenSetsData {
  const { batch: batches, kvHeads } = inputs.shape;
  const oracles = range(0, batches).flatMap((batch) =>
    range(0, kvHeads).map((kvHead) => new Oracle(inputs, batch, kvHead)),
  );
  return Object.fromEntries(
    Object.entries(graphs[0] ?? {}).map(([name, first]): [string, ChosenSet] => {
      const perGroup = isPerGroup(first);
      const outcomes = oracles.flatMap((oracle) =>
        (perGroup ? oracle.heads.slice(0, 1) : oracle.heads).map((head) =>
          oracle.choose(graphs[head]![name]!, head),
        ),
      );
      const units = outcomes.map(({ set }) => set);
      return [
        name,
        { axes: axesOfChosen(first), perGroup, units, dense: outcomes.map((o) => o.dense) },
      ];
    }),
  );
}
