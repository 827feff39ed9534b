"""The sides of a run that one can look at, by name: what tools and commands take, and traces answer."""

from __future__ import annotations

from typing import Final, Literal, get_args

View = Literal[
    "summary",
    "timeline",
    "results",
    "artifacts",
    "todo",
    "mermaid",
    "brief",
    "all",
    "report",
    "cost",
    "blocked",
    "messages",
    "council",
]

VIEWS: Final[tuple[View, ...]] = get_args(View)

NOT_OF_RUNS: Final[frozenset[View]] = frozenset({"all", "brief"})
"""Views of all runs, and of one task for its worker: commands of their own show these."""
