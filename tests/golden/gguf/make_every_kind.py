"""Makes every_kind.gguf with the `gguf` PyPI package: each value kind, each array kind, tensors.

Run:  pip install gguf==0.19.0 numpy && python tests/golden/gguf/make_every_kind.py
tests/models/gguf/golden_test.cc reads the result and expects the values written here.
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quantize

OUT = pathlib.Path(__file__).with_name("every_kind.gguf")

SCALARS = {
    "UINT8": 200, "INT8": -100, "UINT16": 60000, "INT16": -30000,
    "UINT32": 4000000000, "INT32": -2000000000, "FLOAT32": 0.5, "BOOL": True,
    "STRING": "na\u00efve \u2603", "UINT64": 2**63 + 1, "INT64": -(2**62), "FLOAT64": 1e300,
}


def main() -> None:
    writer = GGUFWriter(OUT, "golden")
    for kind, value in SCALARS.items():
        writer.add_key_value(f"one.{kind.lower()}", value, GGUFValueType[kind])
    for kind, value in SCALARS.items():
        second = {"BOOL": False, "STRING": "second"}.get(kind, 1)
        writer.add_key_value(f"many.{kind.lower()}", [value, second, value], GGUFValueType.ARRAY,
                             sub_type=GGUFValueType[kind])
    values = np.arange(64, dtype=np.float32).reshape(2, 32) - 20
    writer.add_tensor("t.f32", values)
    writer.add_tensor("t.f16", values.astype(np.float16).reshape(4, 16))
    writer.add_tensor("t.i32", np.arange(3, dtype=np.int32))
    writer.add_tensor("t.q8_0", quantize(values, GGMLQuantizationType.Q8_0),
                      raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(OUT, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
