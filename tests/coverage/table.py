#!/usr/bin/env python3
"""Prints the line coverage per folder of a build made with the coverage preset.

Usage: table.py BUILD_DIRECTORY [FOLDER ...]     (with folders: also their files, least covered first)

Reads gcov's JSON and nothing else. A header is compiled into many objects and reached through the
build's links; its lines are counted once, as covered if any object ran them.
"""
import json
import os
import pathlib
import subprocess
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = ["config", "kernels", "models", "engine", "server"]
GCOV = os.environ.get("GCOV", "gcov")


def documents(build):
    """gcov's report of every object, those that never ran included."""
    notes = sorted(build.rglob("*.gcno"))
    for at in range(0, len(notes), 16):
        done = subprocess.run([GCOV, "--json-format", "--stdout", *map(str, notes[at:at + 16])],
                              cwd=build, check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def read_lines(build):
    """{path from the root: {line: whether it ran}} of the program's own sources."""
    lines = defaultdict(lambda: defaultdict(bool))
    places = {}
    for document in documents(build):
        for entry in document["files"]:
            name = os.path.join(document["current_working_directory"], entry["file"])
            if name not in places:
                real = pathlib.Path(os.path.realpath(name))
                inside = real.is_relative_to(ROOT) and real.relative_to(ROOT).parts[0] in LAYERS
                places[name] = str(real.relative_to(ROOT)) if inside else None
            if places[name] is None:
                continue
            ran = lines[places[name]]
            for line in entry["lines"]:
                ran[line["line_number"]] |= line["count"] > 0
    return lines


def row(name, counts):
    covered, total = counts
    return f"{name:<28} {covered:>7} of {total:>6} {100 * covered / max(total, 1):>6.1f} %"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    lines = read_lines(build)
    if not lines:
        print(f"table.py: no coverage data below {build}; run its tests first", file=sys.stderr)
        return 1
    folders, files, total = defaultdict(lambda: [0, 0]), {}, [0, 0]
    for path, ran in lines.items():
        counts = [sum(ran.values()), len(ran)]
        files[path] = counts
        parts = pathlib.PurePath(path).parts
        for folder in {parts[0], "/".join(parts[:-1][:2])}:
            folders[folder] = [a + b for a, b in zip(folders[folder], counts)]
        total = [a + b for a, b in zip(total, counts)]
    for folder in sorted(folders, key=lambda name: (LAYERS.index(name.split("/")[0]), name)):
        print(row(("  " if "/" in folder else "") + folder, folders[folder]))
    print(row("all", total))
    for folder in sys.argv[2:]:
        below = [path for path in files if path.startswith(folder.rstrip("/") + "/")]
        for path in sorted(below, key=lambda path: files[path][0] / max(files[path][1], 1)):
            print(row(path, files[path]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
