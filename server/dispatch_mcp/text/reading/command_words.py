"""What a command starts, in whatever words it is written: the programs behind wrappers and shells, and their words.

Options, assignments and folders of programs make no difference, nor does what else a line of a shell does. What a
script of its own starts, or a word that a shell would compute, is not seen.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

Call = tuple[str, ...]
"""A program by its bare name, and its words without options."""

MAX_DEPTH: Final = 6
"""How many wrappers and shells are looked behind."""
MAX_SCRIPT: Final = 4_000
"""Characters of a line of a shell that are read."""

_WRAPPERS: Final = frozenset(
    {
        *("env", "nice", "nohup", "time", "timeout", "stdbuf", "setsid", "ionice", "sudo", "doas", "command", "exec"),
        *("xargs", "chronic", "unbuffer", "eatmydata", "caffeinate"),
    }
)
_WITH_VALUE: Final[Mapping[str, frozenset[str]]] = {
    "env": frozenset({"-u", "--unset", "-C", "--chdir"}),
    "exec": frozenset({"-a"}),
    "doas": frozenset({"-u", "-C"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "sudo": frozenset({"-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-D", "--chdir"}),
    "time": frozenset({"-f", "--format", "-o", "--output"}),
    "timeout": frozenset({"-s", "--signal"}),
    "xargs": frozenset({"-I", "-a", "--arg-file", "-d", "--delimiter", "-E"}),
}
"""Options of wrappers whose value is the next word; values that are numbers need no entry."""
_LAUNCHERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "pipx"), "run"),
    **dict.fromkeys(("conda", "mamba", "micromamba"), "run"),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bundle"), "exec"),
    **dict.fromkeys(("npx", "bunx", "uvx", "xvfb-run"), ""),
}
"""Programs that start another one in a project's environment, with their word for it."""
_OF_LAUNCHERS: Final = frozenset(
    {
        *("-C", "-e", "-n", "-p", "--directory", "--env-file", "--extra", "--group", "--index", "--name", "--package"),
        *("--prefix", "--project", "--python", "--with"),
    }
)
"""Their options whose value is the next word."""
_SPLIT: Final = frozenset({"-S", "--split-string"})
"""Options of `env` whose value is a whole command."""
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})
_OPERATORS: Final = ";&|()<>\n"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w{0,100}=")
_AMOUNT = re.compile(r"\d[\w.]{0,20}")


def started(argv: Sequence[str]) -> Sequence[str]:
    """Returns the command that a command starts behind wrappers, such as `env` and `timeout`: itself without any."""
    words = list(argv)
    for _ in range(MAX_DEPTH):
        rest = _behind(words)
        if rest is None:
            break
        words = rest
    return words


def _behind(words: list[str]) -> list[str] | None:
    """Returns the words behind a wrapper, a launcher or an assignment; None where the first starts nothing else."""
    name = _name(words[0]) if words else ""
    if name in _LAUNCHERS:
        verb, rest = _LAUNCHERS[name], _behind_options(words[1:], _OF_LAUNCHERS)
        if not verb:
            return rest
        return _behind_options(rest[1:], _OF_LAUNCHERS) if rest[:1] == [verb] else None
    if name in _WRAPPERS:
        return _behind_options(words[1:], _WITH_VALUE.get(name, frozenset()))
    return words[1:] if words and _ASSIGNMENT.match(words[0]) else None


def _behind_options(words: list[str], with_value: Collection[str] = ()) -> list[str]:
    at = 0
    while at < len(words) and _is_of_wrapper(words[at]):
        if words[at] in _SPLIT:
            return [*" ".join(words[at + 1 : at + 2]).split(), *words[at + 2 :]]
        if words[at].startswith("-S") and "-u" in with_value:
            return [*words[at][2:].split(), *words[at + 1 :]]
        at += 2 if words[at] in with_value else 1
    return words[at:]


def calls(argv: Sequence[str], depth: int = 0) -> Iterator[Call]:
    """Yields the programs that a command starts, also those of a shell's line."""
    words = started(argv)
    if not words:
        return
    script = _script(words) if _name(words[0]) in _SHELLS and depth < MAX_DEPTH else None
    if script is not None:
        for part in _commands(script):
            yield from calls(part, depth + 1)
        return
    plain = [word for word in words[1:] if not word.startswith("-") and not _ASSIGNMENT.match(word)]
    if _name(words[0]) in _SHELLS and plain:
        words, plain = plain, plain[1:]  # a script by its file
    yield (_name(words[0]), *plain)


def does(call: Call, other: Call) -> bool:
    """Returns whether a call is another one, or does that too: the same program with all of its words."""
    return call[:1] == other[:1] and frozenset(other).issubset(call)


def _name(program: str) -> str:
    return posixpath.basename(program.replace("\\", "/"))


def _is_of_wrapper(word: str) -> bool:
    return word.startswith("-") or bool(_ASSIGNMENT.match(word) or _AMOUNT.fullmatch(word))


def _script(words: Sequence[str]) -> str | None:
    """Returns the line that a shell is given to run; None for one that runs a file."""
    for at, word in enumerate(words[1:-1], 1):
        if re.fullmatch(r"-[a-z]{0,9}c", word):
            return words[at + 1][:MAX_SCRIPT]
    return None


def _commands(script: str) -> Iterator[list[str]]:
    """Yields the simple commands of a line of a shell; all of its words as one where its quotes do not match."""
    lexer = shlex.shlex(script.replace("\n", ";"), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    part = list[str]()
    try:
        for word in lexer:
            if word.strip(_OPERATORS):
                part.append(word)
            else:
                yield part
                part = []
    except ValueError:
        part = script.split()
    yield part
