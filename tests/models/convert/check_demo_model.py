"""Tells the published story from models/demo/stories260K.gguf with a NumPy forward pass.

Independent of the C++ code: the file is read by the `gguf` PyPI package. Run by hand after a change
to the converter:  pip install gguf numpy && python tests/models/convert/check_demo_model.py
"""

import pathlib
import sys

import numpy as np
from gguf import GGUFReader

ROOT = pathlib.Path(__file__).resolve().parents[3]


def main() -> int:
    reader = GGUFReader(ROOT / "models/demo/stories260K.gguf")
    weights = {t.name: np.asarray(t.data).reshape([int(n) for n in t.shape][::-1]) for t in reader.tensors}
    key = lambda name: reader.fields[name].contents()
    dim, heads = key("llama.embedding_length"), key("llama.attention.head_count")
    kv_heads, layers = key("llama.attention.head_count_kv"), key("llama.block_count")
    eps, base = key("llama.attention.layer_norm_rms_epsilon"), key("llama.rope.freq_base")
    head = dim // heads
    tokens = key("tokenizer.ggml.tokens")

    def norm(x, w):
        return x / np.sqrt(np.mean(x * x) + eps) * w

    def rope(x, pos):
        angle = pos * base ** (-np.arange(0, head, 2) / head)
        a, b = x[:, 0::2], x[:, 1::2]
        out = np.empty_like(x)
        out[:, 0::2] = a * np.cos(angle) - b * np.sin(angle)
        out[:, 1::2] = a * np.sin(angle) + b * np.cos(angle)
        return out

    keys = [[] for _ in range(layers)]
    values = [[] for _ in range(layers)]

    def step(token, pos):
        x = weights["token_embd.weight"][token].astype(np.float32)
        for n in range(layers):
            w = lambda name: weights[f"blk.{n}.{name}.weight"]
            h = norm(x, w("attn_norm"))
            q = rope((w("attn_q") @ h).reshape(heads, head), pos)
            keys[n].append(rope((w("attn_k") @ h).reshape(kv_heads, head), pos))
            values[n].append((w("attn_v") @ h).reshape(kv_heads, head))
            k, v = np.array(keys[n]), np.array(values[n])
            out = []
            for i in range(heads):
                g = i // (heads // kv_heads)
                s = k[:, g] @ q[i] / np.sqrt(head)
                p = np.exp(s - s.max())
                out.append((p / p.sum()) @ v[:, g])
            x = x + w("attn_output") @ np.concatenate(out)
            h = norm(x, w("ffn_norm"))
            gate = w("ffn_gate") @ h
            x = x + w("ffn_down") @ (gate / (1 + np.exp(-gate)) * (w("ffn_up") @ h))
        return weights["token_embd.weight"] @ norm(x, weights["output_norm.weight"])

    bos = key("tokenizer.ggml.bos_token_id")
    token, text = bos, b""
    for pos in range(256):
        token = int(np.argmax(step(token, pos)))
        if token == key("tokenizer.ggml.eot_token_id"):
            break
        piece = tokens[token]
        text += bytes([int(piece[3:5], 16)]) if piece.startswith("<0x") else piece.replace("\u2581", " ").encode()
    published = ROOT.parent / "shared/data/stories260K/expected_greedy.txt"
    story = text.decode().strip()
    print(story)
    if not published.exists():
        print("SKIPPED: no published text to compare with", file=sys.stderr)
        return 0
    same = story == published.read_text().strip()
    print("equal to the published text" if same else "DIFFERENT from the published text", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
