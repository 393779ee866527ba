"""Statistics of each head's causal softmax, gathered row by row, and the rules that name a head.

All are means over the query rows from FROM on (before that a row is nearly all window), except
tiles95, which is over all rows. The mass of a row splits into sink (keys 0..3), local64 (distance
below 64, sinks left out) and far (the rest).
"""

import numpy as np

FROM = 1024
SINKS, WINDOW, WIDE = 4, 64, 256
COLUMNS = 64  # columns counted, the best of them, in the far mass
DIAGONALS, APART = 32, 128  # diagonals counted, the best of them, at distance >= APART
TILE = 64

MEANING = {
    "sink": "mass on keys 0..3",
    "local64": "mass at distance < 64, sinks left out",
    "local256": "mass at distance < 256, sinks left out",
    "far": "the rest: 1 - sink - local64",
    "columns": "far mass in the best 64 columns",
    "col_recall": "columns / far",
    "diagonals": "far mass in the best 32 diagonals at distance >= 128",
    "diag_recall": "diagonals / all mass at distance >= 128, sinks left out",
    "offset": "the distance of the best of those diagonals",
    "entropy": "mean entropy of a row, in nats (uniform rows would give 7.8)",
    "tiles95": "share of the causal 64x64 tiles that is needed to hold 95% of all mass",
}

# name: (the score that picks the head, the filter that it must pass)
RULES = {
    # entropy > 0.5 passes over the heads that look at nothing but the sink
    "sink": (lambda s: s["sink"], lambda s: s["entropy"] > 0.5),
    "local": (lambda s: s["local64"], lambda s: True),
    "vertical": (lambda s: s["columns"], lambda s: True),
    "slash": (lambda s: s["diagonals"], lambda s: True),
    "diffuse": (lambda s: s["entropy"], lambda s: True),
}


class HeadStats:
    """Fed with the softmax rows of one head, in order; result() gives the statistics."""

    def __init__(self, n):
        self.n = n
        self.sink = self.entropy = 0.0
        self.diagonal = np.zeros(n)  # mass at each distance, sinks left out
        self.column = np.zeros(n)  # far mass of each key
        self.tiles = np.zeros((n // TILE, n // TILE))

    def __call__(self, first, probs):
        rows, keys = probs.shape
        tiles = probs.reshape(rows // TILE, TILE, keys // TILE, TILE).sum(axis=(1, 3))
        self.tiles[first // TILE : (first + rows) // TILE, : keys // TILE] = tiles
        if first < FROM:
            return
        self.sink += probs[:, :SINKS].sum()
        self.entropy -= (probs * np.log(np.maximum(probs, 1e-30))).sum()
        for i, row in enumerate(probs, first):
            self.diagonal[: i + 1 - SINKS] += row[i : SINKS - 1 : -1]
            self.column[SINKS : i + 1 - WINDOW] += row[SINKS : i + 1 - WINDOW]

    def result(self):
        rows = self.n - FROM
        diagonal, column = self.diagonal / rows, np.sort(self.column / rows)[::-1]
        far, apart = diagonal[WINDOW:].sum(), diagonal[APART:]
        columns, diagonals = column[:COLUMNS].sum(), np.sort(apart)[::-1][:DIAGONALS].sum()
        held = np.sort(self.tiles.ravel())[::-1].cumsum() / self.n
        causal = len(self.tiles) * (len(self.tiles) + 1) / 2
        values = [
            self.sink / rows, diagonal[:WINDOW].sum(), diagonal[:WIDE].sum(), far,
            columns, columns / far, diagonals, diagonals / apart.sum(), APART + apart.argmax(),
            self.entropy / rows, (np.searchsorted(held, 0.95) + 1) / causal,
        ]
        return dict(zip(MEANING, map(float, values), strict=True))


def choose(stats):
    """{(layer, head): statistics} -> {name: (layer, head)}"""
    return {
        name: max((at for at in stats if passes(stats[at])), key=lambda at: score(stats[at]))
        for name, (score, passes) in RULES.items()
    }


def cells(s):
    """The statistics of one head as the strings of a table row."""
    return [f"{s[key]:.0f}" if key == "offset" else f"{s[key]:.3f}" for key in MEANING]
