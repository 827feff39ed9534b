"""What a round decides, from reports alone: PASS, BLOCK or INCONCLUSIVE (docs/rules.md#review-council).

Nothing passes by accident: without a usable verdict of everybody who was asked there is no PASS, nor with a FAIL whose
reason nobody could find, nor with lines that nobody saw, nor when nobody argued against a unanimous PASS.
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
    def told(self) -> str:
        """The rules that could let something through, as every decision prints them."""
        inconclusive = "blocks" if self.inconclusive_blocks else "DOES NOT BLOCK (setting council_inconclusive_blocks)"
        quorum = "every reviewer" if self.quorum == "all" else "ONE reviewer (setting council_quorum)"
        advocate = "" if self.devils_advocate else "; NO devil's advocate (setting council_devils_advocate)"
        return (
            f"critical and high block; inconclusive {inconclusive}; a PASS needs a usable verdict of {quorum}{advocate}"
        )


class Claim(model.Value):
    """What one reviewer says about a merged finding."""

    reviewer: str
    severity: Severity
    claim: str = ""
    evidence: str = ""
    fix: str = ""


class Merged(model.Value):
    """One place that findings are about, with everybody who found it. `severity` is the worst that counts."""

    id: str
    severity: Severity
    standing: Standing
    file: str = ""
    line: int = 0
    last: int = 0
    removed: bool = False
    quote: str = ""
    claims: tuple[Claim, ...] = ()
    marks: tuple[str, ...] = ()
    waived: str = ""
    refuted_by: tuple[str, ...] = ()

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who found it."""
        return tuple(dict.fromkeys(claim.reviewer for claim in self.claims))


class Voice(model.Value):
    """How one reviewer judged; no verdict means that none of its answers, or not all, could be used."""

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
    findings: tuple[Merged, ...] = ()
    voices: tuple[Voice, ...] = ()
    unseen: tuple[str, ...] = ()
    next: Literal["", "devils_advocate"] = ""

    def of(self, *standings: Standing) -> tuple[Merged, ...]:
        """Returns the findings of these standings."""
        return tuple(one for one in self.findings if one.standing in standings)


def decide(
    reports: Sequence[ReviewReport],
    rules: CouncilRules = CouncilRules(),
    *,
    waivers: Sequence[Waiver] = (),
    refutations: Sequence[Refutation] = (),
    unseen: Sequence[str] = (),
) -> Decision:
    """Returns the decision of a round; `unseen` are lines that somebody who was asked did not see."""
    merged = merge(reports, waivers, refutations)
    voices = _voices(reports)
    outcome, why, then = _judged(reports, voices, merged, rules, unseen)
    return Decision(
        outcome=outcome,
        blocks=outcome == "BLOCK" or (outcome == "INCONCLUSIVE" and rules.inconclusive_blocks),
        why=why,
        rules=rules.told,
        findings=tuple(merged),
        voices=tuple(voices),
        unseen=tuple(unseen),
        next=then,
    )


def _judged(
    reports: Sequence[ReviewReport],
    voices: Sequence[Voice],
    merged: Sequence[Merged],
    rules: CouncilRules,
    unseen: Sequence[str],
) -> tuple[Outcome, str, Literal["", "devils_advocate"]]:
    blocking = [one for one in merged if one.standing == "open"]
    if blocking:
        counts = Counter(one.severity for one in blocking)
        told = " and ".join(f"{counts[severity]} {severity}" for severity in findings.SEVERITIES if counts[severity])
        return "BLOCK", f"{told} finding{'s' if len(blocking) > 1 else ''} in the change.", ""
    doubt = _doubt(reports, voices, merged, rules, unseen)
    if doubt:
        return "INCONCLUSIVE", doubt, ""
    if rules.devils_advocate and is_unanimous(reports) and not any(voice.role == "advocate" for voice in voices):
        return "INCONCLUSIVE", "Everybody passes it and nobody has argued against it yet.", "devils_advocate"
    settled = [one for one in merged if one.standing in ("waived", "refuted")]
    return "PASS", _passed(voices, settled), ""


def _passed(voices: Sequence[Voice], settled: Sequence[Merged]) -> str:
    waived = sum(one.standing == "waived" for one in settled)
    refuted = len(settled) - waived
    told = [f"{waived} waived by a person"] * bool(waived) + [f"{refuted} refuted with counter-evidence"] * bool(
        refuted
    )
    return f"Nothing critical or high stands after {len(voices)} reviews" + (f": {', '.join(told)}." if told else ".")


def _doubt(
    reports: Sequence[ReviewReport],
    voices: Sequence[Voice],
    merged: Sequence[Merged],
    rules: CouncilRules,
    unseen: Sequence[str],
) -> str:
    """Returns why a round without a blocking finding cannot pass, or an empty string."""
    usable = [voice for voice in voices if voice.verdict and voice.role == "reviewer"]
    if not usable:
        return "No reviewer gave a usable verdict."
    missing = [voice.reviewer for voice in voices if not voice.verdict]
    if missing and (rules.quorum == "all" or any(voice.role == "advocate" and not voice.verdict for voice in voices)):
        return f"No usable verdict from {', '.join(missing)}."
    objecting = _objections(reports, merged)
    if objecting:
        return f"{', '.join(objecting)} said FAIL without a critical or high finding that is in the change."
    if unseen:
        return f"{len(unseen)} place{'s' if len(unseen) > 1 else ''} of the change were not seen by everybody."
    return ""


