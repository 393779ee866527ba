"""SmolLM2-135M-Instruct in numpy: GGUF weights, tokenizer and a float32 forward pass.

llama.cpp stores the Q and K rows of llama models permuted for its interleaved RoPE; they are put
back here, so q and k come out in the half-split order of the original (Hugging Face) model.
"""

import numpy as np
from gguf import GGUFReader, quants
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from stats import HeadStats

ROWS = 256  # query rows per step: bounds the memory of the scores and of the logits


class Model:
    def __init__(self, path):
        reader = GGUFReader(path)
        self.meta = meta = {k: f.contents() for k, f in reader.fields.items()}
        if meta["general.architecture"] != "llama" or meta["tokenizer.ggml.pre"] != "smollm":
            raise SystemExit(f"{path}: not a SmolLM2 GGUF")
        self.layers = meta["llama.block_count"]
        self.heads = meta["llama.attention.head_count"]
        self.kv_heads = meta["llama.attention.head_count_kv"]
        self.dim = meta["llama.rope.dimension_count"]
        self.eps = meta["llama.attention.layer_norm_rms_epsilon"]
        self.theta = meta["llama.rope.freq_base"]
        self.context = meta["llama.context_length"]
        self.w = {
            t.name: quants.dequantize(t.data, t.tensor_type).astype(np.float32)
            for t in reader.tensors
        }
        for name in self.w:
            if name.endswith(("attn_q.weight", "attn_k.weight")):
                self.w[name] = half_split(self.w[name], self.dim)

    def tokenizer(self):
        """The byte-level BPE of the GGUF metadata ("smollm": single digits, then GPT-2)."""
        vocab = {t: i for i, t in enumerate(self.meta["tokenizer.ggml.tokens"])}
        merges = [tuple(m.split(" ")) for m in self.meta["tokenizer.ggml.merges"]]
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
        tok.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ])
        tok.decoder = decoders.ByteLevel()
        return tok

    def forward(self, ids, visit):
        """Run the model and return the final hidden states, normalised.

        Calls visit(layer, head, q, k, v, out, stats) for each head: its inputs after RoPE, its
        output before the output projection, and the HeadStats of its softmax.
        """
        n, group = len(ids), self.heads // self.kv_heads
        assert n <= self.context
        cos, sin = rope_tables(n, self.dim, self.theta)
        x = self.w["token_embd.weight"][ids]
        for layer in range(self.layers):
            w = lambda name: self.w[f"blk.{layer}.{name}.weight"]
            h = rms_norm(x, w("attn_norm"), self.eps)
            q = rope(split_heads(h @ w("attn_q").T, self.dim), cos, sin)
            k = rope(split_heads(h @ w("attn_k").T, self.dim), cos, sin)
            v = split_heads(h @ w("attn_v").T, self.dim)
            outs = []
            for head in range(self.heads):
                kv = head // group
                stats = HeadStats(n)
                out = attend(q[head], k[kv], v[kv], stats)
                visit(layer, head, q[head], k[kv], v[kv], out, stats)
                outs.append(out)
            x = x + np.concatenate(outs, axis=1) @ w("attn_output").T
            h = rms_norm(x, w("ffn_norm"), self.eps)
            gate = h @ w("ffn_gate").T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w("ffn_up").T)) @ w("ffn_down").T
        return rms_norm(x, self.w["output_norm.weight"], self.eps)

    def perplexity(self, hidden, ids):
        """exp of the mean next-token loss; the output matrix is the (tied) embedding."""
        total = 0.0
        for a in range(0, len(ids) - 1, ROWS):
            b = min(a + ROWS, len(ids) - 1)
            logits = hidden[a:b] @ self.w["token_embd.weight"].T
            top = logits.max(axis=1)
            lse = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            total += float((lse - logits[np.arange(b - a), ids[a + 1 : b + 1]]).sum())
        return float(np.exp(total / (len(ids) - 1)))


def half_split(weight, dim):
    """Undo llama.cpp's row permutation: rows (2j, 2j+1) of a head back to (j, j + dim/2)."""
    rows, cols = weight.shape
    pairs = weight.reshape(rows // dim, dim // 2, 2, cols)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, cols))


def split_heads(x, dim):
    """[tokens, heads * dim] -> [heads, tokens, dim]"""
    return np.ascontiguousarray(x.reshape(len(x), -1, dim).swapaxes(0, 1))


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(eps)) * weight


def rope_tables(n, dim, theta):
    angle = np.arange(n)[:, None] * theta ** (-np.arange(0, dim, 2) / dim)[None, :]
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def rope(x, cos, sin):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attend(q, k, v, observer):
    """Causal softmax(q k^T / sqrt(dim)) v of one head; observer(first_row, probs) sees each step.

    probs is [rows, first_row + rows]: the keys up to the last row, zeros above the diagonal.
    """
    n, dim = q.shape
    out = np.empty_like(q)
    for a in range(0, n, ROWS):
        b = min(a + ROWS, n)
        s = q[a:b] @ k[:b].T * np.float32(dim**-0.5)
        s[:, a:][~np.tri(b - a, dtype=bool)] = -np.inf
        s -= s.max(axis=1, keepdims=True)
        np.exp(s, out=s)
        s /= s.sum(axis=1, keepdims=True)
        out[a:b] = s @ v[:b]
        observer(a, s)
    return out
