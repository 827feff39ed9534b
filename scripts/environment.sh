#!/bin/sh
# Makes .venv, or the folder that DISPATCH_MCP_VENV names, ready for one purpose: plain, test, dev, bench, scale or site. Does
# nothing when it already is.
# Where packages come from is the machine's own pip or uv configuration.
set -eu

purpose=${1:?usage: environment.sh plain|test|dev|bench|scale|site}
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
venv=${DISPATCH_MCP_VENV:-.venv}
stamp=$venv/.ready-$purpose
want="$root $(cksum <pyproject.toml)"
case $purpose in
  plain) target=. ;;
  test | dev | bench | scale | site) target=".[$purpose]" ;;
  *) echo "environment.sh: unknown purpose '$purpose'" >&2; exit 2 ;;
esac

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  # A name that is found may still be a version manager's empty shim, so each candidate is run.
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "dispatch-mcp needs Python 3.11 or newer and found none." >&2
  echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
  return 1
}

have_uv() {
  [ "${DISPATCH_MCP_NO_UV:-}" = "" ] && command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1
}

install_with_uv() {
  if ! new_enough "$venv/bin/python"; then
    python=$(find_python) || exit 1
    uv venv -q --clear --python "$python" "$venv" || return 1
  fi
  uv pip install -q --python "$venv/bin/python" -e "$target"
}

install_with_pip() {
  if ! new_enough "$venv/bin/python"; then
    python=$(find_python) || exit 1
    rm -rf "$venv"
    if ! "$python" -m venv "$venv"; then
      echo "$python cannot make virtual environments; on Debian or Ubuntu install python3-venv." >&2
      return 1
    fi
  fi
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check -e "$target"
}

if new_enough "$venv/bin/python" && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
  exit 0
fi

what="$venv ($purpose)"
start=$(date +%s)
is_live=
if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then is_live=yes; fi

elapsed() {
  echo "$(($(date +%s) - start)) s"
}

# What an installer says is kept until it has ended, so that it does not stand in the middle of a line that lives.
log=$(mktemp)
ticker=
finish() {
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
  [ -z "$is_live" ] || printf '\r\033[K' >&2
  cat "$log" >&2
  rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tick() {
  while kill -0 $$ 2>/dev/null; do
    if [ -n "$is_live" ]; then
      printf '\r\033[KSetting up %s, once: fetching and installing packages, %s' "$what" "$(elapsed)" >&2
      sleep 1 2>/dev/null # it may outlive this by a moment, and holds no stream of ours
    else
      sleep 10 2>/dev/null
      echo "  still fetching and installing packages, $(elapsed)" >&2
    fi
  done
}

mkdir -p "$(dirname "$venv")"
[ -n "$is_live" ] || echo "Setting up $what, once ..." >&2
tick </dev/null >/dev/null &
ticker=$!
if have_uv; then
  install_with_uv 2>>"$log" || { echo "uv could not do it; pip was tried ..." >>"$log"; install_with_pip 2>>"$log"; }
else
  install_with_pip 2>>"$log"
fi
# Compiles product and tests once, where the processes of a run of tests would all do it side by side.
[ "$purpose" != test ] || "$venv/bin/python" -m pytest --collect-only -q >/dev/null 2>&1 || true
printf '%s\n' "$want" >"$stamp"
[ -z "$is_live" ] || printf '\r\033[K' >&2
echo "Set up $what in $(elapsed)." >&2
