#!/usr/bin/env python3
"""Writes stories260K again with rows of 256 values, so that every recipe can be used on it.

    wide_demo.py models/demo/stories260K.gguf wide.gguf

Its weights are real, and its rows of 64 and 172 are no whole blocks of the formats of
256. This one computes the same function with wider matrices, F32:

  residual stream  64 values become 256: padded with zeros and turned by a random orthogonal matrix,
                   which root mean square norms do not notice once their weights are moved into the
                   matrices behind them; what the norm divides by is put right by a factor
  heads            of 8 values become 32: queries and keys padded with zeros (rope_freqs keeps the
                   frequencies of the pairs that are used, queries take the other scale of the
                   scores), values padded and turned
  feed-forward     172 units become 256: 84 of them twice, each with a part of its output
  output           a matrix of its own, since the embedding's lacks the last norm's weights

Needs numpy and gguf (PyPI).
"""

import sys

import gguf
import numpy

WIDTH, HEAD, UNITS = 256, 32, 256


def orthogonal(generator, n):
    q, r = numpy.linalg.qr(generator.standard_normal((n, n)))
    return q * numpy.sign(numpy.diag(r))


class Source:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: numpy.array(tensor.data, dtype=numpy.float64)
                        for tensor in self.reader.tensors}

    def number(self, key):
        return self.reader.fields[key].contents()


def wide_tensors(source):
    """Name and F32 matrix of [rows, columns] of every tensor of the wide model."""
    generator = numpy.random.default_rng(260)
    old = source.tensors
    width = old["token_embd.weight"].shape[1]
    n_heads = source.number("llama.attention.head_count")
    n_kv_heads = source.number("llama.attention.head_count_kv")
    head = width // n_heads
    turn = orthogonal(generator, WIDTH)[:width]  # [width, WIDTH]: rows are orthonormal
    # A norm divides by the root mean square, which is sqrt(width / WIDTH) times as large here.
    scale = numpy.sqrt(width / WIDTH)

    def reading(matrix, norm):  # of a normed residual stream
        return matrix * norm[None, :] * scale @ turn

    def padded_heads(matrix, n):  # rows of n heads, zeros behind each
        out = numpy.zeros((n, HEAD, matrix.shape[1]))
        out[:, :head] = matrix.reshape(n, head, -1)
        return out

    yield "token_embd.weight", old["token_embd.weight"] @ turn
    for layer in range(source.number("llama.block_count")):
        name = f"blk.{layer}."
        norm = old[name + "attn_norm.weight"]
        queries = padded_heads(old[name + "attn_q.weight"], n_heads) * numpy.sqrt(HEAD / head)
        keys = padded_heads(old[name + "attn_k.weight"], n_kv_heads)
        values = padded_heads(old[name + "attn_v.weight"], n_kv_heads)
        turns = [orthogonal(generator, HEAD) for _ in range(n_kv_heads)]
        values = numpy.stack([t @ v for t, v in zip(turns, values)])
        output = padded_heads(old[name + "attn_output.weight"].T, n_heads)
        output = numpy.stack([turns[h * n_kv_heads // n_heads] @ o for h, o in enumerate(output)])
        yield name + "attn_norm.weight", numpy.ones(WIDTH)
        yield name + "attn_q.weight", reading(queries.reshape(-1, width), norm)
        yield name + "attn_k.weight", reading(keys.reshape(-1, width), norm)
        yield name + "attn_v.weight", reading(values.reshape(-1, width), norm)
        yield name + "attn_output.weight", turn.T @ output.reshape(-1, width).T
        norm = old[name + "ffn_norm.weight"]
        n_units = old[name + "ffn_up.weight"].shape[0]
        twice = numpy.concatenate([numpy.arange(n_units), numpy.arange(UNITS - n_units)])
        part = numpy.ones(UNITS)
        part[:UNITS - n_units] = generator.uniform(0.2, 0.8, UNITS - n_units)
        part[n_units:] = 1 - part[:UNITS - n_units]
        yield name + "ffn_norm.weight", numpy.ones(WIDTH)
        yield name + "ffn_gate.weight", reading(old[name + "ffn_gate.weight"][twice], norm)
        yield name + "ffn_up.weight", reading(old[name + "ffn_up.weight"][twice], norm)
        yield name + "ffn_down.weight", turn.T @ (old[name + "ffn_down.weight"][:, twice] * part)
    yield "output_norm.weight", numpy.ones(WIDTH)
    output = old.get("output.weight", old["token_embd.weight"])
    yield "output.weight", reading(output, old["output_norm.weight"])
    # Pair i of a head turns by base^(-2i / size of head); the file's factors divide that.
    base = source.number("llama.rope.freq_base")
    pairs = numpy.arange(HEAD // 2)
    yield "rope_freqs.weight", base ** (2 * pairs / head - 2 * pairs / HEAD)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source = Source(sys.argv[1])
    width = source.tensors["token_embd.weight"].shape[1]
    writer = gguf.GGUFWriter(sys.argv[2], "llama")
    changed = {"llama.embedding_length": WIDTH, "llama.feed_forward_length": UNITS,
               "llama.rope.dimension_count": HEAD, "llama.attention.key_length": HEAD,
               "llama.attention.value_length": HEAD}
    for key, field in source.reader.fields.items():
        if key.startswith("GGUF.") or key in changed or key in ("general.architecture",
                                                                "general.file_type"):
            continue
        value = field.contents()
        if key == "llama.attention.layer_norm_rms_epsilon":
            value *= width / WIDTH  # added to the mean of squares
        element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], element)
    for key, value in changed.items():
        writer.add_uint32(key, value)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, values in wide_tensors(source):
        writer.add_tensor(name, numpy.ascontiguousarray(values, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
