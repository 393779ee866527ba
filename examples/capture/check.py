"""Checks examples/data: plain float64 attention over the fp16 files against the model's own run.

usage: check.py DATA_DIR REFERENCE.npz

Shares no code with the capture. The tolerance is what rounding q, k and v to fp16 explains: the
difference that moving them by at most half an fp16 step makes. Equal rows move alike, as they are
rounded alike: in layer 0 v depends on the token alone, and the errors of repeated tokens add up.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open


def attention(q, k, v):
    """softmax(q k^T / 8, causal) v; [4096, 64] each"""
    out = np.empty_like(q)
    for i in range(0, len(q), 256):
        scores = q[i : i + 256] @ k.T / 8.0
        scores[np.arange(len(k)) > np.arange(i, i + len(scores))[:, None]] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[i : i + 256] = weights @ v / weights.sum(axis=1, keepdims=True)
    return out


def moved(x, random):
    """x [4096, 64] in float64, moved by up to half an fp16 step; equal rows alike"""
    rows, which = np.unique(x, axis=0, return_inverse=True)
    noise = random.uniform(-0.5, 0.5, rows.shape)[which.ravel()]
    return x.astype(np.float64) + noise * np.spacing(x).astype(np.float64)


def main(data, reference):
    want = np.load(reference)
    files = sorted(Path(data).glob("*.safetensors"))
    assert [f.stem for f in files] == sorted(want.files), "other files than the capture wrote"
    random = np.random.default_rng(0)
    for file in files:
        with safe_open(file, "np") as f:
            meta = f.metadata()
            qkv = [f.get_tensor(name) for name in "qkv"]
        assert meta["character"] == file.stem and meta["scale"] == "1/sqrt(64)"
        assert all(x.shape == (1, 1, 4096, 64) and x.dtype == np.float16 for x in qkv)
        assert all(np.isfinite(x).all() for x in qkv)
        qkv = [x[0, 0] for x in qkv]
        ref = want[file.stem].astype(np.float64)
        got = attention(*(x.astype(np.float64) for x in qkv))
        near = attention(*(moved(x, random) for x in qkv))
        size = np.sqrt((ref**2).mean())
        error = np.sqrt(((got - ref) ** 2).mean()) / size
        rounding = np.sqrt(((got - near) ** 2).mean()) / size
        print(f"{file.name:22} L{meta['layer']} H{meta['head']}: max abs "
              f"{np.abs(got - ref).max():.1e}, relative rms {error:.1e} (fp16 {rounding:.1e})")
        assert error < 1.5 * rounding, "more than fp16 rounding"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
