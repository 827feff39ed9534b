"""Who has started a subagent: the host keeps that in a small file beside each transcript.

A subagent may start others. What they use is used for its attempt, and while one works, the attempt is not over.
"""

from __future__ import annotations

import json
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import json_types

MOST_AGENTS: Final = 2_000
"""Subagents of a session among which those of a subagent are looked for."""

MOST_STEPS: Final = 32
"""How far subagents are followed that others have started."""

_MOST_BYTES: Final = 1 << 18
_ENDING: Final = ".jsonl"
_BIRTH: Final = ".meta.json"


class Birth(NamedTuple):
    """The call that started a subagent, and the subagent that made this call, empty for the session itself."""

    call: str
    parent: str


NO_BIRTH: Final = Birth("", "")


def birth(path: str) -> Birth:
    """Returns who started the subagent with that transcript; nothing where the host does not say."""
    if not path.endswith(_ENDING):
        return NO_BIRTH
    try:
        with os.fdopen(os.open(f"{path.removesuffix(_ENDING)}{_BIRTH}", safe_paths.READ), "rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            fields: json_types.Json = json.loads(file.read(_MOST_BYTES)) if is_file else None
    except (OSError, ValueError, RecursionError):
        return NO_BIRTH
    call, parent = (
        fields.get(name) if json_types.is_object(fields) else None for name in ("toolUseId", "parentAgentId")
    )
    return Birth(call if isinstance(call, str) else "", parent if isinstance(parent, str) else "")


def ancestors(path: str) -> list[str]:
    """Returns a transcript and those of the subagents that have started its subagent, the nearest first."""
    paths: list[str] = []
    while path and path not in paths and len(paths) < MOST_STEPS:
        paths.append(path)
        path = _parent(path)
    return paths


def descendants(path: str) -> list[str]:
    """Returns the transcripts of the subagents that a subagent has started, and these again."""
    try:
        names = [entry.name for entry in islice(os.scandir(Path(path).parent), 2 * MOST_AGENTS)]
    except OSError:
        return []
    children: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.endswith(_BIRTH):
            child = str(Path(path).with_name(f"{name.removesuffix(_BIRTH)}{_ENDING}"))
            children.setdefault(_parent(child), []).append(child)
    own = str(Path(path))
    paths = [own]
    for parent in paths:  # grows meanwhile
        paths += [child for child in children.pop(parent, []) if child != own]
    return paths[1:]


def _parent(path: str) -> str:
    """Returns the transcript of the subagent that has started another one, empty if none has."""
    parent = birth(path).parent
    return str(Path(path).with_name(f"agent-{parent}{_ENDING}")) if parent.isalnum() else ""
