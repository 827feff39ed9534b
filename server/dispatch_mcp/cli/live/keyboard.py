"""Single keys from a terminal, without waiting for the end of a line."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio

if sys.platform != "win32":
    import termios
    import tty

ARROWS: Final = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down"}
MOST_BYTES: Final = 32
"""Bytes that one look reads: a key is at most six, the rest is somebody who holds one down."""


class Keyboard:
    """The keys that are typed into a terminal, one after the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest: list[str] = []

    async def key(self) -> str:
        """Returns the next key: a letter in lower case, `up`, `down` or `enter`; empty at the end of the input."""
        while not self._rest:
            await anyio.wait_readable(self._descriptor)
            data = os.read(self._descriptor, MOST_BYTES)
            if not data:
                return ""
            self._rest = keys_of(data)
        return self._rest.pop(0)


def keys_of(data: bytes) -> list[str]:
    """Returns the keys that a terminal sent; sequences of keys that mean nothing here are left out."""
    for sequence, name in ARROWS.items():
        data = data.replace(sequence, b"\x00" + name[:1].upper().encode())
    keys: list[str] = []
    letters = iter(data.decode("utf-8", "ignore"))
    for letter in letters:
        if letter == "\x1b":
            break
        if letter == "\x00":
            keys.append("up" if next(letters, "") == "U" else "down")
        else:
            keys.append("enter" if letter in "\r\n" else letter.lower())
    return keys


@contextmanager
def keyboard() -> Generator[Keyboard | None]:
    """Gives the keys of this terminal and puts it back as it was; None where nobody can type.

    A process in the background must not touch its terminal: it would be stopped. Nor does it read a terminal that is
    another session's.
    """
    descriptor = _descriptor()
    if sys.platform == "win32" or descriptor is None:
        yield None
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _descriptor() -> int | None:
    if sys.platform == "win32" or not sys.stdin.isatty():
        return None
    descriptor = sys.stdin.fileno()
    try:
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except OSError:  # a terminal, but not this session's own: `setsid`, supervisors
        return None
