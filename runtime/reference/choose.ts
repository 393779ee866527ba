// The oracle's selections in float64, by sorting: topk, above, cover, and what `always` forces. Where the
// weights come from is estimate.ts.

import { BitSet } from '../../dsl/chosen.ts';
import type { ChosenNode } from '../../dsl/estimate/node.ts';

export type Leaf = Extract<ChosenNode, { op: 'topk' | 'above' | 'cover' }>;

/** One row as a selection sees it. */
export interface WeighedRow {
  readonly row: number;
  /** [columns] */
  readonly values: Float64Array;
  readonly visible: readonly boolean[];
  /** The column blocks of the row's queries; undefined for sums of one axis. */
  readonly blocks: readonly number[] | undefined;
}

export interface Weighed {
  readonly arity: 1 | 2;
  readonly rowFrom: number;
  readonly columns: number;
  readonly rows: readonly WeighedRow[];
}

/** A set of one unit; `dense`: a row needed more than the capacity. */
export interface Outcome {
  readonly set: BitSet;
  readonly dense: boolean;
}

/**
 * What `always` forces, visible or not: columns 0 .. first - 1; of a row whose queries lie in column
 * blocks f..l, columns max(0, f - last + 1) .. l; of one axis, the last members.
 */
export function forcedOf(leaf: Leaf, row: WeighedRow): boolean[] {
  const { first, last } = leaf.always;
  const columns = row.values.length;
  const from = row.blocks ? Math.min(...row.blocks) - last + 1 : columns - last;
  const to = row.blocks ? Math.max(...row.blocks) : columns - 1;
  return Array.from(row.values, (_, c) => c < first || (last > 0 && c >= from && c <= to));
}

/** The members of a row: forced ones first, then by weight, ties to the lower index. */
export function membersOf(leaf: Leaf, row: WeighedRow): number[] {
  const forced = forcedOf(leaf, row);
  const all = Array.from(row.values, (_, c) => c);
  const members = all.filter((c) => forced[c]);
  const others = all
    .filter((c) => row.visible[c] && !forced[c])
    .sort((a, b) => row.values[b]! - row.values[a]! || a - b);
  const seenWeights = all.filter((c) => row.visible[c]).map((c) => row.values[c]!);
  const total = seenWeights.reduce((sum, weight) => sum + weight, 0);
  switch (leaf.op) {
    case 'topk':
      return [...members, ...others.slice(0, Math.max(0, leaf.count - members.length))];
    case 'above': {
      const largest = seenWeights.reduce((a, b) => Math.max(a, b), -Infinity);
      const threshold = leaf.share * (leaf.reference === 'max' ? largest : total);
      return [...members, ...others.filter((c) => row.values[c]! >= threshold)];
    }
    case 'cover': {
      let sum = members.filter((c) => row.visible[c]).reduce((s, c) => s + row.values[c]!, 0);
      for (const c of others) {
        // Mass 1 is every positive weight, whatever the rounding of the sums.
        if (row.values[c] === 0 || (leaf.mass < 1 && sum >= leaf.mass * total)) break;
        members.push(c);
        sum += row.values[c]!;
      }
      return members;
    }
  }
}

/**
 * The set of a leaf. When a row needs more than `capacity` members, the set is every visible column of
 * every row, and the forced ones.
 */
export function choose(leaf: Leaf, weighed: Weighed): Outcome {
  const { arity, rowFrom, columns, rows } = weighed;
  const count = arity === 1 ? 1 : rows.length;
  const set = new BitSet({ arity, rowFrom, rows: count, columns });
  const chosen = rows.map((row) => membersOf(leaf, row));
  const dense = leaf.op !== 'topk' && chosen.some(({ length }) => length > leaf.capacity);
  for (const [r, row] of rows.entries()) {
    const forced = forcedOf(leaf, row);
    const members = dense
      ? Array.from(row.values, (_, c) => c).filter((c) => row.visible[c] || forced[c])
      : chosen[r]!;
    for (const column of members) set.add(row.row, column);
  }
  return { set, dense };
}
