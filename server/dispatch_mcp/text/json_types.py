"""JSON as Python values, and the questions about their shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

Json = Any
"""A JSON value: None, bool, int, finite float, str, list or dict with str keys."""


def is_object(value: Json) -> TypeGuard[Mapping[str, Json]]:
    """Returns whether a value is an object; an immutable mapping is one, too."""
    return isinstance(value, Mapping)


def is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    """Returns whether a value is a list; a tuple is one, too, but a text or a set is none."""
    return isinstance(value, list | tuple)
