"""Values to the texts that the tables hold, and back."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeVar

from pydantic import ValidationError

from dispatch_mcp import model
from dispatch_mcp.text import json_types

V = TypeVar("V", bound=model.Value)

_encode = json.JSONEncoder(separators=(",", ":")).encode


def dump(value: model.Value, *, sparse: bool = False) -> str:
    """Returns the JSON of a value; `sparse` leaves out what was not set."""
    try:
        return value.model_dump_json(exclude_unset=sparse)
    except ValueError:  # a lone surrogate, which only escaped JSON can hold
        return _encode(value.model_dump(exclude_unset=sparse))


_FORMER_FIELDS: Final[Mapping[type[model.Value], Collection[str]]] = {model.Plan: ("draft",)}
"""Fields that earlier versions have stored and that nothing reads any more."""


def load(kind: type[V], text: str | bytes) -> V:
    """Returns the value that `dump` wrote, without former fields; a figure that breaks its bound counts as that."""
    try:
        return kind.model_validate_json(text)
    except ValueError:
        raw: model.Json = _without(json.loads(text), _FORMER_FIELDS.get(kind, ()))
    try:
        return kind.model_validate(raw)
    except ValidationError as wrong:
        return kind.model_validate(_bounded(raw, wrong))


def _without(raw: model.Json, names: Collection[str]) -> model.Json:
    return {name: value for name, value in raw.items() if name not in names} if json_types.is_object(raw) else raw


def _bounded(raw: model.Json, wrong: ValidationError) -> model.Json:
    """Returns a value with its figures cut to the bounds they break. Raises ValidationError for other faults."""
    for fault in wrong.errors(include_url=False, include_input=False):
        most = fault.get("ctx", {}).get("le")
        if most is None:
            raise wrong
        *outside, name = fault["loc"]
        functools.reduce(operator.getitem, outside, raw)[name] = most
    return raw


def dump_map(data: Mapping[str, model.Json]) -> str:
    """Returns the JSON of a mapping; an empty one takes no space."""
    if len(data) == 1:
        [(name, value)] = data.items()
        if type(value) is str:
            return _dump_word(name, value)
    return _encode(data) if data else ""


@functools.lru_cache(256)
def _dump_word(name: str, value: str) -> str:
    """Returns the JSON of one named word; most events say nothing else, and the same again and again."""
    return _encode({name: value})


def load_map(text: str) -> dict[str, model.Json]:
    """Returns the mapping that `dump_map` wrote."""
    return json.loads(text) if text else {}


def dump_stand_ins(stand_ins: Sequence[model.StandIn]) -> str:
    """Returns the JSON of who stands in; nobody takes no space."""
    return _encode(stand_ins) if stand_ins else ""


def load_stand_ins(text: str) -> tuple[model.StandIn, ...]:
    """Returns those whom `dump_stand_ins` wrote."""
    return tuple([model.StandIn(*names) for names in json.loads(text)]) if text else ()


def clean(text: str) -> str:
    """Returns `text` as SQLite can hold it: lone surrogates become their escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
