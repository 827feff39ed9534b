"""How much the tests try: enough to notice a fault in `make test`, all of it in `make chaos`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SHARE, LEAST = 10, 20
"""`make test` tries one in so many examples of a property, but no fewer than this: most faults show within ten."""


def examples(many: int, least: int = LEAST) -> int:
    """Returns how many examples of a property are tried now, of so many in full; `least` where each takes long."""
    return many if FULL else min(many, max(least, many // SHARE))


def sliced(items: Sequence[Item], table: Callable[[Item], tuple[str, int]], turn: int) -> list[Item]:
    """Returns the items of which this turn is: of a table with a share, one case in so many, else all of them.

    `table` returns to which table a case belongs, and its share. So many turns one after the other have every case.
    """
    places: defaultdict[str, int] = defaultdict(int)
    kept: list[Item] = []
    for item in items:
        name, share = table(item)
        if places[name] % share == turn % share:
            kept.append(item)
        places[name] += 1
    return kept
