// Which query of which head a row of a tile is. A tile may hold the same queries of several heads of one KV head, head
// after head: they share its keys, and a tile of few queries still fills the products.

import { queriesOf, type TileKnobs } from '../tiles.ts';

/** What of the knobs says whose the rows are. */
type RowKnobs = TileKnobs & { readonly headsPerTile: number };

/** Rows of a warpgroup, and of one of its warps. */
const groupRows = 64;
const warpRows = 16;

/** What a warpgroup's box of queries, or of outputs, holds: rows of each head, and heads. */
export function groupBox(knobs: RowKnobs): { readonly rows: number; readonly heads: number } {
  const rows = Math.min(groupRows, queriesOf(knobs));
  return { rows, heads: groupRows / rows };
}

/** Why the rows of a tile cannot be those of so many heads, or undefined. A box is of whole heads, a warp of one. */
export function tileRowsProblem(knobs: RowKnobs): string | undefined {
  const { qTile, headsPerTile } = knobs;
  const queries = queriesOf(knobs);
  if (headsPerTile === 1) return undefined;
  if (queries % warpRows !== 0)
    return `${qTile} rows are not a multiple of ${warpRows} for each of ${headsPerTile} heads`;
  return queries % groupRows !== 0 && groupRows % queries !== 0
    ? `a warpgroup of ${groupRows} rows is not of whole heads of ${queries}`
    : undefined;
}

/** Of the divisors of a group of heads, ascending, those that a tile may have rows of. */
export const headsOfTile = (knobs: RowKnobs, group: number): number[] =>
  divisorsOf(group).filter(
    (headsPerTile) => tileRowsProblem({ ...knobs, headsPerTile }) === undefined,
  );

const divisorsOf = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((one) => n % one === 0);

/** `query_of`, `head_of`. Needs `Unit`, whose head is the first one of the tile. */
export const tileRowsText = ({ headsPerTile }: RowKnobs): string =>
  headsPerTile === 1
    ? `// A tile has rows of one head.
WARPLOOM_DEVICE int query_of(int row) { return row; }
WARPLOOM_DEVICE int head_of(const Unit& u, int row) { return u.head; }`
    : `// Rows of a tile: the same queries of several heads of a KV head, head after head.
WARPLOOM_DEVICE int query_of(int row) { return row % q_tile; }
WARPLOOM_DEVICE int head_of(const Unit& u, int row) { return u.head + row / q_tile; }`;
