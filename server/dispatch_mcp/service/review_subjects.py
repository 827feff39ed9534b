"""What can be reviewed: which change a request names, and what an interface hands in for it.

Never another change than was asked for: what is given and empty is reviewed as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from dispatch_mcp import errors
from dispatch_mcp.engine import run_view
from dispatch_mcp.review import council_decision, review_scope

_FENCE = re.compile(r"```\w{0,20}")


class Target(NamedTuple):
    """Which change a request names; `value` is the diff, the range or the run. An empty one is nothing to review."""

    kind: Literal["tree", "diff", "range", "run"]
    value: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it was given and holds nothing."""
        return self.kind != "tree" and not self.value

    @property
    def label(self) -> str:
        """What was given, in words."""
        return f"the {self.kind} that was given: it is empty"


def target(diff: str | None, span: str | None, run_id: str | None) -> Target:
    """Returns which change is meant by what was given, where None was left out; without any, the working tree.

    Raises:
        InputError: more than one of them says something.
    """
    subjects: list[Target] = [
        *([Target("diff", _content(diff))] if diff is not None else ()),
        *([Target("range", span.strip())] if span is not None else ()),
        *([Target("run", run_id.strip())] if run_id is not None else ()),
    ]
    full = [each for each in subjects if each.value]
    if len(full) > 1:
        names = " and ".join("run_id" if each.kind == "run" else each.kind for each in full)
        raise errors.InputError(
            f"Give one of diff, range and run_id, not {names}.", hint="Without any: the working tree."
        )
    return next(iter((*full, *subjects)), Target("tree"))


def _content(diff: str) -> str:
    """Returns a diff, or nothing when there is nothing in it but a byte order mark and an empty fence."""
    head = diff[:200].removeprefix("\ufeff").strip()
    return "" if not _FENCE.sub("", head).strip() and len(diff) <= len(diff[:200]) else diff


class ChangeSource(Protocol):
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

    changes: ChangeSource | None = None
    candidate: Candidate = no_candidate
    clean: Callable[[str], str] = as_it_is
    rules: council_decision.CouncilRules = field(default_factory=council_decision.CouncilRules)
    reviewers: tuple[str, ...] = ()
