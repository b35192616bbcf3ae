#!/bin/sh
# Runs every fuzz target of a build for some seconds; new inputs go to the build directory.
#   usage: run.sh BUILD_DIRECTORY SECONDS
set -eu
build=$1
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
for source in "$here"/fuzz_*.cc; do
  name=$(basename "$source" .cc)
  subject=${name#fuzz_}
  mkdir -p "$build/finds_$subject"
  echo "$name: $seconds s"
  "$build/tests/fuzz/$name" "-dict=$here/$subject.dict" "-max_total_time=$seconds" \
    -print_final_stats=1 "$build/finds_$subject" "$here/corpus_$subject" 2>"$build/$name.log" ||
    { tail -n 30 "$build/$name.log"; exit 1; }
  grep -E 'stat::(number_of_executed_units|average_exec_per_sec)' "$build/$name.log"
done
