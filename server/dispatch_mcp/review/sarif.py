"""A decision as SARIF 2.1.0, the format that code hosts show beside the lines of a change."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.review.council_decision import Decision, MergedFinding

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
# Priorities of the format, 0 to 100, in tens: the middles of the bands in which CVSS puts these severities.
_RANKS: Final = {"critical": 9.5, "high": 8.0, "medium": 5.0, "low": 2.0}


def document(decision: Decision, *, version: str, about: str = "") -> dict[str, model.Json]:
    """Returns the SARIF log of a decision: a rule a reviewer, a result a finding, settled ones suppressed."""
    names = list(dict.fromkeys(name for finding in decision.findings for name in finding.reviewers))
    run: dict[str, model.Json] = {
        "tool": {"driver": {"name": "dispatch-mcp", "version": version, "rules": [_rule(name) for name in names]}},
        "automationDetails": {"id": "dispatch-mcp/review"},
        "columnKind": "utf16CodeUnits",
        "invocations": [_invocation(decision)],
        "results": [_result(finding, names) for finding in decision.findings],
        "properties": {"outcome": decision.outcome, "blocks": decision.blocks, "rules": decision.rules, "about": about},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str) -> dict[str, model.Json]:
    return {"id": name, "name": name, "shortDescription": {"text": f"Found by {name}"}}


def _invocation(decision: Decision) -> dict[str, model.Json]:
    notes = [
        {"level": "warning", "message": {"text": f"{voice.reviewer}: {voice.problem}"}}
        for voice in decision.voices
        if voice.problem
    ]
    return {
        "executionSuccessful": decision.outcome != "INCONCLUSIVE",
        "exitCodeDescription": decision.why,
        "toolExecutionNotifications": notes,
    }


def _result(finding: MergedFinding, names: Sequence[str]) -> dict[str, model.Json]:
    first = finding.claims[0]
    text = "\n".join(
        part for part in (first.claim or finding.quote, first.evidence, first.fix and f"Fix: {first.fix}") if part
    )
    result: dict[str, model.Json] = {
        "ruleId": first.reviewer,
        "ruleIndex": names.index(first.reviewer),
        "level": _LEVELS[finding.severity],
        "rank": _RANKS[finding.severity] * 10,
        "message": {"text": text},
        "partialFingerprints": {"dispatchMcpFinding/v1": finding.id},
        "properties": {
            "severity": finding.severity,
            "standing": finding.standing,
            "reviewers": list(finding.reviewers),
        },
    }
    if finding.file:
        result["locations"] = [_location(finding)]
    if finding.standing in ("waived", "refuted"):
        kind = "external" if finding.standing == "waived" else "inSource"
        why = finding.waived or f"refuted by {', '.join(finding.refuted_by)}"
        result["suppressions"] = [{"kind": kind, "status": "accepted", "justification": why}]
    return result


def _location(finding: MergedFinding) -> dict[str, model.Json]:
    place: dict[str, model.Json] = {"artifactLocation": {"uri": uri(finding.file)}}
    if finding.line:
        region: dict[str, model.Json] = {"startLine": finding.line, "endLine": max(finding.line, finding.last)}
        if finding.quote and not finding.removed:
            region["snippet"] = {"text": finding.quote}
        place["region"] = region
    return {"physicalLocation": place}


def uri(path: str) -> str:
    """Returns a path as a relative URI reference."""
    reference = urllib.parse.quote(path.lstrip("/"), errors="replace")
    return f"./{reference}" if ":" in path.split("/", maxsplit=1)[0] else reference


def exit_code(decision: Decision) -> int:
    """Returns 0 for what does not block, 1 for BLOCK, 3 for an inconclusive round that blocks."""
    if not decision.blocks:
        return 0
    return 1 if decision.outcome == "BLOCK" else 3
