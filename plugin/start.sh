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

venv=${CLAUDE_PLUGIN_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/dispatch-mcp-plugin}/venv
lock=$venv.lock
mkdir -p "$(dirname "$venv")"

forsaken() {
  # A client that waits no longer ends its start and not what makes the environment, so that is whose lock it is.
  maker=$(cat "$lock/maker" 2>/dev/null) && [ -n "$maker" ] && ! kill -0 "$maker" 2>/dev/null
}

waited=0
until mkdir "$lock" 2>/dev/null; do # several sessions may start at once
  waited=$((waited + 1))
  if forsaken || [ $waited -ge 300 ]; then
    rm -rf "$lock"
  else
    sleep 1
  fi
done
trap 'rm -rf "$lock"' EXIT
DISPATCH_MCP_VENV=$venv sh "$root/scripts/environment.sh" plain >&2 </dev/null &
echo $! >"$lock/maker"
wait $!
rm -rf "$lock"
exec "$venv/bin/dispatch-mcp" "$@"
