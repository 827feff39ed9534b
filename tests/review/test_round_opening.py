"""How a round begins: what of a change is shown, who looks at it, and what goes on from the round before."""

from __future__ import annotations

import dataclasses
from typing import Any

import diff_samples
import hypothesis
import labelled_diffs
import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog
from dispatch_mcp.review import council_decision, findings, review_scope, review_tasks, round_opening, rounds
from dispatch_mcp.text import unified_diff

RULES = council_decision.CouncilRules()
BASIS = round_opening.RoundBasis(labelled_diffs.shipped(), RULES, lambda text: text.replace("hunter2", "***"))
PAY = diff_samples.change("pay.py", " def pay(total):", "-    charge(total)", "+    charge(total, limit)")
LOG = diff_samples.change("log.py", " def log(text):", "+    print(text)")


def text_of(*changes: unified_diff.FileChange) -> str:
    return "\n".join(map(unified_diff.render, changes))


def opening(
    *changes: unified_diff.FileChange,
    basis: round_opening.RoundBasis = BASIS,
    unseen: tuple[str, ...] = (),
    head: str = "",
) -> round_opening.RoundOpening:
    change = review_scope.Change(text_of(*changes), "the diff", unseen=unseen, head=head)
    return round_opening.of_change(change, basis, is_text=True)


def after(*changes: unified_diff.FileChange, quote: str = "", **fields: Any) -> round_opening.RoundBasis:
    """Returns a basis whose round before was shown these changes and found one thing in `pay.py`, if it has a quote."""
    report = findings.ReviewReport(
        reviewer="ann",
        verdict="FAIL" if quote else "PASS",
        findings=(findings.Finding(reviewer="ann", severity="high", file="pay.py", line=2, quote=quote, anchored=True),)
        * bool(quote),
    )
    decision = council_decision.decide([report, report.model_copy(update={"reviewer": "bob"})], RULES)
    manifest = review_tasks.Manifest(round=2, **fields)
    previous = round_opening.PreviousRound("r-1", manifest, text_of(*changes), decision)
    return dataclasses.replace(BASIS, previous=previous)


def shown(round_: round_opening.RoundOpening) -> list[str]:
    return [span.path for part in round_.parts.parts for span in part.spans]


def test_a_change_is_shown_whole_with_who_looks_at_it_and_the_text_that_is_kept() -> None:
    round_ = opening(PAY, LOG, head="abc")
    manifest = round_.manifest
    assert shown(round_) == ["pay.py", "log.py"]
    assert (manifest.round, manifest.after, manifest.source, manifest.reviewed) == (1, "", "the diff", "abc")
    assert (manifest.files, manifest.lines) == (("pay.py", "log.py"), 3)
    assert [span.path for spans in manifest.spans for span in spans] == ["pay.py", "log.py"]
    assert len(manifest.seats) >= 2
    assert manifest.advocate == "devils-advocate"
    assert unified_diff.parse(round_.text) == round_.change


def test_secrets_are_in_no_part_and_not_in_the_text_and_are_counted() -> None:
    round_ = opening(diff_samples.change("pay.py", "+password = 'hunter2'", "+x = 1"))
    assert round_.manifest.redacted == 1
    for text in (round_.text, *(part.text for part in round_.parts.parts)):
        assert "hunter2" not in text
        assert "***" in text


def test_what_nobody_reviews_is_listed_and_a_change_of_nothing_else_has_no_part() -> None:
    lock = diff_samples.change("poetry.lock", "+x")
    assert shown(opening(PAY, lock)) == ["pay.py"]
    alone = opening(lock)
    assert (alone.parts.parts, alone.text) == ((), "")
    assert [file.path for file in alone.manifest.excluded] == ["poetry.lock"]


def test_files_that_the_source_could_not_show_are_told_as_unseen() -> None:
    assert [span.path for span in opening(PAY, unseen=("big.py",)).manifest.unseen] == ["big.py"]


