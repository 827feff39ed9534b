"""Failures that are one: of the same kind and with the same text, whatever its numbers, paths and ids.

Three of them have a common cause, which is looked for first (docs/rules.md#result-report): it is told once, with what
can be done about it, instead of once for every task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from dispatch_mcp.model import transitions
from dispatch_mcp.next_steps import LikeFailures
from dispatch_mcp.text import escape
from dispatch_mcp.text.reading import excerpts

LEAST: Final = 3
"""Failures from which on they have a common cause."""

CAUSE_CHARS: Final = 280
"""Characters of what the first of them said that are repeated."""


# `/a/b` · `C:\\a` · `~/a` · `../a` · `a/b.py`
_PATHS: Final = re.compile(
    r"(?<![\w/])(?:[A-Za-z]:|~|\.{1,2})?(?:[/\\][\w.@+-]{1,200}){1,40}|\b[\w.-]{1,80}(?:/[\w.@+-]{1,200}){1,40}"
)
_COMMANDS: Final = re.compile(r"`([^\s`]{1,200})[^`]{0,600}`")
_IDS: Final = re.compile(r"\b(?=[\w-]{0,80}\d)[A-Za-z0-9_-]{8,80}\b")
_NUMBERS: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_BLANKS: Final = re.compile(r"\s+")
_SENTENCE: Final = re.compile(r"[^\n]{20,400}?[.!?](?=\s)")

_NOT_ALIKE: Final = frozenset({transitions.NEEDS_CHANGES, transitions.INCONCLUSIVE})
"""What a review found says something about each task by itself."""

_OF_PROVIDERS: Final = "rate_limit rate_limited overloaded server_error no_connection cut_off"
_CURES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        _OF_PROVIDERS.split(),
        "The provider is the cause and not the tasks: wait until it answers again, or name another model or worker.",
    ),
    transitions.BY_WORKER: "Look for the common cause before anything is tried again.",
    transitions.TIMEOUT: "Give them more time (`timeout_s`) or make them smaller.",
    transitions.NOTHING_CHANGED: "Correct their `files`, or say in the tasks what is to be changed there.",
    transitions.NOT_ACCEPTED: "Look at the criterion itself before the work is done again.",
    "exit_code": "Mend what the program needs before it is run again.",
    "no_permission": "Have the user allow it once, for all of them.",
    "not_allowed": "The user can allow all of them at once.",
    "not_logged_in": "One valid key or login lets all of them go on.",
    "billing": "More credit lets all of them go on.",
}
_CURE: Final = "Mend that once before anything is tried again."


class Failure(NamedTuple):
    """An attempt that failed: of which task, the kind of its error, and what was said."""

    task_id: str
    kind: str
    error: str


def alike(failures: Iterable[Failure]) -> tuple[LikeFailures, ...]:
    """Returns each group of at least `LEAST` failures that are one, the largest first."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        if failure.kind and failure.kind not in _NOT_ALIKE:
            groups.setdefault((failure.kind, _key(failure)), []).append(failure)
    large = sorted([group for group in groups.values() if len(group) >= LEAST], key=len, reverse=True)
    return tuple(map(_like, large))


def references(texts: Mapping[str, str]) -> dict[str, str]:
    """Returns by task a reference to the first one that says the same, where at least `LEAST` do; `texts` by task."""
    groups: dict[str, list[str]] = {}
    for task_id, text in texts.items():
        if text:
            groups.setdefault(_wording(text, task_id), []).append(task_id)
    return {
        task_id: f"the same as {group[0]!r}"
        for group in groups.values()
        if len(group) >= LEAST
        for task_id in group[1:]
        if len(texts[task_id]) > len(f"the same as {group[0]!r}")
    }


def plain(text: str, task_id: str = "") -> str:
    """Returns a text without what differs between failures that are one: numbers, paths, ids, its own task's name."""
    return _wording(excerpts.FAILURE.of(text), task_id)


def _wording(text: str, task_id: str) -> str:
    if task_id:
        text = re.sub(rf"(?<![\w-]){re.escape(task_id)}(?![\w-])", "*", text)
    text = _COMMANDS.sub(r"`\1`", text)
    for pattern in (_PATHS, _IDS, _NUMBERS):
        text = pattern.sub("*", text)
    return _BLANKS.sub(" ", text).strip().casefold()


def _key(failure: Failure) -> str:
    """Returns what is the same of failures that are one.

    What the server says of its own failures begins with what happened; what follows may be about each one.
    """
    text = excerpts.FAILURE.of(failure.error)
    if failure.kind != transitions.BY_WORKER:
        first = _SENTENCE.match(text)
        text = first[0] if first else text
    return plain(text, failure.task_id)


def _like(group: list[Failure]) -> LikeFailures:
    first = group[0]
    cause = escape.one_line(first.error, limit=CAUSE_CHARS) or transitions.IN_WORDS.get(first.kind, f"`{first.kind}`")
    sentence = cause if cause[-1] in ".!?…" else f"{cause}."
    names = tuple(dict.fromkeys(failure.task_id for failure in group))
    return LikeFailures(names, len(group), sentence, _CURES.get(first.kind, _CURE), first.kind)
