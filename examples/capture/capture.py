"""Writes examples/data: the Q, K, V of a few attention heads that read 4096 tokens of a book.

usage: capture.py MODEL.gguf BOOK.txt DATA_DIR REFERENCE.npz

BOOK.txt is what `bible -f gen1:1-8:22` prints, a verse a line ("Ge1:1 In the beginning ...").
DATA_DIR gets NAME.safetensors for each head of stats.RULES, heads.tsv and README.md; REFERENCE.npz
gets the float32 outputs of the same heads, for check.py.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from model import Model
from stats import MEANING, cells, choose

TOKENS = 4096
MODEL = "SmolLM2-135M-Instruct, Q4_1 GGUF, dequantised"


def read_book(path):
    """The running prose, verse numbers stripped: a space between verses, a blank line between
    chapters. Also [(offset where the verse ends, "chapter:verse")]."""
    text, ends, last = "", [], None
    for line in Path(path).read_text().splitlines():
        match = re.fullmatch(r"Ge(\d+):(\d+) (.*\S)\s*", line)
        if not match:
            raise SystemExit(f"{path}: not a verse: {line!r}")
        chapter, verse, words = match.groups()
        text += ("" if last is None else " " if chapter == last else "\n\n") + words
        ends.append((len(text), f"{chapter}:{verse}"))
        last = chapter
    return text, ends


def sorted_header(file):
    """The safetensors file with its header sorted: save() puts the metadata in random order."""
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    header = {name: dict(sorted(header[name].items())) for name in sorted(header)}
    text = json.dumps(header, separators=(",", ":")).encode().ljust(start - 8)
    assert len(text) == start - 8
    return file[:8] + text + file[start:]


README = """\
# Attention heads that read a book

Written by `examples/capture/capture.sh`; do not edit. Each file holds the inputs of one attention
head of SmolLM2-135M-Instruct (Apache-2.0; the 4-bit Q4_1 weights, dequantised, run in float32)
that reads a public domain text:
{text}.

- Tensors `q`, `k`, `v`: fp16, `[batch, head, sequence, dim]` = `[1, 1, {tokens}, 64]`. `q` and `k`
  are after RoPE (half-split order) and unscaled: the head computes
  `softmax(q kᵀ / sqrt(64), causal) v`. `k` and `v` are those of the KV head that `head` shares.
- `__metadata__`: `model`, `layer`, `head`, `kv_head`, `text`, `tokens_sha256` (of the int32 token
  ids), `scale`, `causal`, `layout` and `character`.
- No BOS token is put first (the model uses none): the sink is the text's own first token.
  Perplexity of the model on this text: {perplexity:.2f}.

The name of a file is what the head does. Statistics of the full causal softmax, means over the
rows from 1024 on (`tiles95`: all rows); `heads.tsv` has all {count} heads of the model.

{table}

{meaning}
"""


def markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(gguf, book, data, reference):
    model = Model(gguf)
    text, ends = read_book(book)
    encoding = model.tokenizer().encode(text)
    ids = np.array(encoding.ids[:TOKENS], dtype=np.int32)
    assert len(ids) == TOKENS, "the text is too short"
    end = next(verse for offset, verse in ends if offset >= encoding.offsets[TOKENS - 1][1])
    about = f"the King James Version, Genesis 1:1 to {end}, verse numbers stripped, {TOKENS} tokens"

    stats, tensors, outs = {}, {}, {}

    def visit(layer, head, q, k, v, out, head_stats):
        stats[layer, head] = head_stats.result()
        tensors[layer, head] = {
            name: x.astype(np.float16)[None, None] for name, x in zip("qkv", (q, k, v))
        }
        outs[layer, head] = out

    perplexity = model.perplexity(model.forward(ids, visit), ids)
    print(f"{about}\nperplexity {perplexity:.3f}")

    data = Path(data)
    data.mkdir(parents=True, exist_ok=True)
    chosen = choose(stats)
    for name, (layer, head) in chosen.items():
        metadata = {
            "model": MODEL,
            "layer": str(layer),
            "head": str(head),
            "kv_head": str(head // (model.heads // model.kv_heads)),
            "text": about,
            "tokens_sha256": hashlib.sha256(ids.astype("<i4").tobytes()).hexdigest(),
            "scale": f"1/sqrt({model.dim})",
            "causal": "true",
            "layout": "bhsd",
            "character": name,
        }
        file = sorted_header(save(tensors[layer, head], metadata))
        (data / f"{name}.safetensors").write_bytes(file)
    np.savez(reference, **{name: outs[at] for name, at in chosen.items()})

    header = ["layer", "head", *MEANING]
    lines = [header] + [[str(at[0]), str(at[1]), *cells(s)] for at, s in stats.items()]
    (data / "heads.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    table = markdown(
        ["file", *header],
        [[f"`{name}`", str(at[0]), str(at[1]), *cells(stats[at])] for name, at in chosen.items()],
    )
    print(table)
    meaning = "\n".join(f"- `{key}`: {what}" for key, what in MEANING.items())
    (data / "README.md").write_text(README.format(
        text=about, tokens=TOKENS, perplexity=perplexity, count=len(stats), table=table,
        meaning=meaning))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
