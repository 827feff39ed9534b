"""How reviewers have done, counted from what became of their verdicts and findings."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import council_decision, findings, reviewer_calibration
from dispatch_mcp.review.findings import EarlierRuling, Finding, Refutation, ReviewReport, Severity, Verdict, Waiver


def report(
    name: str,
    verdict: Verdict | None = "FAIL",
    severity: Severity | None = "high",
    *,
    anchored: bool = True,
    line: int = 3,
) -> ReviewReport:
    found = (
        Finding(
            reviewer=name,
            severity=severity if anchored else "low",
            claimed="" if anchored else severity,
            file="a.py",
            line=line,
            last=line,
            quote=f"call_{line}()",
            anchored=anchored,
        )
        if severity
        else None
    )
    return ReviewReport(reviewer=name, verdict=verdict, findings=(found,) if found else ())


def played(
    *reports: ReviewReport,
    waivers: Sequence[Waiver] = (),
    refutations: Sequence[Refutation] = (),
    later: Sequence[EarlierRuling] = (),
) -> reviewer_calibration.PastRound:
    decision = council_decision.decide(reports, waivers=waivers, refutations=refutations)
    return reviewer_calibration.PastRound(reports=reports, decision=decision, later=tuple(later))


def record(name: str, *played_rounds: reviewer_calibration.PastRound) -> reviewer_calibration.Record:
    return next(each for each in reviewer_calibration.calibrate(played_rounds) if each.reviewer == name)


FINDING = council_decision.decide([report("ann")]).findings[0].id


def test_there_is_one_record_a_reviewer_by_name() -> None:
    records = reviewer_calibration.calibrate([played(report("bob"), report("ann")), played(report("ann"))])
    assert [(each.reviewer, each.rounds) for each in records] == [("ann", 2), ("bob", 1)]
    assert reviewer_calibration.calibrate([]) == []


def test_a_verdict_agrees_when_it_goes_with_the_decision() -> None:
    block = played(report("ann"), report("bob", "PASS", None))
    assert record("ann", block).agreement == 1.0
    assert record("bob", block).agreement == 0.0


def test_nobody_agrees_with_a_round_that_decided_nothing() -> None:
    undecided = played(report("ann", "FAIL", None), report("bob", "PASS", None))
    assert undecided.decision.outcome == "INCONCLUSIVE"
    assert [record(name, undecided).agreed for name in ("ann", "bob")] == [0, 0]


def test_an_unusable_answer_counts_as_a_round_and_not_as_a_verdict() -> None:
    silent = record("cy", played(report("ann"), report("cy", None, None)))
    assert (silent.rounds, silent.unusable, silent.agreed, silent.agreement) == (1, 1, 0, None)


def test_a_finding_is_upheld_when_somebody_else_raised_it_too() -> None:
    together = played(report("ann"), report("bob"))
    alone = played(report("ann"), report("bob", line=90))
    assert [record(name, together).upheld for name in ("ann", "bob")] == [1, 1]
    assert [record(name, alone).upheld for name in ("ann", "bob")] == [0, 0]


@pytest.mark.parametrize(
    ("ruling", "anchored", "upheld"),
    [("gone", True, 1), ("gone", False, 0), ("stands", False, 1), ("stands", True, 1), ("refuted", True, 0)],
)
def test_a_finding_is_upheld_when_the_next_round_finds_it_mended_or_standing(
    ruling: findings.Ruling, *, anchored: bool, upheld: int
) -> None:
    later = EarlierRuling(finding=FINDING, ruling=ruling, reviewer="bob", anchored=anchored)
    assert record("ann", played(report("ann"), later=[later])).upheld == upheld


def test_rulings_about_other_findings_say_nothing() -> None:
    later = EarlierRuling(finding="another", ruling="gone", anchored=True)
    assert record("ann", played(report("ann"), later=[later])).upheld == 0


def test_findings_below_blocking_are_raised_and_not_upheld() -> None:
    minor = record("ann", played(report("ann", "PASS", "medium"), report("bob", "PASS", "medium")))
    assert (minor.raised, minor.blocking, minor.upheld) == (1, 0, 0)


def test_a_finding_without_its_quote_is_unproven_and_never_upheld() -> None:
    invented = record("ann", played(report("ann", anchored=False), report("bob", anchored=False)))
    assert (invented.raised, invented.blocking, invented.unproven, invented.upheld) == (1, 1, 1, 0)


def test_waived_and_refuted_findings_are_counted() -> None:
    waived = played(report("ann"), waivers=[Waiver(finding=FINDING, reason="r", by="Ada")])
    against = Refutation(finding=FINDING, reviewer="bob", evidence="e", anchored=True)
    refuted = played(report("ann"), refutations=[against])
    later = played(report("ann"), later=[EarlierRuling(finding=FINDING, ruling="refuted", anchored=True)])
    assert [record("ann", each).waived for each in (waived, refuted, later)] == [1, 0, 0]
    assert [record("ann", each).refuted for each in (waived, refuted, later)] == [0, 1, 1]


def test_what_is_shown_leaves_out_zeros_and_an_agreement_that_nobody_can_know() -> None:
    assert record("ann", played(report("ann"))).shown() == {
        "reviewer": "ann",
        "rounds": 1,
        "agreed": 1,
        "raised": 1,
        "blocking": 1,
        "agreement": 1.0,
    }
    assert record("cy", played(report("cy", None, None))).shown() == {"reviewer": "cy", "rounds": 1, "unusable": 1}


@hypothesis.given(
    st.lists(
        st.lists(
            st.builds(
                report,
                st.sampled_from(["ann", "bob", "cy"]),
                st.sampled_from(["PASS", "FAIL", None]),
                st.sampled_from([None, *findings.SEVERITIES]),
                anchored=st.booleans(),
                line=st.sampled_from([3, 90]),
            ),
            max_size=4,
            unique_by=lambda each: each.reviewer,
        ),
        max_size=4,
    )
)
def test_the_counts_of_any_rounds_fit_together(reports: list[list[ReviewReport]]) -> None:
    all_rounds = [played(*each) for each in reports]
    for each in reviewer_calibration.calibrate(all_rounds):
        assert each.rounds == sum(any(one.reviewer == each.reviewer for one in round_) for round_ in reports)
        assert each.agreed <= each.rounds - each.unusable
        assert each.upheld <= each.blocking <= each.raised
        assert each.agreement is None or 0 <= each.agreement <= 1
