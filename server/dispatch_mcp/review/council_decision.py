"""What a round decides, from reports alone: PASS, BLOCK or INCONCLUSIVE (docs/rules.md#review-council).

Critical and high findings block, and so does what a FAIL rests on, whatever it is called. Nothing passes by accident:
without a usable verdict of everybody who was asked there is no PASS, nor with a FAIL whose reason nobody could find,
nor with lines that nobody saw, nor when nobody argued against a unanimous PASS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.review import findings
from dispatch_mcp.review.findings import Finding, Refutation, ReviewReport, Severity, Waiver

Outcome = Literal["PASS", "BLOCK", "INCONCLUSIVE"]
Standing = Literal["open", "todo", "info", "unproven", "refuted", "waived"]
Remedy = Literal["", "mend", "ask_again", "review_in_parts", "devils_advocate"]
"""What keeps a round from being stuck where it is; nothing is left to do about a PASS."""

_STANDINGS: Final[tuple[Standing, ...]] = ("open", "todo", "info", "unproven", "refuted", "waived")
"""In the order in which they are shown: what has to be done first."""

MERGED_LINES: Final = 8
"""Quotes longer than this are merged only with others that begin where they do."""


class CouncilRules(model.Value):
    """What the settings decide about a round.

    `quorum` says whose usable verdict a PASS needs; `rounds` bounds the loop.
    """

    inconclusive_blocks: bool = True
    quorum: Literal["all", "any"] = "all"
    devils_advocate: bool = True
    rounds: int = Field(default=3, ge=1, le=10)

    @property
    def summary(self) -> str:
        """The rules in one line, with those in capitals that let more through than the defaults do."""
        inconclusive = "blocks" if self.inconclusive_blocks else "DOES NOT BLOCK (setting council_inconclusive_blocks)"
        quorum = "every reviewer" if self.quorum == "all" else "ONE reviewer (setting council_quorum)"
        advocate = "" if self.devils_advocate else "; NO devil's advocate (setting council_devils_advocate)"
        return (
            f"critical and high block; inconclusive {inconclusive}; a PASS needs a usable verdict of {quorum}{advocate}"
        )


class FindingClaim(model.Value):
    """What one reviewer says about a merged finding."""

    reviewer: str
    severity: Severity
    claim: str = ""
    evidence: str = ""
    fix: str = ""


class MergedFinding(model.Value):
    """One place that findings are about, with everybody who found it. `severity` is the worst that counts.

    `failed_by` are the reviewers whose FAIL rests on it though it is neither critical nor high.
    """

    id: str
    severity: Severity
    standing: Standing
    file: str = ""
    line: int = 0
    last: int = 0
    removed: bool = False
    quote: str = ""
    claims: tuple[FindingClaim, ...] = ()
    marks: tuple[str, ...] = ()
    waived: str = ""
    refuted_by: tuple[str, ...] = ()
    failed_by: tuple[str, ...] = ()

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who found it."""
        return tuple(dict.fromkeys(claim.reviewer for claim in self.claims))


class ReviewerVerdict(model.Value):
    """How one reviewer judged all parts of a change; without a verdict, the answer to some part could not be used."""

    reviewer: str
    verdict: findings.Verdict | None = None
    role: findings.Role = "reviewer"
    problem: str = ""


class Decision(model.Value):
    """What a round decided; `blocks` is what counts.

    `why` says it in one sentence, `rules` what could have let it pass.
    """

    outcome: Outcome
    blocks: bool
    why: str
    rules: str
    findings: tuple[MergedFinding, ...] = ()
    voices: tuple[ReviewerVerdict, ...] = ()
    unseen: tuple[str, ...] = ()
    next: Remedy = ""

    def of(self, *standings: Standing) -> tuple[MergedFinding, ...]:
        """Returns the findings of these standings."""
        return tuple(finding for finding in self.findings if finding.standing in standings)


def decide(
    reports: Sequence[ReviewReport],
    rules: CouncilRules = CouncilRules(),
    *,
    waivers: Sequence[Waiver] = (),
    refutations: Sequence[Refutation] = (),
    unseen: Sequence[str] = (),
) -> Decision:
    """Returns the decision of a round; `unseen` are lines that somebody who was asked did not see."""
    places = merge(reports, waivers, refutations)
    voices = _verdicts(reports)
    outcome, why, then = _judged(reports, voices, places, rules, unseen)
    return Decision(
        outcome=outcome,
        blocks=outcome == "BLOCK" or (outcome == "INCONCLUSIVE" and rules.inconclusive_blocks),
        why=why,
        rules=rules.summary,
        findings=tuple(places),
        voices=tuple(voices),
        unseen=tuple(unseen),
        next=then,
    )


