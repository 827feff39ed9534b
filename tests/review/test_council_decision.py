"""What a round decides: every rule of docs/rules.md#review-council, and the whole table of verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import council_decision, findings
from dispatch_mcp.review.council_decision import CouncilRules
from dispatch_mcp.review.findings import Finding, Refutation, ReviewReport, Severity, Verdict, Waiver

BOTH = (
    "1 high finding in the change; b said FAIL for 2 medium findings in the change: mend what is open, then review "
    "again."
)
LAX = CouncilRules(inconclusive_blocks=False)
CASES: list[tuple[Verdict | None, Severity | None]] = [
    (verdict, severity)
    for verdict in ("PASS", "FAIL", None)
    for severity in (None, "low", "medium", "high", "critical")
]


def finding(
    severity: Severity = "high", *, by: str = "a", anchored: bool = True, line: int = 3, **more: Any
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


def blocks(one: ReviewReport) -> bool:
    """Returns whether a report holds a finding in the change that is critical or high, or on which its FAIL rests."""
    proven = [each for each in one.findings if each.anchored]
    return any(each.severity in findings.BLOCKING for each in proven) or (one.verdict == "FAIL" and bool(proven))


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
        for advocate in ([], [ADVOCATE]):
            decision = council_decision.decide([*reports, *advocate])
            if any(map(blocks, reports)):
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
        blocking = any(map(blocks, reports))
        if not usable:
            assert decision.outcome == ("BLOCK" if blocking else "INCONCLUSIVE")
        if decision.outcome == "PASS":
            assert usable
            assert all(one.verdict == "PASS" for one in usable)
            assert not blocking


def test_critical_and_high_block_medium_is_a_todo_and_low_is_informational() -> None:
    standing = {
        severity: council_decision.decide([report("PASS", finding(severity))]).findings[0].standing
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


@pytest.mark.parametrize("rest", [(), (finding("low", anchored=False, claimed="critical"),)])
def test_a_fail_that_proves_nothing_is_no_pass_and_no_block(rest: tuple[Finding, ...]) -> None:
    decision = council_decision.decide([report("FAIL", *rest), report("PASS", by="b")])
    assert (decision.outcome, decision.next) == ("INCONCLUSIVE", "ask_again")
    assert len(decision.findings) == len(rest)


@pytest.mark.parametrize("severity", ["medium", "low"])
def test_a_fail_blocks_by_what_it_rests_on_whatever_that_is_called(severity: Severity) -> None:
    decision = council_decision.decide([report("FAIL", finding(severity)), report("PASS", by="b")])
    assert (decision.outcome, decision.next) == ("BLOCK", "mend")
    assert decision.why == f"a said FAIL for 1 {severity} finding in the change: mend what is open, then review again."
    [place] = decision.findings
    assert (place.severity, place.standing, place.failed_by) == (severity, "open", ("a",))


def test_a_fail_rests_on_its_gravest_findings_and_on_no_others() -> None:
    decision = council_decision.decide(
        [report("FAIL", finding("medium", line=3), finding("medium", line=40), finding("low", line=80))]
    )
    assert [(place.line, place.standing) for place in decision.findings] == [(3, "open"), (40, "open"), (80, "info")]


def test_no_fail_rests_on_a_finding_that_is_not_in_the_change() -> None:
    decision = council_decision.decide([report("FAIL", finding("low"), finding("low", line=40, anchored=False))])
    assert [(place.standing, place.failed_by) for place in decision.findings] == [("open", ("a",)), ("unproven", ())]


def test_a_medium_finding_beside_a_high_one_is_a_todo() -> None:
    decision = council_decision.decide([report("FAIL", finding("high", line=3), finding("medium", line=40))])
    assert [place.standing for place in decision.findings] == ["open", "todo"]
    assert [place.failed_by for place in decision.findings] == [(), ()]


def test_what_one_fails_for_and_another_only_notes_is_open() -> None:
    reports = [report("FAIL", finding("medium", by="a"), by="a"), report("PASS", finding("medium", by="b"), by="b")]
    [place] = council_decision.decide(reports).findings
    assert (place.standing, place.reviewers, place.failed_by) == ("open", ("a", "b"), ("a",))


def test_a_person_waives_all_that_a_fail_rests_on_to_settle_it() -> None:
    reports = [report("FAIL", finding("medium", line=3), finding("medium", line=40)), report("PASS", by="b")]
    waivers = [Waiver(finding=place.id, reason="r", by="Ada") for place in council_decision.decide(reports).findings]
    assert council_decision.decide(reports, waivers=waivers[:1]).outcome == "BLOCK"
    assert council_decision.decide(reports, waivers=waivers).outcome == "PASS"


def test_what_is_settled_in_one_part_explains_no_fail_of_another_part() -> None:
    reports = [report("FAIL", finding("high", claim="here"), part=1), report("FAIL", part=2), report("PASS", by="b")]
    [place] = council_decision.decide(reports).findings
    waiver = Waiver(finding=place.id, reason="r", by="Ada")
    assert council_decision.decide(reports[:1], waivers=[waiver]).outcome == "PASS"
    assert council_decision.decide(reports, waivers=[waiver]).outcome == "INCONCLUSIVE"


def test_a_finding_whose_quote_is_not_there_does_not_block() -> None:
    decision = council_decision.decide([report("PASS", finding("low", anchored=False, claimed="critical")), ADVOCATE])
    assert decision.outcome == "PASS"
    assert decision.findings[0].standing == "unproven"


def test_what_nobody_saw_is_no_pass() -> None:
    decision = council_decision.decide([report("PASS"), ADVOCATE], unseen=["big.py:1-900"])
    assert decision.outcome == "INCONCLUSIVE"
    assert decision.unseen == ("big.py:1-900",)
    assert decision.next == "review_in_parts"
    assert "smaller parts" in decision.why


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


def any_report(
    verdict: Verdict | None,
    severity: Severity | None,
    by: str,
    *,
    anchored: bool,
    role: findings.Role = "reviewer",
    line: int = 3,
) -> ReviewReport:
    proof = [finding(severity, by=by, anchored=anchored, line=line)] if severity else []
    return report(verdict, *proof, by=by, role=role)


@hypothesis.given(
    st.lists(
        st.builds(
            any_report,
            st.sampled_from(["PASS", "FAIL", None]),
            st.sampled_from([None, *findings.SEVERITIES]),
            st.sampled_from("abc"),
            anchored=st.booleans(),
        ),
        max_size=6,
    )
)
def test_the_order_of_reports_changes_nothing_but_their_order(reports: list[ReviewReport]) -> None:
    first, second = council_decision.decide(reports), council_decision.decide(list(reversed(reports)))
    assert first.outcome == second.outcome
    assert {one.id for one in first.findings} == {one.id for one in second.findings}


ANY_REPORT = st.builds(
    any_report,
    st.sampled_from(["PASS", "FAIL", None]),
    st.sampled_from([None, *findings.SEVERITIES]),
    st.sampled_from("abc"),
    anchored=st.booleans(),
    role=st.sampled_from(["reviewer", "advocate", "earlier"]),
    line=st.sampled_from([3, 40]),
)
ANY_RULES = st.builds(
    CouncilRules,
    inconclusive_blocks=st.booleans(),
    quorum=st.sampled_from(["all", "any"]),
    devils_advocate=st.booleans(),
)


@pytest.mark.promise("R16")
@hypothesis.given(
    st.lists(ANY_REPORT, max_size=6), ANY_RULES, st.lists(st.sampled_from(["a.py:1", "b.py:2"]), max_size=2)
)
def test_nothing_passes_without_usable_verdicts_whatever_the_rules(
    reports: list[ReviewReport], rules: CouncilRules, unseen: list[str]
) -> None:
    decision = council_decision.decide(reports, rules, unseen=unseen)
    if decision.outcome != "PASS":
        return
    verdicts = {voice.reviewer: voice.verdict for voice in decision.voices if voice.role == "reviewer"}
    assert "PASS" in verdicts.values()
    assert "FAIL" not in verdicts.values()
    assert rules.quorum == "any" or None not in verdicts.values()
    assert not unseen
    assert not decision.of("open")


@hypothesis.given(st.lists(ANY_REPORT, max_size=6), ANY_RULES)
def test_a_proven_blocking_finding_always_blocks(reports: list[ReviewReport], rules: CouncilRules) -> None:
    proven = any(map(blocks, reports))
    decision = council_decision.decide(reports, rules)
    assert (decision.outcome == "BLOCK") is proven
    assert decision.blocks or not proven


@hypothesis.given(st.lists(ANY_REPORT, max_size=6), ANY_RULES)
def test_another_fail_never_helps_a_change(reports: list[ReviewReport], rules: CouncilRules) -> None:
    before = council_decision.decide(reports, rules).outcome
    after = council_decision.decide([*reports, report("FAIL", by="another")], rules).outcome
    assert after != "PASS"
    assert (after == "BLOCK") is (before == "BLOCK")


@hypothesis.given(st.lists(ANY_REPORT, max_size=6))
def test_no_finding_and_no_reviewer_is_lost_in_merging(reports: list[ReviewReport]) -> None:
    merged = council_decision.merge(reports)
    raised = sorted((one.reviewer, one.called) for each in reports for one in each.findings)
    assert sorted((claim.reviewer, claim.severity) for place in merged for claim in place.claims) == raised
    assert len({place.id for place in merged}) == len(merged)


@hypothesis.given(st.lists(ANY_REPORT, max_size=6))
def test_what_has_to_be_done_first_is_listed_first(reports: list[ReviewReport]) -> None:
    standings = [place.standing for place in council_decision.merge(reports)]
    order = ["open", "todo", "info", "unproven", "refuted", "waived"]
    assert standings == sorted(standings, key=order.index)


@hypothesis.given(st.lists(ANY_REPORT, min_size=1, max_size=6))
def test_waiving_everything_leaves_nothing_open(reports: list[ReviewReport]) -> None:
    ids = [place.id for place in council_decision.merge(reports)]
    waivers = [Waiver(finding=name, reason="r", by="Ada") for name in ids]
    decision = council_decision.decide(reports, waivers=waivers)
    assert {place.standing for place in decision.findings} <= {"waived"}
    assert decision.outcome != "BLOCK"


@pytest.mark.parametrize(
    ("reports", "why"),
    [
        ([], "No reviewer gave a usable verdict: review again."),
        ([report(None, by="b"), report("PASS")], "No usable verdict from b: review again."),
        (
            [report("FAIL"), report("PASS", by="b")],
            "a said FAIL without a finding that is in the change: read the answer, then review again.",
        ),
        ([report("PASS")], "Everybody passes it and nobody has argued against it yet."),
        ([report("PASS"), ADVOCATE], "Nothing critical or high stands after 2 reviews."),
        (
            [report("PASS", finding("medium"), finding("low", line=40), finding(anchored=False)), ADVOCATE],
            "Nothing critical or high stands after 2 reviews.",
        ),
        (
            [report("FAIL", finding(line=3), finding("critical", line=40))],
            "1 critical and 1 high findings in the change: mend what is open, then review again.",
        ),
        ([report("FAIL", finding())], "1 high finding in the change: mend what is open, then review again."),
        (
            [
                report("FAIL", finding()),
                report("FAIL", finding("medium", by="b", line=40), finding("medium", by="b", line=60), by="b"),
            ],
            BOTH,
        ),
    ],
)
def test_the_decision_says_why_in_one_sentence(reports: list[ReviewReport], why: str) -> None:
    assert council_decision.decide(reports).why == why


@pytest.mark.parametrize(
    ("waived", "refuted", "why"),
    [
        (2, 0, ": 2 waived by a person"),
        (0, 2, ": 2 refuted with counter-evidence"),
        (1, 1, ": 1 waived by a person, 1 refuted with counter-evidence"),
    ],
)
def test_a_pass_counts_what_was_settled_and_nothing_else(waived: int, refuted: int, why: str) -> None:
    grave = [finding("high", line=40), finding("critical", line=60)]
    reports = [report("PASS", finding("medium", line=1), finding("low", line=20), *grave), ADVOCATE]
    by_line = {place.line: place.id for place in council_decision.merge(reports)}
    ids = [by_line[item.line] for item in grave]
    decision = council_decision.decide(
        reports,
        waivers=[Waiver(finding=name, reason="r", by="Ada") for name in ids[:waived]],
        refutations=[
            Refutation(finding=name, reviewer="c", evidence="line 2 shows it", anchored=True)
            for name in ids[len(ids) - refuted :]
        ],
    )
    assert (decision.outcome, decision.why) == ("PASS", f"Nothing critical or high stands after 2 reviews{why}.")


@pytest.mark.parametrize(
    ("unseen", "count"),
    [(["a.py:1"], "1 place of the change was"), (["a.py:1", "b.py:2-9"], "2 places of the change were")],
)
def test_what_was_not_seen_is_counted_and_named_and_passes_nothing(unseen: list[str], count: str) -> None:
    decision = council_decision.decide([report("PASS"), ADVOCATE], unseen=unseen)
    assert (decision.outcome, decision.next, decision.unseen) == ("INCONCLUSIVE", "review_in_parts", tuple(unseen))
    assert decision.why == f"{count} not seen by everybody: review it in smaller parts."
    block = council_decision.decide([report("FAIL", finding())], unseen=unseen)
    assert (block.outcome, block.next) == ("BLOCK", "mend")


def test_a_reviewer_of_several_parts_has_no_verdict_where_one_is_missing_and_says_which() -> None:
    parts = [report("PASS", part=1), report(None, part=2), report("PASS", part=3)]
    [voice] = council_decision.decide(parts).voices
    assert (voice.verdict, voice.problem) == (None, "no verdict (part 2)")
    [alone] = council_decision.decide([report(None)]).voices
    assert (alone.verdict, alone.problem) == (None, "no verdict")
    [failing] = council_decision.decide([report("PASS", part=1), report("FAIL", finding(), part=2)]).voices
    assert failing.verdict == "FAIL"


def test_one_usable_verdict_is_enough_only_when_the_rules_say_so() -> None:
    reports = [report("PASS"), report(None, by="b")]
    rules = CouncilRules(quorum="any", devils_advocate=False)
    assert council_decision.decide(reports, rules).outcome == "PASS"
    assert council_decision.decide(reports, rules.model_copy(update={"quorum": "all"})).outcome == "INCONCLUSIVE"
    assert "ONE reviewer" in rules.summary


@pytest.mark.parametrize(
    ("lines", "other", "count"),
    [
        ((3, 5), (5, 6), 1),
        ((5, 6), (3, 5), 1),
        ((3, 5), (6, 6), 2),
        ((6, 6), (3, 5), 2),
        ((3, 60), (30, 31), 2),
        ((3, 60), (3, 4), 1),
        ((3, 10), (4, 4), 1),
        ((3, 11), (4, 4), 2),
    ],
)
@pytest.mark.parametrize("worst", [("high", "high"), ("critical", "high"), ("high", "critical")])
def test_overlapping_quotes_are_one_place_unless_one_is_very_long(
    lines: tuple[int, int], other: tuple[int, int], count: int, worst: tuple[Severity, Severity]
) -> None:
    first, second = (
        finding(severity, by=name, line=begin).model_copy(update={"last": end})
        for severity, name, (begin, end) in zip(worst, "ab", (lines, other), strict=True)
    )
    assert len(council_decision.merge([report("FAIL", first), report("FAIL", second, by="b")])) == count


def test_a_removed_line_and_a_new_one_of_the_same_number_are_two_places() -> None:
    old = finding(by="b").model_copy(update={"removed": True})
    assert len(council_decision.merge([report("FAIL", finding()), report("FAIL", old, by="b")])) == 2


def test_findings_without_a_place_are_one_when_they_say_the_same() -> None:
    first, same, other = (
        finding("low", by=name, anchored=False).model_copy(update={"line": 0, "quote": quote})
        for name, quote in (("a", "x  = 1"), ("b", "x = 1"), ("c", "y = 1"))
    )
    merged = council_decision.merge([report("FAIL", one, by=one.reviewer) for one in (first, same, other)])
    assert sorted(place.reviewers for place in merged) == [("a", "b"), ("c",)]


def test_two_places_with_the_same_words_have_two_ids() -> None:
    first, second = (finding(line=line).model_copy(update={"quote": "repeat()"}) for line in (3, 40))
    ids = [place.id for place in council_decision.merge([report("FAIL", first, second)])]
    assert ids[1] == f"{ids[0]}-2"


@hypothesis.given(st.text(max_size=30), st.text(max_size=60))
def test_the_id_of_a_finding_does_not_depend_on_blanks(file: str, quote: str) -> None:
    assert findings.key(file, quote) == findings.key(file, f"  {quote}\n")
    assert len(findings.key(file, quote)) == 8


def test_the_worst_of_severities_is_the_first_in_order() -> None:
    assert findings.worst(["low", "high", "medium"]) == "high"
    assert findings.worst(["low"]) == "low"
