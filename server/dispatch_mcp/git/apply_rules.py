"""Whether what a run has merged may come into the user's checkout, as a decision over facts that git has told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.git import merge_rules
from dispatch_mcp.model import merge_offer, problems, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.text import path_globs

SHOWN: Final = 12


def local(dirty: Sequence[str], changing: Sequence[str]) -> tuple[str, ...]:
    """Returns those uncommitted paths that a change of the other paths would write over."""
    return tuple(path for path in dirty if any(path_globs.touch(path.rstrip("/"), other) for other in changing))


def refuse(offer: merge_offer.Offer, expect: str) -> None:
    """Returns if the offer may be carried out.

    Raises:
        InputError: it is not what the user has looked at.
        NotAllowed: the checkout is in no state for it; nothing was touched.
    """
    if not merge_rules.is_revision(expect):
        raise errors.InputError(
            f"{expect!r} is no revision.", hint=NextStep(StepKind.NAME_REVISION, offer.run_id, revision=offer.revision)
        )
    if not offer.revision.startswith(expect):
        raise errors.InputError(
            f"The run has merged {offer.revision[:12]} by now, not {expect[:12]!r}.",
            hint=NextStep(StepKind.LOOK_AT_CHANGE, offer.run_id),
        )
    if offer.way != "nothing" and (why := obstacle(offer)):
        raise errors.NotAllowed(why[0], hint=why[1])


def obstacle(offer: merge_offer.Offer) -> tuple[str, str] | None:
    """Returns what stands against it and what to do, or None."""
    if offer.busy:
        return f"The checkout is in the middle of a {offer.busy}.", "Finish that first."
    if not offer.branch:
        return "The checkout is on no branch (detached HEAD).", "Switch to the branch that should get the changes."
    if offer.clashes:
        return (
            f"The branch `{offer.branch}` and the run both changed {_named(offer.clashes)}.",
            f"Merge by hand, where you can settle it: `git merge {offer.revision[:12]}`.",
        )
    return _obstacle_in_files(offer)


def _obstacle_in_files(offer: merge_offer.Offer) -> tuple[str, str] | None:
    if offer.lacking:
        return (
            f"Submodules would move to commits that your copies of them lack: {_named(offer.lacking)}.",
            "Fetch these commits in the submodules first, then apply again.",
        )
    if offer.behind_filters:
        trust = "If you trust them, add the folder of the repository to the setting `trusted_repositories`"
        return (
            f"Filters that this repository configures itself may not run, and write {_named(offer.behind_filters)}.",
            f"{trust}; or merge by hand: `git merge {offer.revision[:12]}`.",
        )
    if offer.local:
        return (
            f"Uncommitted changes would be written over in {_named(offer.local)}.",
            "Commit these files or move them away, then apply again.",
        )
    return None


def _named(paths: Sequence[str]) -> str:
    return problems.in_backticks(paths, SHOWN)


def can_be_applied(offer: merge_offer.Offer) -> bool:
    """Returns whether the work of a run is in the branch, or would come there if it was applied now."""
    if offer.way == "nothing":
        return not offer.is_empty
    return offer.applied or obstacle(offer) is None


def describe_offer(offer: merge_offer.Offer) -> str:
    """Returns in one or two lines what would happen, or has happened."""
    run = short_ids.short(offer.run_id)
    if offer.is_empty:
        still = ", and is still running" if offer.run_state == "running" else ""
        return f"Run {run} has merged nothing{still}: there is nothing to apply."
    if offer.way == "nothing":
        return f"`{offer.branch or offer.head[:12]}` already has everything that run {run} has merged."
    commits = f"{offer.commits} commit{'' if offer.commits == 1 else 's'}"
    how = "moves on to" if offer.way == "forward" else "is merged with"
    did = "Applied" if offer.applied else "Would apply"
    head = f"{did} {commits} of run {run}: `{offer.branch or 'HEAD'}` {how} {offer.revision[:12]}."
    if not can_be_applied(offer):
        head = f"Cannot apply {commits} of run {run} now: {offer.revision[:12]} stays outside of the checkout."
    return f"{head}\nFiles: {_named(offer.files)}."
