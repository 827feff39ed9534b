"""What an attempt left inside other repositories of its worktree, as values and in words.

A tree of git holds of another repository the name of a commit and nothing else. So work in there is merged by nobody,
and goes with the worktree unless somebody keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.git import merge_rules
from dispatch_mcp.model import failures, problems
from dispatch_mcp.text import escape

MAX_LINES: Final = 12


class InnerWork(NamedTuple):
    """What is in one inner repository and in no commit of the outer one.

    `path` is its folder below the worktree. `commits` are its own, the newest first; `files` those that are not
    committed; `target` is the commit that the submodule was moved to, if the user's copy of it lacks that; `trouble`
    says why it could not be read. Its commits and files are kept under `ref` in the git directory `keeper`, if there is
    one: the user's copy of the submodule.
    """

    path: str
    is_submodule: bool = True
    commits: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    target: str = ""
    trouble: str = ""
    keeper: str = ""
    ref: str = ""


def kind(works: Iterable[InnerWork]) -> failures.FailureKind:
    """Returns the kind of failure of an attempt that left such work."""
    return "submodule" if any(work.is_submodule for work in works) else "inner_repository"


def refusal(works: Sequence[InnerWork], worktree: str, rest: str) -> str:
    """Returns why such an attempt is no success and where its work is; `rest` is the commit of its other changes."""
    lines = "".join(f"- {describe(work)}\n" for work in works[:MAX_LINES])
    more = f"- and {len(works) - MAX_LINES} more\n" if len(works) > MAX_LINES else ""
    outside = f" What it changed outside of them is commit {rest[:12]}." if rest else ""
    return (
        f"Work inside other repositories is never merged, and this attempt left some in its worktree:\n{lines}{more}"
        f"Nothing of it is lost: the worktree {escape.one_line(worktree, limit=400)} stays as it is.{outside} "
        "Do such work in the repository that it belongs to, with that folder as the workspace; then let a task move "
        "the submodule to the commit."
    )


def remark(works: Sequence[InnerWork]) -> str:
    """Returns the same in one line, without where it is."""
    parts = "; ".join(describe(work) for work in works[:3])
    return f"not merged: {parts}{f'; and {len(works) - 3} more' if len(works) > 3 else ''}"


def receipt(works: Sequence[InnerWork], worktree: str, *, is_failure: bool = True) -> model.Receipt:
    """Returns the receipt of an attempt that left such work."""
    detail = f"{remark(works)}; it is still in the worktree {escape.one_line(worktree, limit=400)}"
    return model.Receipt(kind="merge", ok=False, checked=is_failure, detail=detail)


def describe(work: InnerWork) -> str:
    """Returns one inner repository, what is in it and where that is kept, in one line."""
    name = f"{'submodule' if work.is_submodule else 'repository'} {problems.in_backticks(_names([work.path]))}"
    place = f", kept as {work.ref} in {escape.one_line(work.keeper, limit=400)}" if work.ref else ""
    return f"{name}: {' and '.join(_contents(work)) or 'a repository of its own'}{place}"


def _contents(work: InnerWork) -> list[str]:
    count, files = len(work.commits), len(work.files)
    parts: list[str] = []
    if count:
        newest = ", ".join(commit[:12] for commit in work.commits[:3])
        parts.append(f"{count} commit{'' if count == 1 else 's'} of its own ({newest}{', …' if count > 3 else ''})")
    if files:
        names = problems.in_backticks(_names(work.files), 3)
        parts.append(
            f"{files} file{'' if files == 1 else 's'} that {'is' if files == 1 else 'are'} in no commit ({names})"
        )
    if work.target:
        parts.append(f"moved to commit {work.target[:12]}, which your copy of the submodule does not have")
    if work.trouble:
        parts.append(f"could not be read ({escape.one_line(work.trouble, limit=200)})")
    return parts


def _names(paths: Iterable[str]) -> list[str]:
    return merge_rules.printable(paths)
