#!/usr/bin/env python3
"""Includes go down the ladder only: config < kernels < models < engine < server.

The build enforces each target's own DEPS; this checks the ladder itself, so that a DEPS line cannot
point upward unseen.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LADDER = ["config", "kernels", "models", "engine", "server"]
BACKENDS = ["kernels/cpu/", "kernels/cuda/", "kernels/metal/"]


def main():
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.inc"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.splitlines()
    findings = []
    for name in listed:
        top = name.split("/")[0]
        if top not in LADDER:
            continue
        allowed = LADDER[: LADDER.index(top) + 1]
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            include = re.match(r'\s*#include "([^"]+)"', line)
            if not include:
                continue
            target = include.group(1)
            if not (ROOT / target).is_file():
                findings.append(f"{name}:{number}: includes are full paths from the root: {target}")
                continue
            if target.split("/")[0] not in allowed:
                findings.append(f"{name}:{number}: {top} may not include {target}")
            if top in ("models", "engine") and any(target.startswith(b) for b in BACKENDS):
                findings.append(f"{name}:{number}: {top} never names a concrete backend: {target}")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
