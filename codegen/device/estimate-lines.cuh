// Where rows and columns of an estimate lie among the positions, and which columns a row sees: the
// arithmetic of dsl/estimate/axes.ts. Members are numbered from position 0; partial ones count.

/** Positions [start, end) in aligned members of `size`. */
struct Line {
  int size, start, end;
};
WARPLOOM_DEVICE int line_from(Line line) { return line.start / line.size; }
WARPLOOM_DEVICE int line_to(Line line) {
  return line.start < line.end ? (line.end - 1) / line.size + 1 : line_from(line);
}
WARPLOOM_DEVICE int first_position(Line line, int member) { return max(line.start, member * line.size); }
WARPLOOM_DEVICE int last_position(Line line, int member) { return min(line.end, (member + 1) * line.size) - 1; }

/** Scores as they are computed: their rows, their columns, and whether a row sees only what lies before it. */
struct Grid {
  Line rows, columns;
  bool causal;
};

/** The end of the columns that a row sees: a column is seen when its last key is not after the row's last position. */
WARPLOOM_DEVICE int visible_end(const Grid& grid, int row) {
  const int to = line_to(grid.columns);
  if (!grid.causal) return to;
  const int last = last_position(grid.rows, row);
  if (last >= grid.columns.end - 1) return to;
  return max(line_from(grid.columns), min(to, (last + 1) / grid.columns.size));
}

/** The same of a block of rows, in blocks of columns: what its last row sees. */
WARPLOOM_DEVICE int visible_end_of_block(const Grid& grid, Line rows, Line columns, int row) {
  const int fine = last_position(rows, row) / grid.rows.size;
  return (visible_end(grid, fine) * grid.columns.size + columns.size - 1) / columns.size;
}

/** One query head of one batch entry; `group` numbers the KV heads of all batch entries. */
struct Head {
  int batch, head, kv_head, group;
};
WARPLOOM_DEVICE Head head_of(int unit, int heads, int kv_heads) {
  const int batch = unit / heads, head = unit % heads;
  const int kv_head = head / (heads / kv_heads);
  return {batch, head, kv_head, batch * kv_heads + kv_head};
}
