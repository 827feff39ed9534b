"""Whole briefs as files of our own, for hosts that are only told where to read them."""

from __future__ import annotations

import re
from pathlib import Path

from dispatch_mcp.store import blobs, sqlite
from dispatch_mcp.text import short_forms

_TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FileBriefs:
    """Briefs in a folder, `<run>/<task>-<attempt>.md`, readable for their owner only."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "briefs"

    def put(self, run_id: str, task_id: str, attempt: int, text: str) -> Path | None:
        """Keeps the text and returns where, or None for ids that are no names of files. Raises StoreUnavailable."""
        path = self._path(run_id, task_id, attempt)
        if path is None:
            return None
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with blobs.drafted(path, text.encode("utf-8", "replace")) as draft:
                draft.replace(path)
        except OSError as error:
            raise sqlite.translate(error, self._home) from error
        return path

    def get(self, run_id: str, task_id: str, attempt: int) -> str:
        """Returns what was kept, or an empty string."""
        path = self._path(run_id, task_id, attempt)
        try:
            return path.read_text("utf-8") if path else ""
        except OSError:
            return ""

    def _path(self, run_id: str, task_id: str, attempt: int) -> Path | None:
        if not short_forms.is_id(run_id) or not _TASK.fullmatch(task_id):
            return None
        return self._folder / run_id / f"{task_id}-{attempt}.md"
