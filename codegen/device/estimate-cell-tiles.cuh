// Which tiles of cells a block multiplies that stays: every gridDim.x-th of a launch. Blocks that run together share
// lines of both factors, so tiles follow each other in bands of columns, row by row, unit by unit.

/** Its first row and column of cells, and its unit; of none a negative one. */
struct CellTile {
  int row, column, unit;
};

/**
 * Goes over the tiles of rows [row_from, row_to) of all units that see something, BAND tiles of ROWS x COLUMNS cells a row
 * of a band. A step is one row of a band: what orders copies takes steps between them, and seldom waits for a tile.
 */
template <int ROWS, int COLUMNS, int BAND> struct CellWalk {
  const Grid& grid;
  int row_from, row_to, units;
  int unit, band, row, ahead;  // the tile is so many ahead of the first of this row of the band
  bool is_found;

  __device__ __forceinline__ CellWalk(const Grid& grid, int row_from, int rows, int units)
      : grid(grid), row_from(row_from), row_to(row_from + rows), units(units), unit(0), band(0), row(row_from),
        ahead(blockIdx.x), is_found(false) {}

  /** Tiles of columns that the rows from `row` on see. */
  __device__ __forceinline__ int seen(int row) const {
    return (visible_end(grid, min(row + ROWS, row_to) - 1) + COLUMNS - 1) / COLUMNS;
  }
  __device__ __forceinline__ void step() {
    if (is_found || unit == units) return;
    const int count = max(0, min(BAND, seen(row) - band));
    is_found = ahead < count;
    if (is_found) return;
    ahead -= count;
    row += ROWS;
    if (row < row_to) return;
    row = row_from;
    band += BAND;
    if (band < seen(row_to - 1)) return;
    band = 0;
    ++unit;
  }
  __device__ __forceinline__ CellTile next() {
    while (!is_found && unit < units) step();
    const CellTile tile = {row, (band + ahead) * COLUMNS, is_found ? unit : -1};
    is_found = false;
    ahead += gridDim.x;
    return tile;
  }
};
