"""The lines of stdin, as bytes. Only the standard library: they are read before anything else is loaded."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple, Protocol

MAX_LINE: Final = 16 * 2**20
"""Bytes of one message. The largest diff that `review_council` takes fits, written as any client writes JSON."""

TAIL: Final = 512
"""Bytes of the end of a longer line that are kept."""


class CutLine(NamedTuple):
    """The beginning and the end of a line that is longer than a message may be."""

    head: bytes
    tail: bytes


class LineSource(Protocol):
    """Where lines come from, one after the other."""

    def next(self) -> bytes | CutLine | None:
        """Waits for a line and returns it; None when there are no more."""
        ...


class Lines:
    """The lines of a file, none of them longer than `MAX_LINE` bytes."""

    def __init__(self, file: BinaryIO, most: int = MAX_LINE) -> None:
        self._file = file
        self._most = most

    def next(self) -> bytes | CutLine | None:
        """Waits for a line and returns it without its end; None when there are no more."""
        line = self._file.readline(self._most + 1)
        if not line:
            return None
        if len(line) <= self._most or line.endswith(b"\n"):
            return line
        tail = b""
        while part := self._file.readline(2**16):
            tail = (tail + part)[-TAIL:]
            if part.endswith(b"\n"):
                break
        return CutLine(line[: 2**16], tail)


@contextmanager
def private_stdin() -> Generator[BinaryIO]:
    """Yields stdin for us alone: meanwhile children that inherit it, and stray reads, find the null device."""
    number = sys.stdin.fileno()
    own = os.dup(number)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, number)
    os.close(null)
    try:
        yield io.BufferedReader(io.FileIO(own, closefd=False), 2**16)
    finally:
        os.dup2(own, number)
