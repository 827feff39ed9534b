"""Reads files below a workspace root and nowhere else (promise S4).

Every component of a path is opened relative to the folder before it and without following links, so that nobody can
swap a folder for a link in between. What is no regular file, is too large or is on the deny list is refused.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from dispatch_mcp import errors
from dispatch_mcp.text import secret_paths

MAX_BYTES: Final = 400_000
"""A larger file is not indexed, and not read for a pack."""
_LONGEST: Final = 4_096
_DEEPEST: Final = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _FLAGS | getattr(os, "O_DIRECTORY", 0)
_BY_HANDLE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


class Refused(errors.NotAllowed):
    """A file is not read, for a reason that the message says."""


class Content(NamedTuple):
    """What a file held: `size` in bytes and `mtime_ns` are those of the moment it was read."""

    data: bytes
    size: int
    mtime_ns: int

    @property
    def text(self) -> str:
        """The bytes as UTF-8 with plain line ends; what is not UTF-8 is replaced."""
        text = self.data.decode("utf-8", "replace")
        return text.replace("\r\n", "\n").removeprefix("\ufeff") if "\r" in text else text.removeprefix("\ufeff")


def parts(path: str) -> tuple[str, ...]:
    """Returns the components of a relative path.

    Raises:
        Refused: it is absolute, climbs, is no plain path, or is on the deny list.
    """
    if not path or len(path) > _LONGEST or any(char < " " or char == "\x7f" for char in path):
        raise _refused(path, "is no path of a file")
    if path.startswith(("/", "\\", "~")) or path[1:2] == ":" or "\\" in path:
        raise _refused(path, "is not relative to the workspace")
    found = tuple(path.split("/"))
    if len(found) > _DEEPEST or any(part in {"", ".", ".."} for part in found):
        raise _refused(path, "does not stay below the workspace")
    if any("\ud800" <= char <= "\udfff" for char in path):
        raise _refused(path, "is no Unicode text")
    if secret_paths.secret(path):
        raise _refused(path, "may hold secrets")
    return found


def _refused(path: str, why: str) -> Refused:
    shown = path if len(path) <= 120 else path[:119] + "…"
    return Refused(f"{shown!r} {why}.", hint="Name a file of the workspace by its path relative to it.")


class Root:
    """An open workspace; close it, or use it as a context."""

    def __init__(self, workspace: Path) -> None:
        """Opens the real folder of `workspace`. Raises Refused when it is none."""
        self.path = Path(os.path.realpath(workspace))
        self._kept: tuple[tuple[str, ...], int] | None = None
        try:
            self._fd = os.open(self.path, _FOLDER) if _BY_HANDLE else -1
        except OSError as error:
            raise Refused(f"The workspace {str(workspace)!r} cannot be opened: {error.strerror}.") from error

    def close(self) -> None:
        """Closes every folder that is open."""
        self._forget()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, path: str, *, limit: int = MAX_BYTES) -> Content:
        """Returns what the file `path`, relative to the workspace, holds.

        Raises:
            Refused: it lies elsewhere, is a link, no regular file, too large, secret, or cannot be read.
        """
        *folders, name = parts(path)
        try:
            with self._folder(tuple(folders)) as folder:
                handle = self._open(folder, folders, name)
                with os.fdopen(handle, "rb", buffering=0) as file:
                    return self._content(path, file.fileno(), limit)
        except OSError as error:
            raise Refused(f"{path!r} cannot be read: {error.strerror}.", hint="Is it a plain file there?") from error

    def _content(self, path: str, handle: int, limit: int) -> Content:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(path, "is no regular file")
        if found.st_size > limit:
            raise _refused(path, f"has {found.st_size:,} bytes, more than the {limit:,} that are read")
        data = os.read(handle, found.st_size + 1)
        while len(data) <= limit and (more := os.read(handle, limit + 1 - len(data))):
            data += more
        if len(data) > limit:
            raise _refused(path, f"grew beyond {limit:,} bytes")
        return Content(data, found.st_size, found.st_mtime_ns)

    def _open(self, folder: int, folders: list[str], name: str) -> int:
        if _BY_HANDLE:
            return os.open(name, _FLAGS, dir_fd=folder)
        whole = self.path.joinpath(*folders, name)
        if Path(os.path.realpath(whole)) != whole:
            raise _refused("/".join((*folders, name)), "is a link or leads outside")
        return os.open(whole, _FLAGS | getattr(os, "O_BINARY", 0))

    @contextmanager
    def _folder(self, folders: tuple[str, ...]) -> Generator[int]:
        """Yields the open folder; the last one stays open, as files are mostly read folder by folder."""
        if not _BY_HANDLE or not folders:
            yield self._fd
            return
        if self._kept is None or self._kept[0] != folders:
            self._forget()
            self._kept = (folders, self._descend(folders))
        yield self._kept[1]

    def _descend(self, folders: tuple[str, ...]) -> int:
        here = self._fd
        for part in folders:
            try:
                below = os.open(part, _FOLDER, dir_fd=here)
            finally:
                if here != self._fd:
                    os.close(here)
            here = below
        return here

    def _forget(self) -> None:
        if self._kept is not None:
            os.close(self._kept[1])
            self._kept = None


if sys.platform == "win32":
    assert not _BY_HANDLE, "Windows has no folder handles; every path is resolved instead"
