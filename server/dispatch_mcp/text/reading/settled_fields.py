"""What an answer tells of earlier rounds, or calls settled itself: no part of what it says of the work as it is.

A field is known by its name: `previous_findings`, `resolved`, `history`, `out of scope`. All words of the name have to
be of this kind or of a review, so that `fixed_price`, `not_fixed` and `src/history.py` are none. An entry is known by
what it says of itself (`status: fixed`); one that says that it is still open counts wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dispatch_mcp.text import json_types
from dispatch_mcp.text.json_types import Json

FORM: Final = frozenset({"verdict", "files", "findings", "earlier", "rulings"})
"""Names of a review's form: what stands there counts, and rulings on earlier findings are read by themselves."""

# Names of several words, and what tests do without the change that is looked at.
_WHOLE_NAMES: Final = re.compile(
    r"(?:(?:false_positive|out_of_scope|pre_existing)s?|without_(?:(?:the|this)_)?(?:change|fix|patch))(?=_|\Z)"
)
_SETTLED: Final = frozenset(
    (
        *("earlier", "previous", "previously", "prior", "past", "history", "before", "preexisting", "settled"),
        *("resolved", "fixed", "mended", "addressed", "closed", "gone", "dismissed", "refuted", "withdrawn"),
        *("retracted", "considered", "rejected", "legend", "rubric"),
    )
)
# What else such a name may hold.
_OF_REVIEWS: Final = frozenset(
    (
        *(
            "findings",
            "finding",
            "issues",
            "issue",
            "problems",
            "concerns",
            "comments",
            "claims",
            "items",
            "candidates",
        ),
        *("hypotheses", "suspicions", "review", "reviews", "round", "rounds", "verdict", "verdicts", "result"),
        *("results", "state", "status", "report", "reports", "critical", "high", "medium", "low", "severity"),
        *("and", "or", "of", "as", "in", "the", "this", "since", "last", "known", "already", "found", "reported"),
        *("list", "change", "commit", "bugs"),
    )
)
_ENDS: Final = frozenset(
    (
        *(
            "resolved",
            "fixed",
            "mended",
            "addressed",
            "closed",
            "gone",
            "dismissed",
            "refuted",
            "withdrawn",
            "retracted",
        ),
        *("rejected", "false_positive", "not_a_bug", "not_an_issue", "out_of_scope", "pre_existing", "preexisting"),
    )
)
_STILL: Final = frozenset(
    (
        *("open", "still_open", "reopened", "stands", "standing", "unresolved", "not_resolved", "unfixed", "not_fixed"),
        *("persists", "remains", "remaining", "present", "still_present", "confirmed", "new", "unaddressed"),
    )
)
_STATES: Final = ("status", "state", "resolution", "disposition", "ruling")


def without(value: Json, depth: int = 0) -> Json:
    """Returns a value without the fields and entries that are settled."""
    if depth > json_types.MAX_DEPTH:
        return value
    if json_types.is_list(value):
        return [without(item, depth + 1) for item in value if not _is_settled(item)]
    return of_object(value, depth) if json_types.is_object(value) else value


def of_object(value: Mapping[str, Json], depth: int = 0) -> dict[str, Json]:
    """Returns an object without what is settled in it."""
    is_form = "verdict" in map(json_types.plain_name, value)
    rest: dict[str, Json] = {}
    for key, item in value.items():
        if json_types.plain_name(key) in FORM and is_form:
            rest[key] = item
        elif _names_settled(key, item):
            still = _still_open(item, depth + 1)
            rest |= {key: still} if still else {}
        elif not _is_settled(item):
            rest[key] = without(item, depth + 1)
    return rest


def _names_settled(key: str, value: Json) -> bool:
    name = json_types.plain_name(key)
    if value is None or isinstance(value, (bool, int, float)):
        return False
    if name == "rejected":  # of the change itself, unless it lists what was
        return json_types.is_object(value) or (json_types.is_list(value) and any(map(json_types.is_object, value)))
    remainder, count = _WHOLE_NAMES.subn("", name)
    words = [word for word in remainder.split("_") if word and not word.isdecimal()]
    return (
        name not in FORM
        and (count > 0 or not _SETTLED.isdisjoint(words))
        and (_SETTLED | _OF_REVIEWS).issuperset(words)
    )


def _still_open(value: Json, depth: int) -> Json:
    """Returns what within a settled field says of itself that it is open all the same; None for nothing."""
    if depth > json_types.MAX_DEPTH:
        return None
    if json_types.is_list(value):
        return [still for item in value if (still := _still_open(item, depth + 1))] or None
    if not json_types.is_object(value):
        return None
    if _states(value) & _STILL:
        return value
    return {key: still for key, item in value.items() if (still := _still_open(item, depth + 1))} or None


def _is_settled(item: Json) -> bool:
    """Returns whether an entry says of itself that it is settled."""
    if not json_types.is_object(item) or "severity" not in map(json_types.plain_name, item):
        return False
    flags = {json_types.plain_name(key).removeprefix("is_") for key, flag in item.items() if flag is True}
    return bool((_states(item) | flags) & _ENDS)


def _states(item: Mapping[str, Json]) -> set[str]:
    fields = ((json_types.plain_name(key), state) for key, state in item.items())
    return {json_types.plain_name(state) for name, state in fields if name in _STATES and isinstance(state, str)}
