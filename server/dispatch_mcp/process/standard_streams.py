"""Stdin, stdout and stderr that whoever starts us has closed: the null device stands in for them.

Without it Python has no such stream, and its number goes to the next file that is opened, also in programs that we
start: a print would end in a traceback, or in a database.
"""

from __future__ import annotations

import os
import sys
from typing import Final

CLOSED: Final = set[str]()
"""The streams of this process that were closed at its start."""

_READING: Final = ("stdin",)
_NAMES: Final = ("stdin", "stdout", "stderr")


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
