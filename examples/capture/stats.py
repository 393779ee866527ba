"""Statistics of one head's causal softmax, gathered row by row, and the choice of the heads.

All are means over the query rows from FROM on (earlier rows are nearly all window). The mass of a
row splits into sink (keys 0..3), local (distance < 64, not sink) and the rest ("far").
"""

import numpy as np

SINKS, WINDOW, WIDE, FROM, BLOCK = 4, 64, 256, 1024, 64
COLUMNS, DIAGONALS = 64, 32  # how many of the best columns / diagonals are counted


class HeadStats:
    def __init__(self, n):
        self.n = n
        self.sink = self.entropy = 0.0
        self.diagonal = np.zeros(n)  # mass at each distance, sinks left out
        self.column = np.zeros(n)  # far mass of each key
        self.tiles = np.zeros((n // BLOCK, n // BLOCK))  # all rows, all mass

    def __call__(self, first, probs):
        rows, keys = probs.shape
        self.tiles[first // BLOCK : (first + rows) // BLOCK, : keys // BLOCK] = probs.reshape(
            rows // BLOCK, BLOCK, keys // BLOCK, BLOCK).sum(axis=(1, 3))
        if first < FROM:
            return
        self.sink += probs[:, :SINKS].sum()
        self.entropy -= (probs * np.log(np.maximum(probs, 1e-30))).sum()
        for r, row in enumerate(probs):
            i = first + r
            self.diagonal[: i + 1 - SINKS] += row[i : SINKS - 1 : -1]
            self.column[SINKS : i + 1 - WINDOW] += row[SINKS : i + 1 - WINDOW]

    def result(self):
        rows = self.n - FROM
        diagonal, column = self.diagonal / rows, self.column / rows
        far = diagonal[WINDOW:].sum()
        tiles = np.sort(self.tiles.ravel())[::-1].cumsum() / self.n
        causal = len(self.tiles) * (len(self.tiles) + 1) // 2
        offsets = WINDOW + np.argsort(diagonal[WINDOW:])[::-1]
        return {
            "sink": self.sink / rows,  # mass on the first 4 keys
            "local64": diagonal[:WINDOW].sum(),  # mass at distance < 64, sinks left out
            "local256": diagonal[:WIDE].sum(),
            "far": far,  # the rest: neither sink nor local64
            "columns": np.sort(column)[::-1][:COLUMNS].sum() / far,  # share of far, best 64 keys
            "diagonals": diagonal[offsets[:DIAGONALS]].sum() / far,  # share of far, best 32
            "offset": int(offsets[0]),  # the best far diagonal
            "entropy": self.entropy / rows,  # nats; ln 4096 = 8.3
            "tiles95": float((np.searchsorted(tiles, 0.95) + 1) / causal),
        }
