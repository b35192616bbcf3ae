#!/usr/bin/env python3
"""Writes signals.bin and errors.txt: what llama.cpp's quantizer makes of three signals.

    make_errors.py DEMO_MODEL.gguf FOLDER

Needs numpy and ggml's base library (Debian sid: libggml0), which it calls; run it where that is
installed. signals.bin: three signals of 16 rows of 512 float32 (normal values; Student's t with 4
degrees of freedom; rows of the demo model's token embedding joined to that length), then 512 weights
of importance (log-normal). errors.txt: format, signal, "plain" or "weighted", and the sum of the
squared errors, in the second case each times the importance of its column. Formats that ggml encodes
only with importance get equal weights for "plain".
"""

import ctypes
import pathlib
import struct
import sys

import numpy

ROWS, COLUMNS = 16, 512
CODES = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12,
         "Q5_K": 13, "Q6_K": 14, "IQ2_XXS": 16, "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19, "IQ4_NL": 20,
         "IQ3_S": 21, "IQ2_S": 22, "IQ4_XS": 23, "IQ1_M": 29, "TQ1_0": 34, "TQ2_0": 35, "MXFP4": 39}
NEED_IMPORTANCE = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS")


def library():
    ggml = ctypes.CDLL("libggml-base.so.0")
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = ([ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
                                         + [ctypes.c_int64] * 3 + [ctypes.c_void_p])
    ggml.ggml_quantize_init.argtypes = [ctypes.c_int]
    ggml.ggml_row_size.restype = ctypes.c_size_t
    ggml.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
    ggml.ggml_get_type_traits.restype = ctypes.c_void_p
    ggml.ggml_get_type_traits.argtypes = [ctypes.c_int]
    return ggml


class Traits(ctypes.Structure):
    """The beginning of struct ggml_type_traits."""
    _fields_ = [("type_name", ctypes.c_char_p), ("blck_size", ctypes.c_int64),
                ("blck_size_interleave", ctypes.c_int64), ("type_size", ctypes.c_size_t),
                ("is_quantized", ctypes.c_bool),
                ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64))]


def demo_weights(path):
    """The first ROWS * COLUMNS weights of token_embd.weight of an F32 file."""
    data = pathlib.Path(path).read_bytes()
    at = data.index(b"token_embd.weight") + len(b"token_embd.weight")
    n_dims, = struct.unpack_from("<I", data, at)
    kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * n_dims)
    assert kind == 0 and offset == 0, "expected F32, and the token embedding first"
    end = data.index(b"token_embd.weight") - 8  # behind the records, at last
    for _ in range(struct.unpack_from("<Q", data, 8)[0]):
        length, = struct.unpack_from("<Q", data, end)
        dims, = struct.unpack_from("<I", data, end + 8 + length)
        end += 8 + length + 4 + 8 * dims + 12
    start = (end + 31) // 32 * 32
    return numpy.frombuffer(data, dtype="<f4", count=ROWS * COLUMNS, offset=start)


def main():
    model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    random = numpy.random.default_rng(5)
    signals = {
        "normal": 0.02 * random.standard_normal((ROWS, COLUMNS)),
        "student": 0.02 * random.standard_t(4, (ROWS, COLUMNS)),
        "demo": demo_weights(model).reshape(ROWS, COLUMNS),
    }
    signals = {name: numpy.ascontiguousarray(x, dtype="<f4") for name, x in signals.items()}
    importance = numpy.exp(1.2 * random.standard_normal(COLUMNS)).astype("<f4")
    with open(folder / "signals.bin", "wb") as file:
        for x in [*signals.values(), importance]:
            file.write(x.tobytes())
    ggml = library()
    with open(folder / "errors.txt", "w", encoding="ascii") as file:
        for name, code in CODES.items():
            ggml.ggml_quantize_init(code)
            traits = Traits.from_address(ggml.ggml_get_type_traits(code))
            for signal, x in signals.items():
                for kind in ("plain", "weighted"):
                    weights = importance if kind == "weighted" else numpy.ones(COLUMNS, dtype="<f4")
                    given = kind == "weighted" or name in NEED_IMPORTANCE
                    out = numpy.zeros(ROWS * ggml.ggml_row_size(code, COLUMNS), dtype="u1")
                    back = numpy.zeros_like(x)
                    ggml.ggml_quantize_chunk(code, x.ctypes.data, out.ctypes.data, 0, ROWS, COLUMNS,
                                             weights.ctypes.data if given else None)
                    traits.to_float(out.ctypes.data, back.ctypes.data, ROWS * COLUMNS)
                    error = (weights * (back.astype("f8") - x) ** 2).sum()
                    print(name, signal, kind, f"{error:.9g}", file=file)


if __name__ == "__main__":
    main()
