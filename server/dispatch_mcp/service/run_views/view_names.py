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

METADATA: Final[frozenset[View]] = frozenset({"summary", "all", "timeline", "cost", "blocked"})
"""Views that show programs no content: what happened and what it cost, and nothing that anybody wrote or read."""

NOT_OF_RUNS: Final[frozenset[View]] = frozenset({"all", "brief"})
"""Views of all runs, and of one task for its worker: commands of their own show these."""
