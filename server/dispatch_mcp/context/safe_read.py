"""Reads files below a workspace root and nowhere else (promise S4).

The way there is that of `process.safe_paths`. What is no regular file, is too large or is on the deny list is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from dispatch_mcp.process import safe_paths

MAX_BYTES: Final = 400_000
"""A larger file is not indexed, and not read for a pack."""
_HINT: Final = "Name a file of the workspace by its path relative to it."


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


def _refusal(path: str, why: str) -> safe_paths.Refused:
    return safe_paths.refusal(path, why, hint=_HINT)


class Root:
    """An open workspace; close it, or use it as a context."""

    def __init__(self, workspace: Path) -> None:
        """Opens the real folder of `workspace`, which stays known by this `alias`. Raises Refused when it is none."""
        self.alias = workspace
        self.path = Path(os.path.realpath(workspace))
        self._kept: tuple[tuple[str, ...], int] | None = None
        try:
            self._fd = os.open(self.path, safe_paths.FOLDER) if safe_paths.BY_HANDLE else -1
        except OSError as error:
            raise safe_paths.Refused(f"The workspace {str(workspace)!r} cannot be opened: {error.strerror}.") from error

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
        *folders, name = safe_paths.parts(path, "workspace", hint=_HINT)
        try:
            with self._folder(tuple(folders)) as folder:
                handle = self._open(folder, folders, name)
                with os.fdopen(handle, "rb", buffering=0) as file:
                    return self._content(path, file.fileno(), limit)
        except OSError as error:
            raise safe_paths.Refused(
                f"{path!r} cannot be read: {error.strerror}.", hint="Is it a plain file there?"
            ) from error

    def target(self, path: str) -> str | None:
        """Returns the file below the workspace that a link leads to, empty for one that leads nowhere in it.

        None for a path with no link in it, or one that does not begin below the workspace.
        """
        whole = self.path / path
        if path.startswith("/") or ".." in path.split("/") or not os.path.lexists(whole):
            return None
        place = Path(os.path.realpath(whole))
        if place == whole:
            return "" if whole.is_symlink() else None
        if not place.is_relative_to(self.path) or not place.is_file():
            return ""
        return place.relative_to(self.path).as_posix()

    def _content(self, path: str, handle: int, limit: int) -> Content:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "is no regular file")
        if status.st_size > limit:
            raise _refusal(path, f"has {status.st_size:,} bytes, more than the {limit:,} that are read")
        data = os.read(handle, status.st_size + 1)
        while len(data) <= limit and (more := os.read(handle, limit + 1 - len(data))):
            data += more
        if len(data) > limit:
            raise _refusal(path, f"grew beyond {limit:,} bytes")
        return Content(data, status.st_size, status.st_mtime_ns)

    def _open(self, folder: int, folders: list[str], name: str) -> int:
        if safe_paths.BY_HANDLE:
            return os.open(name, safe_paths.READ, dir_fd=folder)
        whole = self.path.joinpath(*folders, name)
        if Path(os.path.realpath(whole)) != whole:
            raise _refusal("/".join((*folders, name)), "is a link or leads outside")
        return os.open(whole, safe_paths.READ | getattr(os, "O_BINARY", 0))

    @contextmanager
    def _folder(self, folders: tuple[str, ...]) -> Generator[int]:
        """Yields the open folder; the last one stays open, as files are mostly read folder by folder."""
        if not safe_paths.BY_HANDLE or not folders:
            yield self._fd
            return
        if self._kept is None or self._kept[0] != folders:
            self._forget()
            self._kept = (folders, safe_paths.descend(self._fd, folders))
        yield self._kept[1]

    def _forget(self) -> None:
        if self._kept is not None:
            os.close(self._kept[1])
            self._kept = None
