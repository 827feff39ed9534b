"""Reads single JSON values that a model sent; what does not fit becomes a Problem with its place, never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from dispatch_mcp import model
from dispatch_mcp.model import bounds, problems
from dispatch_mcp.model.problems import Problem
from dispatch_mcp.text import json_types

MAX_TEXT: Final = 20_000
MAX_NAME: Final = 4_096
MAX_LIST: Final = 1_000
MAX_DEPTH: Final = 32
MAX_INPUT_NODES: Final = 20_000
MAX_INPUT_CHARS: Final = 500_000
MAX_SHOWN_ID: Final = 80
"""Characters of a wrong id or key that are repeated in places."""

_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")


def printable(name: str) -> str:
    """Returns the head of a name that is wrong, without what cannot be encoded."""
    return _BAD_TEXT.sub("\ufffd", name)[:MAX_SHOWN_ID]


@dataclass(slots=True)
class FieldReader:
    """Collects what is wrong. `place` is the object being read (`tasks[3]`), `task` its id as far as known."""

    found: list[Problem] = field(default_factory=list[Problem])
    repaired: dict[str, None] = field(default_factory=dict[str, None])
    place: str = ""
    task: str = ""

    def problem(self, code: str, key: str, message: str, *, fix: str = "", meant: str = "") -> None:
        """Notes a problem with the field `key` of the current object."""
        where = f"{self.place}.{key}" if self.place and key else self.place or key
        self.found.append(Problem(code=code, task=self.task, where=where, message=message, fix=fix, did_you_mean=meant))

    def wrong(self, key: str, value: model.Json, wanted: str) -> None:
        """Notes that a value has the wrong type."""
        self.problem("wrong_type", key, f"{json_types.quoted(key)} is {_kind(value)}.", fix=f"Send {wanted}.")

    def text(self, key: str, value: model.Json, limit: int = MAX_TEXT) -> str | None:
        """Returns a text of at most `limit` characters, or None."""
        if not isinstance(value, str):
            self.wrong(key, value, "a string")
            return None
        if len(value) > limit:
            message = f"{json_types.quoted(key)} has {len(value)} characters; at most {limit} are allowed."
            self.problem("too_long", key, message, fix="Shorten it, or put it into a file and name the file.")
            return None
        if _BAD_TEXT.search(value):
            message = f"{json_types.quoted(key)} holds a NUL or half a character: {json_types.quoted(value)}."
            self.problem("bad_text", key, message, fix="Remove that character.")
            return None
        return value

    def name(self, key: str, value: model.Json) -> str | None:
        """Returns a short text without blanks around it; whole numbers are taken as text."""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < bounds.MAX_INTEGER:
            self.repaired["numbers taken as text"] = None
            return str(value)
        read = self.text(key, value, MAX_NAME)
        return read.strip() if read is not None else None

    def texts(self, key: str, value: model.Json, limit: int = MAX_TEXT) -> tuple[str, ...] | None:
        """Returns a list of non-empty texts; a single text becomes a list of one."""
        items = self._items(key, value)
        if items is None:
            return None
        if _are_texts(items, limit):
            return tuple(filter(None, items))
        read = [self.text(f"{key}[{at}]", item, limit) for at, item in enumerate(items)]
        return tuple([item for item in read if item])

    def names(self, key: str, value: model.Json) -> tuple[str, ...] | None:
        """Returns a list of non-empty names; a single text is split at commas."""
        items = value.split(",") if isinstance(value, str) and len(value) <= MAX_NAME else value
        items = self._items(key, items, wrapped=items is not value)
        if items is None:
            return None
        if _are_texts(items, MAX_NAME):
            return tuple(filter(None, map(str.strip, items)))
        read = [self.name(f"{key}[{at}]", item) for at, item in enumerate(items)]
        return tuple([item for item in read if item])

    def number(self, key: str, value: model.Json, low: float, high: float, *, whole: bool = False) -> float | None:
        """Returns a finite number from `low` to `high`, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(key, value, "a number")
            return None
        if not (math.isfinite(value) if isinstance(value, float) else True) or not low <= value <= high:
            self.problem(
                "bad_value", key, f"{json_types.quoted(key)} is {_digits(value)}.", fix=f"Use {low:g} to {high:g}."
            )
            return None
        if whole and value != int(value):
            self.problem("bad_value", key, f"{json_types.quoted(key)} is {value!r}.", fix="Use a whole number.")
            return None
        return value

    def choice(self, key: str, value: model.Json, words: Collection[str]) -> str | None:
        """Returns one of the `allowed` words, whatever the case it was written in."""
        if not isinstance(value, str):
            self.wrong(key, value, f"one of {problems.in_backticks(tuple(words))}")
            return None
        word_form = value.strip().casefold()
        for word in words:
            if word.casefold() == word_form:
                return word
        message = f"{json_types.quoted(key)} is {json_types.quoted(value)}."
        nearest = problems.nearest(value, words)
        self.problem("bad_value", key, message, fix=f"Use one of {problems.in_backticks(tuple(words))}.", meant=nearest)
        return None

    def mapping(self, key: str, value: model.Json) -> dict[str, model.Json] | None:
        """Returns a JSON object of bounded depth and size without NaN, infinities or NUL."""
        if not json_types.is_object(value):
            self.wrong(key, value, "an object")
            return None
        fault = _fault(value)
        if fault:
            self.problem(
                "bad_value", key, f"{json_types.quoted(key)} {fault}.", fix="Send plain, finite, smaller JSON."
            )
            return None
        return {str(name): item for name, item in value.items()}

    def _items(self, key: str, value: model.Json, *, wrapped: bool = False) -> Sequence[model.Json] | None:
        if isinstance(value, str):
            value, wrapped = [value], True
        if not json_types.is_list(value):
            self.wrong(key, value, "a list of strings")
            return None
        if wrapped:
            self.repaired["strings taken as lists"] = None
        if len(value) > MAX_LIST:
            message = f"{json_types.quoted(key)} has {len(value)} entries; at most {MAX_LIST} are allowed."
            self.problem("too_long", key, message, fix="Name a folder or a glob, or split the task.")
            return None
        return value


