"""Where a program is that we start, and one that a person has in front of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
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


def run_in_front(words: Sequence[str]) -> int:
    """Runs a program of the user's own choice in their terminal, and returns how it ended; 127 where there is none."""
    try:
        return subprocess.run(words, check=False).returncode  # noqa: S603  # the user has typed them
    except OSError:
        return 127
