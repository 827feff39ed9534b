"""Short names of models: the one table that plans, agents, workers, prices and forecasts resolve by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

INHERIT: Final = "inherit"
"""Means the model of whoever calls, so no model of one's own."""

DEFAULT: Final = "sonnet"
"""What a server's own worker uses when neither plan nor agent names a model."""

_SEEN: Final = "Claude Code 2.1.330 resolves it so (2026-11-21)"
_SUFFIX: Final = re.compile(r"(?:@[0-9]{8})?(?:\[1m\])?$")


class Alias(NamedTuple):
    """The full name that a short one stands for, and how that is known."""

    model: str
    provenance: str


TABLE: Final[Mapping[str, Alias]] = {
    "fable": Alias("claude-fable-5-2", _SEEN),
    "opus": Alias("claude-opus-5-5", _SEEN),
    "sonnet": Alias("claude-sonnet-5-5", _SEEN),
    "haiku": Alias("claude-haiku-5-5", _SEEN),
}

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""How hard a model may be told to think, least first."""


def resolve(name: str | None) -> str:
    """Returns the full name of a model; an empty string when none is named."""
    if not name or name == INHERIT:
        return ""
    return TABLE[name].model if name in TABLE else name


def bare(name: str | None) -> str:
    """Returns the full name without date and context suffix, as price lists have it."""
    return _SUFFIX.sub("", resolve(name))


def effort(name: str) -> str:
    """Returns the effort in the words of a request, or an empty string when it is none."""
    word = name.strip().lower()
    return word if word in EFFORTS else ""


REVIEW_MODEL: Final = "sonnet"
"""Every review gets this model (docs/rules.md#review-model)."""
