"""Chooses what goes into a token budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from dispatch_mcp.context import ranking
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

Read = Callable[[str, int, int], str]
"""Returns lines of a file, both ends included."""


class Choice(NamedTuple):
    """A part with its text and what it costs in tokens with its header."""

    part: ranking.Part
    text: str
    tokens: int


class Chosen(NamedTuple):
    """The parts that fit, in the order of their worth, and the best ones that do not."""

    parts: tuple[Choice, ...]
    left: tuple[Choice, ...]
    tokens: int


def choose(
    ranked: Sequence[tuple[ranking.Part, float]], read: Read, budget: int, *, characters: float = math.inf
) -> Chosen:
    """Returns the parts that are worth most for their tokens and together cost at most `budget`.

    They have at most `characters` too, each counted with CHARACTERS more where it needs a title.
    """
    kept: list[Choice] = []
    left: list[Choice] = []
    spans: dict[str, list[tuple[int, int]]] = {}
    used = 0
    for part in by_worth(ranked):
        full = budget - used < HEADER * 2
        if len(left) >= (_SHOWN if full else _TRIES):
            break
        # A part is not even read when 0.7 of its estimate is more than what is left: 2 % of parts cost less than that
        # (8,500 parts of the source distributions of benchmarks/context.py).
        if full or token_count.estimate(part.size) * 7 > (budget - used) * 10:
            left.append(Choice(part, "", token_count.estimate(part.size) + HEADER))
            continue
        text, near = read(part.path, part.first, part.last), spans.get(part.path)
        one = Choice(part, text, _price(part, text, near))
        size = len(text) + (GAP if near and adjoins(near, part.first, part.last) else CHARACTERS)
        if used + one.tokens <= budget and size <= characters:
            kept.append(one)
            used += one.tokens
            characters -= size
            spans.setdefault(part.path, []).append((part.first, part.last))
        else:
            left.append(one)
    return Chosen(tuple(kept), tuple(left), used)


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
    worth.sort(key=lambda one: (-one[0], one[1].path, one[1].first))
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
