"""The handoff that a worker's answer ends with, read leniently (docs/rules.md#handoff-fields)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.text import escape, json_types, redaction
from dispatch_mcp.text.reading import handoff_texts

# Lists and texts are cut below what a dependant's brief can hold at all (`prompt_builder.DATA_LIMIT`).
_MAX_ITEMS = 200
_MAX_TEXT = 4_000
_MAX_EDITS = 50
_MAX_MESSAGES = 20
_KINDS: Mapping[str, model.MessageKind] = {
    "information": "information",
    "request": "request",
    "warning": "warning",
    "confirmation": "confirmation",
    "handoff": "handoff",
}


class ParsedHandoff(NamedTuple):
    """A handoff read from an answer; `problem` says why there is none, or is empty."""

    handoff: model.Handoff | None
    problem: str


def parse_answer(text: str) -> ParsedHandoff:
    """Returns the handoff that `text` ends with; single strings where lists belong are understood."""
    fields, problem = handoff_texts.read(text)
    return ParsedHandoff(None if fields is None else _handoff(fields), problem)


def parse_handoff(value: model.Json) -> ParsedHandoff:
    """Returns the handoff that a JSON value says, as leniently as `parse_answer`."""
    fields = handoff_texts.fields_of(value)
    if fields is None:
        return ParsedHandoff(None, f"a handoff is an object with any of {', '.join(sorted(handoff_texts.FIELDS))}")
    return ParsedHandoff(_handoff(fields), "")


def _handoff(fields: Mapping[str, model.Json]) -> model.Handoff:
    return model.Handoff(
        completed_work="; ".join(_strings(fields.get("completed_work"))),
        artifacts=tuple(_artifact(item) for item in _items(fields.get("artifacts"))),
        proposed_edits=tuple(
            dict(_object(item)) for item in _items(fields.get(handoff_texts.EDITS))[:_MAX_EDITS] if _object(item)
        ),
        messages=tuple(_messages(_items(fields.get(handoff_texts.MESSAGES))[:_MAX_MESSAGES])),
        **{name: _strings(fields.get(name)) for name in handoff_texts.LISTS},
    )


def _messages(items: Sequence[model.Json]) -> Iterator[model.Note]:
    """Yields the messages that have a recipient and a text; an unknown kind is information."""
    for item in items:
        fields = _object(item)
        to = _string(fields.get("to") or fields.get("recipient") or "")[:200]
        text = _string(fields.get("text") or fields.get("message") or "")
        kind = _KINDS.get(_string(fields.get("kind") or fields.get("type") or "").lower(), "information")
        if to and text:
            yield model.Note(to=to, kind=kind, text=text)


def _object(value: model.Json) -> dict[str, model.Json]:
    """Returns the fields of a JSON object, and none for any other value."""
    return dict(value) if json_types.is_object(value) else {}


def _items(value: model.Json) -> Sequence[model.Json]:
    if value is None or value == "":
        return ()
    return value[:_MAX_ITEMS] if json_types.is_list(value) else (value,)


def _strings(value: model.Json) -> tuple[str, ...]:
    texts = (_string(item) for item in _items(value))
    return tuple(text for text in texts if text)


def _string(value: model.Json) -> str:
    fields = _object(value)
    if len(fields) == 1 and fields.keys() <= {"path", "file", "name", "text"}:
        return _string(next(iter(fields.values())))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return redaction.beginning(escape.encodable(text).strip(), _MAX_TEXT)


def _artifact(value: model.Json) -> model.Artifact:
    """Returns the artifact that a worker names; digest and size are the server's to find out, so claims are dropped."""
    fields = _object(value) or {"path": value}
    path = _string(fields.get("path") or fields.get("file") or "")
    name = _string(fields.get("name") or "") or PurePosixPath(path).name or path
    return model.Artifact(name=name, path=path)