@pytest.mark.parametrize(
    ("text", "what"),
    [("please look", "prose"), (text_of(PAY) + "\nSubmodule lib 1234567..89abcde:\n  > Add\n", "A part")],
)
def test_a_text_that_cannot_be_read_whole_opens_no_round(text: str, what: str) -> None:
    with pytest.raises(errors.InputError, match=what):
        round_opening.of_change(review_scope.Change(text, "the diff"), BASIS, is_text=True)


def test_who_is_asked_for_by_name_sits_beside_the_others_and_nobody_twice() -> None:
    chosen = [seat.reviewer for seat in opening(PAY).manifest.seats]
    basis = dataclasses.replace(BASIS, by_name=(chosen[0], "devils-advocate"))
    assert [seat.reviewer for seat in opening(PAY, basis=basis).manifest.seats] == [*chosen, "devils-advocate"]
    with pytest.raises(errors.InputError, match="'nobody' is no reviewer here"):
        opening(PAY, basis=dataclasses.replace(BASIS, by_name=("nobody",)))


def test_without_any_reviewers_a_round_still_says_what_it_is_about() -> None:
    round_ = opening(PAY, basis=dataclasses.replace(BASIS, agents=catalog.merge([])))
    assert (round_.manifest.seats, round_.manifest.advocate, shown(round_)) == ((), "", ["pay.py"])


def test_a_later_round_looks_at_what_is_new_and_at_what_a_finding_is_about() -> None:
    assert shown(opening(PAY, LOG, basis=after(PAY))) == ["log.py"]
    assert shown(opening(PAY, LOG, basis=after(PAY, quote="charge(total, limit)"))) == ["pay.py", "log.py"]


def test_a_later_round_without_news_looks_at_the_whole_only_where_findings_are_open() -> None:
    assert opening(PAY, basis=after(PAY)).parts.parts == ()
    gone = after(PAY, quote="charge(everything)")
    round_ = opening(PAY, basis=gone)
    assert [finding.quote for finding in round_.manifest.earlier] == ["charge(everything)"]
    assert shown(round_) == ["pay.py"]


def test_a_later_round_goes_on_with_the_number_the_findings_the_subject_and_the_owners() -> None:
    basis = after(LOG, quote="charge", subject="run-1", owners={"t": ("pay.py",)})
    assert basis.previous
    waiver = findings.Waiver(finding="f", by="me", reason="fine")
    basis = dataclasses.replace(basis, previous=basis.previous._replace(waivers=(waiver,)))
    manifest = opening(PAY, basis=basis).manifest
    assert (manifest.round, manifest.after, manifest.waivers) == (3, "r-1", (waiver,))
    assert basis.previous
    assert manifest.earlier == rounds.earlier(basis.previous.decision)
    assert (manifest.subject, manifest.owners) == ("run-1", {"t": ("pay.py",)})
    own = dataclasses.replace(basis, subject="run-2", owners={"u": ("log.py",)})
    manifest = opening(PAY, basis=own).manifest
    assert (manifest.subject, manifest.owners) == ("run-2", {"u": ("log.py",)})


@hypothesis.given(diff_samples.CHANGES)
def test_every_file_of_any_change_is_shown_left_out_or_told_as_unseen(changes: list[unified_diff.FileChange]) -> None:
    changes = [
        dataclasses.replace(
            change, hunks=tuple(dataclasses.replace(hunk, lines=(*hunk.lines, "+x")) for hunk in change.hunks)
        )
        for change in changes
    ]
    scope = review_scope.split_scope(unified_diff.Diff(tuple(changes)))
    round_ = opening(*changes)
    unseen = {span.path for span in round_.manifest.unseen}
    assert {*shown(round_)} | unseen >= {file.path for file in scope.diff.files if file.hunks}
    assert len(round_.manifest.excluded) == len(scope.excluded)


def test_what_a_reviewer_looks_at_is_what_its_file_says_or_nothing() -> None:
    shipped = labelled_diffs.shipped()
    seats = (findings.Reviewer(reviewer="security-sentinel"), findings.Reviewer(reviewer="nobody"))
    focuses = round_opening.focuses(seats, shipped)
    agent = shipped.find("security-sentinel")
    assert agent
    assert focuses == {"security-sentinel": agent.extra.get("focus", ""), "nobody": ""}
