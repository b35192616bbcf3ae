#!/bin/sh
# Runs fuzz targets of a build for some seconds each; new inputs go to the build directory.
#   usage: run.sh BUILD_DIRECTORY SECONDS [SUBJECT ...]     (all subjects by default)
# FUZZ_FLAGS: further flags of libFuzzer.
set -eu
build=$1
seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -eq 0 ]; then
  for source in "$here"/fuzz_*.cc; do
    name=$(basename "$source" .cc)
    set -- "$@" "${name#fuzz_}"
  done
fi
for subject in "$@"; do
  name=fuzz_$subject
  mkdir -p "$build/finds_$subject"
  echo "$name: $seconds s"
  # One input may take a template's whole budget, under sanitizers a few seconds.
  # shellcheck disable=SC2086  # the flags are words
  "$build/tests/fuzz/$name" "-dict=$here/$subject.dict" "-max_total_time=$seconds" -timeout=20 \
    -rss_limit_mb=2048 ${FUZZ_FLAGS:-} "-artifact_prefix=$build/crash_${subject}_" -print_final_stats=1 \
    "$build/finds_$subject" "$here/corpus_$subject" 2>"$build/$name.log" ||
    { tail -n 40 "$build/$name.log"; exit 1; }
  grep -E 'stat::(number_of_executed_units|average_exec_per_sec|slowest_unit_time_sec)' \
    "$build/$name.log"
done
