"""Where a program is that a worker starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find(program: str, path: str) -> str | None:
    """Returns the program's absolute path; relative PATH entries, which the workspace could fill, do not count."""
    if not Path(program).is_absolute():
        path = os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())
        return shutil.which(program, path=path) if path else None
    return shutil.which(program)
