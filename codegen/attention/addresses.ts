// Where the rows of a unit lie, as CUDA C. With segments, all sequences are in batch entry 0, one after another.

const batchOf = (segments: boolean): string => (segments ? '0ll' : '(i64)u.batch');

/** The address of the first row of unit `u` in a tensor. */
export function firstRowText(
  tensor: 'q' | 'k' | 'v' | 'out',
  segments: boolean,
  head = tensor === 'k' || tensor === 'v' ? 'u.kv_head' : 'u.head',
): string {
  const start = tensor === 'k' || tensor === 'v' ? 'k_start' : 'q_start';
  const before = segments ? ` + (i64)u.${start} * p.${tensor}_row` : '';
  return `p.${tensor} + ${batchOf(segments)} * p.${tensor}_batch + (i64)${head} * p.${tensor}_head${before}`;
}

/** The log-sum of row `output_row` of unit `u`. */
export const logSumText = (segments: boolean, head = 'u.head'): string =>
  `p.lse[(${batchOf(segments)} * p.heads + ${head}) * p.lse_head + ${segments ? 'u.q_start + ' : ''}output_row]`;

/** The position at which query tile `tile` of unit `u` starts; tile 0 is the last one. */
export const tileStartText = (segments: boolean): string =>
  segments
    ? '(floor_div(u.k_len - 1, q_tile) - tile) * q_tile'
    : '(p.first_tile + p.tiles - 1 - tile) * q_tile';
