"""What is wrong with a plan, and what is worth knowing about it, as values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from dispatch_mcp import model

FUZZY_LIMIT: Final = 10
"""Fuzzy look-ups per check: more problems than that are read one by one by nobody."""

FUZZY_NAMES: Final = 20_000
"""Names that all fuzzy look-ups of a check may be compared with; each costs up to 20 microseconds."""

_SEPARATORS = re.compile(r"[\s_.-]+")
_WHOLE = re.compile(r"tasks\[\d+\](\.id)?|tasks")
_MOST_NAME = 80
"""Characters of a name that is looked for among those that are like it."""


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


def in_backticks(names: Sequence[str], limit: int = 8) -> str:
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
        return in_backticks(self._names)

    def nearest(self, name: str) -> str:
        """Returns the known name that `name` most likely means, or an empty string."""
        form = _form(name)
        if form in self._by_form:
            return self._by_form[form]
        if self._fuzzy_left == 0 or len(name) > _MOST_NAME:
            return ""
        self._fuzzy_left -= 1
        close = difflib.get_close_matches(form, self._by_form, n=8, cutoff=0.5)
        candidates = [(distance(form, candidate), place, candidate) for place, candidate in enumerate(close)]
        best = min(candidates, default=None)
        return self._by_form[best[2]] if best and _plausible(best[0], form, best[2]) else ""


def without_consequences(reading: Iterable[Problem], checks: Iterable[Problem]) -> list[Problem]:
    """Returns everything found in reading, and of what checking found only what does not follow from it.

    A value that could not be read is not missing as well, and whoever depends on a task without a readable id may
    mean that one.
    """
    first = list(reading)
    places = {problem.where for problem in first}
    unreadable = any(_WHOLE.fullmatch(place) for place in places)
    rest = (
        problem
        for problem in checks
        if problem.where not in places and not (unreadable and problem.code == "unknown_dependency")
    )
    return [*first, *(problem for problem in rest if not (unreadable and problem.code == "empty_plan"))]


def nearest(name: str, names: Collection[str]) -> str:
    """Returns the name of `names` that `name` most likely means, or an empty string."""
    return Names(names).nearest(name)


def distance(first: str, second: str) -> int:
    """Returns how many insertions, deletions, changes and swaps of neighbours turn `first` into `second`."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, char in enumerate(first, start=1):
        previous, row = row, [i]
        for j, other in enumerate(second, start=1):
            best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (char != other))
            if i > 1 and j > 1 and char == second[j - 2] and first[i - 2] == other:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = previous
    return row[-1]


def _form(name: str) -> str:
    return _SEPARATORS.sub("-", name.strip().casefold())


def _plausible(edits: int, name: str, candidate: str) -> bool:
    longest = max(len(name), len(candidate))
    return edits * 2 <= longest if edits <= 2 else edits * 3 <= longest
