#!/usr/bin/env python3
"""Puts the same load on `quern serve` and on llama.cpp's llama-server and compares what clients see.

llama.cpp is taken as Debian sid packages it, as in compare_llamacpp.py. In each round one server after
the other is started with the same model, threads, parallel sequences and context, and `quern bench
serve` drives it over the loopback interface: prompts of random words (no two alike, so that no cache
of prompts helps), answers of exactly the length asked for. Who goes first alternates. Prints medians
over the rounds and ratios. Needs root for the chroot.

    tests/bench/compare_llama_server.py --quern build/release/quern --chroot /var/tmp/sid model.gguf
    tests/bench/compare_llama_server.py --rounds 1 --only quern --long-prompt 8000 model.gguf
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

from compare_llamacpp import Failure, call, prepare_chroot, visible, with_proc

START_SECONDS = 300
EXTRA = json.dumps({"ignore_eos": True, "temperature": 0})

# (key, what it is, unit, whether more is better)
FIGURES = [
    ("aggregate", "all clients together", "tokens/s", True),
    ("first_token", "time to first token, median", "ms", False),
    ("idle_gap", "usual gap of the running streams", "ms", False),
    ("longest_pause", "their longest pause when the long prompt comes", "ms", False),
    ("long_prompt", "time to first token of the long prompt", "ms", False),
    ("crowd_errors", "errors among the crowd", "", False),
    ("crowd_aggregate", "the crowd together", "tokens/s", True),
    ("long_answers", "all clients together, long answers", "tokens/s", True),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(port):
    try:
        # Not through a proxy that the environment may name.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def server(command, port, log):
    """Runs a server until the block ends; begins when it answers."""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not healthy(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{' '.join(command)} does not answer; its output is in {log}")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Driver:
    """`quern bench serve` on one server."""

    def __init__(self, args, port, seed):
        self.args = args
        self.port = port
        self.seed = seed

    def command(self, *more):
        self.seed += 1
        return [str(self.args.quern.resolve()), "bench", "serve", f"http://127.0.0.1:{self.port}",
                "--extra", EXTRA, "--json", "--seed", str(self.seed), *map(str, more)]

    def run(self, *more):
        report = json.loads(call(self.command(*more)))
        if report["tokens"]["from"] != "usage":
            raise Failure("a server sent no usage; tokens cannot be compared")
        return report

    def begin(self, *more):
        return subprocess.Popen(self.command(*more), stdout=subprocess.PIPE, text=True)


def strict(report):
    """A report without failures, or a Failure."""
    if report["requests"]["failed"]:
        raise Failure(f"requests failed: {json.dumps(report['failures'])}")
    return report


def base(args, driver, _):
    report = strict(driver.run("-c", args.clients, "-n", args.repeat * args.clients,
                               "--prompt-words", 32, "--max-tokens", args.max_tokens))
    return {"aggregate": report["tokens"]["completion_per_second"],
            "first_token": report["time_to_first_token_ms"]["p50"]}


def pause(args, driver, prompt_tokens):
    """Some streams run; a long prompt comes."""
    running = driver.begin("-c", args.streams, "-n", args.streams, "--prompt-words", 32,
                           "--max-tokens", args.stream_tokens)
    time.sleep(args.settle)
    words = round(args.long_prompt * 32 / prompt_tokens)
    alone = strict(driver.run("-n", 1, "--prompt-words", words, "--max-tokens", 1))
    early = running.poll() is not None
    report = strict(json.loads(running.communicate()[0]))
    if early:
        raise Failure("the running streams ended before the long prompt did; raise --stream-tokens")
    return {"idle_gap": report["gap_ms"]["p50"], "longest_pause": report["longest_gap_ms"]["max"],
            "long_prompt": alone["time_to_first_token_ms"]["max"],
            "long_prompt_tokens": alone["tokens"]["prompt"]}


def crowd(args, driver, _):
    report = driver.run("-c", args.crowd, "-n", args.repeat * args.crowd, "--prompt-words", 32,
                        "--max-tokens", 16)
    return {"crowd_errors": report["requests"]["failed"],
            "crowd_aggregate": report["tokens"]["completion_per_second"]}


def long_answers(args, driver, _):
    report = strict(driver.run("-c", args.clients, "-n", args.clients, "--prompt-words", 32,
                               "--max-tokens", args.long_answer))
    return {"long_answers": report["tokens"]["completion_per_second"],
            "decode": args.clients * 1e3 / report["gap_ms"]["mean"]}


TESTS = {"base": base, "pause": pause, "crowd": crowd, "long": long_answers}


def measure(args, port, seed):
    """The figures of one server in one round."""
    driver = Driver(args, port, seed)
    warm = strict(driver.run("-n", 2, "--prompt-words", 32, "--max-tokens", 8))
    figures = {"prompt_tokens": warm["tokens"]["prompt"] / warm["requests"]["answered"]}
    for name in args.tests.split(","):
        part = TESTS[name](args, driver, figures["prompt_tokens"])
        print("  " + ", ".join(f"{key} {value:.1f}" for key, value in part.items()),
              file=sys.stderr)
        figures.update(part)
    return figures


def run_quern(args, model, seed):
    port = free_port()
    command = [str(args.quern.resolve()), "serve", str(model), "--port", str(port), "-t",
               str(args.threads), "-p", str(args.clients), "-c", str(args.context), "--log-level",
               "warn", *args.quern_arg]
    with server(command, port, args.logs / "quern.log"):
        return measure(args, port, seed)


def run_llama(args, inside, seed):
    port = free_port()
    command = ["chroot", str(args.chroot), "llama-server", "-m", inside, "--host", "127.0.0.1",
               "--port", str(port), "-t", str(args.threads), "-np", str(args.clients), "-c",
               str(args.clients * args.context), *args.llama_arg]
    with server(command, port, args.logs / "llama-server.log"):
        return measure(args, port, seed)


def run_bench(args, model):
    """Tokens/s of the model alone at the same batch: what the server can give at most."""
    command = [str(args.quern.resolve()), "bench", str(model), "-t", str(args.threads), "-p", "0",
               "-n", str(args.long_answer), "-b", str(args.clients), "-c", "0", "-r", "1", "--json",
               "--no-measure"]
    return json.loads(call(command))["rows"][0]["tokens_per_second"]["median"]


def compare(args, model, inside):
    """{program: {figure: [value of each round]}}"""
    samples = {}
    for number in range(args.rounds):
        order = ["quern", "llama.cpp"] if number % 2 else ["llama.cpp", "quern"]
        for name in order:
            if args.only and name != args.only:
                continue
            print(f"round {number + 1} of {args.rounds}: {name}", file=sys.stderr)
            seed = args.seed + 1000 * number
            figures = (run_quern(args, model, seed) if name == "quern" else
                       run_llama(args, inside, seed))
            if name == "quern" and "long" in args.tests:
                figures["bench"] = run_bench(args, model)
            for key, value in figures.items():
                samples.setdefault(name, {}).setdefault(key, []).append(value)
    return samples


def table(args, samples):
    medians = {name: {key: statistics.median(values) for key, values in by_key.items()}
               for name, by_key in samples.items()}
    ours = medians.get("quern", {})
    theirs = medians.get("llama.cpp", {})
    yield f"{'':48} {'quern':>9} {'llama.cpp':>10} {'ratio':>6}"
    for key, label, unit, more_is_better in FIGURES:
        a, b = ours.get(key), theirs.get(key)
        if a is None and b is None:
            continue
        label = f"{label}, {unit}" if unit else label
        ratio = ""
        if a and b:
            ratio = f"{a / b if more_is_better else b / a:6.2f}"
        cells = [f"{value:{width}.1f}" if value is not None else " " * width
                 for value, width in ((a, 9), (b, 10))]
        yield f"{label:48} {cells[0]} {cells[1]} {ratio:>6}"
    one = ours or theirs
    long = (f", the long one of {one['long_prompt_tokens']:.0f}" if "long_prompt_tokens" in one
            else "")
    yield (f"prompts of {one['prompt_tokens']:.0f} tokens{long}; answers of {args.max_tokens}, the "
           f"long ones of {args.long_answer}; {args.clients} clients, {args.streams} running "
           f"streams, a crowd of {args.crowd}")
    if "bench" in ours:
        yield (f"quern bench, batch of {args.clients}: {ours['bench']:.1f} tokens/s; the server with "
               f"long answers: {100 * ours['long_answers'] / ours['bench']:.0f} % of it with the "
               f"prompts, {100 * ours['decode'] / ours['bench']:.0f} % between tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--quern", type=pathlib.Path, default=pathlib.Path("build/release/quern"))
    parser.add_argument("--chroot", type=pathlib.Path, default=pathlib.Path("/var/tmp/quern-sid"))
    parser.add_argument("--mirror", help="Debian mirror [the one this machine is configured with]")
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clients", type=int, default=16, help="and parallel sequences [16]")
    parser.add_argument("--crowd", type=int, default=64, help="clients of the crowd [64]")
    parser.add_argument("--max-tokens", type=int, default=48, help="of each answer [48]")
    parser.add_argument("--long-answer", type=int, default=256, help="tokens [256]")
    parser.add_argument("--long-prompt", type=int, default=1000, help="tokens, about [1000]")
    parser.add_argument("--streams", type=int, default=4, help="that run when it comes [4]")
    parser.add_argument("--stream-tokens", type=int, default=400, help="each has [400]")
    parser.add_argument("--settle", type=float, default=3, help="seconds they run before [3]")
    parser.add_argument("--context", type=int, default=2048, help="tokens of each sequence [2048]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=1, help="requests of each client [1]")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts [0]")
    parser.add_argument("--tests", default=",".join(TESTS), help="some of [%(default)s]")
    parser.add_argument("--only", choices=["quern", "llama.cpp"])
    parser.add_argument("--logs", type=pathlib.Path, default=pathlib.Path("/tmp"),
                        help="folder for the servers' output [/tmp]")
    parser.add_argument("--quern-arg", action="append", default=[], help="further argument; repeat")
    parser.add_argument("--llama-arg", action="append", default=[], help="further argument; repeat")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not set(args.tests.split(",")) <= set(TESTS):
        parser.error(f"--tests knows {', '.join(TESTS)}")
    # Ending it by a signal, too, must leave no mount and no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if args.only == "quern":
            samples = compare(args, args.model, "")
        else:
            prepare_chroot(args.chroot, args.mirror)
            with with_proc(args.chroot), visible(args.chroot, args.model) as inside:
                samples = compare(args, args.model, inside)
    except Failure as failure:
        print(f"compare_llama_server: {failure}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"threads": args.threads, "rounds": args.rounds, "samples": samples}, indent=2))
    else:
        print(f"{args.threads} threads, medians of {args.rounds} rounds")
        print("\n".join(table(args, samples)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
