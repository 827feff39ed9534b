"""Pictures without the places of a machine: a page that is sent to others says nothing of its folders."""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import model

WORKSPACE, HOME = ".", "~"

# Before a path: no part of another one, unless it ends an escape (`\n`) or stands behind a flag (`-I/usr`).
_START: Final = r"(?:(?<![\w.~-])|(?<=\\[nrt])|(?<=\W-\w))"
# Behind it: no more of the same name.
_END: Final = r"(?![\w-]|\.\w)"


class FolderMark(NamedTuple):
    """How a folder of the machine is written, and the mark that stands for it."""

    pattern: re.Pattern[str]
    mark: str


def places(workspace: str) -> tuple[FolderMark, ...]:
    """Returns the places that are marked in the pictures of a workspace's runs: the longer ones first."""
    marks: dict[str, str] = {}
    for folder, mark in ((workspace, WORKSPACE), (str(Path("~").expanduser()), HOME)):
        for path in (folder, os.path.realpath(folder)) if Path(folder).is_absolute() else ():
            if len(Path(path).parts) > 1:  # not the root of all
                marks.setdefault(path.rstrip("/\\"), mark)
    longest = sorted(marks, key=len, reverse=True)
    return tuple(FolderMark(re.compile(_START + re.escape(path) + _END), marks[path]) for path in longest)


def placeless(value: model.Json, folders: Sequence[FolderMark]) -> model.Json:
    """Returns a value, or JSON, in which every text names these places by their marks."""
    kind: type[model.Json] = value.__class__
    if kind is str:
        return _text(value, folders)
    if issubclass(kind, model.Value):
        return value.model_copy(update={name: placeless(part, folders) for name, part in value})
    if issubclass(kind, dict):
        return {name: placeless(part, folders) for name, part in value.items()}
    if issubclass(kind, tuple):
        parts = [placeless(part, folders) for part in value]
        return value._make(parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _text(text: str, folders: Sequence[FolderMark]) -> str:
    for place in folders if "/" in text or "\\" in text else ():
        text = place.pattern.sub(place.mark, text)
    return text
