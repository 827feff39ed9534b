"""When the tests begin: those that take seconds stand early among the others, and nobody waits for them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def arranged(items: Sequence[Item], workers: int, is_long: Callable[[Item], bool]) -> list[Item]:
    """Returns the items for so many workers, each of which gets an equal part of them, one behind the other.

    The long ones are dealt out to the parts, and spread over the first half of each: whoever is done early takes work
    from the end of another's part, and what waits for something waits beside what computes.
    """
    long = [item for item in items if is_long(item)]
    short = iter([item for item in items if not is_long(item)])
    order: list[Item] = []
    for worker, size in enumerate(sizes(len(items), workers)):
        dealt = long[worker::workers]
        others = [item for _, item in zip(range(size - len(dealt)), short, strict=False)]
        order += _mixed(dealt, others)
    return [*order, *short]


def sizes(count: int, workers: int) -> Iterator[int]:
    """Yields how many items each worker gets at first, as pytest-xdist divides them."""
    for remaining in range(workers, 0, -1):
        yield count // remaining
        count -= count // remaining


def _mixed(long: Sequence[Item], short: Sequence[Item]) -> list[Item]:
    gap = len(short) // 2 // max(1, len(long))
    order: list[Item] = []
    for place, item in enumerate(long):
        order += [*short[place * gap : (place + 1) * gap], item]
    return [*order, *short[len(long) * gap :]]