def _objections(reports: Sequence[ReviewReport], merged: Sequence[Merged]) -> list[str]:
    """Returns who says FAIL and has neither proven why nor been overruled by a person."""
    proven = {claim.reviewer for one in merged if one.standing in ("waived", "refuted") for claim in one.claims}
    return list(
        dict.fromkeys(
            report.reviewer
            for report in reports
            if report.verdict == "FAIL" and report.role != "earlier" and report.reviewer not in proven
        )
    )


def is_unanimous(reports: Sequence[ReviewReport]) -> bool:
    """Returns whether all reviewers pass the change, and none of them has proven a critical or high finding."""
    asked = [report for report in reports if report.role == "reviewer"]
    return bool(asked) and all(passes(report) for report in asked)


def passes(report: ReviewReport) -> bool:
    """Returns whether one report is a PASS: severities count for more than the word."""
    blocking = any(one.anchored and one.severity in findings.BLOCKING for one in report.findings)
    return report.verdict == "PASS" and not blocking


def _voices(reports: Sequence[ReviewReport]) -> list[Voice]:
    """Returns one verdict for each reviewer over all its parts: FAIL if any fails, none if any is missing."""
    by_name: dict[tuple[str, findings.Role], list[ReviewReport]] = {}
    for report in reports:
        if report.role == "earlier":
            continue
        by_name.setdefault((report.reviewer, report.role), []).append(report)
    return [_voice(name, role, own) for (name, role), own in by_name.items()]


def _voice(name: str, role: findings.Role, own: Sequence[ReviewReport]) -> Voice:
    lacking = [report for report in own if report.verdict is None]
    if lacking:
        where = f" (part {lacking[0].part})" if len(own) > 1 else ""
        return Voice(reviewer=name, role=role, problem=(lacking[0].problem or "no answer") + where)
    return Voice(reviewer=name, role=role, verdict="PASS" if all(map(passes, own)) else "FAIL")


def merge(
    reports: Iterable[ReviewReport], waivers: Sequence[Waiver] = (), refutations: Sequence[Refutation] = ()
) -> list[Merged]:
    """Returns all findings, those of one place together, the worst first; nobody's name is lost."""
    groups: list[list[Finding]] = []
    for finding in sorted((one for report in reports for one in report.findings), key=_order):
        group = next((group for group in groups if _together(group[0], finding)), None)
        if group is None:
            groups.append([finding])
        else:
            group.append(finding)
    taken: Counter[str] = Counter()
    merged: list[Merged] = []
    for group in groups:
        own = findings.key(group[0].file, group[0].quote or group[0].claim)
        name = next((one.earlier for one in group if one.earlier), own)
        taken[name] += 1
        unique = name if taken[name] == 1 else f"{name}-{taken[name]}"
        merged.append(_merged(unique, group, waivers, refutations))
    rank = {standing: place for place, standing in enumerate(("open", "todo", "info", "unproven", "refuted", "waived"))}
    return sorted(
        merged, key=lambda one: (rank[one.standing], findings.SEVERITIES.index(one.severity), one.file, one.line)
    )


def _order(finding: Finding) -> tuple[int, str, int, int, str]:
    worst = findings.SEVERITIES.index(finding.severity)
    return worst, finding.file, finding.line, worst, finding.reviewer


def _together(one: Finding, other: Finding) -> bool:
    """Whether two findings are about the same place. Unproven ones are the same only when they say the same."""
    if one.anchored is not other.anchored or one.file != other.file or one.removed is not other.removed:
        return False
    if not one.anchored:
        return findings.plain(one.quote or one.claim) == findings.plain(other.quote or other.claim)
    if one.line == other.line:
        return True
    short = max(one.last - one.line, other.last - other.line) < MERGED_LINES
    return short and one.line <= other.last and other.line <= one.last


def _merged(
    name: str, group: Sequence[Finding], waivers: Sequence[Waiver], refutations: Sequence[Refutation]
) -> Merged:
    first = group[0]
    raisers = {finding.reviewer for finding in group}
    against = {one.reviewer for one in refutations if one.finding == name and one.anchored and one.evidence.strip()}
    waiver = next((one for one in waivers if one.finding == name), None)
    return Merged(
        id=name,
        severity=first.severity,
        standing=_standing(first, waived=waiver is not None, refuted=len(against) >= len(raisers)),
        file=first.file,
        line=first.line,
        last=first.last,
        removed=first.removed,
        quote=first.quote,
        claims=tuple(
            Claim(reviewer=one.reviewer, severity=one.called, claim=one.claim, evidence=one.evidence, fix=one.fix)
            for one in group
        ),
        marks=tuple(dict.fromkeys(mark for one in group for mark in one.marks)),
        waived=f"{waiver.by}: {waiver.reason}" if waiver else "",
        refuted_by=tuple(sorted(against)),
    )


def _standing(finding: Finding, *, waived: bool, refuted: bool) -> Standing:
    """Returns what becomes of a finding. It takes as many refutations with proof as it has reviewers who raised it."""
    if waived:
        return "waived"
    if not finding.anchored:
        return "unproven"
    if refuted:
        return "refuted"
    if finding.severity in findings.BLOCKING:
        return "open"
    return "todo" if finding.severity == "medium" else "info"
