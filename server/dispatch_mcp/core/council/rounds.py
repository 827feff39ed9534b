"""From one round to the next: what changed since, and which of the earlier findings still stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatch_mcp.core import conflicts
from dispatch_mcp.core.council import anchors, briefs, deciding, diffs, findings
from dispatch_mcp.core.council.findings import Finding, Refutation, ReviewReport


class Carried(NamedTuple):
    """What an earlier round adds to a later one: reports of its open findings, refutations, and what is gone."""

    reports: tuple[ReviewReport, ...] = ()
    refutations: tuple[Refutation, ...] = ()
    gone: tuple[str, ...] = ()


def since(before: diffs.Diff, now: diffs.Diff, quotes: Sequence[briefs.Earlier] = ()) -> diffs.Diff:
    """Returns the hunks of a change that were not in it before, and those that earlier findings are about."""
    known = {(change.path, _content(hunk)) for change in before.files for hunk in change.hunks}
    asked = {one.file: [findings.plain(part) for part in one.quote.split("\n")] for one in quotes}
    kept: list[diffs.FileChange] = []
    for change in now.files:
        hunks = tuple(
            hunk
            for hunk in change.hunks
            if (change.path, _content(hunk)) not in known or _holds(hunk, asked.get(change.path, ()))
        )
        if hunks or (not change.hunks and change not in before.files):
            kept.append(diffs.FileChange(change.path, change.old_path, change.kind, hunks, change.binary))
    return diffs.Diff(tuple(kept))


def _content(hunk: diffs.Hunk) -> str:
    return "\n".join(line for line in hunk.lines if line[0] in "+-")


def _holds(hunk: diffs.Hunk, wanted: Sequence[str]) -> bool:
    lines = [findings.plain(line[1:]) for line in hunk.lines]
    return any(part and part in line for part in wanted for line in lines)


def earlier(decision: deciding.Decision) -> tuple[briefs.Earlier, ...]:
    """Returns the findings of a round that block, for the next one."""
    return tuple(
        briefs.Earlier(
            id=one.id,
            severity=one.severity,
            file=one.file,
            line=one.line,
            quote=one.quote,
            claim=one.claims[0].claim if one.claims else "",
            reviewers=one.reviewers,
        )
        for one in decision.of("open")
    )


def carry(old: Sequence[briefs.Earlier], reports: Sequence[ReviewReport], where: anchors.Ground) -> Carried:
    """Returns which earlier findings still stand, from the change itself and from what reviewers ruled.

    One whose quote is no longer there is gone. One whose quote is there stands, unless as many reviewers as had raised
    it show by a quote of their own that it is mended or wrong, and nobody says that it stands.
    """
    standing: list[ReviewReport] = []
    against: list[Refutation] = []
    gone: list[str] = []
    for one in old:
        place = where.find(one.file, one.line, one.quote)
        ruled = [ruling for report in reports for ruling in report.rulings if ruling.finding == one.id]
        proven = [
            ruling for ruling in ruled if ruling.ruling != "stands" and ruling.anchored and ruling.evidence.strip()
        ]
        enough = len({ruling.reviewer for ruling in proven}) >= max(1, len(one.reviewers))
        settled = enough and not any(ruling.ruling == "stands" for ruling in ruled)
        if place is None or (settled and all(ruling.ruling == "gone" for ruling in proven)):
            gone.append(one.id)
            continue
        standing += [_again(one, name, place) for name in one.reviewers or ("an earlier round",)]
        if settled:
            against += [
                Refutation(finding=one.id, reviewer=ruling.reviewer, evidence=ruling.evidence, anchored=True)
                for ruling in proven
            ]
    return Carried(tuple(standing), tuple(against), tuple(gone))


def _again(one: briefs.Earlier, reviewer: str, place: anchors.Place) -> ReviewReport:
    finding = Finding(
        reviewer=reviewer,
        severity=one.severity,
        file=place.file,
        line=place.line,
        last=place.last,
        removed=place.removed,
        quote=one.quote,
        claim=one.claim,
        anchored=True,
        earlier=one.id,
        marks=("from an earlier round",),
    )
    return ReviewReport(reviewer=reviewer, verdict="FAIL", findings=(finding,), role="earlier")


def owners(decision: deciding.Decision, files_of: Mapping[str, Sequence[str]]) -> dict[str, list[deciding.Merged]]:
    """Returns the blocking findings by the task that owns their file; those of nobody under an empty name."""
    found: dict[str, list[deciding.Merged]] = {}
    for one in decision.of("open"):
        path = conflicts.normalise(one.file, "")
        task = next((task for task, paths in files_of.items() if any(_owns(own, path) for own in paths)), "")
        found.setdefault(task, []).append(one)
    return found


def _owns(own: str, path: str) -> bool:
    return conflicts.touch(conflicts.normalise(own, ""), path)


def brief(one: deciding.Merged) -> str:
    """Returns a finding as the one who has to mend it reads it."""
    first = one.claims[0]
    lines = [f"{one.severity}: {one.file}:{one.line}: {first.claim}", f"It says: {one.quote}"]
    lines += [f"Evidence: {first.evidence}"] * bool(first.evidence) + [f"Proposed: {first.fix}"] * bool(first.fix)
    also = [claim for claim in one.claims[1:] if claim.claim]
    return "\n".join([*lines, *(f"Also: {claim.claim}" for claim in also)])
