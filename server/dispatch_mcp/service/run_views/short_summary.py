"""The summary of a run in at most 400 tokens, however large the run is: what matters first, the rest as counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.text import json_types, token_count

MOST_TOKENS: Final = 400
LEFT_OUT: Final = "more"
"""The field that says how many entries of which field are left out."""

_ROOM: Final = 48
"""Tokens that are kept for saying what is left out."""

_FILLED: Final = (
    *("held", "pass_on", "unread", "notes_at", "losses", "doubts", "spend", "left", "limits", "follow_ups", "council"),
    *("tasks", "blocked", "search", "context", "workspace"),
)
"""Fields that are filled while there is room, the first first."""

_COUNTED: Final = frozenset({"pass_on", "unread", "losses", "doubts", "tasks", "blocked", "follow_ups"})
"""Fields whose entries are counted where they are left out."""

_LONGEST: Final = (240, 120, 60, 30)
"""Characters to which the texts of an answer are cut, if they leave no room otherwise."""


def fit(answer: Mapping[str, model.Json], most: int = MOST_TOKENS) -> dict[str, model.Json]:
    """Returns a summary as JSON within so many tokens; one that fits stays as it is."""
    if _size(answer) <= most:
        return dict(answer)
    head = {key: value for key, value in answer.items() if key not in _FILLED}
    for longest in _LONGEST:
        if _size(head) <= most // 2:
            break
        head = {key: _cut(value, longest) for key, value in head.items()}
    left_out: dict[str, int] = {}
    for key in _FILLED:
        if key in answer:
            room = most - _ROOM - _size(head)
            part, count = _part(answer[key], room - _size(key))
            if part:
                head[key] = part
            if count and key in _COUNTED:
                left_out[key] = count
    for key in reversed(_FILLED):
        if _size({**head, LEFT_OUT: left_out}) <= most:
            break
        head.pop(key, None)
    return {**head, LEFT_OUT: left_out} if left_out else head


def _size(value: model.Json) -> int:
    return token_count.count(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _part(value: model.Json, room: int) -> tuple[model.Json, int]:
    """Returns as much of a value as there is room for, and how many of its entries are left out."""
    if _size(value) <= room:
        return value, 0
    if json_types.is_list(value):
        return _first(list(value), room)
    if json_types.is_object(value):
        pairs, count = _first([{key: entry} for key, entry in value.items()], room)
        return {key: entry for pair in pairs for key, entry in pair.items()}, count
    text = str(value)[: max(0, room)]
    return (text if len(text) >= _LONGEST[-1] else ""), 1


def _first(entries: list[model.Json], room: int) -> tuple[list[model.Json], int]:
    """Returns the first entries for which there is room, texts in them cut, and how many there are besides."""
    lines: list[model.Json] = []
    for entry in entries:
        short = _cut(entry, _LONGEST[1])
        room -= _size(short) + 1
        if room < 0:
            break
        lines.append(short)
    return lines, len(entries) - len(lines)


def _cut(value: model.Json, longest: int) -> model.Json:
    """Returns a value with its texts cut, and its lists if they are long."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1].rstrip() + "…"
    if json_types.is_list(value):
        return [_cut(entry, longest) for entry in value[: max(1, longest // 20)]]
    if json_types.is_object(value):
        return {key: _cut(entry, longest) for key, entry in value.items()}
    return value
