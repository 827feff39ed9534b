"""From one round to the next: what is looked at again, which findings still stand, and who has to mend them."""

from __future__ import annotations

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import council_decision, findings, quotes, review_tasks, rounds
from dispatch_mcp.review.findings import EarlierRuling, Finding, ReviewReport
from dispatch_mcp.text import unified_diff

NOW = diff_samples.diff(diff_samples.change("app.py", " def pay():", "+    charge(total)", "+    log(total)"))
GROUND = quotes.ground(NOW)
OLD = review_tasks.Earlier(
    id="f1", severity="high", file="app.py", line=2, quote="charge(total)", claim="no limit", reviewers=("ann", "bob")
)


def ruling(kind: findings.Ruling, by: str, *, anchored: bool = True, evidence: str = "see") -> EarlierRuling:
    return EarlierRuling(finding="f1", ruling=kind, reviewer=by, anchored=anchored, evidence=evidence)


def carried(*rulings: EarlierRuling, old: review_tasks.Earlier = OLD) -> rounds.Carried:
    return rounds.carry([old], [ReviewReport(reviewer="x", verdict="PASS", rulings=rulings)], GROUND)


def outcome(carry: rounds.Carried) -> str:
    decision = council_decision.decide(
        [*carry.reports, *(ReviewReport(reviewer=name, verdict="PASS") for name in ("x", "y"))],
        council_decision.CouncilRules(devils_advocate=False),
        refutations=carry.refutations,
    )
    return decision.outcome


def test_a_finding_whose_quote_is_still_there_blocks_the_next_round_too() -> None:
    carry = carried()
    assert [(report.reviewer, report.role, report.verdict) for report in carry.reports] == [
        ("ann", "earlier", "FAIL"),
        ("bob", "earlier", "FAIL"),
    ]
    [finding] = carry.reports[0].findings
    assert (finding.file, finding.line, finding.severity, finding.earlier) == ("app.py", 2, "high", "f1")
    assert outcome(carry) == "BLOCK"


def test_a_finding_whose_quote_is_no_longer_there_is_gone() -> None:
    mended = OLD.model_copy(update={"quote": "charge(everything)"})
    assert carried(old=mended) == rounds.Carried(gone=("f1",))


def test_a_finding_of_nobody_is_carried_by_the_round_itself() -> None:
    [report] = carried(old=OLD.model_copy(update={"reviewers": ()})).reports
    assert report.reviewer == "an earlier round"


def test_it_is_gone_when_as_many_prove_it_as_had_raised_it() -> None:
    assert carried(ruling("gone", "x"), ruling("gone", "y")) == rounds.Carried(gone=("f1",))
    assert carried(ruling("gone", "x")).gone == ()
    assert carried(ruling("gone", "x"), ruling("gone", "x")).gone == ()


def test_it_is_refuted_when_as_many_prove_it_wrong_as_had_raised_it() -> None:
    carry = carried(ruling("refuted", "x"), ruling("refuted", "y"))
    assert [(refutation.finding, refutation.reviewer) for refutation in carry.refutations] == [("f1", "x"), ("f1", "y")]
    assert carry.gone == ()
    assert outcome(carry) == "PASS"
    assert outcome(carried(ruling("refuted", "x"))) == "BLOCK"


@pytest.mark.parametrize(
    "against",
    [
        ruling("gone", "y", anchored=False),
        ruling("gone", "y", evidence="  "),
        ruling("stands", "y"),
        ruling("gone", "y").model_copy(update={"finding": "f2"}),
    ],
)
def test_a_ruling_without_proof_or_about_another_finding_settles_nothing(against: EarlierRuling) -> None:
    assert outcome(carried(ruling("gone", "x"), against)) == "BLOCK"


def test_one_who_says_that_it_stands_outweighs_those_who_say_that_it_is_gone() -> None:
    carry = carried(ruling("gone", "x"), ruling("gone", "y"), ruling("stands", "z", anchored=False))
    assert carry.gone == ()
    assert outcome(carry) == "BLOCK"


@hypothesis.given(
    st.lists(
        st.builds(
            ruling,
            st.sampled_from(["gone", "refuted", "stands"]),
            st.sampled_from("xyz"),
            anchored=st.booleans(),
            evidence=st.sampled_from(["see", " "]),
        ),
        max_size=6,
    )
)
def test_nothing_is_let_go_that_two_have_not_disproved(rulings: list[EarlierRuling]) -> None:
    proofs = {one.reviewer for one in rulings if one.ruling != "stands" and one.anchored and one.evidence.strip()}
    settled = len(proofs) >= 2 and not any(one.ruling == "stands" for one in rulings)
    assert (outcome(carried(*rulings)) == "PASS") is settled


def blocked(*places: tuple[str, findings.Severity]) -> council_decision.Decision:
    reports = [
        ReviewReport(
            reviewer="ann",
            verdict="FAIL",
            findings=tuple(
                Finding(
                    reviewer="ann",
                    severity=severity,
                    file=file,
                    line=number,
                    last=number,
                    quote=f"q{number}",
                    claim=f"c{number}",
                    evidence=f"e{number}",
                    fix=f"x{number}",
                    anchored=True,
                )
                for number, (file, severity) in enumerate(places, 1)
            ),
        )
    ]
    return council_decision.decide(reports)


