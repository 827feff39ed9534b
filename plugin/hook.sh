#!/bin/sh
# Answers a hook of Claude Code: `hook.sh EVENT`, with the event on stdin. It is called at every turn of every session, so
# it looks for what is installed and installs nothing, and whatever goes wrong, it ends in order and says nothing.
works() {
  # The interpreter of a console script stands in its first line; an environment that was moved has lost it.
  [ -x "$1" ] && [ -f "$1" ] && { IFS= read -r first <"$1" || [ -n "$first" ]; } || return 1
  case $first in
    "#!"*) first=${first#??} && { [ -x "$first" ] || [ -x "${first%% *}" ]; } ;;
  esac
}

root=$(CDPATH= cd -- "${0%/*}/.." && pwd)
# What somebody sets for their own Python must neither stop ours nor slow it; where it looks for modules is left alone.
unset PYTHONDEVMODE PYTHONHASHSEED PYTHONHOME PYTHONINSPECT PYTHONIOENCODING PYTHONMALLOC PYTHONPLATLIBDIR \
  PYTHONPROFILEIMPORTTIME PYTHONTRACEMALLOC PYTHONVERBOSE PYTHONWARNINGS
for program in "$root/.venv/bin/dispatch-mcp" "${CLAUDE_PLUGIN_DATA:-/nowhere}/venv/bin/dispatch-mcp" \
  "$(command -v dispatch-mcp)"; do
  if works "$program"; then
    "$program" hook "$@" 2>/dev/null # one that is too old for hooks fails, which must not stop the session
    break
  fi
done
exit 0
