"""Where the store's files are, and whether they still are the ones that were opened.

A file that was removed or replaced can still be written by who has it open: into nowhere. So whoever writes compares
device and inode of the names with those that it opened, under the write lock, before each commit and after it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import private_files
from dispatch_mcp.store.looks import open_runs

FILE: Final = open_runs.FILE
RECORD: Final = "owners"
"""The folder that stands beside every store from the moment it exists, and never before."""

FULL_BELOW: Final = 64 * 1024
"""Bytes left on a disk below which it counts as full: SQLite needs half of that for the index of its log alone."""

SHORT_BELOW: Final = 8 << 20
"""Bytes left on a disk below which no more work begins: what it comes to could not be recorded."""


Inode = tuple[int, int]
"""Which file: its device, and its number there."""


class StoreFiles(NamedTuple):
    """The database and its log; None where there is no such file."""

    database: Inode | None
    log: Inode | None


def files(home: Path) -> StoreFiles:
    """Returns which files stand under the store's names now."""
    return StoreFiles(*map(_inode, _statuses(home)))


def _statuses(home: Path) -> tuple[os.stat_result | None, os.stat_result | None]:
    """Returns what the system says of the database and its log; asked with every read and commit."""
    return _status(f"{home}/{FILE}"), _status(f"{home}/{FILE}-wal")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116  # a `Path` would take as long as the look
    except OSError:
        return None


def _inode(status: os.stat_result | None) -> Inode | None:
    return None if status is None else (status.st_dev, status.st_ino)


def refuse_moved(home: Path, earlier: StoreFiles) -> None:
    """Raises StoreMoved unless the files that were opened earlier still stand under their names.

    Raises StoreDamaged if the database has been emptied since: what is in its log only is lost with this process.
    """
    database, log = _statuses(home)
    if _inode(database) == earlier.database and (earlier.log is None or _inode(log) == earlier.log):
        if database is not None and database.st_size == 0:
            raise lost(home)
        return
    fate = "replaced" if database and _inode(database) != earlier.database else "removed"
    raise errors.StoreMoved(
        f"The store in {str(home)!r} was {fate} while it was open: nothing is written into the old one any more.",
        hint="Put it back if that was a mistake. Then call again: what lies in that folder by then is opened, or made.",
    )


@contextlib.contextmanager
def home_of_reader(home: Path) -> Generator[Path]:
    """Yields the folder of a store for who makes none: a passing one, where nothing was ever kept in this."""
    is_bare = not has_record(home) and files(home) == StoreFiles(None, None)
    if not is_bare or private_files.obstacle(home):
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="dispatch-mcp-") as folder:
        yield Path(folder)


def has_record(home: Path) -> bool:
    """Returns whether the folder shows that a store was here."""
    return (home / RECORD).is_dir()


def refuse_lost(home: Path) -> None:
    """Raises StoreDamaged if the database is empty although there was something in it; SQLite would drop its log."""
    # In the order in which a store that is being born gets them last: what is seen first proves what must come before.
    had_record, log = has_record(home), _size(home / f"{FILE}-wal")
    database = _size(home / FILE)
    if (database == 0 and (had_record or log)) or (database is None and log):
        raise lost(home)


def lost(home: Path) -> errors.StoreDamaged:
    """Returns the error for a database that has lost its content."""
    advice = (
        "Put a copy of the file back if there is one. To begin anew, set DISPATCH_MCP_HOME to another folder, "
        "or move everything in this one away."
    )
    return errors.StoreDamaged(
        f"{str(home / FILE)!r} is empty, but what lies beside it belongs to a store that was not.",
        hint=NextStep(StepKind.CHECK_INSTALLATION, advice=advice),
    )


def _size(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return None


def is_full(home: Path) -> bool:
    """Returns whether the disk of the folder has no space left for this user."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(home).free < FULL_BELOW and os.access(home, os.W_OK)
    return False


def is_short(home: Path) -> bool:
    """Returns whether the disk of the folder has too little space left for work to begin."""
    with contextlib.suppress(OSError):
        space = shutil.disk_usage(home)
        return space.free < SHORT_BELOW and space.total > 0  # some file systems of containers tell nothing
    return False


def shortage(home: Path) -> str:
    """Returns in a sentence that nothing more begins, as the disk of the folder is full."""
    return f"The disk of {str(home)!r} is full: nothing more begins there."
