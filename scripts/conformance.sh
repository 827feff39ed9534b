#!/bin/sh
# Runs the protocol's own conformance suite against the real server over HTTP, both revisions; the suite and a node that
# it works with are installed into .conformance, once; `setup` does that alone.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
folder=$root/.conformance
suite=@modelcontextprotocol/conformance@0.2.0-alpha.12

if [ ! -x "$folder/node_modules/.bin/conformance" ]; then
  command -v npm >/dev/null 2>&1 || { echo "npm is needed to install the suite." >&2; exit 1; }
  echo "Setting up .conformance, once ..." >&2
  npm install --silent --no-save --no-audit --no-fund --prefix "$folder" node@22 "$suite" >&2
fi
[ "${1:-}" != setup ] || exit 0
PATH=$folder/node_modules/node/bin:$PATH

work=$(mktemp -d)
mkdir "$work/project"
"$root/.venv/bin/python" "$root/tests/conformance/conformance_server.py" "$work/home" "$work/project" \
  >"$work/address" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM
until [ -s "$work/address" ]; do
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.2
done

failed=
for revision in 2026-07-28 2025-11-25; do
  echo "== $revision"
  "$folder/node_modules/.bin/conformance" server --url "$(cat "$work/address")" --requirements "$revision" \
    -o "$work/$revision" >"$work/out" 2>&1 || failed="$failed $revision"
  sed -n '/=== SUMMARY/,$p' "$work/out"
done

# The suite runs extensions and scores none of them.
echo "== tasks"
for scenario in $("$folder/node_modules/.bin/conformance" list --server | grep -oE 'tasks-[a-z-]+' | sort -u); do
  "$folder/node_modules/.bin/conformance" server --url "$(cat "$work/address")" --scenario "$scenario" --force \
    --spec-version 2026-07-28 -o "$work/tasks" >"$work/out" 2>&1 || failed="$failed $scenario"
  grep -E "^[✓✗]" "$work/out" || tail -n 3 "$work/out"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
