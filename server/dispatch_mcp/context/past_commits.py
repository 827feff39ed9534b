"""Past commits as values."""

from __future__ import annotations

from typing import NamedTuple


class Commit(NamedTuple):
    """One commit: `time` in seconds since the epoch, `files` relative to the workspace."""

    sha: str
    time: int
    subject: str
    files: tuple[str, ...]
