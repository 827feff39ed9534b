"""Chooses what goes into a token budget."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, defaultdict, deque
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
SPACE: Final = 2
"""Blank lines below a part that belong to it: new functions are written there."""
LENGTH_POWER: Final = 0.7
"""How much a part's length counts against its score: 0 not at all, 1 as score for each token. Raised by hand on
development cases of benchmarks/context.py (ADR 0015)."""
SPREAD: Final = 0.5
_AT_HOME: Final = 500
"""How much less a part is worth of a file that has much of the pack already, and the tokens from which that is much:
the score falls by `SPREAD` times the logarithm of 1 + tokens / `_AT_HOME`. A file that is likely is seldom as likely as
its score says; set on 442 development commits (ADR 0015)."""
_COPIED: Final = 80
"""Characters from which on a part that another file has word for word is not given twice."""
_TRIES: Final = 40
"""Parts that may be too large for what is left before the search for a smaller one ends."""
_SHOWN: Final = 8
"""Parts that did not fit and are named once nothing more fits."""

_FRAGMENT: Final = 40
"""Characters of a nameless part that is worth nothing by itself."""
_EVEN: Final = 0.5
"""Share of a budget up to which source comes first."""
_REST: Final = 0.3
"""Share of the budget that a definition which was cut into windows may take to be given to its end."""

Read = Callable[[str, int, int], str]
"""Returns lines of a file, both ends included."""


class CostedPart(NamedTuple):
    """A part with its text and what it costs in tokens with its header."""

    part: ranking.FilePart
    text: str
    tokens: int


class Division(NamedTuple):
    """How a budget is divided between source and the files beside it.

    `chance` is the probability that the task is about the latter, `share` the part of the budget that they have first;
    what the ones leave goes to the others.
    """

    chance: float
    share: float


class Chosen(NamedTuple):
    """The parts that fit, in the order of their worth, and the best ones that do not."""

    parts: tuple[CostedPart, ...]
    leftovers: tuple[CostedPart, ...]
    tokens: int


def choose(
    candidates: Sequence[tuple[ranking.FilePart, float]],
    read: Read,
    budget: int,
    *,
    characters: float = math.inf,
    least: float = 0.0,
    division: Division | None = None,
    is_full: bool = False,
) -> Chosen:
    """Returns the parts that are worth most for their tokens and together cost at most `budget`.

    They have at most `characters` too, each counted with CHARACTERS more where it needs a title. Parts of which a token
    brings less probability than `least` are left out, whatever room there is; if the pack is to be full, they have what
    the others leave. With a `division` source and the files beside it are chosen each among their own, the likelier of
    the two first.
    """
    draft = _Draft(read, budget, characters)
    lists = _divided(candidates, budget, division)
    orders = [by_worth(_whole([row for row in rows if not _fragment(row[0])], budget)) for rows, _, _ in lists]
    best = [_worthwhile(order, rows, least, mass) for order, (rows, _, mass) in zip(orders, lists, strict=True)]
    for order, (_, room, _) in zip(best, lists, strict=True):
        draft.fill(order, room)
    if len(best) > 1:
        for order in best:
            draft.fill(order, draft.budget)
    if is_full and least:
        for order in orders:
            draft.fill(order, draft.budget)
    return Chosen(tuple(draft.choices.values()), tuple(draft.leftovers.values()), budget - draft.budget)


_Rows = Sequence[tuple[ranking.FilePart, float]]


def _divided(candidates: _Rows, budget: int, division: Division | None) -> list[tuple[_Rows, int, float]]:
    """Returns lists of candidates, the likelier first, each with its room and the probability of all its parts."""
    if division is None:
        return [(candidates, budget, 1.0)]
    source = [row for row in candidates if file_kinds.of(row[0].path) == "source"]
    beside = [row for row in candidates if file_kinds.of(row[0].path) != "source"]
    room = round(budget * division.share)
    lists: list[tuple[_Rows, int, float]] = [
        (source, budget - room, 1 - division.chance),
        (beside, room, division.chance),
    ]
    return lists if division.share <= _EVEN else lists[::-1]


def _worthwhile(
    order: Sequence[ranking.FilePart], rows: _Rows, least: float, mass: float
) -> Sequence[ranking.FilePart]:
    """Returns those parts of an order of `rows` of which a token brings at least a probability; all have `mass`."""
    if not least:
        return order
    chances = _chances(rows)
    return [
        part for part in order if mass * chances.get(part.id, 0.0) >= least * (token_count.estimate(part.size) + HEADER)
    ]


def _chances(candidates: Sequence[tuple[ranking.FilePart, float]]) -> dict[int, float]:
    """Returns the probability of each part by its id; they add up to 1."""
    most = max((score for _, score in candidates), default=0.0)
    odds = {part.id: math.exp(score - most) for part, score in candidates}
    total = sum(odds.values()) or 1.0
    return {part: value / total for part, value in odds.items()}


def _fragment(part: ranking.FilePart) -> bool:
    return part.size < _FRAGMENT and part.kind == "module" and not part.name


def _whole(candidates: Sequence[tuple[ranking.FilePart, float]], budget: int) -> list[tuple[ranking.FilePart, float]]:
    """Returns the parts; windows of one definition that stand next to each other as one, if it may be given whole."""
    counts = Counter((part.path, part.name) for part, _ in candidates if part.kind == "function")
    windows: dict[tuple[str, str], list[tuple[ranking.FilePart, float]]] = {}
    rows: list[tuple[ranking.FilePart, float]] = []
    for part, score in candidates:
        if part.kind == "function" and counts[part.path, part.name] > 1:
            windows.setdefault((part.path, part.name), []).append((part, score))
        else:
            rows.append((part, score))
    return [*rows, *(row for group in windows.values() for row in _together(group, budget))]


def _together(group: list[tuple[ranking.FilePart, float]], budget: int) -> list[tuple[ranking.FilePart, float]]:
    group.sort(key=lambda row: row[0].first)
    (first, _), (last, _) = group[0], group[-1]
    runs_on = all(before.last + 1 == after.first for (before, _), (after, _) in itertools.pairwise(group))
    size = sum(part.size for part, _ in group)
    if len(group) == 1 or not runs_on or token_count.estimate(size) > budget * _REST:
        return group
    best, score = max(group, key=lambda row: row[1])
    return [(best._replace(first=first.first, last=last.last, size=size), score)]


_Place = tuple[str, int, int]


def _place(part: ranking.FilePart) -> _Place:
    return part.path, part.first, part.last


@dataclass(slots=True)
class _Draft:
    """What is chosen so far, and what did not fit, by their files and lines.

    `texts` are the files of what is given by its text, `sizes` the characters of each.
    """

    read: Read
    budget: int
    characters: float
    choices: dict[_Place, CostedPart] = field(default_factory=dict[_Place, CostedPart])
    leftovers: dict[_Place, CostedPart] = field(default_factory=dict[_Place, CostedPart])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    sizes: set[int] = field(default_factory=set[int])
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict[str, list[tuple[int, int]]])

    def fill(self, order: Sequence[ranking.FilePart], room: int) -> None:
        """Chooses of the parts, best first, what fits into `room` tokens."""
        misses = 0
        for part in order:
            if _place(part) in self.choices:
                continue
            full = min(room, self.budget) < HEADER * 2
            if misses >= (_SHOWN if full else _TRIES):
                break
            cost = 0 if full or self._is_copy(part) else self._add(part, min(room, self.budget))
            room -= cost
            if not cost and not self._is_copy(part):
                misses += 1
                self.leftovers.setdefault(_place(part), CostedPart(part, "", token_count.estimate(part.size) + HEADER))

    def _is_copy(self, part: ranking.FilePart) -> bool:
        """Returns whether another file that is given from has the part word for word."""
        if part.size < _COPIED or part.size not in self.sizes:
            return False
        return self.texts.get(self.read(part.path, part.first, part.last), part.path) != part.path

    def _add(self, part: ranking.FilePart, room: int) -> int:
        """Returns what a part costs that is chosen now; 0 for one that does not fit."""
        # A part is not even read when 0.7 of its estimate is more than what is left: 2 % of parts cost less than that
        # (8,500 parts of the source distributions of benchmarks/context.py).
        if token_count.estimate(part.size) * 7 > room * 10:
            return 0
        body, near = self.read(part.path, part.first, part.last), self.spans.get(part.path)
        last = part.last + self._space_below(part)
        text = self.read(part.path, part.first, last) if last > part.last else body
        cost = _price(part, text, near)
        size = len(text) + (GAP if near and adjoins(near, part.first, part.last) else CHARACTERS)
        if cost > room or size > self.characters:
            return 0
        self.choices[_place(part)] = CostedPart(part._replace(last=last), text, cost)
        self.texts.setdefault(body, part.path)
        self.sizes.add(part.size)
        self.leftovers.pop(_place(part), None)
        self.budget -= cost
        self.characters -= size
        self.spans.setdefault(part.path, []).append((part.first, part.last))
        return cost

    def _space_below(self, part: ranking.FilePart) -> int:
        """Returns how many blank lines below a part are given with it, as that is where new code is written."""
        lines = self.read(part.path, part.last + 1, part.last + SPACE + 1).split("\n")
        inside = lines if len(lines) > SPACE else lines[:-1]  # what follows the last line break of a file is no line
        return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), inside[:SPACE]))


def _price(part: ranking.FilePart, text: str, near: Sequence[tuple[int, int]] | None) -> int:
    """Returns what a part costs beside those of its file that are in the pack already."""
    if near is None:
        return cost(part.path, text)
    return token_count.count(text) + (GAP + 1 if adjoins(near, part.first, part.last) else HEADER)


def by_worth(parts: Sequence[tuple[ranking.FilePart, float]]) -> list[ranking.FilePart]:
    """Returns the parts, those first whose score is highest for their length and for what their file has already."""
    worth = [
        (score - LENGTH_POWER * math.log(token_count.estimate(part.size) + HEADER * 2), part) for part, score in parts
    ]
    worth.sort(key=lambda row: (-row[0], row[1].path, row[1].first))
    queues: dict[str, deque[tuple[float, int]]] = defaultdict(deque)
    for at, (value, part) in enumerate(worth):
        queues[part.path].append((value, at))
    tops = [(-queue[0][0], queue[0][1], path) for path, queue in queues.items()]
    heapq.heapify(tops)
    order: list[ranking.FilePart] = []
    tokens: Counter[str] = Counter()
    while tops:
        _, at, path = tops[0]
        order.append(worth[at][1])
        tokens[path] += token_count.estimate(worth[at][1].size) + HEADER
        queues[path].popleft()
        if not queues[path]:
            heapq.heappop(tops)
            continue
        value, follower = queues[path][0]
        heapq.heapreplace(tops, (SPREAD * math.log1p(tokens[path] / _AT_HOME) - value, follower, path))
    return order


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
