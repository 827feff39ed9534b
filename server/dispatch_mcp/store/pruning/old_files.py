"""Files of the state folder that nothing needs any more: blobs that nobody names, and what was kept for runs that went.

A blob is needed as long as its digest stands anywhere in the store, or in a blob that is needed. Storing a blob again
makes it new, so one that is old and named nowhere is nobody's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.store import blobs
from dispatch_mcp.text import short_forms

RUN_FOLDERS: Final = ("briefs", "runs")
"""Folders of the state directory with a folder for each run."""

HAND_INS: Final = "hooks/hand-ins"
"""The folder of the state directory with what hooks have kept, in a folder for each workspace."""

_HEX = re.compile(rb"[0-9a-f]{64,}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DIGITS: Final = 64
_TEXTS = (
    "SELECT id, document FROM plan",
    "SELECT task.run, coalesce(body, blob) FROM result JOIN task ON task.no = result.task",
    "SELECT run, data FROM event WHERE data <> ''",
    "SELECT task.run, beat FROM attempt JOIN task ON task.no = attempt.task WHERE beat <> ''",
    "SELECT run, text FROM message",
)
"""All that may name a blob, behind the number of its run or the id of its plan."""


class Freed(NamedTuple):
    """How many there were, and their size in bytes."""

    number: int = 0
    size: int = 0


def sweep_blobs(
    conn: sqlite3.Connection, home: Path, before: float, *, leaving: Collection[int | str] = (), dry_run: bool
) -> Freed:
    """Removes blobs that were stored before a time, in seconds since the epoch, and that nothing names.

    What runs (by number) and plans (by id) that are about to leave say does not count.
    """
    blobs_here = {path.name: path for path in _blobs(home)}
    old = {digest: path for digest, path in blobs_here.items() if _mtime(path) < before}
    for digest in _needed(conn, home, set(old), blobs_here.keys(), leaving):
        old.pop(digest, None)
    sizes = {path: _size(path) for path in old.values()}
    weights = [size for path, size in sizes.items() if dry_run or remove(path, before)]
    return Freed(len(weights), sum(weights))


def _blobs(home: Path) -> Iterator[Path]:
    for path in (home / blobs.FOLDER).glob("??/*"):
        if _DIGEST.fullmatch(path.name):
            yield path


def _needed(
    conn: sqlite3.Connection,
    home: Path,
    candidates: set[str],
    blobs_here: AbstractSet[str],
    leaving: Collection[int | str],
) -> Iterator[str]:
    """Yields the digests of blobs that something names, until all `candidates` are among them."""
    needs: set[str] = set()
    waiting: list[str] = []
    for statement in _TEXTS:
        for owner, text in conn.execute(statement) if candidates else ():
            if owner not in leaving:
                waiting += digests(str(text).encode("utf-8", "replace"), blobs_here)
    while waiting and candidates:
        digest = waiting.pop()
        if digest not in needs:
            needs.add(digest)
            candidates.discard(digest)
            yield digest
            with contextlib.suppress(OSError):
                waiting += digests(blobs.path_of(home, digest).read_bytes(), blobs_here)


def digests(data: bytes, names: AbstractSet[str]) -> set[str]:
    """Returns which of these digests stand in some bytes, also in the middle of a longer row of hex digits.

    A megabyte of hex digits could be a million digests: only those are kept that are any blob's.
    """
    return {
        digest
        for row in (match[0].decode() for match in _HEX.finditer(data))
        for start in range(len(row) - _DIGITS + 1)
        if (digest := row[start : start + _DIGITS]) in names
    }


def remove(path: Path, before: float) -> bool:
    """Removes a blob unless it has just been stored again, and returns whether it did."""
    # By another name first: whoever stores it from now on does not meet it, and one that was stored again shows it.
    aside = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        path.replace(aside)
        if _mtime(aside) >= before:
            aside.replace(path)
            return False
        aside.unlink()
        return True
    return False


def sweep_drafts(home: Path, before: float, *, dry_run: bool) -> Freed:
    """Removes files that were never finished, because their process died."""
    drafts = [path for name in (blobs.FOLDER, *RUN_FOLDERS[:1]) for path in (home / name).glob("*/.*")]
    return _unlinked([path for path in drafts if path.is_file() and _mtime(path) < before], dry_run=dry_run)


def sweep_hand_ins(home: Path, before: float, *, dry_run: bool) -> Freed:
    """Removes what hooks have kept and nobody could take, or never finished; what still waits may be paid work."""
    files = [path for pattern in ("*/*.failed", "*/.*") for path in (home / HAND_INS).glob(pattern) if path.is_file()]
    return _unlinked([path for path in files if _mtime(path) < before], dry_run=dry_run)


def sweep_run_folders(home: Path, runs: Collection[str], *, dry_run: bool) -> Freed:
    """Removes the folders that were kept for these runs."""
    folders = [home / name / run for name in RUN_FOLDERS for run in runs if short_forms.is_id(run)]
    here = [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]
    size = sum(size_of(folder) for folder in here)
    for folder in () if dry_run else here:
        shutil.rmtree(folder, ignore_errors=True)
    return Freed(len(here), size)


def _unlinked(paths: Iterable[Path], *, dry_run: bool) -> Freed:
    count = size = 0
    for path in paths:
        bytes_there = _size(path)
        with contextlib.suppress(OSError):
            if not dry_run:
                path.unlink()
            count, size = count + 1, size + bytes_there
    return Freed(count, size)


def size_of(path: Path) -> int:
    """Returns the bytes in a file, or in all files below a folder; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return _size(path)
    total, folders = 0, [str(path)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
