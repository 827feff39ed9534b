"""What is wrong with a plan, and what is worth knowing about it, as values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from dispatch_mcp import model

FUZZY_LIMIT: Final = 10
"""Fuzzy look-ups per check."""
FUZZY_NAMES: Final = 20_000
"""Names that all fuzzy look-ups of a check may be compared with; each costs up to 20 microseconds."""

_SEPARATORS = re.compile(r"[\s_.-]+")
_WHOLE = re.compile(r"tasks\[\d+\](\.id)?|tasks")
_SHOWN = 80


class Problem(model.Value):
    """One reason to refuse a plan.

    `where` is the place in the input (`tasks[3].deps`), `path` the ids of a cycle with the first one repeated at
    the end, each waiting for the one before it.
    """

    code: str
    message: str
    task: str = ""
    fix: str = ""
    did_you_mean: str = ""
    path: tuple[str, ...] = ()
    where: str = ""


class Notice(model.Value):
    """Something that does not stop a plan: a repair, a warning or a piece of advice."""

    code: str
    message: str
    tasks: tuple[str, ...] = ()


def shown(value: model.Json) -> str:
    """Returns `repr(value)` cut to a length that fits in a message."""
    text = repr(value[: _SHOWN * 2] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Returns names in backticks, at most `limit` of them and how many are left."""
    head = ", ".join(f"`{name}`" for name in names[:limit])
    return head if len(names) <= limit else f"{head} and {len(names) - limit} more"


class Names:
    """Known names, to find the one that somebody meant.

    Fuzzy search ends after `FUZZY_LIMIT` look-ups, or fewer among thousands of names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._by_form: dict[str, str] = {}
        for name in self._names:
            self._by_form.setdefault(_form(name), name)
        self._fuzzy_left = min(FUZZY_LIMIT, max(1, FUZZY_NAMES // max(1, len(self._names))))

    @property
    def listed(self) -> str:
        """The first few names, for a message."""
        return listed(self._names)

    def nearest(self, wanted: str) -> str:
        """Returns the known name that `wanted` most likely means, or an empty string."""
        form = _form(wanted)
        if form in self._by_form:
            return self._by_form[form]
        if self._fuzzy_left == 0 or len(wanted) > _SHOWN:
            return ""
        self._fuzzy_left -= 1
        close = difflib.get_close_matches(form, self._by_form, n=8, cutoff=0.5)
        ranked = [(distance(form, candidate), place, candidate) for place, candidate in enumerate(close)]
        best = min(ranked, default=None)
        return self._by_form[best[2]] if best and _plausible(best[0], form, best[2]) else ""


def without_consequences(read: Iterable[Problem], checked: Iterable[Problem]) -> list[Problem]:
    """Returns everything found in reading, and of what checking found only what does not follow from it.

    A value that could not be read is not missing as well, and whoever depends on a task without a readable id may
    mean that one.
    """
    first = list(read)
    places = {problem.where for problem in first}
    lost = any(_WHOLE.fullmatch(place) for place in places)
    rest = (
        problem
        for problem in checked
        if problem.where not in places and not (lost and problem.code == "unknown_dependency")
    )
    return [*first, *(problem for problem in rest if not (lost and problem.code == "empty_plan"))]


def nearest(wanted: str, names: Collection[str]) -> str:
    """Returns the name of `names` that `wanted` most likely means, or an empty string."""
    return Names(names).nearest(wanted)


def distance(left: str, right: str) -> int:
    """Returns how many insertions, deletions, changes and swaps of neighbours turn `left` into `right`."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, char in enumerate(left, start=1):
        previous, row = row, [i]
        for j, other in enumerate(right, start=1):
            best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (char != other))
            if i > 1 and j > 1 and char == right[j - 2] and left[i - 2] == other:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = previous
    return row[-1]


def _form(name: str) -> str:
    return _SEPARATORS.sub("-", name.strip().casefold())


def _plausible(edits: int, wanted: str, candidate: str) -> bool:
    longest = max(len(wanted), len(candidate))
    return edits * 2 <= longest if edits <= 2 else edits * 3 <= longest
