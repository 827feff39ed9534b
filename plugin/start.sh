#!/bin/sh
# Starts dispatch-mcp for the Claude Code plugin, from whatever folder the session is in.
# A checkout's own environment comes first, then a dispatch-mcp of the same version on the path. Where there is neither,
# the first start makes an environment in the plugin's data folder; this takes a while, and later starts find it ready.
# `start.sh hook NAME` and the like start other commands; without arguments it is the server.
set -eu

[ $# -gt 0 ] || set -- serve
unset PYTHONHOME PYTHONINSPECT PYTHONPLATLIBDIR # of somebody's own Python; ours would not start, or not end
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)

works() {
  # The interpreter of a console script stands in its first line; an environment that was moved has lost it.
  [ -x "$1" ] && [ -x "$(sed -n '1s/^#!//p' "$1")" ]
}

own=$root/.venv/bin/dispatch-mcp
if works "$own"; then
  exec "$own" "$@"
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml" | head -n 1)
installed=$(command -v dispatch-mcp || true)
if [ -n "$installed" ] && [ "$("$installed" --version 2>/dev/null </dev/null)" = "dispatch-mcp $version" ]; then
  exec "$installed" "$@"
fi

DISPATCH_MCP_VENV=${CLAUDE_PLUGIN_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/dispatch-mcp-plugin}/venv
export DISPATCH_MCP_VENV
mkdir -p "$(dirname "$DISPATCH_MCP_VENV")"
lock=$DISPATCH_MCP_VENV.lock
waited=0
until mkdir "$lock" 2>/dev/null; do # several sessions may start at once
  waited=$((waited + 1))
  [ $waited -lt 300 ] || rmdir "$lock" 2>/dev/null || true
  sleep 1
done
trap 'rmdir "$lock" 2>/dev/null || true' EXIT
sh "$root/scripts/environment.sh" plain >&2 </dev/null
rmdir "$lock"
exec "$DISPATCH_MCP_VENV/bin/dispatch-mcp" "$@"
