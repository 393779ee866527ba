// Dense float64 matrices of an estimate and the steps that make one from others: softmax, exp, sums over
// rows, columns and heads. Part of the oracle: plain loops, nothing clever. No tensors and no sets.

/** A member of an axis: its number, and its valid positions, ascending. */
export interface Member {
  readonly index: number;
  readonly positions: readonly number[];
}

export interface Matrix {
  readonly rows: readonly Member[];
  readonly columns: readonly Member[];
  /** [rows][columns]; what is not visible is 0 and never counts. */
  readonly values: readonly Float64Array[];
  readonly visible: readonly (readonly boolean[])[];
  /** A value of row r stands for `value * e^shifts[r]`: zeros, unless behind `exp`. */
  readonly shifts: readonly number[];
}

export const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** Positions in aligned blocks of `size`. */
export function blocksOf(positions: readonly number[], size: number): Member[] {
  const blocks = new Map<number, number[]>();
  for (const position of positions) {
    const index = Math.floor(position / size);
    const block = blocks.get(index);
    if (block) block.push(position);
    else blocks.set(index, [position]);
  }
  return [...blocks].map(([index, members]) => ({ index, positions: members }));
}

export const positionsOf = (members: readonly Member[]): number[] =>
  members.flatMap(({ positions }) => positions);

export const largest = (values: Iterable<number>): number => {
  let result = -Infinity;
  for (const value of values) if (value > result) result = value;
  return result;
};

/** `value * e^exponent`; 0 stays 0 whatever the exponent. */
export const scaled = (value: number, exponent: number): number =>
  value === 0 ? 0 : value * Math.exp(exponent);

const seen = (matrix: Matrix, r: number): number[] =>
  range(0, matrix.columns.length).filter((c) => matrix.visible[r]![c]);

/** Each row over the columns it sees; zeros where it sees none. */
export function softmax(scores: Matrix): Matrix {
  const values = scores.values.map((row, r) => {
    const result = new Float64Array(row.length);
    const maximum = largest(seen(scores, r).map((c) => row[c]!));
    let sum = 0;
    for (const c of seen(scores, r)) sum += Math.exp(row[c]! - maximum);
    for (const c of seen(scores, r)) result[c] = Math.exp(row[c]! - maximum) / sum;
    return result;
  });
  return { ...scores, values };
}

/** `e^(s - M)` with M the largest score that the row sees. */
export function exp(scores: Matrix): Matrix {
  const shifts = scores.values.map((row, r) => largest(seen(scores, r).map((c) => row[c]!)));
  const values = scores.values.map((row, r) => {
    const result = new Float64Array(row.length);
    for (const c of seen(scores, r)) result[c] = Math.exp(row[c]! - shifts[r]!);
    return result;
  });
  return { ...scores, values, shifts };
}

/** Sums rows to blocks of rows; a block sees what any of its rows sees. */
export function mergeRows(matrix: Matrix, blocks: readonly Member[]): Matrix {
  const inside = blocks.map(({ positions }) => {
    const wanted = new Set(positions);
    return range(0, matrix.rows.length).filter((r) => wanted.has(matrix.rows[r]!.positions[0]!));
  });
  const shifts = inside.map((rows) => largest(rows.map((r) => matrix.shifts[r]!)));
  const visible = inside.map((rows) =>
    matrix.columns.map((_, c) => rows.some((r) => matrix.visible[r]![c])),
  );
  const values = inside.map((rows, block) => {
    const result = new Float64Array(matrix.columns.length);
    for (const r of rows) {
      for (const c of seen(matrix, r)) {
        result[c]! += scaled(matrix.values[r]![c]!, matrix.shifts[r]! - shifts[block]!);
      }
    }
    return result;
  });
  return { rows: blocks, columns: matrix.columns, values, visible, shifts };
}

/** Sums columns to blocks of columns. */
export function mergeColumns(matrix: Matrix, blocks: readonly Member[]): Matrix {
  const blockOf = new Map<number, number>();
  for (const [b, { positions }] of blocks.entries()) {
    for (const position of positions) blockOf.set(position, b);
  }
  const target = matrix.columns.map(({ positions }) => blockOf.get(positions[0]!)!);
  const visible = matrix.visible.map((row) =>
    blocks.map((_, b) => row.some((isSeen, c) => isSeen && target[c] === b)),
  );
  const values = matrix.values.map((row, r) => {
    const result = new Float64Array(blocks.length);
    for (const c of seen(matrix, r)) result[target[c]!]! += row[c]!;
    return result;
  });
  return { ...matrix, columns: blocks, values, visible };
}

/** The sum of the matrices of several heads; all see the same. */
export function addMatrices(matrices: readonly Matrix[]): Matrix {
  const first = matrices[0]!;
  const shifts = first.rows.map((_, r) => largest(matrices.map((matrix) => matrix.shifts[r]!)));
  const values = first.values.map((row, r) => {
    const result = new Float64Array(row.length);
    for (const matrix of matrices) {
      for (const c of seen(matrix, r)) {
        result[c]! += scaled(matrix.values[r]![c]!, matrix.shifts[r]! - shifts[r]!);
      }
    }
    return result;
  });
  return { ...first, values, shifts };
}
