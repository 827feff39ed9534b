"""What can be reviewed: which change a request names, whether it can be read, and what an interface hands in for it.

Never another change than was asked for: what is given and empty is reviewed as nothing, and text that cannot be read as
a change is an error that says what it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from dispatch_mcp import errors
from dispatch_mcp.engine import run_view
from dispatch_mcp.next_steps import counted
from dispatch_mcp.review import council_decision, review_scope
from dispatch_mcp.text import patch_forms, unified_diff

MAX_DIFF_CHARS: Final = 20_000_000
MAX_GAPS: Final = 8
"""Parts that cannot be read and are named one by one."""

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


def readable(change: review_scope.Change, *, is_text: bool) -> unified_diff.Diff:
    """Returns a change as it was read whole; `is_text` says that somebody sent it, instead of git.

    Raises:
        InputError: it is too large, or cannot be read, or not all of it can; every such part is named.
    """
    if len(change.text) > MAX_DIFF_CHARS:
        raise errors.InputError(
            f"The change has {len(change.text)} characters; at most {MAX_DIFF_CHARS} are reviewed at once.",
            hint="Review it in ranges.",
        )
    reading = unified_diff.read(change.text)
    if not reading.gaps and (reading.diff.files or not is_text):
        return reading.diff
    if reading.diff.files:
        raise errors.InputError(
            f"A part of {change.about} cannot be read: {_places(reading.gaps)}.",
            hint=f"{_fixes(reading.gaps)} Leave these lines out if they are no part of the change.",
        )
    gaps = reading.gaps or (unified_diff.Gap(1, 1, patch_forms.whole(change.text)),)
    raise errors.InputError(
        f"The diff cannot be read as a change: it looks like {gaps[0].form}, beginning {_beginning(change.text)!r}.",
        hint=_fixes(gaps),
    )


def _places(gaps: Sequence[unified_diff.Gap]) -> str:
    places = [f"{_lines(gap)} like {gap.form}" for gap in gaps[:MAX_GAPS]]
    more = [f"and {counted(len(gaps) - MAX_GAPS, 'part')} more"] * (len(gaps) > MAX_GAPS)
    return "; ".join([*places, *more])


def _lines(gap: unified_diff.Gap) -> str:
    return f"line {gap.first} looks" if gap.first == gap.last else f"lines {gap.first}-{gap.last} look"


def _fixes(gaps: Sequence[unified_diff.Gap]) -> str:
    fixes = dict.fromkeys(fix for gap in gaps if (fix := patch_forms.fix(gap.form)))
    return " ".join([*fixes, "Send a unified diff as `git diff` prints it, or name a git range instead."])


def _beginning(text: str) -> str:
    return next((line.strip() for line in text.removeprefix("\ufeff").split("\n") if line.strip()), "")[:80]


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
