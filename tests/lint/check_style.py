#!/usr/bin/env python3
"""The rules of style that a text search can check.

Each rule is one row of RULES: what is banned, where it is allowed, and why. Length caps and golden
files have functions of their own. Prints "file:line: finding" and exits 1 if there is any.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# (pattern, paths where it is fine, reason)
RULES = [
    (r"\bstd::regex\b", [], "std::regex recurses on its input; write a scanner"),
    (r"\b(std::)?(stoi|stol|stoul|stoull|stof|stod|strtol|strtoul|strtod|atoi|atof)\s*\(", [],
     "parse numbers with std::from_chars"),
    (r"\b(std::)?(sprintf|strcpy|strcat|gets)\s*\(", [], "unbounded write"),
    (r"\b(std::)?getenv\s*\(", ["server/main.cc", "tests/"], "the environment is read once, in main"),
    (r"std::(cout|cerr)\b", ["server/main.cc", "tests/"], "print through the caller's stream"),
    (r"(?<![\w:])(std::)?(printf|puts|fprintf)\s*\(", ["config/base/result.cc", "tests/"],
     "print through the caller's stream or the log"),
    (r"\b(std::)?abort\s*\(\s*\)", ["config/base/result.cc", "tests/"], "the one abort is CHECK's"),
    (r"(?<![\w:.])(std::)?_?exit\s*\(", ["server/main.cc", "tests/"], "return an exit code"),
    (r"\b(std::)?system\s*\(", ["tests/"], "no shell"),
    (r"#include <(immintrin|arm_neon|x86intrin)\.h>", ["kernels/cpu/"],
     "instruction-set headers stay in kernels/cpu"),
    (r"#include <cuda", ["kernels/cuda/", "kernels/formats/portable.h"], "CUDA headers stay in kernels/cuda"),
    (r"#include [<\"]httplib\.h", ["server/http/"], "the HTTP library is wrapped once"),
    (r"#include <nlohmann", ["config/base/json.h"], "JSON goes through config/base/json.h"),
    (r"#include \"config/base/json\.h\"",
     ["config/", "server/", "models/chat/", "models/convert/", "models/safetensors/",
      "engine/grammar/", "tests/"],
     "JSON types belong to front doors, profiles, templates and files that hold JSON"),
    (r"switch \((.*format|.*FormatId.*)\)", ["kernels/formats/"],
     "formats are table rows, not switch cases"),
    (r"\bTODO\b(?!\(#\d+\))", [], "a TODO carries an issue number: TODO(#12)"),
]

FILE_CAP = 600
FUNCTION_CAP = 100
# Tables of constants and generated files are exempt from the caps.
TABLE_MARK = re.compile("tables? of constants", re.IGNORECASE)


def sources():
    """Tracked C++ files as paths relative to the root."""
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.inc", "*.cu", "*.cuh"],
                            cwd=ROOT, check=True, capture_output=True, text=True)
    return [pathlib.PurePosixPath(line) for line in listed.stdout.splitlines()]


def without_comments(line):
    return re.sub(r"//.*", "", line)


def check_rules(path, lines):
    for number, line in enumerate(lines, 1):
        code = without_comments(line) if "TODO" not in line else line
        for pattern, allowed, reason in RULES:
            if any(str(path).startswith(prefix) for prefix in allowed):
                continue
            if re.search(pattern, code):
                yield f"{path}:{number}: {reason}"


def check_header(path, lines):
    if path.suffix == ".h" and "#pragma once" not in "\n".join(lines[:40]):
        if not path.name.endswith("-inl.h"):
            yield f"{path}:1: a header needs #pragma once"
    if lines and not lines[0].startswith("//") and path.suffix in (".h", ".cu", ".cuh"):
        yield f"{path}:1: a file opens with what it is for"


def function_lengths(lines):
    """(first line, length) of function bodies: clang-formatted code closes a body at its indent."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None:
            opening = re.match(r"^( {0,2})(?!namespace|struct|class|enum|union|extern|using)\S.*\{$",
                               line)
            if opening and ("(" in line or ")" in line) and "=" not in line.split("(")[0]:
                start = (number, opening.group(1))
        elif line.startswith(start[1] + "}"):
            yield start[0], number - start[0] + 1
            start = None


def check_lengths(path, lines):
    if TABLE_MARK.search(" ".join(lines[:12])):
        return
    if len(lines) > FILE_CAP:
        yield f"{path}:1: {len(lines)} lines, more than {FILE_CAP}"
    if path.suffix != ".cc":
        return
    for first, length in function_lengths(lines):
        if length > FUNCTION_CAP:
            yield f"{path}:{first}: a function of {length} lines, more than {FUNCTION_CAP}"


def check_goldens():
    """Every golden file is named by a test or by the list of files that its directory's test reads."""
    tests = subprocess.run(["git", "ls-files", "tests/*.cc", "tests/*.h", "tests/*.py",
                            "tests/*CMakeLists.txt"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout.splitlines()
    text = "\n".join((ROOT / name).read_text(errors="replace") for name in tests)
    listed = subprocess.run(["git", "ls-files", "tests/golden"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.splitlines()
    for name in listed:
        path = pathlib.PurePosixPath(name)
        if path.suffix in (".py", ".md", ".txt"):
            continue
        # Named itself, or its directory is read as a whole.
        if path.stem not in text and f"golden/{path.parts[2]}" not in text:
            yield f"{name}:1: a golden that no test reads"


def main():
    findings = list(check_goldens())
    for path in sources():
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        findings += check_rules(path, lines)
        findings += check_header(path, lines)
        findings += check_lengths(path, lines)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