def _judged(
    reports: Sequence[ReviewReport],
    voices: Sequence[ReviewerVerdict],
    places: Sequence[MergedFinding],
    rules: CouncilRules,
    unseen: Sequence[str],
) -> tuple[Outcome, str, Remedy]:
    blocking = [place for place in places if place.standing == "open"]
    if blocking:
        return "BLOCK", _blocked(blocking), "mend"
    doubt, remedy = _doubt(reports, voices, places, rules, unseen)
    if doubt:
        return "INCONCLUSIVE", doubt, remedy
    if rules.devils_advocate and is_unanimous(reports) and not any(voice.role == "advocate" for voice in voices):
        return "INCONCLUSIVE", "Everybody passes it and nobody has argued against it yet.", "devils_advocate"
    settlements = [place for place in places if place.standing in ("waived", "refuted")]
    return "PASS", _passed(voices, settlements), ""


def _blocked(blocking: Sequence[MergedFinding]) -> str:
    """Returns why a round blocks: what is critical or high, then what somebody's FAIL rests on."""
    grave = [place for place in blocking if place.severity in findings.BLOCKING]
    rest = [place for place in blocking if place.severity not in findings.BLOCKING]
    names = ", ".join(dict.fromkeys(name for place in rest for name in place.failed_by))
    reasons = [f"{_counted(grave)} in the change"] * bool(grave)
    reasons += [f"{names} said FAIL for {_counted(rest)} in the change"] * bool(rest)
    return f"{'; '.join(reasons)}: mend what is open, then review again."


def _counted(places: Sequence[MergedFinding]) -> str:
    counts = Counter(place.severity for place in places)
    severities = " and ".join(f"{counts[name]} {name}" for name in findings.SEVERITIES if counts[name])
    return f"{severities} finding{'s' if len(places) > 1 else ''}"


def _passed(voices: Sequence[ReviewerVerdict], places: Sequence[MergedFinding]) -> str:
    waivers = sum(place.standing == "waived" for place in places)
    refutations = len(places) - waivers
    reasons = [f"{waivers} waived by a person"] if waivers else []
    reasons += [f"{refutations} refuted with counter-evidence"] if refutations else []
    why = f": {', '.join(reasons)}" if reasons else ""
    return f"Nothing critical or high stands after {len(voices)} reviews{why}."


def _doubt(
    reports: Sequence[ReviewReport],
    voices: Sequence[ReviewerVerdict],
    places: Sequence[MergedFinding],
    rules: CouncilRules,
    unseen: Sequence[str],
) -> tuple[str, Remedy]:
    """Returns why a round without a blocking finding cannot pass and what to do about it; nothing when it can."""
    usable = [voice for voice in voices if voice.verdict and voice.role == "reviewer"]
    if not usable:
        return "No reviewer gave a usable verdict: review again.", "ask_again"
    missing = [voice.reviewer for voice in voices if not voice.verdict]
    if missing and (rules.quorum == "all" or any(voice.role == "advocate" and not voice.verdict for voice in voices)):
        return f"No usable verdict from {', '.join(missing)}: review again.", "ask_again"
    objecting = ", ".join(_objections(reports, places))
    if objecting:
        why = f"{objecting} said FAIL without a finding that is in the change: read the answer, then review again."
        return why, "ask_again"
    if unseen:
        count = "1 place of the change was" if len(unseen) == 1 else f"{len(unseen)} places of the change were"
        return f"{count} not seen by everybody: review it in smaller parts.", "review_in_parts"
    return "", ""


def _objections(reports: Sequence[ReviewReport], places: Sequence[MergedFinding]) -> list[str]:
    """Returns the reviewers whose FAIL cannot be explained.

    Nobody blocks here, so no finding on which a FAIL rests is open. A FAIL counts as explained when one of its findings
    was waived or refuted: that was the reason, and it is settled.
    """
    settlements = [claim for place in places if place.standing in ("waived", "refuted") for claim in place.claims]
    return list(
        dict.fromkeys(
            report.reviewer
            for report in reports
            if report.verdict == "FAIL"
            and report.role != "earlier"
            and not any(_claim(finding) in settlements for finding in report.findings)
        )
    )


def is_unanimous(reports: Sequence[ReviewReport]) -> bool:
    """Returns whether all reviewers pass the change, and none of them has proven a critical or high finding."""
    reviewers = [report for report in reports if report.role == "reviewer"]
    return bool(reviewers) and all(passes(report) for report in reviewers)


def passes(report: ReviewReport) -> bool:
    """Returns whether one report is a PASS: a critical or high finding in the change outweighs the word."""
    blocking = any(finding.anchored and finding.severity in findings.BLOCKING for finding in report.findings)
    return report.verdict == "PASS" and not blocking


def _verdicts(reports: Sequence[ReviewReport]) -> list[ReviewerVerdict]:
    """Returns one verdict for each reviewer: FAIL when one of its parts fails, none when one of them has none."""
    by_name: dict[tuple[str, findings.Role], list[ReviewReport]] = {}
    for report in reports:
        if report.role == "earlier":
            continue
        by_name.setdefault((report.reviewer, report.role), []).append(report)
    return [_verdict(name, role, own) for (name, role), own in by_name.items()]


