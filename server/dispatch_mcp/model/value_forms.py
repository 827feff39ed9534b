"""What a field of a value can hold, in words for a person who has written something else."""

from __future__ import annotations

import types as python_types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dispatch_mcp.text import json_types

_PLAIN: Final[Mapping[str, str]] = {"bool": "true or false", "str": "a text", "Path": "a path"}
_MANY: Final[Mapping[str, str]] = {"str": "texts", "Path": "paths"}


def form(field: FieldInfo) -> str:
    """Returns what a field can hold: `a whole number from 1 to 64`, `one of end, each, none`, `a list of texts`."""
    kind = _kind(field.annotation)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        return f"a list of {_items(_kind(get_args(kind)[0]))}"
    if kind in (int, float):
        bounds = span(field)
        number = "a whole number" if kind is int else "a number"
        between = "" if not bounds else f" {bounds}" if bounds.startswith("above ") else f" from {bounds}"
        return number + between
    return _PLAIN.get(_name(kind), "another value")


def span(field: FieldInfo) -> str:
    """Returns the least and the most that a number can be, such as `1 to 64`; empty for what is no number."""
    limits: dict[str, json_types.Json] = {}
    for part in _constraints(field):
        limits |= {key: getattr(part, key) for key in ("ge", "gt", "le", "lt") if getattr(part, key, None) is not None}
    least, most = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if least is None or most is None:
        return ""
    return f"{'above ' if 'gt' in limits else ''}{least:,g} to {most:,g}"


def _items(kind: object) -> str:
    """Returns what a list holds, in the plural."""
    if get_origin(kind) is tuple:
        return f"lists of {_items(_kind(get_args(kind)[0]))}"
    return _MANY.get(_name(kind), "values")


def _name(kind: object) -> str:
    return str(getattr(kind, "__name__", ""))


def _kind(annotation: Any) -> Any:  # noqa: ANN401  # types as values have no better type
    """Returns a type without what is said about it beside, and without the None that may stand in its place."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, python_types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _constraints(field: FieldInfo) -> Iterator[json_types.Json]:
    """Yields what limits a field, also where nothing may stand in its place."""
    parts: list[json_types.Json] = [*field.metadata, *get_args(field.annotation)]
    while parts:
        part: json_types.Json = parts.pop()
        yield part
        parts += [*getattr(part, "__metadata__", ()), *getattr(part, "metadata", ())]
