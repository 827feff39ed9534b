"""Locks between processes that the kernel frees when their holder dies: flock, and on Windows a locked byte."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt
    import time

    _FAR = 1 << 30  # Windows locks are mandatory: lock a byte that nobody reads

    def lock(fd: int, *, wait: bool, shared: bool = False) -> bool:  # noqa: ARG001  # there is one kind here
        """Takes the lock of an open file and returns whether it was free; with `wait` it waits until it is."""
        while True:
            os.lseek(fd, _FAR, os.SEEK_SET)
            with contextlib.suppress(OSError):
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
                return True
            if not wait:
                return False
            time.sleep(0.005)

    def unlock(fd: int) -> None:
        """Gives the lock of an open file back."""
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(fd: int, *, wait: bool, shared: bool = False) -> bool:
        """Takes the lock of an open file and returns whether it was free; with `wait` it waits until it is."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Gives the lock of an open file back."""
        fcntl.flock(fd, fcntl.LOCK_UN)


class FileLock:
    """Held inside a `with` block, which may be entered again from inside; for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; the file is made when the block is entered, for its user alone."""
        self._path = path
        self._fd = -1
        self._depth = 0

    @property
    def is_held(self) -> bool:
        """Whether it is held here."""
        return self._depth > 0

    def take(self) -> bool:
        """Takes the lock if it is free and returns whether it was; `give_back` lets go of it."""
        return self._take(wait=False)

    def give_back(self) -> None:
        """Lets go of the lock."""
        self._depth -= 1
        if self._depth == 0:
            with contextlib.suppress(OSError):
                unlock(self._fd)
            self._shut()

    def _take(self, *, wait: bool) -> bool:
        if self._depth == 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            if not lock(self._fd, wait=wait):
                self._shut()
                return False
        self._depth += 1
        return True

    def _shut(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        self._take(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