def _are_texts(items: Sequence[model.Json], limit: int) -> TypeGuard[Sequence[str]]:
    """Returns whether there is nothing wrong with a list of texts of at most `limit` characters each."""
    try:
        whole = "".join(items)
    except TypeError:
        return False
    return (len(whole) <= limit or max(map(len, items)) <= limit) and not _BAD_TEXT.search(whole)


def _kind(value: model.Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"a boolean ({value})"
    if isinstance(value, int | float):
        return f"a number ({_digits(value)})"
    if isinstance(value, str):
        return f"a string ({json_types.quoted(value)})"
    return "an object" if json_types.is_object(value) else f"a list of {len(value)}"


def _digits(value: float) -> str:
    """Returns a number for a message; Python refuses to print integers of thousands of digits."""
    huge = isinstance(value, int) and abs(value) >= bounds.MAX_INTEGER
    return f"an integer of {value.bit_length()} bits" if huge and isinstance(value, int) else repr(value)


def _fault(value: Mapping[str, model.Json]) -> str:
    """Returns what is wrong with a JSON value, or an empty string."""
    stack: list[tuple[model.Json, int]] = [(value, 1)]
    nodes = chars = 0
    while stack:
        item, depth = stack.pop()
        nodes += 1
        chars += len(item) if isinstance(item, str) else 0
        if depth > MAX_DEPTH or nodes > MAX_INPUT_NODES or chars > MAX_INPUT_CHARS:
            return "is nested too deeply" if depth > MAX_DEPTH else "is too large"
        if json_types.is_object(item):
            stack += [(part, depth + 1) for pair in item.items() for part in pair]
        elif json_types.is_list(item):
            stack += [(part, depth + 1) for part in item]
        elif fault := _leaf_fault(item):
            return fault
    return ""


def _leaf_fault(item: model.Json) -> str:
    if isinstance(item, str):
        return "holds a NUL or half a character" if _BAD_TEXT.search(item) else ""
    if isinstance(item, float):
        return "" if math.isfinite(item) else f"holds {item!r}"
    if isinstance(item, int):
        return "" if abs(item) < bounds.MAX_INTEGER else "holds an integer beyond 64 bits"
    return "" if item is None else f"holds {json_types.quoted(item)}"
