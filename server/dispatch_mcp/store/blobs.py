"""Bulk by reference: files named by the SHA-256 of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.store import failpoints, sqlite

FOLDER: Final = "blobs"

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """Blobs in a folder, `ab/<sha256>`. Implements `model.ports.Blobs`; safe from any thread and process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / FOLDER

    def put(self, data: bytes) -> str:
        """Stores `data` durably and returns its SHA-256 hex digest. Raises StoreUnavailable."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if not _is_renewed(path):
                self._folder.mkdir(mode=0o700, exist_ok=True)
                _write(path, data)
        except OSError as error:
            raise sqlite.translate(error, self._home) from error
        return digest

    def get(self, digest: str) -> bytes:
        """Returns the bytes of a digest.

        Raises:
            UnknownHandle: nothing was stored under it.
            StoreDamaged: the bytes are no longer what was stored.
        """
        if not _DIGEST.fullmatch(digest):
            raise errors.UnknownHandle(f"{digest!r} is not a digest.", hint="Use the 64 hex digits of a result.")
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise errors.UnknownHandle(f"Nothing is stored under {digest!r}.", hint="Take it from a trace.") from None
        except OSError as error:
            raise sqlite.translate(error, self._home) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise errors.StoreDamaged(
                f"The stored bytes of {digest!r} have changed.", hint="Retry the task that produced them."
            )
        return data

    def _path(self, digest: str) -> Path:
        return path_of(self._home, digest)


def path_of(home: Path, digest: str) -> Path:
    """Returns where the blob of a digest lies."""
    return home / FOLDER / digest[:2] / digest


def _is_renewed(path: Path) -> bool:
    """Returns whether the file is there, and as new as if it had just been written, so that nothing prunes it now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # a disk that takes nothing any more loses nothing either
        return path.exists()
    return True


def _write(path: Path, data: bytes) -> None:
    with drafted(path, data) as draft:
        failpoints.hit("before_blob")
        draft.replace(path)
        failpoints.hit("after_blob")


@contextlib.contextmanager
def drafted(path: Path, data: bytes) -> Generator[Path]:
    """Yields a private file with the data beside `path`, for a block that moves it there.

    So a reader sees all or nothing under that name, even after a power loss: the bytes are flushed before the file gets
    its name, and the name (the folder) before anybody is told of it.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123  # a path cannot carry the mode
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
