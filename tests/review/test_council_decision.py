"""What a round decides: every rule of docs/rules.md#review-council, and the whole table of verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import council_decision, findings
from dispatch_mcp.review.council_decision import CouncilRules
from dispatch_mcp.review.findings import Finding, Refutation, ReviewReport, Severity, Verdict, Waiver

LAX = CouncilRules(inconclusive_blocks=False)
CASES: list[tuple[Verdict | None, Severity | None]] = [
    (verdict, severity)
    for verdict in ("PASS", "FAIL", None)
    for severity in (None, "low", "medium", "high", "critical")
]


def finding(
    severity: Severity = "high", *, by: str = "a", anchored: bool = True, line: int = 3, **more: str
) -> Finding:
    return Finding(
        reviewer=by,
        severity=severity,
        file="app.py",
        line=line,
        last=line,
        quote=f"bad({line})",
        anchored=anchored,
        **more,
    )


def report(
    verdict: Verdict | None, *found: Finding, by: str = "a", role: findings.Role = "reviewer", part: int = 1
) -> ReviewReport:
    problem = "" if verdict else "no verdict"
    return ReviewReport(reviewer=by, verdict=verdict, findings=found, role=role, part=part, problem=problem)


ADVOCATE = report("PASS", by="devils-advocate", role="advocate")


def multisets() -> Iterator[list[ReviewReport]]:
    """Yields every multiset of up to five answers: PASS, FAIL or none, each with or without a finding of a severity."""
    for count in range(6):
        for chosen in itertools.combinations_with_replacement(CASES, count):
            yield [
                report(verdict, *([finding(severity, by=name, line=place)] if severity else []), by=name)
                for place, ((verdict, severity), name) in enumerate(zip(chosen, "abcde", strict=False), 1)
            ]


@pytest.mark.promise("R16")
def test_no_combination_of_verdicts_passes_without_usable_ones() -> None:
    seen = 0
    for reports in multisets():
        seen += 1
        verdicts = [one.verdict for one in reports]
        severities = {one.severity for each in reports for one in each.findings}
        for advocate in ([], [ADVOCATE]):
            decision = council_decision.decide([*reports, *advocate])
            if severities & findings.BLOCKING:
                assert decision.outcome == "BLOCK"
            elif not verdicts or None in verdicts or "FAIL" in verdicts:
                assert decision.outcome == "INCONCLUSIVE", reports
            else:
                assert decision.outcome == ("PASS" if advocate else "INCONCLUSIVE")
            assert decision.blocks is (decision.outcome != "PASS")
    assert seen == sum(1 for count in range(6) for _ in itertools.combinations_with_replacement(CASES, count)) == 15_504


@pytest.mark.promise("R16")
def test_even_the_loosest_rules_pass_nothing_without_a_usable_verdict() -> None:
    rules = CouncilRules(inconclusive_blocks=False, quorum="any", devils_advocate=False)
    for reports in multisets():
        decision = council_decision.decide(reports, rules)
        usable = [one for one in reports if one.verdict]
        blocking = any(one.severity in findings.BLOCKING for each in reports for one in each.findings)
        if not usable:
            assert decision.outcome == ("BLOCK" if blocking else "INCONCLUSIVE")
        if decision.outcome == "PASS":
            assert usable
            assert all(one.verdict == "PASS" for one in usable)
            assert not blocking


def test_critical_and_high_block_medium_is_a_todo_and_low_is_informational() -> None:
    standing = {
        severity: council_decision.decide([report("FAIL", finding(severity))]).findings[0].standing
        for severity in findings.SEVERITIES
    }
    assert standing == {"critical": "open", "high": "open", "medium": "todo", "low": "info"}
    assert council_decision.decide([report("PASS", finding("medium")), ADVOCATE]).outcome == "PASS"


def test_a_unanimous_pass_calls_the_devils_advocate() -> None:
    decision = council_decision.decide([report("PASS", by=name) for name in "abc"])
    assert (decision.outcome, decision.next) == ("INCONCLUSIVE", "devils_advocate")
    assert council_decision.decide([*(report("PASS", by=name) for name in "abc"), ADVOCATE]).outcome == "PASS"


def test_an_advocate_without_a_usable_verdict_passes_nothing() -> None:
    silent = report(None, by="devils-advocate", role="advocate")
    assert council_decision.decide([report("PASS"), silent]).outcome == "INCONCLUSIVE"
    assert council_decision.decide([report("PASS"), silent], CouncilRules(quorum="any")).outcome == "INCONCLUSIVE"


def test_a_round_without_a_usable_verdict_is_inconclusive_and_blocks() -> None:
    decision = council_decision.decide([report(None, by=name) for name in "abc"])
    assert decision.outcome == "INCONCLUSIVE"
    assert decision.blocks


def test_the_opt_out_is_printed_in_every_decision() -> None:
    told = {council_decision.decide(reports, LAX).rules for reports in ([report(None)], [report("PASS"), ADVOCATE])}
    assert len(told) == 1
    assert "DOES NOT BLOCK" in told.pop()
    assert "inconclusive blocks" in council_decision.decide([report(None)]).rules


def test_the_word_pass_does_not_outweigh_a_proven_fault() -> None:
    assert council_decision.decide([report("PASS", finding("critical")), ADVOCATE]).outcome == "BLOCK"


def test_a_fail_that_proves_nothing_is_no_pass_and_no_block() -> None:
    invented = finding("low", anchored=False, claimed="critical")
    for reports in ([report("FAIL")], [report("FAIL", finding("medium"))], [report("FAIL", invented)]):
        assert council_decision.decide([*reports, report("PASS", by="b")]).outcome == "INCONCLUSIVE"


def test_a_finding_whose_quote_is_not_there_does_not_block() -> None:
    decision = council_decision.decide([report("PASS", finding("low", anchored=False, claimed="critical")), ADVOCATE])
    assert decision.outcome == "PASS"
    assert decision.findings[0].standing == "unproven"


def test_what_nobody_saw_is_no_pass() -> None:
    decision = council_decision.decide([report("PASS"), ADVOCATE], unseen=["big.py:1-900"])
    assert decision.outcome == "INCONCLUSIVE"
    assert decision.unseen == ("big.py:1-900",)


def test_one_missing_part_makes_a_reviewer_unusable() -> None:
    decision = council_decision.decide([report("PASS", part=1), report(None, part=2), ADVOCATE])
    assert decision.outcome == "INCONCLUSIVE"
    assert [(one.reviewer, one.verdict) for one in decision.voices] == [("a", None), ("devils-advocate", "PASS")]


def test_findings_of_one_place_are_one_with_all_names() -> None:
    reports = [report("FAIL", finding("high", by="a"), by="a"), report("FAIL", finding("critical", by="b"), by="b")]
    [merged] = council_decision.decide(reports).findings
    assert merged.severity == "critical"
    assert set(merged.reviewers) == {"a", "b"}
    assert {claim.reviewer: claim.severity for claim in merged.claims} == {"a": "high", "b": "critical"}


def test_findings_of_other_places_stay_apart() -> None:
    reports = [report("FAIL", finding(line=3), finding(line=40))]
    assert len(council_decision.decide(reports).findings) == 2


def test_refuting_takes_as_much_as_raising() -> None:
    reports = [report("FAIL", finding(by="a"), by="a"), report("FAIL", finding(by="b"), by="b")]
    name = council_decision.decide(reports).findings[0].id
    against = [
        Refutation(finding=name, reviewer=who, quote="bound(x)", evidence="bound", anchored=True) for who in ("c", "d")
    ]
    assert council_decision.decide(reports, refutations=against[:1]).outcome == "BLOCK"
    refuted = council_decision.decide(reports, refutations=against)
    assert refuted.outcome == "PASS"
    assert refuted.findings[0].refuted_by == ("c", "d")


@pytest.mark.parametrize("change", [{"anchored": False}, {"evidence": " "}, {"finding": "other"}])
def test_a_refutation_without_proof_counts_for_nothing(change: dict[str, object]) -> None:
    reports = [report("FAIL", finding())]
    name = council_decision.decide(reports).findings[0].id
    against = Refutation(finding=name, reviewer="b", quote="bound(x)", evidence="bound", anchored=True)
    assert council_decision.decide(reports, refutations=[against.model_copy(update=change)]).outcome == "BLOCK"


def test_a_waiver_is_shown_with_its_person_and_reason() -> None:
    reports = [report("FAIL", finding())]
    name = council_decision.decide(reports).findings[0].id
    decision = council_decision.decide(reports, waivers=[Waiver(finding=name, reason="a fixture", by="Ada")])
    assert decision.outcome == "PASS"
    assert decision.findings[0].waived == "Ada: a fixture"
    assert "waived by a person" in decision.why


def test_a_waiver_lets_one_finding_go_and_no_other() -> None:
    reports = [report("FAIL", finding(line=3), finding(line=40))]
    name = council_decision.decide(reports).findings[0].id
    assert council_decision.decide(reports, waivers=[Waiver(finding=name, reason="r", by="p")]).outcome == "BLOCK"


@hypothesis.given(
    st.lists(
        st.builds(
            lambda verdict, severity, anchored, by: report(
                verdict, *([finding(severity, by=by, anchored=anchored)] if severity else []), by=by
            ),
            st.sampled_from(["PASS", "FAIL", None]),
            st.sampled_from([None, *findings.SEVERITIES]),
            st.booleans(),
            st.sampled_from("abc"),
        ),
        max_size=6,
    )
)
def test_the_order_of_reports_changes_nothing_but_their_order(reports: list[ReviewReport]) -> None:
    first, second = council_decision.decide(reports), council_decision.decide(list(reversed(reports)))
    assert first.outcome == second.outcome
    assert {one.id for one in first.findings} == {one.id for one in second.findings}
