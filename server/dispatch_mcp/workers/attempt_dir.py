"""The folder of one attempt below the state directory, where a child's output goes while it runs."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from pathlib import Path

from dispatch_mcp.model import work_order

_SAFE_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def of(home: Path, work: work_order.WorkOrder, attempt: int | None = None) -> Path:
    """Returns the folder of an order's attempt, or of another attempt of the same task."""
    number = work.attempt if attempt is None else attempt
    return home / "runs" / _part(work.run_id) / _part(work.task.id) / str(number)


def remove(folder: Path) -> None:
    """Removes an attempt's files, and the folders above that it leaves empty."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in (folder.parent, folder.parent.parent):
        with contextlib.suppress(OSError):
            parent.rmdir()


def _part(name: str) -> str:
    """Returns `name` if it can be a folder's name everywhere, else its digest."""
    if _SAFE_PART.match(name) and not name.endswith("."):
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
