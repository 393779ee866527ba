// The index conversion of MInference's vertical-slash kernel, restated set-wise: which key tiles and which
// single columns a block of 64 queries computes. For tests; our own pattern does without it.
// Source: csrc/vertical_slash_index.cu of MInference (Jiang et al., 2024).

/** What one block of 64 queries computes: where its tiles of 64 keys start, and its columns. */
export interface ConvertedBlock {
  readonly tiles: readonly number[];
  readonly columns: readonly number[];
}

export const tileSize = 64;

/** `verticals` ascending keys, `slashes` distances with 0 among them, in any order. */
export function convert(
  length: number,
  verticals: readonly number[],
  slashes: readonly number[],
): ConvertedBlock[] {
  const descending = [...slashes].sort((a, b) => b - a);
  return Array.from({ length: Math.ceil(length / tileSize) }, (_, block) => {
    const end = (block + 1) * tileSize;
    // The diagonal s crosses this block's rows in keys [end - s - 64, end - s).
    const ends = descending.filter((s) => s < end).map((s) => Math.max(end - s, tileSize));
    const ranges: { from: number; to: number }[] = [];
    for (const at of ends) {
      const last = ranges.at(-1);
      if (!last || at > last.to + tileSize) ranges.push({ from: at - tileSize, to: at });
      else if (at > last.to) last.to += tileSize; // one tile more, not as far as `at`
    }
    const tiles = ranges.flatMap(({ from, to }) =>
      Array.from({ length: (to - from) / tileSize }, (__, i) => from + i * tileSize),
    );
    const limit = ranges.at(-1)?.to ?? 0;
    const columns = verticals.filter(
      (c) => c < limit && !ranges.some(({ from, to }) => c >= from && c < to),
    );
    return { tiles, columns };
  });
}

/** Does the converted kernel compute this pair? Its masks are k <= q and k < length. */
export function admits(blocks: readonly ConvertedBlock[], q: number, k: number): boolean {
  const { tiles, columns } = blocks[Math.floor(q / tileSize)]!;
  return k <= q && (tiles.some((from) => k >= from && k < from + tileSize) || columns.includes(k));
}
