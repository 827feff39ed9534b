"""Changes files below one folder and nowhere else (promise S4).

The way there is that of `process.safe_paths`; a file is replaced as a whole, so that a reader sees the old text or the
new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from dispatch_mcp.process import safe_paths

MAX_BYTES: Final = 2_000_000
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_PRIVATE: Final = frozenset({".git", ".claude", ".mcp.json"})
"""Names that decide what programs do later; nothing in or under them is written."""


def parts(path: str) -> tuple[str, ...]:
    """Returns the components of a relative path that may be written.

    Raises:
        Refused: it is absolute, climbs, is no plain path, may hold secrets, or decides what programs do.
    """
    names = safe_paths.parts(path, "working directory")
    if any(name.lower() in _PRIVATE for name in names):
        raise safe_paths.refused(path, "is not yours to write")
    return names


def write(root: Path, path: str, text: str) -> None:
    """Makes `text` the whole content of the file `path` below `root`; folders on the way are made.

    Raises:
        Refused: the path or the content is not allowed, or the disk refuses.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_BYTES:
        raise safe_paths.refused(path, f"would have {len(data):,} bytes, more than {MAX_BYTES:,}")
    *folders, name = parts(path)
    try:
        with _folder(root, folders, make=True) as folder:
            _replace(folder, name, data)
    except OSError as error:
        raise safe_paths.refused(path, f"cannot be written: {error.strerror}") from error


def delete(root: Path, path: str) -> None:
    """Deletes the plain file `path` below `root`.

    Raises:
        Refused: the path is not allowed, or there is no such file.
    """
    *folders, name = parts(path)
    try:
        with _folder(root, folders, make=False) as folder:
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise safe_paths.refused(path, "is no plain file")
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        raise safe_paths.refused(path, f"cannot be deleted: {error.strerror}") from error


def _replace(folder: int, name: str, data: bytes) -> None:
    mode = 0o644
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise safe_paths.refused(name, "is no plain file")
        mode = stat.S_IMODE(found.st_mode)
    part = f".{secrets.token_hex(8)}.part"
    handle = os.open(part, _NEW, mode, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


@contextlib.contextmanager
def _folder(root: Path, folders: Sequence[str], *, make: bool) -> Generator[int]:
    """Yields a handle of the folder; closes it afterwards."""
    top = os.open(root, safe_paths.FOLDER)
    try:
        handle = safe_paths.descend(top, folders, make=make)
    finally:
        os.close(top)
    try:
        yield handle
    finally:
        os.close(handle)
