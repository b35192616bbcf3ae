#!/usr/bin/env python3
"""Measures `quern bench` and llama.cpp's llama-bench side by side on the same model files.

llama.cpp is taken as Debian sid packages it, installed into a folder of its own (a chroot), which is
made on the first run and reused afterwards. Both programs run in turns, one after the other, with the
same number of threads, so that a machine that changes speed changes both. Prints the medians over
all rounds and their ratio. Needs root for the chroot.

    tests/bench/compare_llamacpp.py --quern build/release/quern --chroot /var/tmp/sid model.gguf
    tests/bench/compare_llamacpp.py -p 512 -n 64 -d 0,4096 --rounds 5 --json a.gguf b.gguf
    tests/bench/compare_llamacpp.py --llama-variant haswell --quern-arg=--isa --quern-arg=avx2 a.gguf
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

INSIDE = "/mnt/quern-bench"  # where the models are seen in the chroot
BENCH = "usr/bin/llama-bench"


class Failure(Exception):
    """Something outside went wrong; the text says what and what to do."""


def call(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise Failure(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{tail}")
    return done.stdout


def configured_mirror():
    """The first Debian mirror of this machine's package sources that is not the security archive."""
    texts = [path.read_text() for path in
             [pathlib.Path("/etc/apt/sources.list"),
              *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))] if path.is_file()]
    for text in texts:
        for line in text.splitlines():
            found = re.match(r"(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", line)
            if found:
                return found.group(1)
    raise Failure("no Debian mirror is configured on this machine; name one with --mirror")


def prepare_chroot(folder, mirror):
    """Makes sure that llama-bench is installed in `folder`."""
    if (folder / BENCH).exists():
        return
    if os.geteuid() != 0:
        raise Failure(f"making a chroot in {folder} needs root")
    if not (folder / "usr/bin/apt-get").exists():
        if shutil.which("debootstrap") is None:
            raise Failure("debootstrap is missing; install it with apt-get install debootstrap")
        print(f"installing a minimal Debian sid into {folder}", file=sys.stderr)
        call(["debootstrap", "--variant=minbase", "sid", str(folder), mirror or configured_mirror()])
    print("installing llama.cpp", file=sys.stderr)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    call(["chroot", str(folder), "apt-get", "update"], env=quiet)
    call(["chroot", str(folder), "apt-get", "install", "-y", "--no-install-recommends", "llama.cpp"],
         env=quiet)
    if not (folder / BENCH).exists():
        raise Failure(f"the package llama.cpp brought no /{BENCH}; look into {folder}")


@contextlib.contextmanager
def visible(folder, model):
    """The model's path inside the chroot: bind-mounted, or copied where mounting is not allowed."""
    there = folder / INSIDE.lstrip("/")
    there.mkdir(parents=True, exist_ok=True)
    target = there / model.name
    target.touch()
    bound = subprocess.run(["mount", "--bind", str(model.resolve()), str(target)],
                           capture_output=True).returncode == 0
    if not bound:
        shutil.copyfile(model, target)
    try:
        yield f"{INSIDE}/{model.name}"
    finally:
        if bound:
            call(["umount", "--lazy", str(target)])
        target.unlink()


@contextlib.contextmanager
def with_proc(folder):
    """llama-bench looks for its backends through /proc."""
    proc = folder / "proc"
    mounted = not (proc / "self").exists()
    if mounted:
        call(["mount", "-t", "proc", "proc", str(proc)])
    try:
        yield
    finally:
        if mounted:
            call(["umount", "--lazy", str(proc)])


@contextlib.contextmanager
def only_variant(folder, name):
    """Hides all but one of the CPU backends that llama.cpp brings, one per kind of processor."""
    if not name:
        yield
        return
    backends = next((folder / "usr/lib").glob("*/ggml/backends*"), None)
    if backends is None or not (backends / f"libggml-cpu-{name}.so").exists():
        known = sorted(p.stem.removeprefix("libggml-cpu-") for p in backends.glob("libggml-cpu-*.so")) \
            if backends else []
        raise Failure(f"llama.cpp brings no CPU backend '{name}'; it has {', '.join(known) or 'none'}")
    with tempfile.TemporaryDirectory() as shown:
        shutil.copy(backends / f"libggml-cpu-{name}.so", shown)
        call(["mount", "--bind", shown, str(backends)])
        try:
            yield
        finally:
            call(["umount", "--lazy", str(backends)])


