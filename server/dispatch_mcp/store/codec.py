"""Values to the texts that the tables hold, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from dispatch_mcp.core import model

V = TypeVar("V", bound=model.Value)

_encode = json.JSONEncoder(separators=(",", ":")).encode


def dump(value: model.Value, *, sparse: bool = False) -> str:
    """Returns the JSON of a value; `sparse` leaves out what equals its default."""
    try:
        return value.model_dump_json(exclude_defaults=sparse)
    except ValueError:  # a lone surrogate, which only escaped JSON can hold
        return _encode(value.model_dump(mode="python", exclude_defaults=sparse))


def load(kind: type[V], text: str | bytes) -> V:
    """Returns the value that `dump` wrote."""
    try:
        return kind.model_validate_json(text)
    except ValueError:
        return kind.model_validate(json.loads(text))


def dump_map(data: Mapping[str, model.Json]) -> str:
    """Returns the JSON of a mapping; an empty one takes no space."""
    return _encode(data) if data else ""


def load_map(text: str) -> dict[str, model.Json]:
    """Returns the mapping that `dump_map` wrote."""
    return json.loads(text) if text else {}


def clean(text: str) -> str:
    """Returns `text` as SQLite can hold it: lone surrogates become their escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
