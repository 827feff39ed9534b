"""Chooses what goes into a token budget."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dispatch_mcp.context import file_kinds, ranking
from dispatch_mcp.text import token_count

HEADER: Final = 9
"""Tokens of the line above a part that says its lines."""
CHARACTERS: Final = 44
"""Characters of a title, which count 12 tokens at 3.6 characters each (benchmarks/context.py)."""
GAP: Final = 3
"""Lines between two parts that a pack holds too, rather than a second title."""
LENGTH_POWER: Final = 0.7
"""How much a part's length counts against its score: 0 not at all, 1 as score for each token. Raised by hand on
development cases of benchmarks/context.py (ADR 0015)."""
_TRIES: Final = 40
"""Parts that may be too large for what is left before the search for a smaller one ends."""
_SHOWN: Final = 8
"""Parts that did not fit and are named once nothing more fits."""

LEAST: Final = 1e-5
"""Probability of holding a change that a token must bring; with less the pack ends. Fitted on development commits so
that no more than two hits in a thousand are lost (docs/benchmarks.md)."""
_FRAGMENT: Final = 40
"""Characters of a nameless part that is worth nothing by itself."""
_REST: Final = 0.3
"""Share of the budget that a definition which was cut into windows may take to be given to its end."""

Read = Callable[[str, int, int], str]
"""Returns lines of a file, both ends included."""


class Choice(NamedTuple):
    """A part with its text and what it costs in tokens with its header."""

    part: ranking.Part
    text: str
    tokens: int


class Rooms(NamedTuple):
    """The most tokens that source, and that files of other kinds may take of a budget."""

    source: int
    beside: int


class Chosen(NamedTuple):
    """The parts that fit, in the order of their worth, and the best ones that do not."""

    parts: tuple[Choice, ...]
    leftovers: tuple[Choice, ...]
    tokens: int


def choose(
    candidates: Sequence[tuple[ranking.Part, float]],
    read: Read,
    budget: int,
    *,
    characters: float = math.inf,
    least: float = 0.0,
    rooms: Rooms | None = None,
) -> Chosen:
    """Returns the parts that are worth most for their tokens and together cost at most `budget`.

    They have at most `characters` too, each counted with CHARACTERS more where it needs a title. Parts of which a token
    brings less probability than `least` are left out, whatever room there is; `rooms` limits two kinds of files.
    """
    draft = _Draft(read, budget, characters, rooms or Rooms(budget, budget))
    order = by_worth(_whole([row for row in candidates if not _fragment(row[0])], budget))
    chances = _chances(candidates)
    for part in order:
        full = draft.budget < HEADER * 2
        if len(draft.leftovers) >= (_SHOWN if full else _TRIES):
            break
        if least and chances.get(part.id, 0.0) < least * (token_count.estimate(part.size) + HEADER):
            continue
        draft.add(part, full=full)
    return Chosen(tuple(draft.choices), tuple(draft.leftovers), budget - draft.budget)


def _chances(candidates: Sequence[tuple[ranking.Part, float]]) -> dict[int, float]:
    """Returns the probability of each part by its id; they add up to 1."""
    most = max((score for _, score in candidates), default=0.0)
    odds = {part.id: math.exp(score - most) for part, score in candidates}
    total = sum(odds.values()) or 1.0
    return {part: value / total for part, value in odds.items()}


def _fragment(part: ranking.Part) -> bool:
    return part.size < _FRAGMENT and part.kind == "module" and not part.name


def _whole(candidates: Sequence[tuple[ranking.Part, float]], budget: int) -> list[tuple[ranking.Part, float]]:
    """Returns the parts; windows of one definition that stand next to each other as one, if it may be given whole."""
    counts = Counter((part.path, part.name) for part, _ in candidates if part.kind == "function")
    windows: dict[tuple[str, str], list[tuple[ranking.Part, float]]] = {}
    rows: list[tuple[ranking.Part, float]] = []
    for part, score in candidates:
        if part.kind == "function" and counts[part.path, part.name] > 1:
            windows.setdefault((part.path, part.name), []).append((part, score))
        else:
            rows.append((part, score))
    return [*rows, *(row for group in windows.values() for row in _together(group, budget))]


def _together(group: list[tuple[ranking.Part, float]], budget: int) -> list[tuple[ranking.Part, float]]:
    group.sort(key=lambda row: row[0].first)
    (first, _), (last, _) = group[0], group[-1]
    runs_on = all(before.last + 1 == after.first for (before, _), (after, _) in itertools.pairwise(group))
    size = sum(part.size for part, _ in group)
    if len(group) == 1 or not runs_on or token_count.estimate(size) > budget * _REST:
        return group
    best, score = max(group, key=lambda row: row[1])
    return [(best._replace(first=first.first, last=last.last, size=size), score)]


@dataclass(slots=True)
class _Draft:
    read: Read
    budget: int
    characters: float
    rooms: Rooms
    choices: list[Choice] = field(default_factory=list[Choice])
    leftovers: list[Choice] = field(default_factory=list[Choice])
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict[str, list[tuple[int, int]]])

    def add(self, part: ranking.Part, *, full: bool) -> None:
        """Chooses a part if there is room for it, and leaves it otherwise."""
        is_source = file_kinds.of(part.path) == "source"
        room = min(self.budget, self.rooms.source if is_source else self.rooms.beside)
        # A part is not even read when 0.7 of its estimate is more than what is left: 2 % of parts cost less than that
        # (8,500 parts of the source distributions of benchmarks/context.py).
        if full or token_count.estimate(part.size) * 7 > room * 10:
            self.leftovers.append(Choice(part, "", token_count.estimate(part.size) + HEADER))
            return
        text, near = self.read(part.path, part.first, part.last), self.spans.get(part.path)
        choice = Choice(part, text, _price(part, text, near))
        size = len(text) + (GAP if near and adjoins(near, part.first, part.last) else CHARACTERS)
        if choice.tokens > room or size > self.characters:
            self.leftovers.append(choice)
            return
        self.choices.append(choice)
        self.budget -= choice.tokens
        self.characters -= size
        source, beside = self.rooms
        self.rooms = Rooms(source - choice.tokens * is_source, beside - choice.tokens * (not is_source))
        self.spans.setdefault(part.path, []).append((part.first, part.last))


def _price(part: ranking.Part, text: str, near: Sequence[tuple[int, int]] | None) -> int:
    """Returns what a part costs beside those of its file that are in the pack already."""
    if near is None:
        return cost(part.path, text)
    return token_count.count(text) + (GAP + 1 if adjoins(near, part.first, part.last) else HEADER)


def by_worth(parts: Sequence[tuple[ranking.Part, float]]) -> list[ranking.Part]:
    """Returns the parts, those first whose score is highest for their length."""
    worth = [
        (score - LENGTH_POWER * math.log(token_count.estimate(part.size) + HEADER * 2), part) for part, score in parts
    ]
    worth.sort(key=lambda row: (-row[0], row[1].path, row[1].first))
    return [part for _, part in worth]


def adjoins(spans: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Returns whether lines lie next to one of the spans, at most GAP lines away."""
    return any(0 < first - end <= GAP + 1 or 0 < begin - last <= GAP + 1 for begin, end in spans)


def cost(path: str, text: str) -> int:
    """Returns the tokens of the first part of a file in a pack: its text and the lines above it."""
    return token_count.count(text) + HEADER + token_count.count(path) + 4


def fitting(lines: Sequence[str], budget: int) -> Iterator[str]:
    """Yields the first of the lines that fit into `budget` tokens."""
    for line in lines:
        budget -= token_count.count(line) + 1
        if budget < 0:
            return
        yield line
