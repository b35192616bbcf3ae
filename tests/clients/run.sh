#!/bin/sh
# Drives the official Python and npm clients against a server started from the given binary.
#   usage: run.sh PATH_TO_QUERN [MODEL.gguf]
# Needs python3 with venv, node with npm, and a network for the first run; what is missing is said and
# counts as skipped (exit 77), or as failed where CI=true.
set -eu
skip() {
  echo "skipped: $*"
  if [ "${CI:-}" = true ]; then exit 1; fi
  exit 77
}
binary=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/clients
mkdir -p "$work"

for tool in python3 node npm; do
  command -v $tool >/dev/null || skip "no $tool on this machine"
done

# Installed again only when the pinned versions change.
if ! cmp -s "$here/requirements.txt" "$work/requirements.txt"; then
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet -r "$here/requirements.txt" ||
    skip "the Python clients could not be installed"
  cp "$here/requirements.txt" "$work/requirements.txt"
fi
if ! cmp -s "$here/package.json" "$work/package.json"; then
  cp "$here/package.json" "$work/package.json"
  (cd "$work" && npm install --silent --no-audit --no-fund --no-package-lock) ||
    { rm -f "$work/package.json"; skip "the npm clients could not be installed"; }
fi
# Node resolves packages beside the script, so the scripts run from where the packages are.
cp "$here"/*.mjs "$work/"

# The published text belongs to this model only.
if [ $# = 0 ]; then
  set -- -m stories260k
  export QUERN_TEST_EXPECTED="$root/tests/golden/demo/expected_greedy.txt"
fi

log=$work/server.log
"$binary" serve --port 0 "$@" >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT INT TERM

url=
tries=0
while [ -z "$url" ]; do
  url=$(grep -o 'http://[^ ]*' "$log" | head -n 1) || true
  kill -0 $server 2>/dev/null || { cat "$log"; echo "the server ended early"; exit 1; }
  tries=$((tries + 1))
  [ $tries -lt 300 ] || { cat "$log"; echo "the server gave no address within 30 s"; exit 1; }
  [ -n "$url" ] || sleep 0.1
done

export QUERN_TEST_URL="$url"
failed=0
"$work/venv/bin/python" -m pytest -q -p no:cacheprovider "$here" || failed=1
for script in "$work"/*.test.mjs; do
  node --test "$script" || failed=1
done

# It must also stop by itself when told to.
kill -TERM $server
wait $server || { echo "the server did not exit with 0"; failed=1; }
trap - EXIT
exit $failed
