"""Reads files written by our writer with the `gguf` PyPI package and compares them with the source.

Run by hand after a change to the writer, on any file of ours, with the file it should equal:
  pip install gguf numpy
  python tests/models/gguf/check_with_gguf_py.py OURS.gguf EXPECTED.gguf
With one argument it only checks that the reference implementation can read everything.
models/demo/stories260K.gguf is such a file (made by models/convert).
"""

import sys

import numpy as np
from gguf import GGUFReader


def content(path):
    reader = GGUFReader(path)
    fields = {name: ([str(t) for t in f.types], f.contents()) for name, f in reader.fields.items()
              if not name.startswith("GGUF.")}
    tensors = {t.name: (str(t.tensor_type), [int(n) for n in t.shape], np.asarray(t.data).tobytes())
               for t in reader.tensors}
    return fields, tensors


def main() -> int:
    ours = content(sys.argv[1])
    print(f"{sys.argv[1]}: {len(ours[0])} keys, {len(ours[1])} tensors read")
    if len(sys.argv) < 3:
        return 0
    expected = content(sys.argv[2])
    for what, a, b in (("keys", ours[0], expected[0]), ("tensors", ours[1], expected[1])):
        if list(a) != list(b):
            print(f"DIFFERENT names of {what}: {set(a) ^ set(b)}")
            return 1
        for name in a:
            if a[name] != b[name]:
                print(f"DIFFERENT {what}: {name}")
                return 1
    print("equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
