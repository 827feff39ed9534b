"""What a command starts, in whatever words it is written: the programs behind wrappers and shells, and their words.

Options, assignments and folders of programs make no difference, nor does what else a line of a shell does. What a
script of its own starts, or a word that a shell would compute, is not seen.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
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
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})
_OPERATORS: Final = ";&|()<>\n"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w{0,100}=")
_AMOUNT = re.compile(r"\d[\w.]{0,20}")


def started(argv: Sequence[str]) -> Sequence[str]:
    """Returns the command that a command starts behind wrappers, such as `env` and `timeout`: itself without any."""
    words = list(argv)
    for _ in range(MAX_DEPTH):
        if not words or not (_name(words[0]) in _WRAPPERS or _ASSIGNMENT.match(words[0])):
            break
        rest = (at for at, word in enumerate(words) if at and not _is_of_wrapper(word))
        words = words[next(rest, len(words)) :]
    return words


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
