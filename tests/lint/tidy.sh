#!/bin/sh
# clang-tidy over the sources given, or over all of the program's; one line per finding and a
# summary. Exit code 1 if there is any finding. Needs a configured build, not a finished one.
#   usage: tidy.sh BUILD_DIRECTORY [FILE ...]
set -eu
cd "$(dirname "$0")/../.."
build=$1
shift
if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046  # a list of words
  set -- $(git ls-files 'config/*.cc' 'kernels/*.cc' 'models/*.cc' 'engine/*.cc' 'server/*.cc')
fi
# Files that this build does not compile (instruction sets of other processors, CUDA without its
# toolkit) are left out: clang does not know how to read them.
files=$(printf '%s\n' "$@" | while read -r file; do
  if grep -q "/$file\"" "$build/compile_commands.json"; then echo "$file"; fi
done)
if [ -z "$files" ]; then
  echo "tidy: nothing to look at"
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
printf '%s\n' "$files" | xargs -P "$(nproc)" -n 2 clang-tidy-14 --quiet -p "$build" >"$log" 2>&1 ||
  status=$?
n_files=$(printf '%s\n' "$files" | wc -l)
grep -v 'warnings\{0,1\} generated\.$\|^Suppressed \|^Use -header-filter\|treated as error' "$log" || true
n_findings=$(grep -E ': (warning|error): ' "$log" | sort -u | wc -l)
if [ "$n_findings" -gt 0 ]; then
  echo "tidy: $n_findings findings in $n_files sources"
  exit 1
fi
if [ "$status" -ne 0 ]; then
  echo "tidy: clang-tidy ended early on some of $n_files sources; nothing is said about those"
  exit 1
fi
echo "tidy: no findings in $n_files sources"
