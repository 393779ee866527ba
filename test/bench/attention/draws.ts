// What works draw at random: documents, lists of blocks, columns and runs of distances. The same on every
// machine.

import type { BitSet } from '../../../dsl/chosen.ts';

/** Uniform whole numbers below a limit, by a seed (mulberry32). */
export function dice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** The same things in a random order. */
export function shuffled<T>(things: readonly T[], roll: (below: number) => number): T[] {
  const left = [...things];
  return things.map(() => left.splice(roll(left.length), 1)[0]!);
}

/** So many lengths, none of them 0, that fill a sequence. */
export function drawDocuments(length: number, documents: number): number[] {
  const roll = dice(documents);
  const starts = new Set([0]);
  while (starts.size < documents) starts.add(roll(length));
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.map((start, i) => (sorted[i + 1] ?? length) - start);
}

/** How many blocks a row of blocks has: so many, or a share of those before it and the diagonal one. */
export const blocksOfRow = (row: number, { blocks, percent = 0 }: BlockLists): number =>
  blocks === undefined ? 1 + Math.round((percent / 100) * row) : Math.min(blocks, row + 1);

export interface BlockLists {
  readonly block: number;
  readonly blocks?: number;
  readonly percent?: number;
  /** What odd rows take from the row before them, as a share of their list. */
  readonly shared: number;
}

/** Fills the set of one head: the diagonal block of each row, others before it at random. */
export function drawBlocks(set: BitSet, lists: BlockLists, seed: number): void {
  const roll = dice(seed);
  let before: number[] = [];
  for (let row = 0; row < set.domain.rows; row += 1) {
    const wanted = blocksOfRow(row, lists);
    const chosen = new Set([row]);
    if (row % 2 === 1) {
      const from = before.filter((column) => column < row - 1);
      const take = Math.min(from.length, Math.floor(lists.shared * wanted), wanted - 1);
      for (let i = 0; i < take; i += 1) {
        const other = i + roll(from.length - i);
        [from[i], from[other]] = [from[other]!, from[i]!];
        chosen.add(from[i]!);
      }
    }
    while (chosen.size < wanted) chosen.add(roll(row));
    before = [...chosen];
    for (const column of before) set.add(row, column);
  }
}

/**
 * Fills the set of one KV head of flash-prefill: for each tile of queries the block of keys that it lies in, and a share
 * of those before it at random.
 */
export function drawTiles(
  set: BitSet,
  { tile, block, percent }: Readonly<Record<'tile' | 'block' | 'percent', number>>,
  seed: number,
): void {
  const roll = dice(seed);
  for (let row = 0; row < set.domain.rows; row += 1) {
    const before = Math.floor((row * tile) / block);
    const chosen = new Set([before]);
    while (chosen.size < blocksOfTile(before, percent)) chosen.add(roll(before));
    for (const column of chosen) set.add(row, column);
  }
}

/** How many blocks a tile has: its own, and a share of those before it. */
export const blocksOfTile = (before: number, percent: number): number =>
  1 + Math.round((percent / 100) * before);

/** What one head of vertical-slash chooses, before distances are widened by the grain. */
export interface VerticalSlash {
  readonly columns: readonly number[];
  /** Runs `[from, to)` of distances; they may overlap. */
  readonly runs: readonly (readonly [from: number, to: number])[];
}

/** Runs of distances are as long as the grain of vertical-slash and begin at its multiples. */
export const grain = 64;
const firstColumns = 30;

/** The first columns and others at random; the near distances, and runs of `grain` at random beyond them. */
export function drawVerticalSlash(
  length: number,
  { columns, near, runs }: Readonly<Record<'columns' | 'near' | 'runs', number>>,
  seed: number,
): VerticalSlash {
  const roll = dice(seed);
  const first = Math.floor(near / grain) + 1;
  const starts = Array.from({ length: runs }, () => grain * (first + roll(length / grain - first)));
  const keys = new Set(Array.from({ length: firstColumns }, (_, key) => key));
  while (keys.size < columns) keys.add(roll(length));
  return {
    columns: [...keys].sort((a, b) => a - b),
    runs: [[0, near], ...starts.map((start) => [start, start + grain] as const)],
  };
}

/**
 * Pairs that one head of vertical-slash allows: keys in columns, and keys whose distance from the end of the
 * query's group of `grain` rows is at most `grain - 1` beyond a run.
 */
export function pairsOfVerticalSlash(length: number, { columns, runs }: VerticalSlash): number {
  const isDistance = new Uint8Array(length + grain);
  for (const [from, to] of runs) isDistance.fill(1, from, to + grain - 1);
  const isColumn = new Uint8Array(length);
  for (const column of columns) isColumn[column] = 1;
  let pairs = 0;
  // Of distances from the end of a group; those below `grain` are the group's own keys.
  let before = 0;
  let counted = grain;
  for (let start = 0; start < length; start += grain) {
    const end = start + grain - 1;
    for (; counted <= end; counted += 1) before += isDistance[counted]!;
    let keys = before;
    for (const column of columns) {
      if (column >= start) break;
      if (!isDistance[end - column]) keys += 1;
    }
    pairs += keys * grain;
    for (let key = start; key <= end; key += 1)
      if (isColumn[key] || isDistance[end - key]) pairs += end - key + 1;
  }
  return pairs;
}
