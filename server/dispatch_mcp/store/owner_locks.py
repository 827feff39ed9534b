"""Locks that the kernel frees when their process dies: the write mutex and the owners' liveness (ADR 0003).

A process that drives runs holds the lock of a file of its own. Whoever finds the lock free knows that the process is
dead: there is no heartbeat to miss while a machine sleeps, and no process id that somebody else may have by now. That
an owner is dead is one half; the epoch in `run`, raised whenever a run changes hands, is the other: a former owner that
was only stopped for a while is turned away when it comes back.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatch_mcp import errors
from dispatch_mcp.process import file_lock, lock_holders
from dispatch_mcp.store import sqlite, whereabouts

LOCK = "write.lock"
"""The file of the lock that whoever writes holds."""

ELSEWHERE = "temporal"
"""The owner of a run that no process of ours owns: a durable engine keeps it, whichever processes live."""

RESERVE_BYTES = 4 << 20
"""Bytes of the disk that a process which drives runs keeps for itself, in the file of its lock: on a disk that is full
they are given back, so that what its attempts have come to can be recorded and nothing is paid for twice."""

PART_BYTES, PART_S = 1 << 20, 1.0
"""How much of the reserve is given back at once, and the seconds until more is: what fills the disk takes the first
part too if it still writes, and most programs end with the first write that fails."""

LAST_BYTES = 2 << 20
"""How much of the reserve is only given back when the store has refused something for want of room: what goes on
writing would have taken it before."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PAUSE_S = 0.005


class Mutex:
    """The cross-process lock that is held during every write. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._is_locked = False
        self._mark = f"{os.getpid():<10}\n".encode()

    def __enter__(self) -> Self:
        """Waits for the lock, unless `take` has it, and leaves this process's id in the file.

        Only its user can read that.
        """
        if not self._is_locked:
            self._lock()
        while not self._is_in_place():  # the file was removed or replaced: others would lock another one
            self.close()
            self._lock()
        with contextlib.suppress(OSError):  # on a full disk nobody learns who holds it, but it is held
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, self._mark)
        return self

    def take(self, patience_s: float) -> bool:
        """Returns whether the lock could be had in so many seconds; it is held then, and entering waits no more."""
        self._open()
        end = time.monotonic() + patience_s
        while not self._is_locked and not file_lock.lock(self._fd, wait=False):
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE_S)
        self._is_locked = True
        return True

    def _lock(self) -> None:
        self._open()
        file_lock.lock(self._fd, wait=True)
        self._is_locked = True

    def _open(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets the next process in."""
        self._is_locked = False
        file_lock.unlock(self._fd)

    def close(self) -> None:
        """Closes the lock file, which also releases it."""
        self._is_locked = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def kept_too_long(path: Path, patience_s: float) -> errors.StoreBusy:
    """Returns the error for who waited so many seconds for the mutex at `path`: it names the process that has it."""
    pid = holder(path)
    process = "this process itself" if pid == os.getpid() else lock_holders.describe(pid) if pid else ""
    hint = "Nothing was written. A machine under heavy load will do it later: call again."
    if pid != os.getpid() and lock_holders.is_stopped(pid):
        hint += " That process is stopped: let it go on, or end it."
    return errors.StoreBusy(
        f"The store's write lock could not be had within {patience_s:g} s; {process or 'another process'} has it now.",
        hint=hint,
    )


def holder(path: Path) -> int:
    """Returns the id of the process that holds the mutex at `path`, 0 if nobody knows."""
    pid = lock_holders.of(path)
    if not pid:
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text("ascii"))
    return pid


