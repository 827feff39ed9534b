"""Changes files below one folder and nowhere else (promise S4).

Every folder on the way is opened relative to the one before it and without following links, so that nobody can swap a
folder for a link in between; a file is replaced as a whole, so that a reader sees the old text or the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.text import secret_paths

MAX_BYTES: Final = 2_000_000
_LONGEST: Final = 4_096
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_PRIVATE: Final = frozenset({".git", ".claude", ".mcp.json"})
"""Names that decide what programs do later; nothing in or under them is written."""


class Refused(errors.NotAllowed):
    """A file is not written."""


def parts(path: str) -> tuple[str, ...]:
    """Returns the components of a relative path that may be written.

    Raises:
        Refused: it is absolute, climbs, is no plain path, may hold secrets, or decides what programs do.
    """
    bad = not path or len(path) > _LONGEST or any(char < " " or char in "\x7f\\" for char in path)
    if bad or path.startswith(("/", "~")) or path[1:2] == ":" or any("\ud800" <= char <= "\udfff" for char in path):
        raise _refused(path, "is no path relative to the working directory")
    found = tuple(path.split("/"))
    if any(part in {"", ".", ".."} for part in found):
        raise _refused(path, "does not stay below the working directory")
    if secret_paths.secret(path) or any(part.lower() in _PRIVATE for part in found):
        raise _refused(path, "is not yours to write")
    return found


def write(root: Path, path: str, text: str) -> None:
    """Makes `text` the whole content of the file `path` below `root`; folders on the way are made.

    Raises:
        Refused: the path or the content is not allowed, or the disk refuses.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_BYTES:
        raise _refused(path, f"would have {len(data):,} bytes, more than {MAX_BYTES:,}")
    *folders, name = parts(path)
    try:
        with _folder(root, folders, make=True) as folder:
            _replace(folder, name, data)
    except OSError as error:
        raise _refused(path, f"cannot be written: {error.strerror}") from error


def delete(root: Path, path: str) -> None:
    """Deletes the plain file `path` below `root`.

    Raises:
        Refused: the path is not allowed, or there is no such file.
    """
    *folders, name = parts(path)
    try:
        with _folder(root, folders, make=False) as folder:
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise _refused(path, "is no plain file")
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        raise _refused(path, f"cannot be deleted: {error.strerror}") from error


def _replace(folder: int, name: str, data: bytes) -> None:
    mode = 0o644
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(name, "is no plain file")
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
    handle = os.open(root, _FOLDER)
    try:
        for name in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=handle)
            below = os.open(name, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _refused(path: str, why: str) -> Refused:
    shown = path if len(path) <= 120 else path[:119] + "…"
    return Refused(f"{shown!r} {why}.")
