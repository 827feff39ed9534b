#!/bin/sh
# Makes .clients ready and prints the path of a client in it: Claude Code, or the one that the argument names (codex,
# opencode, gemini; those only from npm). Does nothing when it already is there.
# Where packages come from is the machine's own pip, uv or npm configuration. A program that is installed already can be
# named instead: CLIENTS_CLAUDE=/path/to/claude make test-clients, likewise CLIENTS_CODEX and so on.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
folder=$root/.clients
venv=$folder/venv

works() {
  [ -n "$1" ] && [ -x "$1" ] && "$1" --version >/dev/null 2>&1
}

other() {
  # Prints where the client lies whose npm package is $2, its name $1, and $3 where the user says it lies.
  for program in "$3" "$folder/$1/node_modules/.bin/$1"; do
    if works "$program"; then
      printf '%s\n' "$program"
      return
    fi
  done
  command -v npm >/dev/null 2>&1 || return 1
  mkdir -p "$folder"
  echo "Setting up .clients ($1), once ..." >&2
  npm install --silent --no-save --prefix "$folder/$1" "$2" >&2 || return 1
  works "$folder/$1/node_modules/.bin/$1" && printf '%s\n' "$folder/$1/node_modules/.bin/$1"
}

case ${1:-claude} in
  claude) ;;
  codex) other codex @openai/codex "${CLIENTS_CODEX:-}"; exit ;;
  opencode) other opencode opencode-ai "${CLIENTS_OPENCODE:-}"; exit ;;
  gemini) other gemini @google/gemini-cli "${CLIENTS_GEMINI:-}"; exit ;;
  *) echo "clients.sh: unknown client '$1'" >&2; exit 2 ;;
esac

bundled() {
  # The wheel for this platform brings the program along.
  find "$venv/lib" -path '*claude_agent_sdk/_bundled/claude' 2>/dev/null | head -n 1
}

from_npm() {
  # The package's own launcher needs a newer node than many have; the program itself needs none.
  find "$folder/node_modules/@anthropic-ai" -type f -name claude 2>/dev/null | head -n 1
}

found() {
  for program in "${CLIENTS_CLAUDE:-}" "$(bundled)" "$(from_npm)"; do
    if works "$program"; then
      printf '%s\n' "$program"
      return
    fi
  done
  return 1
}

install_with_pip() {
  if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
    uv venv -q --clear --python "$root/.venv/bin/python" "$venv" &&
      uv pip install -q --python "$venv/bin/python" claude-agent-sdk && return
  fi
  "$root/.venv/bin/python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check claude-agent-sdk
}

install_with_npm() {
  command -v npm >/dev/null 2>&1 && npm install --silent --no-save --prefix "$folder" @anthropic-ai/claude-code
}

if found; then
  exit 0
fi
mkdir -p "$folder"
echo "Setting up .clients (Claude Code, about 400 MB), once ..." >&2
install_with_pip >&2 || echo "pip could not do it; trying npm ..." >&2
found && exit 0
install_with_npm >&2 || true
found && exit 0
echo "Claude Code could not be installed here; name one: CLIENTS_CLAUDE=/path/to/claude make test-clients" >&2
exit 1
