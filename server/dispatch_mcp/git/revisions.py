"""Which two commits a user means by a range: every word is resolved before a diff is made, or refused with the reason.

`A..B`, `A...B` (since B left A), `A` (since HEAD left A), `A^!` (that commit alone) and `A^-N` (a merge against its
N-th parent); an end that is left out is HEAD.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, merge_rules
from dispatch_mcp.model import problems
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.text import escape

MAX_LENGTH: Final = 300
MAX_NAMES: Final = 5_000
"""Branches and tags among which one is looked for that was meant."""

_DOTS: Final = re.compile(r"\.{2,}")
_ALONE: Final = re.compile(r"(?P<name>.+)\^(?:!|-(?P<parent>\d{0,3}))")
_STEPS: Final = "~^0123456789"
"""What the way from a commit to one of its ancestors is written in."""
_NO_REPOSITORY: Final = "not a git repository"
_EXAMPLES: Final = "Such as main, HEAD~3 or v1.2..HEAD."


class Range(NamedTuple):
    """The two commits between which a change lies; `note` says why nothing may lie there."""

    begin: str
    end: str
    note: str = ""


Run = Callable[..., Awaitable[git_process.GitAnswer]]
"""Runs one git command with these arguments, whatever its exit code."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """Finds commits with git."""

    run: Run

    async def span(self, text: str) -> Range:
        """Returns the commits of a range.

        Raises:
            InputError: it is no range, names what is not there, or lies before what a shallow clone has.
        """
        span = text.strip()
        alone = _ALONE.fullmatch(span)
        if alone and not _DOTS.search(span):
            return await self._alone(alone["name"], int(alone["parent"] or 1), is_whole=alone["parent"] is None)
        first, dots, last = _ends(span)
        begin, end = await self.commit(first or "HEAD"), await self.commit(last or "HEAD")
        if dots == "...":
            begin = await self._base(begin, end, span)
        names = (first or "HEAD", last or "HEAD")
        note = _nothing_between(*names, is_single=not _DOTS.search(span)) if begin == end else ""
        return Range(begin, end, note)

    async def commit(self, name: str) -> str:
        """Returns the full name of a commit.

        Raises:
            InputError: that is no name, or means none or several; a near one is offered.
        """
        _refuse_words(name)
        answer = await self.run("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
        commit = answer.out.strip()
        if "ambiguous" in answer.err:
            raise errors.InputError(
                f"{_shown(name)} means more than one thing here: {answer.complaint}",
                hint=f"Write heads/{name} for the branch, tags/{name} for the tag, or more of the commit's name.",
            )
        if answer.code == 0 and merge_rules.is_object(commit):
            return commit
        raise await self._unknown(name, answer)

    async def empty_tree(self) -> str:
        """Returns what git calls the tree of no files, which every repository knows."""
        return (await self.run("hash-object", "-t", "tree", "--stdin")).out.strip()

    async def _alone(self, name: str, parent: int, *, is_whole: bool) -> Range:
        """Returns one commit against its N-th parent; a first commit against nothing."""
        end = await self.commit(name)
        header = (await self.run("cat-file", "commit", end)).out.partition("\n\n")[0]
        parents = [line.removeprefix("parent ") for line in header.split("\n") if line.startswith("parent ")]
        if not parents and is_whole:
            return Range(await self.empty_tree(), end)
        if not 1 <= parent <= len(parents):
            raise errors.InputError(
                f"Commit {_shown(name)} has {len(parents)} parents, so there is none of number {parent}.",
                hint=f"{name}^! is what that commit changed.",
            )
        begin = parents[parent - 1]
        if (await self.run("cat-file", "-e", begin)).code != 0:
            raise errors.InputError(f"The parent of {_shown(name)} is not here: {_SHALLOW}", hint=_DEEPEN)
        return Range(begin, end)

    async def _base(self, begin: str, end: str, span: str) -> str:
        answer = await self.run("merge-base", begin, end)
        base = answer.out.strip().split("\n")[0]
        if answer.code == 0 and merge_rules.is_object(base):
            return base
        why = f"The two ends of {_shown(span)} have no commit in common here"
        if await self._is_shallow():
            raise errors.InputError(f"{why}: {_SHALLOW}", hint=_DEEPEN)
        raise errors.InputError(f"{why}.", hint="Two dots compare them as they are: A..B.")

    async def _unknown(self, name: str, answer: git_process.GitAnswer) -> errors.InputError:
        """Returns why a name means no commit, and what to write instead."""
        if _NO_REPOSITORY in answer.err or "dubious ownership" in answer.err:
            return errors.InputError(
                f"There is no git repository to look at: {answer.complaint}", hint=NextStep(StepKind.HAND_IN_CHANGE)
            )
        if (await self.run("rev-list", "--max-count=1", "--all")).out.strip() == "":
            return errors.InputError(
                f"There is no commit {_shown(name)} here: the repository has none yet.",
                hint="Leave the range out to review the files as they are.",
            )
        absence = f"There is no commit {_shown(name)} here"
        if await self._is_shallow():
            return errors.InputError(f"{absence}, or it lies behind what was fetched: {_SHALLOW}", hint=_DEEPEN)
        descendant = _descendant(name)
        if descendant and (await self._exists(descendant)):
            return errors.InputError(
                f"{absence}: {_shown(descendant)} has no such ancestor.",
                hint=f"{descendant}^! is what that commit alone changed, a first one too.",
            )
        if await self._exists(name, kind=""):
            return errors.InputError(f"{_shown(name)} is no commit, but a file or folder of one.", hint=_EXAMPLES)
        names = await self._names()
        near = next((full for full in names if full.endswith(f"/{name}")), "") or problems.nearest(name, names)
        offer = f"Did you mean {near}? " if near else ""
        return errors.InputError(f"{absence}.", hint=f"{offer}`git branch -a` and `git tag` list what there is.")

    async def _exists(self, name: str, kind: str = "commit") -> bool:
        kind = f"^{{{kind}}}" if kind else ""
        return (await self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}{kind}")).code == 0

    async def _is_shallow(self) -> bool:
        return (await self.run("rev-parse", "--is-shallow-repository")).out.strip() == "true"

    async def _names(self) -> list[str]:
        """Returns the short names of branches, tags and remote branches."""
        folders = ("refs/heads", "refs/tags", "refs/remotes")
        return (await self.run("for-each-ref", f"--count={MAX_NAMES}", "--format=%(refname:short)", *folders)).lines


_SHALLOW: Final = "the clone is shallow, and its history was not fetched so far back."
_DEEPEN: Final = "`git fetch --unshallow` brings the rest."


def _ends(span: str) -> tuple[str, str, str]:
    """Returns the beginning of a range, its dots and its end; one revision stands for everything since it."""
    dots = _DOTS.findall(span)
    if not dots:
        return span, "...", ""
    if len(dots) > 1 or len(dots[0]) > 3:
        raise errors.InputError(f"{_shown(span)} is no range.", hint="A range has two ends: A..B, or A...B.")
    first, last = (end.strip() for end in span.split(dots[0]))
    return first, dots[0], last


def _descendant(name: str) -> str:
    """Returns the commit from which `name` counts back to an ancestor, or an empty string."""
    base = name.rstrip(_STEPS)
    steps = name[len(base) :]
    count = min((steps.index(mark) for mark in "~^" if mark in steps), default=None)
    return "" if count is None else base + steps[:count]


def _refuse_words(name: str) -> None:
    """Raises InputError for what can be no name of a commit, with what may have been meant."""
    if not name or name.startswith(("-", ":")) or len(name) > MAX_LENGTH or not name.isprintable():
        raise errors.InputError(f"{_shown(name)} is no revision.", hint=_EXAMPLES)
    if " -- " in f"{name} ":
        hint = "A range is reviewed whole: leave the paths out."
        raise errors.InputError(f"{_shown(name)} is no revision.", hint=hint)
    if name.startswith("^") or (" " in name and "@{" not in name):
        raise errors.InputError(f"{_shown(name)} is no revision.", hint="Write two ends with dots between: A..B.")


def _nothing_between(first: str, last: str, *, is_single: bool) -> str:
    """Returns why a range between two ends that are the same commit, or one behind the other, is empty."""
    why = f"{last} has nothing that {first} lacks" if first != last else f"{first} is both ends of it"
    return f"{why}; {first}^! is what that commit alone changed." if is_single else f"{why}."


def _shown(name: str) -> str:
    return repr(escape.one_line(name, limit=200))
