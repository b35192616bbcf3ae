#!/usr/bin/env python3
"""Quantizes a small real model with every recipe and scores each file here and with llama.cpp.

The model is stories260K with wide rows (wide_demo.py). For each recipe the table says the bits per
weight, the error of the weights that `quern fit` samples, this program's perplexity and KL divergence
from the F32 file, llama-perplexity's perplexity on the same file and text, and their ratio. A recipe
passes when both load the file and the perplexities differ by at most half a percent; exit code 1 if
one does not. llama.cpp is taken from a chroot, such as compare_llamacpp.py of tests/bench makes;
needs root for it, and numpy and gguf (PyPI).

    tests/quality/check_recipes.py --quern build/release/quern --chroot /var/tmp/sid text.txt
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "models/demo/stories260K.gguf"
LARGEST = 0.005
ATTEMPTS = 4  # llama-perplexity sometimes ends before its last words are out
HEAD = ("recipe", "bits", "error", "KL divergence", "ppl here", "ppl llama.cpp", "ratio", "")


def call(command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)


def recipes(quern):
    text = call([quern, "quantize", "--help"]).stdout
    names = re.search(r"one of ((?:\w+,\s+)+\w+)", text).group(1)
    return [name for name in re.split(r",\s+", names) if name != "F32"]


class Check:
    def __init__(self, arguments, folder):
        self.quern, self.chroot = arguments.quern.resolve(), arguments.chroot.resolve()
        self.threads, self.context, self.folder = arguments.threads, arguments.context, folder
        self.source = folder / "wide.gguf"
        self.text = folder / "text.txt"
        self.text.write_bytes(arguments.text.read_bytes()[:arguments.bytes])
        subprocess.run([sys.executable, HERE / "wide_demo.py", DEMO, self.source], check=True)
        self.rows = self.judged()

    def judged(self):
        """The rows of `quern fit` by recipe."""
        report = json.loads(call([self.quern, "fit", "--no-measure", "--json", self.source],
                                 check=True).stdout)
        return {row["format"]: row for row in report["models"]}

    def here(self, path):
        done = call([self.quern, "perplexity", path, self.text, "--context", self.context, "-t",
                     self.threads, "--reference", self.source, "--json"])
        if done.returncode != 0:
            return None, done.stderr.strip().splitlines()[-1]
        return json.loads(done.stdout), None

    def there(self, path, windows):
        """The running perplexity after the last window, which is that of the text."""
        for _ in range(ATTEMPTS):
            value, problem = self.there_once(path, windows)
            if value is not None:
                break
        return value, problem

    def there_once(self, path, windows):
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        inside = [f"/{p.relative_to(self.chroot)}" for p in (path, self.text, log)]
        done = call(["chroot", self.chroot, "llama-perplexity", "-m", inside[0], "-f", inside[1],
                     "--log-file", inside[2], "-c", self.context, "-b", self.context, "-t",
                     self.threads])
        said = (log.read_text(errors="replace") if log.exists() else "") + done.stdout + done.stderr
        found = {int(window): float(value)
                 for window, value in re.findall(r"\[(\d+)\]([0-9.]+|nan|inf)", said)}
        if windows not in found:
            return None, f"llama-perplexity ended with {done.returncode} before window {windows}"
        return found[windows], None

    def row(self, recipe):
        path = self.folder / f"{recipe}.gguf"
        done = call([self.quern, "quantize", self.source, path, recipe, "-t", self.threads])
        if done.returncode != 0:
            return False, [recipe, "", "", "", "", "", "", done.stderr.strip()]
        ours, problem = self.here(path)
        if not problem:
            theirs, problem = self.there(path, ours["windows"])
        path.unlink()
        if problem:
            return False, [recipe, "", "", "", "", "", "", f"FAIL: {problem}"]
        ratio = ours["perplexity"]["value"] / theirs
        passed = abs(ratio - 1) <= LARGEST
        judged = self.rows.get(recipe)
        return passed, [recipe, f"{judged['bits_per_weight']:.2f}" if judged else "",
                        f"{100 * judged['error']:.3g} %" if judged else "",
                        f"{ours['kl_divergence']['value']:.3g}",
                        f"{ours['perplexity']['value']:.4f}", f"{theirs:.4f}", f"{ratio:.5f}",
                        "pass" if passed else "FAIL"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=pathlib.Path, help="a plain text")
    parser.add_argument("--quern", type=pathlib.Path, default="build/release/quern")
    parser.add_argument("--chroot", type=pathlib.Path, required=True)
    parser.add_argument("--bytes", type=int, default=60000, help="of the text that are scored")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipes", nargs="*", help="some instead of all")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="quern-recipes-", dir=arguments.chroot / "tmp"))
    all_passed = True
    try:
        check = Check(arguments, folder.resolve())
        print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
        for recipe in arguments.recipes or recipes(check.quern):
            passed, cells = check.row(recipe)
            all_passed = all_passed and passed
            print("| " + " | ".join(cells) + " |", flush=True)
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if all_passed else 1)


if __name__ == "__main__":
    main()
