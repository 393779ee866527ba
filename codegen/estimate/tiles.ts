// Sizes of the tiles of vectors in shared memory: device/estimate-tile.cuh.

/** Elements and bytes of a line of a row. */
export const lineElements = 64;
export const lineBytes = 2 * lineElements;

/** What aligning the first tile may take. */
export const firstTileBytes = 1024;

/** Lines of a vector. */
export const linesOf = (width: number): number => Math.ceil(width / lineElements);
