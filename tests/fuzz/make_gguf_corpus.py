"""Writes the seed corpus of fuzz_gguf: small valid files and one file per class of mistake.

Run:  python tests/fuzz/make_gguf_corpus.py
Standard library only. Valid seeds matter most: random bytes rarely get past the magic.
"""

import pathlib
import struct

OUT = pathlib.Path(__file__).with_name("corpus_gguf")


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def u32(key, value):
    return pair(key, 4, struct.pack("<I", value))


def array(key, kind, n, values):
    return pair(key, 9, struct.pack("<IQ", kind, n) + values)


def tensor(name, dims, code, offset):
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, code, offset)


def build(pairs, tensors=(), data=b"", version=3, align=32, n_tensors=None, n_pairs=None):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors,
                                len(pairs) if n_pairs is None else n_pairs)
    out += b"".join(pairs) + b"".join(tensors)
    if tensors:
        out += bytes(-len(out) % align)
    return out + data


def seeds():
    scalars = [pair(f"s{k}", k, struct.pack(f, v)) for k, f, v in (
        (0, "<B", 1), (1, "<b", -1), (2, "<H", 1), (3, "<h", -1), (4, "<I", 1), (5, "<i", -1),
        (6, "<f", 1.0), (7, "<B", 1), (10, "<Q", 1), (11, "<q", -1), (12, "<d", 1.0))]
    scalars.append(pair("s8", 8, text("value")))
    arrays = [array(f"a{k}", k, 2, struct.pack(f, 1, 0)) for k, f in (
        (0, "<2B"), (1, "<2b"), (2, "<2H"), (3, "<2h"), (4, "<2I"), (5, "<2i"), (6, "<2f"),
        (7, "<2B"), (10, "<2Q"), (11, "<2q"), (12, "<2d"))]
    arrays.append(array("a8", 8, 2, text("x") + text("")))
    arch = pair("general.architecture", 8, text("llama"))
    yield "empty_model", build([])
    yield "scalars", build(scalars)
    yield "arrays", build(arrays)
    yield "version2", build([arch], version=2)
    yield "one_f32", build([arch], [tensor("t", [8], 0, 0)], bytes(32))
    for code, size in ((1, 2 * 256), (2, 18 * 8), (8, 34 * 8), (12, 144), (14, 210), (20, 18 * 8)):
        yield f"format{code}", build([arch], [tensor("t", [256], code, 0)], bytes(size))
    yield "three", build([arch], [tensor("a", [4, 2], 0, 0), tensor("b", [2, 2, 2, 2], 1, 32),
                                  tensor("c", [32], 8, 64)], bytes(128))
    yield "align64", build([u32("general.alignment", 64)], [tensor("t", [3], 24, 0)], b"abc", align=64)
    yield "align1", build([u32("general.alignment", 1)], [tensor("t", [3], 24, 0)], b"abc", align=1)
    yield "split", build([pair("split.no", 2, b"\0\0"), pair("split.count", 2, b"\3\0")])
    yield "overlap", build([], [tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], bytes(128))
    yield "wrap", build([], [tensor("a", [16], 0, 2**64 - 32)], bytes(128))
    yield "zero_dim", build([], [tensor("a", [0], 0, 0)], bytes(64))
    yield "huge_dims", build([], [tensor("a", [2**62, 4], 8, 0)], bytes(64))
    yield "nested", build([array("a", 9, 1, struct.pack("<IQ", 9, 1))])
    yield "long_string", build([pair("a", 8, struct.pack("<Q", 2**63))])
    yield "many_pairs", build([arch], n_pairs=2**64 - 1)
    yield "many_tensors", build([arch], n_tensors=2**63)
    yield "bool2", build([pair("a", 7, b"\2")])
    yield "duplicate", build([u32("a", 1), u32("a", 1)])
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "safetensors", struct.pack("<Q", 64) + b'{"__metadata__":{}}' + bytes(48)


def main():
    OUT.mkdir(exist_ok=True)
    n = 0
    for name, data in seeds():
        (OUT / f"{name}.gguf").write_bytes(data)
        n += 1
    print(n, "seeds in", OUT)


if __name__ == "__main__":
    main()
