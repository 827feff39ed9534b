"""Where a program is that we start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def absolute(path: str) -> str:
    """Returns a PATH without its relative entries, which the workspace could fill."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())


def find(program: str, path: str) -> str | None:
    """Returns the program's absolute path; relative PATH entries do not count."""
    if Path(program).is_absolute():
        return shutil.which(program)
    path = absolute(path)
    return shutil.which(program, path=path) if path else None
