"""Writes every_dtype.safetensors, a small file with one tensor of every type of at least a byte.

Run:  python tests/golden/safetensors/make_every_dtype.py
Needs safetensors 0.8.0 and torch 2.13.0 (CPU) from PyPI; safetensors writes the file.
"""

import pathlib

import torch
from safetensors.torch import save_file

FLOATS = torch.tensor([[0.0, 1.0, -2.5], [0.15625, 448.0, -0.001953125]])
INTEGERS = torch.tensor([[0, 1, 2], [3, 100, 127]])
TYPES = ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
         "float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "float64"]


def main():
    tensors = {}
    for name in TYPES:
        dtype = getattr(torch, name)
        tensors[name] = (FLOATS if dtype.is_floating_point else INTEGERS).to(dtype)
    tensors["scalar"] = torch.tensor(7.0)
    tensors["nothing"] = torch.zeros(0, 4)
    save_file(tensors, pathlib.Path(__file__).with_name("every_dtype.safetensors"),
              metadata={"format": "pt"})


if __name__ == "__main__":
    main()