class OwnerLock:
    """A process's proof of life: held until `close` or until the kernel ends the process.

    File descriptors of Python are not inherited, so a child that outlives its parent does not keep it.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "owners"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._fd = -1
        while self._fd < 0:
            self.id = os.urandom(16).hex()
            self._path = self._folder / f"{self.id}.lock"
            self._fd = _born(self._path)
        self._kept, self._more_at = 0, -math.inf

    @property
    def has_reserve(self) -> bool:
        """Whether the file has the whole of its part of the disk; where a file system keeps none it counts as had."""
        return self._kept >= RESERVE_BYTES

    def take_reserve(self) -> bool:
        """Returns whether the file has that part of the disk, which it takes if it is there."""
        if not self.has_reserve:
            try:
                _allocate(self._fd, RESERVE_BYTES)
                self._kept = RESERVE_BYTES
            except OSError as error:
                self._shrink()
                self._kept = self._kept if error.errno in _FULL else RESERVE_BYTES
        return self.has_reserve

    def give_reserve(self, now: float, least: int = 0) -> bool:
        """Returns whether some of it could be given back at `now`, in seconds; at `least` so many bytes stay kept.

        Not often, as others write too.
        """
        is_given = now >= self._more_at and self._kept > least
        if is_given:
            self._kept, self._more_at = self._kept - PART_BYTES, now + PART_S
            self._shrink()
        return is_given

    def _shrink(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._kept)

    def close(self) -> None:
        """Gives the lock up and removes its file."""
        if self._fd < 0:
            return
        # Away first, then free: nobody ever sees a free lock of ours. Windows cannot remove a file that is open.
        try:
            if sys.platform != "win32":
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._fd)
            self._fd = -1
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _born(path: Path) -> int:
    """Returns the descriptor of a new, locked file, or -1 if a sweep took it in between."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    file_lock.lock(fd, wait=True)
    # Between the two lines above the file stood there unlocked, as a dead owner's does. If a sweep has removed it, our
    # lock is on a file without a name, which nobody would find: begin again with another id.
    if path.exists():
        return fd
    os.close(fd)
    return -1


def _allocate(fd: int, size: int) -> None:
    """Has a file take its place on the disk. Raises OSError where there is none."""
    os.lseek(fd, 0, os.SEEK_SET)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    elif os.write(fd, bytes(size)) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Ownership:
    """What a process drives runs by: an owner's lock that is made when it is first asked for."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock: OwnerLock | None = None

    @property
    def id(self) -> str:
        """The owner's id, whose lock is held from now on. Raises StoreUnavailable."""
        if self._lock is None:
            try:
                self._lock = OwnerLock(self._home)
            except OSError as error:
                raise sqlite.translate(error, self._home) from error
            self._lock.take_reserve()
        return self._lock.id

    @property
    def is_held(self) -> bool:
        """Whether anybody has asked for it."""
        return self._lock is not None

    def has_room(self) -> bool:
        """Returns whether the disk has room for work that begins now, beside what is kept in reserve."""
        is_in_reserve = self._lock is None or self._lock.has_reserve
        return is_in_reserve and not whereabouts.is_short(self._home)

    def make_room(self, least: int = 0) -> bool:
        """Returns whether some of the reserve could be given up: nothing begins until it is whole again."""
        return self._lock is not None and self._lock.give_reserve(time.monotonic(), least)

    def find_room(self) -> bool:
        """Returns whether there is room again, with a reserve."""
        return not whereabouts.is_short(self._home) and (self._lock is None or self._lock.take_reserve())

    def close(self) -> None:
        """Gives the lock up; a file that cannot be removed is free all the same."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.close()


def is_alive(home: Path, owner_id: str) -> bool:
    """Returns whether a live process holds that owner's lock, or an engine keeps the run that needs none."""
    return owner_id == ELSEWHERE or _is_held(home / "owners" / f"{owner_id}.lock")


def _is_held(path: Path) -> bool:
    try:
        # Reading is enough for such a lock, and all that a read-only folder allows; Windows wants to write.
        fd = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        free = file_lock.lock(
            fd, wait=False, shared=True
        )  # shared, so that two who look do not take each other for the owner
        if free:
            file_lock.unlock(fd)
        return not free
    finally:
        os.close(fd)


def stale_owners(home: Path) -> list[Path]:
    """Returns the lock files that dead processes left behind."""
    return sorted(path for path in (home / "owners").glob("*.lock") if not _is_held(path))


def sweep_owners(home: Path) -> int:
    """Removes the lock files of dead processes and returns how many there were.

    A file is removed only while its lock is held, so that a process that is just being born is not swept.
    """
    swept = 0
    for path in (home / "owners").glob("*.lock"):
        with contextlib.suppress(OSError):
            swept += _sweep(path)
    return swept


def _sweep(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        if not file_lock.lock(fd, wait=False):
            return False
        path.unlink()
        return True
    finally:
        os.close(fd)
