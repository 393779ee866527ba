// How the bits of a mask become scores, as CUDA C.

/** -inf where `word`, the bits of a row and 32 keys, has none: of rows eight apart, by `half`, and of boxes of keys. */
export const appliedText = (boxes: string, blocks: string, word: string): string => `#pragma unroll
  for (int box = 0; box < ${boxes}; ++box)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const u32 row = ${word} >> column;
#pragma unroll
      for (int j = 4 * box; j < min(4 * box + 4, ${blocks}); ++j) {
        const u32 pairs = row >> (j & 3) * 8;
        if (!(pairs & 1u)) s[0][j][half * 2] = NEGATIVE_INFINITY;
        if (!(pairs & 2u)) s[0][j][half * 2 + 1] = NEGATIVE_INFINITY;
      }
    }`;
