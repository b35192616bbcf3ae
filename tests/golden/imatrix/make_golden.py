#!/usr/bin/env python3
"""Writes experts.txt: the importance matrix that llama-imatrix makes of a small mixture of experts.

    make_golden.py QUERN CHROOT

QUERN writes the model (`quern synth tiny-moe F32`: 2 blocks, 8 experts of which a token uses 2); CHROOT
holds llama.cpp (Debian sid: llama.cpp-tools, 0.7.0), which reads text.txt in 4 chunks of 64 tokens.
Needs root for the chroot, and gguf (PyPI). One line for each matrix of each tensor: tensor, matrix,
rows that came in, the sum of all sums of squares, and every 16th of them.
"""

import pathlib
import subprocess
import sys
import tempfile

import gguf

HERE = pathlib.Path(__file__).resolve().parent


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    quern, chroot = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=pathlib.Path(chroot) / "tmp") as folder:
        inside = "/tmp/" + pathlib.Path(folder).name
        (pathlib.Path(folder) / "text.txt").write_bytes((HERE / "text.txt").read_bytes())
        subprocess.run([quern, "synth", "tiny-moe", "F32", folder + "/moe.gguf"], check=True)
        subprocess.run(["chroot", chroot, "llama-imatrix", "-m", inside + "/moe.gguf", "-f",
                        inside + "/text.txt", "-c", "64", "-b", "64", "--chunks", "4", "-t", "1", "-o",
                        inside + "/out.gguf"], check=True)
        tensors = {tensor.name: tensor.data for tensor in
                   gguf.GGUFReader(folder + "/out.gguf").tensors}
        with (HERE / "experts.txt").open("w") as out:
            for name in sorted(tensors):
                if not name.endswith(".in_sum2"):
                    continue
                matrix = name.removesuffix(".in_sum2")
                counts = tensors[matrix + ".counts"].reshape(-1)
                sums = tensors[name].reshape(len(counts), -1)
                for m, count in enumerate(counts):
                    some = " ".join(f"{value:.6g}" for value in sums[m, ::16])
                    total = sums[m].astype("float64").sum()
                    print(matrix, m, f"{count:.0f}", f"{total:.6g}", some, file=out)


if __name__ == "__main__":
    main()
