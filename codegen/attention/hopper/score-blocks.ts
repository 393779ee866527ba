// Loops over the scores of a lane: blocks of eight keys, of each two keys in two rows.

/** A statement for each element of some blocks of scores. */
export const eachText = (indent: string, first: string, last: string, statement: string): string =>
  [
    '#pragma unroll',
    `${indent}for (int j = ${first}; j < ${last}; ++j)`,
    '#pragma unroll',
    `${indent}  for (int e = 0; e < 2; ++e)`,
    '#pragma unroll',
    `${indent}    for (int half = 0; half < 2; ++half) ${statement}`,
  ].join('\n');
