"""What the root of a workspace shows of how its project is tested: a few small files and the names around them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dispatch_mcp.context import safe_read
from dispatch_mcp.planning import proof_proposals
from dispatch_mcp.process import safe_paths

READ: Final = (
    *("pyproject.toml", "setup.cfg", "tox.ini", "requirements.txt", "requirements-dev.txt", "package.json"),
    *("Makefile", "makefile", "GNUmakefile"),
)
"""Files whose text says what runs the tests."""

MAX_BYTES: Final = 200_000
MAX_NAMES: Final = 2_000
"""Names that are looked at in one folder."""

_TEST_FOLDERS: Final = ("tests", "test")


def read(workspace: str) -> proof_proposals.ProjectFiles:
    """Returns what a workspace shows; nothing where it cannot be read."""
    root = Path(workspace)
    names = {*_names(root)}
    for folder in _TEST_FOLDERS:
        if folder in names and not (root / folder).is_symlink():
            names.update(f"{folder}/{name}" for name in _names(root / folder))
    return proof_proposals.ProjectFiles(dict(_texts(root, names)), frozenset(names))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, MAX_NAMES)]
    except OSError:
        return []


def _texts(root: Path, names: set[str]) -> Iterator[tuple[str, str]]:
    try:
        with safe_read.Root(root) as folder:
            for name in READ:
                if name in names:
                    yield from _text(folder, name)
    except safe_paths.Refused:
        return


def _text(root: safe_read.Root, name: str) -> Iterator[tuple[str, str]]:
    try:
        yield name, root.read(name, limit=MAX_BYTES).text
    except safe_paths.Refused:
        return
