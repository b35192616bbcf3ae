#!/usr/bin/env python3
"""Writes codebook_tables.inc: the constant tables of the IQ and FP4 formats.

The tables are part of the format definitions. They are read from the `gguf` package (PyPI, MIT
licence, version 0.19.0 when last run), which publishes them next to its reference decoders:
    python3 kernels/formats/make_codebooks.py > kernels/formats/codebook_tables.inc
"""

import numpy as np
from gguf import quants


def grid(cls, scale=1):
    cls.init_grid()
    return (cls.grid.reshape(cls.grid_shape) * scale).astype(np.int64)


def packed(rows):
    """Each row of small integers as one number, value 0 in the lowest byte."""
    return [sum((int(v) & 0xFF) << (8 * i) for i, v in enumerate(row)) for row in rows]


def emit(ctype, name, comment, values, digits, per_line):
    print(f"\n// {comment}")
    print(f"QUERN_TABLE {ctype} {name}[{len(values)}] = {{")
    texts = [f"0x{v:0{digits}x}" if digits else str(v) for v in values]
    for i in range(0, len(texts), per_line):
        print("    " + ", ".join(texts[i : i + per_line]) + ",")
    print("};")


def main():
    print("// Tables of constants of the IQ and FP4 formats, written by make_codebooks.py from the")
    print("// `gguf` package; do not edit. The includer defines QUERN_TABLE.")
    print("// clang-format off")
    emit("int8_t", "kIq4Values", "IQ4_NL and IQ4_XS: value of each 4-bit code.",
         quants.IQ4_NL.kvalues, 0, 16)
    emit("int8_t", "kFp4Values", "FP4 (E2M1) codes, doubled.", quants.MXFP4.kvalues, 0, 16)
    eight = "8 values per entry, value k in byte k."
    four = "4 values per entry, value k in byte k."
    emit("uint64_t", "kIq2XxsGrid", "IQ2_XXS: " + eight, packed(grid(quants.IQ2_XXS)), 16, 4)
    emit("uint64_t", "kIq2XsGrid", "IQ2_XS: " + eight, packed(grid(quants.IQ2_XS)), 16, 4)
    emit("uint64_t", "kIq2SGrid", "IQ2_S: " + eight, packed(grid(quants.IQ2_S)), 16, 4)
    emit("uint32_t", "kIq3XxsGrid", "IQ3_XXS: " + four, packed(grid(quants.IQ3_XXS)), 8, 8)
    emit("uint32_t", "kIq3SGrid", "IQ3_S: " + four, packed(grid(quants.IQ3_S)), 8, 8)
    emit("uint64_t", "kIq1Grid", "IQ1_S and IQ1_M: 8 * {-1, 0, 1} as int8, value k in byte k.",
         packed(grid(quants.IQ1_S, 8)), 16, 4)


main()
