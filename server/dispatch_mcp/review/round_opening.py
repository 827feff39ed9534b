"""How a round of the council begins: from a change as its source gives it to what each reviewer is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dispatch_mcp.agents import catalog
from dispatch_mcp.review import (
    council_decision,
    diff_parts,
    finding_redaction,
    findings,
    injections,
    review_scope,
    review_tasks,
    reviewer_selection,
    rounds,
)
from dispatch_mcp.text import unified_diff


class PreviousRound(NamedTuple):
    """The round before this one: its run, what it was shown, what it decided and what people have let go since."""

    run_id: str
    manifest: review_tasks.Manifest
    diff: str
    decision: council_decision.Decision
    waivers: tuple[findings.Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundBasis:
    """What there is for a round beside its change.

    `by_name` are reviewers who sit beside those whom the change chooses, `clean` takes secrets out of a text; `subject`
    is the run that is reviewed, and `owners` are the files of each of its tasks.
    """

    agents: catalog.Catalog
    rules: council_decision.CouncilRules
    clean: Callable[[str], str]
    by_name: tuple[str, ...] = ()
    subject: str = ""
    owners: Mapping[str, tuple[str, ...]] | None = None
    previous: PreviousRound | None = None


class RoundOpening(NamedTuple):
    """A round before anything of it is stored; `text` is its change as its manifest will name it by its digest."""

    manifest: review_tasks.Manifest
    parts: diff_parts.Split
    change: unified_diff.Diff
    text: str = ""


def of_change(change: review_scope.Change, basis: RoundBasis, *, is_text: bool) -> RoundOpening:
    """Returns the round that a change makes; without parts when there is nothing to look at.

    `is_text` says that somebody sent the change, instead of git. A large one computes for long.

    Raises:
        InputError: the change cannot be read whole, or somebody who is asked for by name is no reviewer.
    """
    scope = review_scope.split_scope(review_scope.readable(change, is_text=is_text))
    clean = finding_redaction.clean(scope.diff, basis.clean)
    manifest = _manifest(change, scope, clean, basis)
    news = _news(clean.diff, basis.previous)
    parts = diff_parts.split(news if news.files else clean.diff)
    if not parts.parts or (not news.files and not manifest.earlier):
        return RoundOpening(manifest, diff_parts.Split(), clean.diff)
    unseen = (diff_parts.Span(path=path, first=0, last=0) for path in change.unseen)
    spans = {"spans": tuple(part.spans for part in parts.parts), "unseen": (*parts.unseen, *unseen)}
    text = "\n".join(map(unified_diff.render, clean.diff.files))
    return RoundOpening(manifest.model_copy(update=spans), parts, clean.diff, text)


def _news(now: unified_diff.Diff, previous: PreviousRound | None) -> unified_diff.Diff:
    """Returns what of a change this round looks at: all of it, or what is new since the round before."""
    if previous is None:
        return now
    return rounds.since(unified_diff.parse(previous.diff), now, rounds.earlier(previous.decision))


def _manifest(
    change: review_scope.Change,
    scope: review_scope.ReviewScope,
    clean: finding_redaction.CleanDiff,
    basis: RoundBasis,
) -> review_tasks.Manifest:
    """Returns everything about the round that the change itself says, and what goes on from the round before."""
    pool = reviewer_selection.pool(basis.agents)
    selection = reviewer_selection.select(scope.diff, pool, skipped_paths=[file.path for file in scope.excluded])
    extra = reviewer_selection.by_name(basis.agents, basis.by_name)
    manifest = review_tasks.Manifest(
        source=change.about,
        subject=basis.subject,
        seats=(*selection.seats, *(seat for seat in extra if seat.reviewer not in selection.reviewers)),
        passed_over=selection.passed_over,
        advocate=selection.advocate,
        rules=basis.rules,
        languages=selection.languages,
        files=tuple(file.path for file in scope.diff.files),
        lines=scope.diff.lines,
        excluded=tuple(scope.excluded),
        flags=injections.flags(clean.diff),
        redacted=clean.lines,
        owners=dict(basis.owners or {}),
        reviewed=change.head,
    )
    previous = basis.previous
    if previous is None:
        return manifest
    return manifest.model_copy(
        update={
            "round": previous.manifest.round + 1,
            "after": previous.run_id,
            "earlier": rounds.earlier(previous.decision),
            "waivers": previous.waivers,
            "subject": manifest.subject or previous.manifest.subject,
            "owners": manifest.owners or previous.manifest.owners,
        }
    )


def focuses(seats: tuple[findings.Reviewer, ...], agents: catalog.Catalog) -> dict[str, str]:
    """Returns what each reviewer looks at, in the words of its agent file; empty where that says nothing."""
    reviewers = {seat.reviewer: reviewer_selection.find(agents, seat.reviewer) for seat in seats}
    extras = {name: agent.extra.get("focus") if agent else "" for name, agent in reviewers.items()}
    return {name: focus if isinstance(focus, str) else "" for name, focus in extras.items()}