def _verdict(name: str, role: findings.Role, own: Sequence[ReviewReport]) -> ReviewerVerdict:
    lacking = [report for report in own if report.verdict is None]
    if lacking:
        where = f" (part {lacking[0].part})" if len(own) > 1 else ""
        return ReviewerVerdict(reviewer=name, role=role, problem=(lacking[0].problem or "no answer") + where)
    return ReviewerVerdict(reviewer=name, role=role, verdict="PASS" if all(map(passes, own)) else "FAIL")


def merge(
    reports: Iterable[ReviewReport], waivers: Sequence[Waiver] = (), refutations: Sequence[Refutation] = ()
) -> list[MergedFinding]:
    """Returns all findings, those about one place as one with all its reviewers, the worst first."""
    groups: list[list[Finding]] = []
    for finding in sorted((finding for report in reports for finding in _weighed(report)), key=_order):
        group = next((group for group in groups if _is_same_place(group[0], finding)), None)
        if group is None:
            groups.append([finding])
        else:
            group.append(finding)
    names: Counter[str] = Counter()
    places: list[MergedFinding] = []
    for group in groups:
        own = findings.key(group[0].file, group[0].quote or group[0].claim)
        name = next((finding.earlier for finding in group if finding.earlier), own)
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}-{names[name]}"
        places.append(_merged(unique, group, waivers, refutations))
    return sorted(
        places,
        key=lambda place: (
            _STANDINGS.index(place.standing),
            findings.SEVERITIES.index(place.severity),
            place.file,
            place.line,
        ),
    )


def _weighed(report: ReviewReport) -> Sequence[Finding]:
    """Returns the findings of a report; those on which its FAIL rests are marked when their severity does not say so.

    These are the gravest ones that are in the change, unless they are critical or high and block by themselves.
    """
    proofs = [finding for finding in report.findings if finding.anchored]
    if report.verdict != "FAIL" or not proofs:
        return report.findings
    gravest = findings.worst([finding.severity for finding in proofs])
    if gravest in findings.BLOCKING:
        return report.findings
    return [
        finding.model_copy(update={"decides": finding.anchored and finding.severity == gravest})
        for finding in report.findings
    ]


def _order(finding: Finding) -> tuple[int, str, int, str]:
    worst = findings.SEVERITIES.index(finding.severity)
    return worst, finding.file, finding.line, finding.reviewer


def _is_same_place(finding: Finding, other: Finding) -> bool:
    """Returns whether two findings are about the same place; of two without a place, whether they say the same."""
    if finding.anchored is not other.anchored or finding.file != other.file or finding.removed is not other.removed:
        return False
    if not finding.anchored:
        return findings.plain(finding.quote or finding.claim) == findings.plain(other.quote or other.claim)
    if finding.line == other.line:
        return True
    short = max(finding.last - finding.line, other.last - other.line) < MERGED_LINES
    return short and finding.line <= other.last and other.line <= finding.last


def _merged(
    name: str, group: Sequence[Finding], waivers: Sequence[Waiver], refutations: Sequence[Refutation]
) -> MergedFinding:
    first = group[0]
    raisers = {finding.reviewer for finding in group}
    opponents = {
        refutation.reviewer
        for refutation in refutations
        if refutation.finding == name and refutation.anchored and refutation.evidence.strip()
    }
    waiver = next((waiver for waiver in waivers if waiver.finding == name), None)
    failed_by = tuple(dict.fromkeys(finding.reviewer for finding in group if finding.decides))
    return MergedFinding(
        id=name,
        severity=first.severity,
        standing=_standing(
            first, waived=waiver is not None, refuted=len(opponents) >= len(raisers), decides=bool(failed_by)
        ),
        file=first.file,
        line=first.line,
        last=first.last,
        removed=first.removed,
        quote=first.quote,
        claims=tuple(map(_claim, group)),
        marks=tuple(dict.fromkeys(mark for finding in group for mark in finding.marks)),
        waived=f"{waiver.by}: {waiver.reason}" if waiver else "",
        refuted_by=tuple(sorted(opponents)),
        failed_by=failed_by if first.severity not in findings.BLOCKING else (),
    )


def _claim(finding: Finding) -> FindingClaim:
    return FindingClaim(
        reviewer=finding.reviewer,
        severity=finding.called,
        claim=finding.claim,
        evidence=finding.evidence,
        fix=finding.fix,
    )


def _standing(finding: Finding, *, waived: bool, refuted: bool, decides: bool) -> Standing:
    """Returns what becomes of a finding; it is refuted by as many reviewers with proof as have raised it.

    What somebody's FAIL rests on is open like what is critical or high.
    """
    if waived:
        return "waived"
    if not finding.anchored:
        return "unproven"
    if refuted:
        return "refuted"
    if decides or finding.severity in findings.BLOCKING:
        return "open"
    return "todo" if finding.severity == "medium" else "info"
