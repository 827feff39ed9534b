"""Stdin, stdout and stderr as they are given to us: closed, or unable to take all that we print.

For those that are closed the null device stands in. Without it Python has no such stream, and its number goes to the
next file that is opened, also in programs that we start: a print would end in a traceback, or in a database.

What a stream cannot encode is printed in ASCII: our own marks, lines and quotes as people type them, a letter of
somebody's text as its number, so that nothing of it is lost.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Mapping
from typing import Final

CLOSED: Final = set[str]()
"""The streams of this process that were closed at its start."""

_READING: Final = ("stdin",)
_NAMES: Final = ("stdin", "stdout", "stderr")

PLAINLY: Final = "dispatch-mcp-plainly"
"""The name under which Python knows `_plainly`."""

_ALIKE: Final = (
    *("✓+", "✗x", "✘x", "●*", "○o", "◐>", "◌?", "·-", "•*", "…...", "—-", "\u2013-", '“"', '”"', '„"', '«"', '»"'),
    *("\u2018'", "\u2019'", "→->", "←<-", "↑^", "↓v", "≥>=", "≤<=", "≈~", "\u00d7x", "\u00a0 ", "\ufffd?"),
    *("─-", "╌-", "━=", "═=", "│|", "┃|", "║|", "┌+", "┐+", "└+", "┘+", "├+", "┤+", "┬+", "┴+", "┼+"),
)
PLAIN: Final[Mapping[str, str]] = {pair[0]: pair[1:] for pair in _ALIKE}
"""What stands for a sign where a stream cannot take it."""


def complete() -> None:
    """Lets the null device stand in for each standard stream that is closed, in this process and its children."""
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            CLOSED.add(name)
            setattr(sys, name, _stand_in(number, is_read=name in _READING))


def _stand_in(number: int, *, is_read: bool) -> object:
    null = os.open(os.devnull, os.O_RDONLY if is_read else os.O_WRONLY)
    if null == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(null, number)
        os.close(null)
    # Whoever else holds the number may close it: it belongs to the process, not to this stream.
    return os.fdopen(number, "r" if is_read else "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def degrade() -> None:
    """Lets stdout and stderr print in ASCII what they cannot encode, instead of failing."""
    codecs.register_error(PLAINLY, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAINLY)


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Returns what stands for a part that cannot be encoded, and where it ends."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    signs = (PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in part)
    return "".join(signs), error.end
