#!/usr/bin/env python3
"""Writes the goldens of tests/kernels/formats from packages that nobody here wrote.

    pip install gguf==0.19.0 numpy ml_dtypes
    python3 tests/golden/formats/make_goldens.py                    # the frozen files beside it
    python3 tests/golden/formats/make_goldens.py --random 20000 --out DIR
    QUERN_FORMATS_GOLDEN=DIR build/.../kernels_formats_test         # a bigger comparison

decode.bin  blocks of every format that gguf.quants can dequantize, and the values it gives
encode.bin  floats, and the blocks gguf.quants.quantize makes of them
hashes.txt  FNV-1a hashes (over 32-bit words) of exhaustive or long conversion tables

Both .bin files are a sequence of records, little-endian: name (16 bytes, zero padded), three
uint32 (number of blocks, bytes per block, values per block), the blocks, the values as float32.
"""

import argparse
import pathlib
import struct

import gguf
import ml_dtypes
import numpy as np
from gguf import GGMLQuantizationType as T

# Byte offsets of the f16 fields of each block, for planting special scales.
F16_FIELDS = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0],
    "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "F16": [0], "BF16": [0],
    "IQ1_M": [], "MXFP4": [], "NVFP4": [],
}
ENCODED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"]
# Zeros, subnormals, largest finite, infinities, NaN.
SPECIAL_F16 = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]


def plant_f16(name, block, bits):
    for offset in F16_FIELDS[name]:
        block[offset : offset + 2] = [bits & 0xFF, bits >> 8]
    if name == "IQ1_M":  # nibble i of d is the upper nibble of scale word i
        for i in range(4):
            block[49 + 2 * i] = (block[49 + 2 * i] & 0x0F) | (((bits >> (4 * i)) & 0x0F) << 4)


def blocks_for(name, rng, n_random):
    size = gguf.GGML_QUANT_SIZES[T[name]][1]
    blocks = rng.integers(0, 256, (n_random, size), dtype=np.uint8)
    for block in blocks[: n_random * 3 // 4]:  # the rest keep random, often absurd, scales
        plant_f16(name, block, int(rng.normal(0, 0.05, 1).astype(np.float16).view(np.uint16)[0]))
    edges = [np.zeros(size, np.uint8), np.full(size, 0xFF, np.uint8)]
    if name in ("MXFP4", "NVFP4"):
        for code in [0, 1, 2, 7, 8, 0x7E, 0x7F, 0x80, 0xFE, 0xFF]:
            block = rng.integers(0, 256, size, dtype=np.uint8)
            block[: 1 if name == "MXFP4" else 4] = code
            edges.append(block)
    else:
        for bits in SPECIAL_F16:
            block = rng.integers(0, 256, size, dtype=np.uint8)
            plant_f16(name, block, bits)
            edges.append(block)
    return np.concatenate([blocks, np.stack(edges)])


def record(name, blocks, values):
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[T[name]]
    n = blocks.size // block_bytes
    assert values.dtype == np.float32 and values.size == n * block_values, name
    head = name.encode().ljust(16, b"\0") + struct.pack("<3I", n, block_bytes, block_values)
    return head + blocks.tobytes() + values.tobytes()


def decode_records(rng, n_random):
    for name in F16_FIELDS:
        blocks = blocks_for(name, rng, n_random)
        with np.errstate(all="ignore"):
            values = np.concatenate([gguf.dequantize(b.reshape(1, -1), T[name]).reshape(-1)
                                     for b in np.array_split(blocks, max(1, len(blocks) // 512))])
        yield record(name, blocks, values)


def floats_for(name, rng, n_random):
    """Finite inputs whose scales are normal f16 numbers, or zero."""
    width = gguf.GGML_QUANT_SIZES[T[name]][0]
    n = max(n_random, 1) * 256 // width if width < 256 else max(n_random, 1)
    x = rng.normal(0, 1, (n, width)) * 10.0 ** rng.uniform(-2, 3, (n, 1))
    # Ties; adding zero removes -0, since which zero is the minimum is not defined.
    x[: n // 4] = np.round(x[: n // 4]) + 0.0
    x[n // 4 : n // 3] += 5
    x[: n // 8, : width // 2] = 0
    x = x.astype(np.float32)
    rows = [np.zeros(width), np.full(width, 1.0), np.full(width, -3.0), np.arange(width) - 7.0,
            np.where(np.arange(width) == width - 1, 100.0, 0.01), -0.0 * np.ones(width)]
    return np.concatenate([x, np.stack(rows).astype(np.float32)])


def encode_records(rng, n_random):
    for name in ENCODED:
        x = floats_for(name, rng, n_random)
        with np.errstate(all="ignore"):
            blocks = gguf.quantize(x, T[name])
        yield record(name, np.ascontiguousarray(blocks).view(np.uint8).reshape(-1), x.reshape(-1))


def fnv(words):
    h = 0xCBF29CE484222325
    for w in words.astype(np.uint64).tolist():
        h = ((h ^ w) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def float_words(values):
    """Bits of floats, every NaN as 0x7FC00000."""
    values = values.astype(np.float32)
    return np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32))


def narrowing_inputs():
    """All f16 values, the midpoints between neighbours and a step to either side; then 100,000 bit
    patterns of a linear congruential generator."""
    bits = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16).astype(np.float32)
    upper = np.arange(1, 65537, dtype=np.uint32).astype(np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        middle = (bits + upper.astype(np.float32)) * np.float32(0.5)
    usable = np.isfinite(middle)
    middle = np.where(usable, middle, np.float32(0)).astype(np.float32)
    m = middle.view(np.uint32)
    table = np.stack([bits.view(np.uint32), m, m + 1, m - 1], axis=1).reshape(-1)
    state, out = 12345, []
    for _ in range(100000):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state)
    return np.concatenate([table, np.array(out, dtype=np.uint32)]).view(np.float32)


def hashes():
    half = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    byte = np.arange(256, dtype=np.uint32).astype(np.uint8)
    yield "f16_to_f32", float_words(half.view(np.float16).astype(np.float32))
    yield "bf16_to_f32", float_words(half.view(ml_dtypes.bfloat16).astype(np.float32))
    yield "e4m3_to_f32", float_words(byte.view(ml_dtypes.float8_e4m3fn).astype(np.float32))
    yield "e5m2_to_f32", float_words(byte.view(ml_dtypes.float8_e5m2).astype(np.float32))
    yield "e8m0_to_f32", float_words(byte.view(ml_dtypes.float8_e8m0fnu).astype(np.float32))
    yield "e8m0_half_to_f32", float_words(
        gguf.quants.MXFP4.e8m0_to_fp32_half(byte.astype(np.uint32)))
    x = narrowing_inputs()
    nan = np.isnan(x)
    with np.errstate(all="ignore"):
        yield "f32_to_f16", np.where(nan, 0x7E00, x.astype(np.float16).view(np.uint16))
        yield "f32_to_bf16", np.where(nan, 0x7FC0, x.astype(ml_dtypes.bfloat16).view(np.uint16))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=6, help="random blocks per format")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "decode.bin", "wb") as f:
        for r in decode_records(rng, args.random):
            f.write(r)
    with open(args.out / "encode.bin", "wb") as f:
        for r in encode_records(rng, args.random):
            f.write(r)
    (args.out / "hashes.txt").write_text("".join(f"{n} {fnv(w):016x}\n" for n, w in hashes()))


main()
