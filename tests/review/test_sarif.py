"""A decision as SARIF 2.1.0, and the exit code of the command."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import council_decision, findings, sarif
from dispatch_mcp.review.findings import Finding, Refutation, ReviewReport, Severity, Waiver


def report(
    name: str,
    severity: Severity = "high",
    *,
    file: str = "app/db.py",
    line: int = 12,
    anchored: bool = True,
    **more: Any,
) -> ReviewReport:
    finding = Finding(
        reviewer=name,
        severity=severity,
        file=file,
        line=line,
        last=line + 1,
        quote="run(sql)",
        claim=more.pop("claim", "injection"),
        evidence="a quote in the name",
        fix="bind it",
        anchored=anchored,
        **more,
    )
    return ReviewReport(reviewer=name, verdict="FAIL", findings=(finding,))


def run(decision: council_decision.Decision) -> dict[str, Any]:
    document = sarif.document(decision, version="1.2.3", about="a diff")
    assert (document["version"], document["$schema"]) == ("2.1.0", sarif.SCHEMA)
    [only] = document["runs"]
    return json.loads(json.dumps(only))


def test_a_finding_is_a_result_with_its_place_and_words() -> None:
    [result] = run(council_decision.decide([report("ann")]))["results"]
    assert (result["ruleId"], result["level"], result["rank"]) == ("ann", "error", 80)
    assert result["message"]["text"].split("\n") == ["injection", "a quote in the name", "Fix: bind it"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "app/db.py"
    assert place["region"] == {"startLine": 12, "endLine": 13, "snippet": {"text": "run(sql)"}}
    assert result["properties"] == {"severity": "high", "standing": "open", "reviewers": ["ann"]}
    assert "suppressions" not in result


@pytest.mark.parametrize(
    ("severity", "level"), [("critical", "error"), ("high", "error"), ("medium", "warning"), ("low", "note")]
)
def test_the_level_is_the_severity(severity: Severity, level: str) -> None:
    [result] = run(council_decision.decide([report("ann", severity)]))["results"]
    assert result["level"] == level


def test_worse_findings_rank_higher() -> None:
    reports = [report(name, name, line=at * 50) for at, name in enumerate(findings.SEVERITIES)]  # type: ignore[arg-type]
    ranks = [result["rank"] for result in run(council_decision.decide(reports))["results"]]
    assert ranks == sorted(set(ranks), reverse=True)
    assert all(0 <= rank <= 100 for rank in ranks)


def test_every_reviewer_is_a_rule_and_results_point_to_theirs() -> None:
    decision = council_decision.decide([report("ann"), report("bob", line=90), report("cy")])
    document = run(decision)
    rules = document["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["ann", "cy", "bob"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in document["results"])


def test_the_fingerprint_stays_when_the_line_moves() -> None:
    first, second = (
        run(council_decision.decide([report("ann", line=line)]))["results"][0]["partialFingerprints"]
        for line in (12, 300)
    )
    assert first == second


def test_waived_and_refuted_findings_are_suppressed_with_a_reason() -> None:
    reports = [report("ann")]
    [finding] = council_decision.decide(reports).findings
    waiver = Waiver(finding=finding.id, reason="fixture", by="Ada")
    against = Refutation(finding=finding.id, reviewer="bob", evidence="bound above", anchored=True)
    [waived] = run(council_decision.decide(reports, waivers=[waiver]))["results"]
    [refuted] = run(council_decision.decide(reports, refutations=[against]))["results"]
    assert waived["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "Ada: fixture"}]
    assert refuted["suppressions"] == [{"kind": "inSource", "status": "accepted", "justification": "refuted by bob"}]


def test_a_finding_without_a_place_has_no_location_and_one_without_a_line_no_region() -> None:
    results = run(
        council_decision.decide([report("ann", file="", line=0, anchored=False), report("bob", line=0, anchored=False)])
    )["results"]
    assert ["locations" in result for result in results] == [False, True]
    assert "region" not in results[1]["locations"][0]["physicalLocation"]


def test_a_removed_line_has_no_snippet_because_the_file_has_it_no_longer() -> None:
    [result] = run(council_decision.decide([report("ann", removed=True)]))["results"]
    assert "snippet" not in result["locations"][0]["physicalLocation"]["region"]


def test_a_claim_that_is_empty_gives_way_to_the_quote() -> None:
    [result] = run(council_decision.decide([report("ann", claim="")]))["results"]
    assert result["message"]["text"].startswith("run(sql)")


def test_an_inconclusive_round_says_that_it_did_not_succeed_and_why() -> None:
    document = run(council_decision.decide([ReviewReport(reviewer="ann", problem="it has no verdict")]))
    [invocation] = document["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCodeDescription"] == "No reviewer gave a usable verdict: review again."
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "ann: it has no verdict"
    assert document["properties"]["outcome"] == "INCONCLUSIVE"
    assert document["properties"]["about"] == "a diff"


@pytest.mark.parametrize(
    ("path", "uri"),
    [("a b/ü.py", "a%20b/%C3%BC.py"), ("/etc/x", "etc/x"), ("c:/x.py", "./c%3A/x.py"), ("a/b:c", "a/b%3Ac"), ("", "")],
)
def test_a_path_is_a_relative_reference(path: str, uri: str) -> None:
    assert sarif.uri(path) == uri


@hypothesis.given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=40))
def test_any_path_can_be_read_back_and_never_names_a_host_or_scheme(path: str) -> None:
    uri = sarif.uri(path)
    parts = urllib.parse.urlsplit(uri)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert urllib.parse.unquote(uri.removeprefix("./") if ":" in path else uri) == path.lstrip("/")


@pytest.mark.parametrize(
    ("outcome", "blocks", "code"),
    [("PASS", False, 0), ("BLOCK", True, 1), ("INCONCLUSIVE", True, 3), ("INCONCLUSIVE", False, 0)],
)
def test_the_exit_code_says_what_was_decided(outcome: council_decision.Outcome, *, blocks: bool, code: int) -> None:
    decision = council_decision.Decision(outcome=outcome, blocks=blocks, why="", rules="")
    assert sarif.exit_code(decision) == code
