#!/usr/bin/env python3
"""Writes architectures.txt: which format llama.cpp's quantizer gives each matrix of several
architectures, without and with importance weights.

    make_architectures.py --quantize "chroot DIR llama-quantize" --folder FOLDER > architectures.txt

FOLDER takes the models, which are headers over holes, and must have the same name inside a chroot
(--inside says otherwise). Frozen with Debian sid's package of llama.cpp. A line "shape" holds: name,
layers, columns, heads, key heads, head size, feed-forward, tied output, experts. The others hold:
shape, recipe ("+" behind it: with importance weights), tensor, FORMAT:LAYERS parts as recipes.txt.
"""

import argparse
import pathlib
import shlex
import struct

from make_recipes import RECIPES, formats

# name: (architecture, layers, columns, heads, key heads, head size, feed-forward, tied, experts)
SHAPES = {
    "qwen2": ("qwen2", 28, 1536, 12, 2, 128, 2304, True, 0),
    "gemma2": ("gemma2", 26, 768, 8, 4, 96, 1024, True, 0),
    "phi3": ("phi3", 32, 1024, 16, 16, 64, 512, False, 0),
    "llama-80-layers": ("llama", 80, 512, 16, 2, 32, 768, False, 0),
    "llama-whole-heads": ("llama", 9, 512, 8, 8, 64, 768, False, 0),
    "mixtral": ("llama", 32, 512, 8, 2, 64, 768, False, 8),
    "four-experts": ("llama", 12, 512, 8, 8, 64, 768, False, 4),
}
VOCABULARY = 256
F32, F16 = 0, 1


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return text(key) + struct.pack("<II", 4, value)


def write(path, pairs, tensors, fill=None):
    """A GGUF file; the data is a hole, or `fill` in every float."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(pair(key, value) for key, value in pairs.items())
    offset = 0
    for name, kind, dims in tensors:
        head += text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        head += struct.pack("<IQ", kind, offset)
        size = (4 if kind == F32 else 2)
        for dim in dims:
            size *= dim
        offset += (size + 31) // 32 * 32
    head += bytes(-len(head) % 32)
    with open(path, "wb") as file:
        file.write(head)
        if fill is None:
            file.truncate(len(head) + offset)
        else:
            file.write(struct.pack("<f", fill) * (offset // 4))


def matrices(shape):
    """(name in a layer, columns, rows, experts) of every matrix."""
    arch, _, columns, heads, keys, size, feed, _, experts = shape
    q, kv = heads * size, keys * size
    if arch == "phi3":
        yield "attn_qkv", columns, q + 2 * kv, 0
    else:
        yield from (("attn_q", columns, q, 0), ("attn_k", columns, kv, 0), ("attn_v", columns, kv, 0))
    yield "attn_output", q, columns, 0
    if experts:
        yield from (("ffn_gate_exps", columns, feed, experts), ("ffn_up_exps", columns, feed, experts),
                    ("ffn_down_exps", feed, columns, experts))
    else:
        if arch != "phi3":
            yield "ffn_gate", columns, feed, 0
        yield "ffn_up", columns, 2 * feed if arch == "phi3" else feed, 0
        yield "ffn_down", feed, columns, 0


def write_model(path, shape):
    arch, layers, columns, heads, keys, size, feed, tied, experts = shape
    pairs = {"general.architecture": arch, f"{arch}.block_count": layers,
             f"{arch}.context_length": 512, f"{arch}.embedding_length": columns,
             f"{arch}.feed_forward_length": feed, f"{arch}.attention.head_count": heads,
             f"{arch}.attention.head_count_kv": keys, f"{arch}.attention.key_length": size,
             f"{arch}.attention.value_length": size, f"{arch}.rope.dimension_count": size,
             f"{arch}.attention.layer_norm_rms_epsilon": 1e-5, f"{arch}.attention.sliding_window": 256,
             f"{arch}.vocab_size": VOCABULARY, "tokenizer.ggml.model": "no_vocab"}
    if experts:
        pairs |= {f"{arch}.expert_count": experts, f"{arch}.expert_used_count": 2}
    tensors = [("token_embd.weight", F16, (columns, VOCABULARY)),
               ("output_norm.weight", F32, (columns,))]
    if not tied:
        tensors.append(("output.weight", F16, (columns, VOCABULARY)))
    for layer in range(layers):
        tensors.append((f"blk.{layer}.attn_norm.weight", F32, (columns,)))
        for name, cols, rows, stack in matrices(shape):
            tensors.append((f"blk.{layer}.{name}.weight", F16, (cols, rows) + ((stack,) if stack else ())))
        tensors.append((f"blk.{layer}.ffn_norm.weight", F32, (columns,)))
        if experts:
            tensors.append((f"blk.{layer}.ffn_gate_inp.weight", F32, (columns, experts)))
    write(path, pairs, tensors)


def write_importance(path, shape):
    tensors = []
    for layer in range(shape[1]):
        for name, cols, _, stack in matrices(shape):
            tensors.append((f"blk.{layer}.{name}.weight.in_sum2", F32, (cols, max(stack, 1))))
            tensors.append((f"blk.{layer}.{name}.weight.counts", F32, (1, max(stack, 1))))
    write(path, {"general.type": "imatrix", "imatrix.datasets": ["none"], "imatrix.chunk_count": 1,
                 "imatrix.chunk_size": 512}, tensors, fill=1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quantize", default="llama-quantize")
    parser.add_argument("--folder", default=".", help="where to put the models")
    parser.add_argument("--inside", help="what the quantizer calls that folder")
    args = parser.parse_args()
    folder = pathlib.Path(args.folder)
    inside = pathlib.Path(args.inside or args.folder)
    for name, shape in SHAPES.items():
        print("shape", name, *(int(part) for part in shape[1:]))
        write_model(folder / f"{name}.gguf", shape)
        write_importance(folder / f"{name}.imatrix", shape)
        for recipe in RECIPES + ["MXFP4_MOE"]:
            for mark, extra in (("", []), ("+", ["--imatrix", str(inside / f"{name}.imatrix")])):
                command = shlex.split(args.quantize) + extra
                for tensor, by_format in formats(command, str(inside / f"{name}.gguf"), recipe).items():
                    if "F32" not in by_format:
                        print(name, recipe + mark, tensor,
                              *(f"{f}:{','.join(layers)}" for f, layers in by_format.items()))
        (folder / f"{name}.gguf").unlink()
        (folder / f"{name}.imatrix").unlink()


if __name__ == "__main__":
    main()
