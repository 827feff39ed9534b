"""The handoff that a worker's answer ends with, read leniently (docs/rules.md#handoff-fields)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.text import escape, json_types
from dispatch_mcp.text.reading import excerpts

# Bounds for answers of any size and making. Each of the 200 tries for an object without a fence may read all of what is
# read; answers made to be slow took 0.1 s. Lists and texts are cut below what a dependant's brief can hold at all
# (`prompt_builder.DATA_LIMIT`).
_TRIES = 200
_MAX_ITEMS = 200
_MAX_TEXT = 4_000

_LISTS = ("files_modified", "decisions_made", "open_questions", "mistakes_learned")
_ALIASES: Mapping[str, str] = {
    "completed": "completed_work",
    "summary": "completed_work",
    "work_completed": "completed_work",
    "files": "files_modified",
    "files_changed": "files_modified",
    "modified_files": "files_modified",
    "decisions": "decisions_made",
    "questions": "open_questions",
    "lessons": "mistakes_learned",
    "lessons_learned": "mistakes_learned",
    "mistakes": "mistakes_learned",
}
_EDITS = "proposed_edits"
_MAX_EDITS = 50
BROKEN = "the last JSON block could not be read"
"""How the problem of an answer begins whose author has tried to hand over."""

_MESSAGES = "messages"
_MAX_MESSAGES = 20
_KINDS: Mapping[str, model.MessageKind] = {
    "information": "information",
    "request": "request",
    "warning": "warning",
    "confirmation": "confirmation",
    "handoff": "handoff",
}
FIELDS = frozenset({"completed_work", "artifacts", _EDITS, _MESSAGES, *_LISTS})
"""The fields of a handoff."""

_WRAPPERS = ("handoff", "payload", "result")
_FENCE_LINE = re.compile(r"[ \t]*+(```+|~~~++)[ \t]*+(\w*+)[^`\n]*+")
_LANGUAGES = frozenset({"", "json", "jsonc", "json5"})
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


class ParsedHandoff(NamedTuple):
    """A handoff read from an answer; `problem` says why there is none, or is empty."""

    handoff: model.Handoff | None
    problem: str


def parse_answer(text: str) -> ParsedHandoff:
    """Returns the handoff that `text` ends with: the last JSON object that has one of its fields.

    Fenced blocks come first, then bare objects. Aliases (`decisions`, `files_changed` …), single strings where lists
    belong, trailing commas and a `handoff` or `payload` wrapper are understood; unknown fields are ignored.
    """
    first_error = ""
    for candidate in _candidates(excerpts.HANDOFF.of(text)):
        try:
            value = _loads(candidate)
        except (ValueError, RecursionError) as error:
            first_error = first_error or str(error)
            continue
        fields = _fields(value)
        if fields is not None:
            return ParsedHandoff(_handoff(fields), "")
    if first_error:
        return ParsedHandoff(None, f"{BROKEN}: {first_error}")
    return ParsedHandoff(None, "the answer has no JSON block of the form that was asked for")


def parse_handoff(value: model.Json) -> ParsedHandoff:
    """Returns the handoff that a JSON value says, as leniently as `parse_answer`."""
    fields = _fields(value)
    if fields is None:
        return ParsedHandoff(None, f"a handoff is an object with any of {', '.join(sorted(FIELDS))}")
    return ParsedHandoff(_handoff(fields), "")


def _candidates(text: str) -> Iterator[str]:
    yield from reversed([block for block in _fenced(text) if block.lstrip().startswith("{")])
    yield from _bare_objects(text)


def _fenced(text: str) -> Iterator[str]:
    """Yields the content of each closed fenced block that may hold JSON."""
    fence, may_be_json, block = "", False, list[str]()
    for line in text.split("\n"):
        if fence and line.strip() and not line.strip().strip(fence[0]) and len(line.strip()) >= len(fence):
            if may_be_json:
                yield "\n".join(block)
            fence = ""
        elif fence:
            block.append(line)
        elif opening := _FENCE_LINE.fullmatch(line):
            fence, may_be_json, block = opening[1], opening[2].lower() in _LANGUAGES, []


def _bare_objects(text: str) -> Iterator[str]:
    end = text.rfind("}") + 1
    start = len(text)
    for _ in range(_TRIES):
        start = text.rfind("{", 0, start)
        if start < 0 or not end:
            return
        rest = text[start:end]
        if _names_a_field(rest):
            yield _first_object(rest)


def _names_a_field(text: str) -> bool:
    return any(f'"{name}"' in text for name in (*FIELDS, *_ALIASES))


def _first_object(text: str) -> str:
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return text
    return text[:end]


def _loads(text: str) -> model.Json:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        without_commas = _TRAILING_COMMA.sub(r"\1", text)
        if without_commas == text:
            raise
        return json.loads(without_commas, strict=False)


def _fields(value: model.Json) -> dict[str, model.Json] | None:
    fields: dict[str, model.Json] = {}
    for key, item in _object(value).items():
        name = key.strip().lower().replace("-", "_").replace(" ", "_")
        fields.setdefault(_ALIASES.get(name, name), item)
    if FIELDS & fields.keys():
        return {name: fields[name] for name in fields if name in FIELDS}
    inner = (_fields(fields[wrapper]) for wrapper in _WRAPPERS if wrapper in fields)
    return next((fields for fields in inner if fields is not None), None)


def _handoff(fields: Mapping[str, model.Json]) -> model.Handoff:
    return model.Handoff(
        completed_work="; ".join(_strings(fields.get("completed_work"))),
        artifacts=tuple(_artifact(item) for item in _items(fields.get("artifacts"))),
        proposed_edits=tuple(dict(_object(item)) for item in _items(fields.get(_EDITS))[:_MAX_EDITS] if _object(item)),
        messages=tuple(_messages(_items(fields.get(_MESSAGES))[:_MAX_MESSAGES])),
        **{name: _strings(fields.get(name)) for name in _LISTS},
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
    return escape.encodable(text).strip()[:_MAX_TEXT]


def _artifact(value: model.Json) -> model.Artifact:
    """Returns the artifact that a worker names; digest and size are the server's to find out, so claims are dropped."""
    fields = _object(value) or {"path": value}
    path = _string(fields.get("path") or fields.get("file") or "")
    name = _string(fields.get("name") or "") or PurePosixPath(path).name or path
    return model.Artifact(name=name, path=path)
