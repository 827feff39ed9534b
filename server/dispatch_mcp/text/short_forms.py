"""The short form of an id: its words and the first digits of its number, as everybody is shown it.

Only the standard library is imported: hooks show ids at every turn of a session.
"""

from __future__ import annotations

import re
from typing import Final

DIGITS: Final = 4
"""Digits that a short id ends with: enough to tell plans of the same words apart, few enough to be said."""
BARE_DIGITS: Final = 8
"""Digits of an id without words that are shown."""

NUMBER: Final = re.compile(r"[0-9a-f]{32}")
WHOLE: Final = re.compile(r"(?P<words>[a-z0-9]+(?:-[a-z0-9]+)*)-(?P<number>[0-9a-f]{32})")


def is_id(text: str) -> bool:
    """Whether a text is a whole id, with words or from before there were any."""
    return bool(WHOLE.fullmatch(text) or NUMBER.fullmatch(text))


def short(whole: str) -> str:
    """Returns the part of an id that is shown; what is no id of ours stays as it is."""
    if parts := WHOLE.fullmatch(whole):
        return f"{parts['words']}-{parts['number'][:DIGITS]}"
    return whole[:BARE_DIGITS] if NUMBER.fullmatch(whole) else whole
