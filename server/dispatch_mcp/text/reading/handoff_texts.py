"""The handoff that a text ends with, as the fields that stand in it (docs/rules.md#handoff-fields).

Only the standard library is imported: hooks look for a handoff before anything else is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import excerpts, reported_failures

# Each of so many tries for an object without a fence may read all of what is read; answers made to be slow took 0.1 s.
_TRIES = 200
_MOST = 4_000
"""Characters of a handoff of which no field is cut when it is read."""

LISTS: Final = ("files_modified", "decisions_made", "open_questions", "mistakes_learned")
EDITS: Final = "proposed_edits"
MESSAGES: Final = "messages"
FIELDS: Final = frozenset({"completed_work", "artifacts", EDITS, MESSAGES, *LISTS})
"""The fields of a handoff."""

BROKEN: Final = "the last JSON block could not be read"
"""How the problem of an answer begins whose author has tried to hand over."""

MISSING: Final = "the answer has no JSON block of the form that was asked for"

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
_WRAPPERS = ("handoff", "payload", "result")
_FENCE_LINE = re.compile(r"[ \t]*+(```+|~~~++)[ \t]*+(\w*+)[^`\n]*+")
_LANGUAGES = frozenset({"", "json", "jsonc", "json5"})
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")

Fields = Mapping[str, json_types.Json]


class HandoffText(NamedTuple):
    """The fields of a handoff under their own names; None where there are none, and `problem` says why."""

    fields: Fields | None
    problem: str


def read(text: str) -> HandoffText:
    """Returns the fields of the handoff that `text` ends with: of the last JSON object that has one of them.

    Fenced blocks come first, then bare objects. Aliases (`decisions`, `files_changed` …), trailing commas and a
    `handoff` or `payload` wrapper are understood; unknown fields are ignored.
    """
    first_error = ""
    for candidate in _candidates(excerpts.HANDOFF.of(text)):
        try:
            value = _loads(candidate)
        except (ValueError, RecursionError) as error:
            first_error = first_error or str(error)
            continue
        fields = fields_of(value)
        if fields is not None:
            return HandoffText(fields, "")
    return HandoffText(None, f"{BROKEN}: {first_error}" if first_error else MISSING)


def without(text: str) -> str:
    """Returns what a text says beside the handoff that it ends with; all of it where that says more than a handoff.

    So whoever is given the fields of the handoff does not read them twice.
    """
    for candidate in _candidates(excerpts.HANDOFF.of(text)):
        try:
            value = _loads(candidate)
        except (ValueError, RecursionError):
            continue
        fields = fields_of(value)
        if fields is not None:
            is_all = json_types.is_object(value) and len(fields) == len(value) and len(candidate) <= _MOST
            return _cut_out(text, candidate) if is_all else text
    return text


def _cut_out(text: str, block: str) -> str:
    """Returns a text without its last block of these words, and without the fence around that."""
    before, middle, after = text.rpartition(block)
    if not middle:
        return text
    head, _, opening = before.rstrip("\n").rpartition("\n")
    closing, _, rest = after.lstrip("\n").partition("\n")
    if _FENCE_LINE.fullmatch(opening) and closing.strip()[:3] in {"```", "~~~"}:
        before, after = head, rest
    return "\n".join(part for part in (before.rstrip(), after.strip()) if part)


def fields_of(value: json_types.Json) -> Fields | None:
    """Returns the fields of a handoff that a JSON value has, also within a wrapper; None if it has none of them."""
    if not json_types.is_object(value):
        return None
    fields: dict[str, json_types.Json] = {}
    for key, item in value.items():
        name = key.strip().lower().replace("-", "_").replace(" ", "_")
        fields.setdefault(_ALIASES.get(name, name), item)
    if FIELDS & fields.keys():
        return {name: fields[name] for name in fields if name in FIELDS}
    inner = (fields_of(fields[wrapper]) for wrapper in _WRAPPERS if wrapper in fields)
    return next((fields for fields in inner if fields is not None), None)


def fault(text: str) -> str:
    """Returns why an answer cannot be handed over as it is, empty where it can."""
    return read(text).problem or reported_failures.doubt(reported_failures.last_object(text))


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


def _loads(text: str) -> json_types.Json:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        without_commas = _TRAILING_COMMA.sub(r"\1", text)
        if without_commas == text:
            raise
        return json.loads(without_commas, strict=False)
