"""Folders and files that nobody but the user can look into, from the moment they exist."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Creates a folder and what is missing above it; `parents=True` would give those above the mode of the umask.

    Raises:
        OSError: it cannot be made.
    """
    for part in reversed([folder, *folder.parents]):
        if not part.exists():
            part.mkdir(mode=0o700, exist_ok=True)


def obstacle(folder: Path) -> str:
    """Returns why nothing could be written into a folder, or why it could not be made; empty where it could.

    Reads only, so that a folder which is not there is not made to find out.
    """
    nearest = next((part for part in (folder, *folder.parents) if part.exists()), folder)
    if not nearest.is_dir():
        return f"{str(nearest)!r} is no folder"
    if os.access(nearest, os.W_OK | os.X_OK):
        return ""
    is_read_only = hasattr(os, "statvfs") and bool(os.statvfs(nearest).f_flag & os.ST_RDONLY)
    return (
        f"{str(nearest)!r} is on a disk that can only be read" if is_read_only else f"{str(nearest)!r} is not writable"
    )


def refusal(error: OSError) -> str:
    """Returns what the operating system refused, as a sentence ends: `'/srv/x': Read-only file system`."""
    reason = error.strerror or type(error).__name__
    return reason if error.filename is None else f"{str(error.filename)!r}: {reason}"


def write(path: Path, text: str) -> None:
    """Writes a file in one step, so that a reader sees the old one or the new one whole.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    make_folder(path.parent)
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def common(path: Path, text: str) -> str:
    """Returns what a file holds in ASCII; where there is none yet, `text` is written, by whoever comes first.

    Every process is told the same, and whole.

    Raises:
        OSError: it cannot be read or written.
        UnicodeDecodeError: it holds something else.
    """
    with suppress(FileNotFoundError):
        return path.read_text("ascii")
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        write(draft, text)
        with suppress(FileExistsError):  # another process was faster
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text("ascii")
