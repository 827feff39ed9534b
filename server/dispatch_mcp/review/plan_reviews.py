"""Reviews of a plan's work: what an answer comes to, whom it concerns, and what is said to whoever mends it.

An answer is read as the council reads them. Here one reviewer decides alone, so its word counts: FAIL blocks, and so
does a critical or high finding, whether or not its quote is in the change; only a usable PASS without one lets through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.review import answer_parser, council_decision, findings, quotes
from dispatch_mcp.review.findings import Finding, ReviewReport
from dispatch_mcp.text import path_globs

Ruling = Literal["pass", "block", "unusable"]

MAX_PROSE: Final = 4_000
"""Characters of an answer that says FAIL without findings which whoever mends it is shown."""


class Judgement(NamedTuple):
    """What an answer comes to, in one word and one sentence, and the report that it was read as."""

    ruling: Ruling
    why: str
    report: ReviewReport


def judge(reviewer: str, answer: model.Json, where: quotes.Ground | None = None) -> Judgement:
    """Returns what an answer comes to; with `where`, its findings say whether their quotes are in the change."""
    report = answer_parser.report(reviewer, answer)
    if where is not None:
        report = quotes.check(report, where)
    blocking = [finding for finding in report.findings if finding.called in findings.BLOCKING]
    if blocking:
        worst = findings.worst([finding.called for finding in blocking])
        return Judgement("block", f"{len(blocking)} finding{'s' * (len(blocking) > 1)}, at worst {worst}", report)
    if report.verdict is None:
        return Judgement("unusable", report.problem or "it has no verdict", report)
    if report.verdict == "FAIL":
        return Judgement("block", "it says FAIL", report)
    return Judgement("pass", "it says PASS, and nothing critical or high", report)


def report(
    reviewer: str, answer: model.Json, where: quotes.Ground | None, *, role: findings.Role = "reviewer"
) -> ReviewReport:
    """Returns the report that an answer of one of a council is, checked against the change that it was shown.

    Where nobody knows that change, nobody can say that a quote is not in it.
    """
    reading = answer_parser.report(reviewer, answer, role=role)
    if where is not None:
        return quotes.check(reading, where)
    claims = tuple(finding.model_copy(update={"anchored": True}) for finding in reading.findings)
    return reading.model_copy(update={"findings": claims})


def todos(report: ReviewReport) -> list[str]:
    """Returns what a review leaves to do: its medium findings."""
    return [line(finding) for finding in report.findings if finding.called == "medium"]


def line(finding: Finding) -> str:
    """Returns a finding in one line."""
    place = finding.file + (f":{finding.line}" if finding.line else "")
    fix = f" Proposed: {finding.fix}" if finding.fix else ""
    return " ".join(f"{finding.called}: {place + ': ' if place else ''}{finding.claim}{fix}".split())


def merged_line(finding: council_decision.MergedFinding) -> str:
    """Returns a finding of a council in one line."""
    place = finding.file + (f":{finding.line}" if finding.line else "")
    first = finding.claims[0]
    fix = f" Proposed: {first.fix}" if first.fix else ""
    return " ".join(f"{finding.severity}: {place + ': ' if place else ''}{first.claim}{fix}".split())


def feedback(report: ReviewReport, answer: model.Json) -> str:
    """Returns what a review found, for whoever mends it and for the round after, the worst first."""
    in_order = sorted(report.findings, key=lambda finding: findings.SEVERITIES.index(finding.called))
    blocks = [_block(finding) for finding in in_order]
    if not blocks and isinstance(answer, str):
        blocks = [answer.strip()[-MAX_PROSE:]]
    return "\n\n".join(block for block in blocks if block) or "The review says FAIL and gives no reason."


def _block(finding: Finding) -> str:
    lines = [line(finding.model_copy(update={"fix": ""}))]
    lines += [f"It says: {finding.quote}"] * bool(finding.quote) + [f"Evidence: {finding.evidence}"] * bool(
        finding.evidence
    )
    lines += [f"Proposed: {finding.fix}"] * bool(finding.fix)
    return "\n".join([*lines, *(f"({mark})" for mark in finding.marks)])


def sends_back(report: ReviewReport, files_of: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns the tasks whose files the findings are about that block; all of them when nobody's files are.

    `files_of` holds the files of each task that was reviewed.
    """
    blocking = [finding for finding in report.findings if finding.called in findings.BLOCKING] or report.findings
    return owners([finding.file for finding in blocking], files_of)


def owners(files: Sequence[str], files_of: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns the tasks whose files are among these; all of them when nobody's are."""
    paths = [path_globs.normalise(file, "") for file in files if file]
    names = [
        task_id
        for task_id, files in files_of.items()
        if any(path_globs.touch(path_globs.normalise(own, ""), path) for own in files for path in paths)
    ]
    return tuple(names or files_of)
