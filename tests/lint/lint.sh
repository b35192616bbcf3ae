#!/bin/sh
# Formatting, shell scripts and the rules of style. Run by `./dev lint` and in CI.
set -eu
cd "$(dirname "$0")/../.."
git ls-files '*.h' '*.cc' | xargs clang-format-14 --dry-run -Werror
git ls-files '*.sh' | xargs shellcheck dev .ci/run
python3 tests/lint/check_style.py
python3 tests/lint/check_layers.py
echo "lint: no findings"
