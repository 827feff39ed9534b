"""From one round to the next: what changed since, and which of the earlier findings still stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.review import council_decision, quote_search, quotes, review_tasks
from dispatch_mcp.review.findings import Finding, Refutation, ReviewReport
from dispatch_mcp.text import path_globs, unified_diff

MEND_GOAL: Final = "Mend what the review found in this work, with the smallest change that removes each finding"
MEND_INPUT: Final = "findings"
"""The goal of a task that mends what a round found, and the input in which it finds it."""


def is_mend(task: model.Task) -> bool:
    """Returns whether a task mends what a round found: it leaves a finding that is wrong as it is."""
    return task.goal == MEND_GOAL and MEND_INPUT in task.inputs


class Carried(NamedTuple):
    """What an earlier round adds to a later one: reports of its open findings, refutations, and what is gone."""

    reports: tuple[ReviewReport, ...] = ()
    refutations: tuple[Refutation, ...] = ()
    gone: tuple[str, ...] = ()


def since(
    before: unified_diff.Diff, now: unified_diff.Diff, earlier_findings: Sequence[review_tasks.Earlier] = ()
) -> unified_diff.Diff:
    """Returns the hunks of a change that were not in it before, and those that earlier findings are about."""
    old_hunks = {(change.path, _content(hunk)) for change in before.files for hunk in change.hunks}
    texts: dict[str, list[str]] = {}
    for finding in earlier_findings:
        texts.setdefault(finding.file, []).append(finding.quote)
    files: list[unified_diff.FileChange] = []
    for change in now.files:
        hunks = tuple(
            hunk
            for hunk in change.hunks
            if (change.path, _content(hunk)) not in old_hunks or _holds(hunk, texts.get(change.path, ()))
        )
        if hunks or (not change.hunks and change not in before.files):
            files.append(unified_diff.FileChange(change.path, change.old_path, change.kind, hunks, change.binary))
    return unified_diff.Diff(tuple(files))


def _content(hunk: unified_diff.Hunk) -> str:
    return "\n".join(line for line in hunk.lines if line[0] in "+-")


def _holds(hunk: unified_diff.Hunk, texts: Sequence[str]) -> bool:
    """Returns whether a hunk has a quote, or one of its lines."""
    lines = quote_search.FileText()
    lines.add(hunk)
    parts = [part for text in texts for part in (text, *text.split("\n")) if part.strip()]
    return any(lines.find(quote_search.Quote(part)) for part in parts)


def earlier(decision: council_decision.Decision) -> tuple[review_tasks.Earlier, ...]:
    """Returns the findings of a round that block, for the next one."""
    return tuple(
        review_tasks.Earlier(
            id=place.id,
            severity=place.severity,
            file=place.file,
            line=place.line,
            quote=place.quote,
            claim=place.claims[0].claim if place.claims else "",
            reviewers=place.reviewers,
        )
        for place in decision.of("open")
    )


def carry(old: Sequence[review_tasks.Earlier], reports: Sequence[ReviewReport], where: quotes.Ground) -> Carried:
    """Returns which earlier findings still stand, from the change itself and from what reviewers ruled.

    One whose quote is no longer there is gone. One whose quote is there stands, unless as many reviewers as had raised
    it show by a quote of their own that it is mended or wrong, and nobody says that it stands.
    """
    standing: list[ReviewReport] = []
    against: list[Refutation] = []
    gone_ids: list[str] = []
    for finding in old:
        place = where.find(finding.file, finding.line, finding.quote)
        rulings = [ruling for report in reports for ruling in report.rulings if ruling.finding == finding.id]
        proven = [
            ruling for ruling in rulings if ruling.ruling != "stands" and ruling.anchored and ruling.evidence.strip()
        ]
        enough = len({ruling.reviewer for ruling in proven}) >= max(1, len(finding.reviewers))
        is_settled = enough and not any(ruling.ruling == "stands" for ruling in rulings)
        if place is None or (is_settled and all(ruling.ruling == "gone" for ruling in proven)):
            gone_ids.append(finding.id)
            continue
        standing += [_again(finding, name, place) for name in finding.reviewers or ("an earlier round",)]
        if is_settled:
            against += [
                Refutation(finding=finding.id, reviewer=ruling.reviewer, evidence=ruling.evidence, anchored=True)
                for ruling in proven
            ]
    return Carried(tuple(standing), tuple(against), tuple(gone_ids))


def _again(earlier_finding: review_tasks.Earlier, reviewer: str, place: quotes.QuotePlace) -> ReviewReport:
    finding = Finding(
        reviewer=reviewer,
        severity=earlier_finding.severity,
        file=place.file,
        line=place.line,
        last=place.last,
        removed=place.is_removed,
        quote=earlier_finding.quote,
        claim=earlier_finding.claim,
        anchored=True,
        earlier=earlier_finding.id,
        marks=("from an earlier round",),
    )
    return ReviewReport(reviewer=reviewer, verdict="FAIL", findings=(finding,), role="earlier")


def owners(
    decision: council_decision.Decision, files_of: Mapping[str, Sequence[str]]
) -> dict[str, list[council_decision.MergedFinding]]:
    """Returns the blocking findings by the task that owns their file; those of nobody under an empty name."""
    findings_of: dict[str, list[council_decision.MergedFinding]] = {}
    for finding in decision.of("open"):
        path = path_globs.normalise(finding.file, "")
        task = next((task for task, paths in files_of.items() if any(_owns(own, path) for own in paths)), "")
        findings_of.setdefault(task, []).append(finding)
    return findings_of


def _owns(own: str, path: str) -> bool:
    return path_globs.touch(path_globs.normalise(own, ""), path)


def brief(finding: council_decision.MergedFinding) -> str:
    """Returns a finding as the one who has to mend it reads it."""
    first = finding.claims[0]
    lines = [f"{finding.severity}: {finding.file}:{finding.line}: {first.claim}", f"It says: {finding.quote}"]
    lines += [f"Evidence: {first.evidence}"] * bool(first.evidence) + [f"Proposed: {first.fix}"] * bool(first.fix)
    also = [claim for claim in finding.claims[1:] if claim.claim]
    return "\n".join([*lines, *(f"Also: {claim.claim}" for claim in also)])