def test_only_what_blocks_is_asked_about_again() -> None:
    decision = blocked(("a.py", "critical"), ("b.py", "medium"), ("c.py", "high"))
    earlier = rounds.earlier(decision)
    assert [(finding.file, finding.severity, finding.quote, finding.claim) for finding in earlier] == [
        ("a.py", "critical", "q1", "c1"),
        ("c.py", "high", "q3", "c3"),
    ]
    assert {finding.reviewers for finding in earlier} == {("ann",)}


def test_the_next_round_keeps_the_id_of_a_finding() -> None:
    [old] = rounds.earlier(blocked(("app.py", "high")))
    carry = rounds.carry([old.model_copy(update={"quote": "log(total)"})], [], GROUND)
    assert council_decision.decide(carry.reports).findings[0].id == old.id


def test_unchanged_hunks_are_not_looked_at_again() -> None:
    before = diff_samples.diff(diff_samples.change("a.py", "+x"), diff_samples.change("b.py", "+y"))
    now = diff_samples.diff(diff_samples.change("a.py", "+x"), diff_samples.change("b.py", "+z"))
    assert [file.path for file in rounds.since(before, now).files] == ["b.py"]


def test_a_hunk_that_only_moved_is_unchanged() -> None:
    before = diff_samples.diff(diff_samples.change("a.py", " c", "+x", start=1))
    now = diff_samples.diff(diff_samples.change("a.py", " d", "+x", start=90))
    assert rounds.since(before, now).files == ()


def test_the_same_lines_in_another_file_are_new() -> None:
    before = diff_samples.diff(diff_samples.change("a.py", "+x"))
    now = diff_samples.diff(diff_samples.change("b.py", "+x"))
    assert rounds.since(before, now) == now


def test_what_an_earlier_finding_is_about_is_looked_at_again() -> None:
    diff = diff_samples.diff(diff_samples.change("app.py", " def pay():", "+    charge(total)"))
    assert rounds.since(diff, diff).files == ()
    assert rounds.since(diff, diff, [OLD]) == diff
    assert rounds.since(diff, diff, [OLD.model_copy(update={"file": "other.py"})]).files == ()


def test_every_earlier_finding_of_a_file_is_looked_at_again() -> None:
    hunks = [
        diff_samples.change("app.py", line, start=at).hunks[0] for line, at in (("+charge(it)", 1), ("+log(it)", 90))
    ]
    diff = unified_diff.Diff((unified_diff.FileChange("app.py", "app.py", "modified", tuple(hunks)),))
    quotes_of = [OLD.model_copy(update={"quote": quote}) for quote in ("+charge( it )", "log(it)")]
    assert rounds.since(diff, diff, quotes_of) == diff


def test_a_file_without_lines_is_looked_at_when_it_is_new() -> None:
    renamed = unified_diff.FileChange("new.py", "old.py", "renamed")
    assert rounds.since(unified_diff.Diff(), diff_samples.diff(renamed)).files == (renamed,)
    assert rounds.since(diff_samples.diff(renamed), diff_samples.diff(renamed)).files == ()


@hypothesis.given(diff_samples.CHANGES, diff_samples.CHANGES)
def test_every_new_line_is_looked_at(before: list[unified_diff.FileChange], now: list[unified_diff.FileChange]) -> None:
    old, new = unified_diff.Diff(tuple(before)), unified_diff.Diff(tuple(now))
    again = diff_samples.lines(rounds.since(old, new))
    known = {(file.path, line[1:]) for file in before for hunk in file.hunks for line in hunk.lines}
    fresh = {
        (path, line) for path, line in diff_samples.lines(new) if line.mark in "+-" and (path, line.text) not in known
    }
    assert fresh <= again <= diff_samples.lines(new)


def test_findings_go_to_the_task_that_owns_their_file() -> None:
    decision = blocked(("src/pay/a.py", "high"), ("src/web/b.py", "high"), ("docs/c.md", "high"), ("x.py", "low"))
    owners = rounds.owners(decision, {"pay": ["src/pay/"], "web": ["./src/web/*.py"], "idle": []})
    assert {task: [finding.file for finding in own] for task, own in owners.items()} == {
        "pay": ["src/pay/a.py"],
        "web": ["src/web/b.py"],
        "": ["docs/c.md"],
    }


def test_who_mends_a_finding_reads_everything_that_was_said_about_it() -> None:
    [merged] = council_decision.decide(
        [
            ReviewReport(
                reviewer=name,
                verdict="FAIL",
                findings=(
                    Finding(
                        reviewer=name,
                        severity="high",
                        file="a.py",
                        line=3,
                        last=3,
                        quote="q",
                        claim=f"{name} says",
                        evidence="e" if name == "ann" else "",
                        fix="bind it" if name == "ann" else "",
                        anchored=True,
                    ),
                ),
            )
            for name in ("ann", "bob")
        ]
    ).findings
    assert rounds.brief(merged).split("\n") == [
        "high: a.py:3: ann says",
        "It says: q",
        "Evidence: e",
        "Proposed: bind it",
        "Also: bob says",
    ]


def test_what_a_fail_rested_on_is_asked_about_again_and_blocks_while_it_stands() -> None:
    mild = Finding(reviewer="ann", severity="medium", file="app.py", line=2, quote="charge(total)", anchored=True)
    decision = council_decision.decide([ReviewReport(reviewer="ann", verdict="FAIL", findings=(mild,))])
    [earlier] = rounds.earlier(decision)
    assert earlier.severity == "medium"
    assert outcome(carried(old=earlier)) == "BLOCK"
