"""What can be reviewed, and what a face hands in for it: changes, their cleaning, and the rules of the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dispatch_mcp.engine import run_view
from dispatch_mcp.review import council_decision, review_scope


class Changes(Protocol):
    """Where changes come from. Every method raises InputError or WorkerError when there is nothing to be had."""

    async def of_range(self, workspace: str, git_range: str, /) -> review_scope.Change:
        """Returns what a git range changes."""
        ...

    async def of_tree(self, workspace: str, paths: Sequence[str] = ()) -> review_scope.Change:
        """Returns what the working tree changes against the last commit, new files too; only below `paths` if given."""
        ...


Candidate = Callable[[run_view.RunView], Awaitable[review_scope.Change | None]]
"""Returns the change that a run would merge; None when it works in the workspace itself."""


async def no_candidate(_loaded: run_view.RunView) -> review_scope.Change | None:
    """Returns None."""
    return None


def as_it_is(text: str) -> str:
    """Returns the text."""
    return text


@dataclass(frozen=True, slots=True)
class ReviewMeans:
    """What a face hands in: where changes come from, what takes secrets out, and what the settings decide."""

    changes: Changes | None = None
    candidate: Candidate = no_candidate
    clean: Callable[[str], str] = as_it_is
    rules: council_decision.CouncilRules = field(default_factory=council_decision.CouncilRules)
    reviewers: tuple[str, ...] = ()