def llama_variant(args):
    """The CPU backend that llama.cpp picks here: it brings one per kind of processor."""
    done = subprocess.run(["chroot", str(args.chroot), "/" + BENCH, "--list-devices"],
                          capture_output=True, text=True)
    loaded = re.findall(r"loaded CPU backend from \S*?([^/\s]+)$", done.stderr + done.stdout, re.MULTILINE)
    return loaded[-1] if loaded else "built in"


def run_llama(args, path):
    """{(test, tokens, depth): tokens/s} of one round."""
    command = ["chroot", str(args.chroot), "/" + BENCH, "-m", path, "-t", str(args.threads),
               "-p", args.prompt, "-n", args.steps, "-d", args.depth, "-r", "1", "-o", "json",
               *args.llama_arg]
    rates = {}
    for row in json.loads(call(command)):
        test = ("prefill", row["n_prompt"]) if row["n_prompt"] else ("decode", row["n_gen"])
        rates[(*test, row.get("n_depth", 0))] = row["avg_ts"]
    return rates


def run_quern(args, model):
    command = [str(args.quern.resolve()), "bench", str(model), "-t", str(args.threads), "-p", args.prompt,
               "-n", args.steps, "-c", args.depth, "-b", "1", "-r", "1", "--json", *args.quern_arg]
    report = json.loads(call(command))
    return {(row["test"], row["tokens"], row["depth"]): row["tokens_per_second"]["median"]
            for row in report["rows"]}


def compare(args, model):
    """Rows of one model: medians and the lowest and highest of both programs."""
    samples = {}
    with visible(args.chroot, model) as inside:
        for number in range(args.rounds):
            print(f"{model.name}: round {number + 1} of {args.rounds}", file=sys.stderr)
            # Who goes first alternates, too.
            order = ["quern", "llama.cpp"] if number % 2 else ["llama.cpp", "quern"]
            for name in order:
                rates = run_quern(args, model) if name == "quern" else run_llama(args, inside)
                for test, rate in rates.items():
                    samples.setdefault(test, {}).setdefault(name, []).append(rate)
    rows = []
    for (test, tokens, depth), by_name in samples.items():
        if len(by_name) < 2:
            continue
        row = {"model": model.name, "test": test, "tokens": tokens, "depth": depth}
        for name, rates in by_name.items():
            row[name] = {"median": statistics.median(rates), "low": min(rates), "high": max(rates)}
        row["ratio"] = row["quern"]["median"] / row["llama.cpp"]["median"]
        rows.append(row)
    return rows


def table(rows):
    yield f"{'model':32} {'test':8} {'tokens':>6} {'depth':>6} {'quern':>9} {'llama.cpp':>10} {'ratio':>6}"
    for row in rows:
        yield (f"{row['model'][:32]:32} {row['test']:8} {row['tokens']:6} {row['depth']:6} "
               f"{row['quern']['median']:9.1f} {row['llama.cpp']['median']:10.1f} "
               f"{row['ratio']:6.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--quern", type=pathlib.Path, default=pathlib.Path("build/release/quern"))
    parser.add_argument("--chroot", type=pathlib.Path, default=pathlib.Path("/var/tmp/quern-sid"))
    parser.add_argument("--mirror", help="Debian mirror [the one this machine is configured with]")
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("-p", "--prompt", default="512", help="prompt lengths [512]")
    parser.add_argument("-n", "--steps", default="128", help="tokens to decode [128]")
    parser.add_argument("-d", "--depth", default="0", help="tokens in the context before [0]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quern-arg", action="append", default=[], help="further argument; repeat")
    parser.add_argument("--llama-arg", action="append", default=[], help="further argument; repeat")
    parser.add_argument("--llama-variant", metavar="NAME",
                        help="let llama.cpp load this CPU backend only, e.g. haswell (AVX2)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Ending it by a signal, too, must leave no mount behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        prepare_chroot(args.chroot, args.mirror)
        with with_proc(args.chroot), only_variant(args.chroot, args.llama_variant):
            rows = [row for model in args.models for row in compare(args, model)]
            version = call(["chroot", str(args.chroot), "dpkg-query", "-W", "llama.cpp"]).split()
            variant = llama_variant(args)
    except Failure as failure:
        print(f"compare_llamacpp: {failure}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"threads": args.threads, "rounds": args.rounds,
                          "llama_cpp_package": version[-1], "llama_cpp_backend": variant,
                          "rows": rows}, indent=2))
    else:
        print(f"{args.threads} threads, medians of {args.rounds} rounds, tokens/s, "
              f"llama.cpp package {version[-1]} with {variant}")
        print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
