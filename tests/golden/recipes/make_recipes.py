#!/usr/bin/env python3
"""Writes recipes.txt: which format llama.cpp's quantizer gives each matrix, for several shapes.

    make_recipes.py --quantize "chroot DIR llama-quantize" SHAPE=MODEL.gguf ... > recipes.txt

The models come from `quern synth SHAPE F16 MODEL.gguf` (only their headers matter); the quantizer runs
with --dry-run, so no importance matrix and no time is needed. Frozen with Debian sid's package of
llama.cpp. A line holds: shape, recipe, tensor ("blk.*." for all layers), then FORMAT:LAYERS parts.
"""

import argparse
import re
import shlex
import subprocess

RECIPES = ("Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K "
           "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS TQ1_0 TQ2_0"
           ).split()
LINE = re.compile(r"\]\s+(\S+)\s+- \[.*type =\s*(\S+), size =.*?(?:->.*\((\S+)\))?\s*$")


def formats(command, model, recipe):
    done = subprocess.run([*command, "--allow-requantize", "--dry-run", model, recipe],
                          capture_output=True, text=True)
    table = {}
    for line in (done.stdout + done.stderr).splitlines():
        found = LINE.search(line.rstrip())
        if not found:
            continue
        name, before, after = found.groups()
        layer = re.match(r"blk\.(\d+)\.(.*)", name)
        tensor, number = (f"blk.*.{layer[2]}", layer[1]) if layer else (name, "-")
        table.setdefault(tensor, {}).setdefault((after or before).upper(), []).append(number)
    if not table:
        raise SystemExit(f"no tensors for {recipe}: {(done.stdout + done.stderr)[-400:]}")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quantize", default="llama-quantize")
    parser.add_argument("models", nargs="+", metavar="SHAPE=MODEL")
    args = parser.parse_args()
    for shape, model in (pair.split("=", 1) for pair in args.models):
        for recipe in RECIPES:
            for tensor, by_format in formats(shlex.split(args.quantize), model, recipe).items():
                if "F32" in by_format:
                    continue  # vectors and routers stay as they are
                parts = " ".join(f"{f}:{','.join(layers)}" for f, layers in by_format.items())
                print(shape, recipe, tensor, parts)


if __name__ == "__main__":
    main()
