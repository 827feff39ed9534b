"""JSON as Python values, and the questions about their shape."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

Json = Any
"""A JSON value: None, bool, int, finite float, str, list or dict with str keys."""

MAX_DEPTH: Final = 60
"""Levels of nesting that anybody's values may have."""

_SHOWN: Final = 80
"""Characters of a value in a message."""

_HUGE: Final = 14_000
"""Bits of whole numbers beyond which Python refuses to write them."""

_LISTS: Final = (list, tuple)
_NUMBERS: Final = (int, float)
_OF_FAULTS: Final = (str, float)
# Not `list | tuple` in the call, which would make a type anew each time: these are asked of every value of an answer.

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Impossible(NamedTuple):
    """Why a value is none that we take, and what to send instead."""

    message: str
    fix: str


def is_object(value: Json) -> TypeGuard[Mapping[str, Json]]:
    """Returns whether a value is an object; an immutable mapping is one, too."""
    return isinstance(value, Mapping)


def is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    """Returns whether a value is a list; a tuple is one, too, but a text or a set is none."""
    return isinstance(value, _LISTS)


def is_number(value: Json) -> TypeGuard[float]:
    """Returns whether a value is a number; a truth value is none."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def is_left_out(value: Json) -> bool:
    """Returns whether a value stands for one that was not given: clients send null or an empty text for those."""
    return value is None or value == ""


def without_left_out(values: Mapping[str, Json]) -> dict[str, Json]:
    """Returns the entries of an object that say something."""
    return {key: value for key, value in values.items() if not is_left_out(value)}


def plain_name(key: str) -> str:
    """Returns a key in small letters with underscores, however its author joins words."""
    return _HUMP.sub("_", key.strip()).lower().replace("-", "_").replace(" ", "_")


def quoted(value: Json) -> str:
    """Returns `repr(value)` cut to a length that fits in a message; of a great value only the beginning is read."""
    text = repr(_head(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _head(value: Json) -> Json:
    """Returns so much of a value that the shown part of its `repr` is right: each part takes at least a character."""
    room = _SHOWN

    def first(part: Json) -> Json:
        nonlocal room
        room -= 1
        if isinstance(part, str):
            return part[: _SHOWN * 2]
        if is_object(part):
            return {key: first(item) for key, item in itertools.takewhile(lambda _: room > 0, part.items())}
        if is_list(part):
            return [first(item) for item in itertools.takewhile(lambda _: room > 0, part)]
        return "a number of thousands of digits" if isinstance(part, int) and part.bit_length() > _HUGE else part

    return first(value)


def is_short(value: Json, most: int) -> bool:
    """Returns whether the texts in a value have at most so many characters; each value in it counts as ten more."""
    rest = [value]
    while rest:
        item = rest.pop()
        most -= 10
        if isinstance(item, str):
            most -= len(item)
        elif is_list(item):
            rest += item
        elif is_object(item):
            rest += [*item, *item.values()]
        if most < 10 * len(rest):
            return False
    return True


def fault_in(value: Json, place: str) -> Impossible | None:
    """Returns the first NUL, number that JSON cannot say, or nesting without end; `place` is the name of the value."""
    return _fault_in(value, place, 0) if _is_faulty(value) else None


def _is_faulty(value: Json) -> bool:
    """Returns whether there is any such fault, level by level: most values have none, and some are long."""
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Json] = []
        for item in level:
            if isinstance(item, _OF_FAULTS):
                if (isinstance(item, str) and "\0" in item) or (isinstance(item, float) and not math.isfinite(item)):
                    return True
            elif isinstance(item, int) or item is None:
                continue
            elif is_object(item):
                inner += [*item, *item.values()]
            elif is_list(item):
                inner += item
        if not inner:
            return False
        level = inner
    return True


def _fault_in(value: Json, place: str, depth: int) -> Impossible | None:
    if depth > MAX_DEPTH:
        return Impossible(f"{place} is nested deeper than {MAX_DEPTH} levels.", "Send a flatter value.")
    if isinstance(value, str) and "\0" in value:
        position = value.index("\0")
        return Impossible(f"{place} holds a NUL character at position {position}.", "Send the text without it.")
    if isinstance(value, float) and not math.isfinite(value):
        return Impossible(f"{place} is {value!r}, which is not a JSON number.", "Send a finite number.")
    faults = (_fault_in(item, place + inner, depth + 1) for inner, item in _inside(value))
    return next(filter(None, faults), None)


def _inside(value: Json) -> Iterator[tuple[str, Json]]:
    """Yields what is inside an object or list, each with its place; keys are values too."""
    if is_object(value):
        for key, item in value.items():
            yield "", key
            yield f".{str(key)[:60]}", item
    elif is_list(value):
        for position, item in enumerate(value):
            yield f"[{position}]", item
