"""How a round of the council is told: small, with everything that keeps it from passing."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import RunState, WorkerKind, assignments, records
from dispatch_mcp.review import council_decision, findings, review_scope, review_tasks
from dispatch_mcp.service import review_answers

RUN = "c" * 32
COUNTS = {"running": 2}


def record(state: RunState = RunState.SUCCEEDED) -> records.RunRecord:
    return records.RunRecord(
        id=RUN, plan_id="p", plan_version=1, state=state, worker=WorkerKind.API, counts={"running": 2}
    )


def manifest(**fields: Any) -> review_tasks.Manifest:
    seats = (findings.Reviewer(reviewer="critic", why=("always",), score=1.25), findings.Reviewer(reviewer="tester"))
    values: dict[str, Any] = {"source": "a diff", "seats": seats, "advocate": "advocate", **fields}
    return review_tasks.Manifest(**values)


def merged(number: int = 1, **fields: Any) -> council_decision.MergedFinding:
    claims = (
        council_decision.FindingClaim(
            reviewer="critic", severity="high", claim="It leaks", evidence="a=1", fix="close it"
        ),
        council_decision.FindingClaim(reviewer="tester", severity="low", claim="It is slow"),
    )
    default: dict[str, Any] = {
        "severity": "high",
        "standing": "open",
        "file": "app.py",
        "line": 3,
        "quote": "open(x)",
        "claims": claims,
    }
    values: dict[str, Any] = {**default, "id": f"f{number}", **fields}
    return council_decision.MergedFinding(**values)


def decision(outcome: council_decision.Outcome, *found: council_decision.MergedFinding, **fields: Any) -> Any:
    voices = (
        council_decision.ReviewerVerdict(reviewer="critic", verdict="FAIL"),
        council_decision.ReviewerVerdict(reviewer="tester", problem="said nothing"),
    )
    default: dict[str, Any] = {
        "blocks": outcome != "PASS",
        "why": "Because.",
        "rules": "strict",
        "findings": found,
        "voices": voices,
    }
    values: dict[str, Any] = {**default, "outcome": outcome, **fields}
    return council_decision.Decision(**values)


def assignment() -> assignments.Assignment:
    call = assignments.HostCall(
        subagent_type="general-purpose", description="Review it", prompt="Review it", run_in_background=False
    )
    return assignments.Assignment(run_id=RUN, task_id="critic", attempt=1, call=call)


def advice(answer: review_answers.ReviewAnswer) -> str:
    """Returns what an assistant reads as the next step."""
    assert answer.next is not None
    text = answer.wire(tool_wording.words)["next"]
    assert text == tool_wording.words(answer.next)
    return str(text)


def test_while_somebody_is_asked_there_is_no_outcome() -> None:
    answer = review_answers.answer(record(RunState.RUNNING), manifest(), None)
    assert (answer.outcome, answer.blocks, answer.findings) == ("", None, ())
    assert answer.counts == {"running": 2}
    assert answer.poll_after_s > 0
    assert f"run_id={RUN[:8]!r}" in advice(answer)


@pytest.mark.parametrize(("count", "words"), [(1, "this review"), (3, "these reviews")])
def test_reviews_for_the_host_are_to_be_started_blind_and_all_at_once(count: int, words: str) -> None:
    answer = review_answers.answer(record(RunState.RUNNING), manifest(), None, [assignment()] * count)
    assert len(answer.assignments) == count
    assert words in advice(answer)
    assert "sees nothing of the others" in advice(answer)
    assert answer.poll_after_s == 0


def test_a_decision_shows_who_judged_how_and_whose_answer_was_of_no_use() -> None:
    lines = review_answers.answer(record(), manifest(), decision("BLOCK", merged())).reviewers
    assert [(line.name, line.verdict, line.problem) for line in lines] == [
        ("critic", "FAIL", ""),
        ("tester", "INCONCLUSIVE", "said nothing"),
    ]
    assert lines[0].score == 1.2


def test_the_advocate_is_listed_only_when_it_was_heard() -> None:
    advocate = council_decision.ReviewerVerdict(reviewer="advocate", verdict="PASS", role="advocate")
    heard = decision("PASS", voices=(advocate,))
    assert review_answers.answer(record(), manifest(), heard).reviewers[-1].name == "advocate"
    assert all(line.name != "advocate" for line in review_answers.answer(record(), manifest(), None).reviewers)


def test_a_finding_is_told_in_the_words_of_who_called_it_worst() -> None:
    line = review_answers.line(merged(removed=True))
    assert (line.place, line.claim, line.evidence, line.fix) == ("app.py:3 (removed)", "It leaks", "a=1", "close it")
    assert line.also == ("tester: It is slow",)
    assert line.reviewers == ("critic", "tester")


@hypothesis.given(count=st.integers(0, 120), length=st.integers(0, 2_000))
def test_an_answer_stays_small_however_much_was_found(count: int, length: int) -> None:
    found = [merged(number, quote="x" * length) for number in range(count)]
    answer = review_answers.answer(record(), manifest(), decision("BLOCK", *found))
    assert len(answer.findings) == min(count, review_answers.MAX_LISTED)
    assert all(len(line.quote) <= review_answers.MAX_QUOTE for line in answer.findings)


@hypothesis.given(st.integers(0, 130))
def test_what_is_left_out_of_a_list_is_counted(count: int) -> None:
    excluded = tuple(review_scope.Excluded(path=f"f{number}", reason="generated") for number in range(count))
    listed = review_answers.coverage(manifest(excluded=excluded)).excluded
    if count > review_answers.MAX_LISTED:
        assert len(listed) == review_answers.MAX_LISTED + 1
        assert listed[-1] == f"and {count - review_answers.MAX_LISTED} more"
    else:
        assert len(listed) == count


def test_nothing_to_review_is_no_pass() -> None:
    answer = review_answers.empty_answer(manifest(excluded=(review_scope.Excluded(path="a.lock", reason="generated"),)))
    assert (answer.outcome, answer.blocks) == (review_answers.NOTHING, True)
    assert "1 file left out" in answer.why
    assert "nothing has passed" in advice(answer)


def test_a_pass_says_what_else_was_found() -> None:
    text = advice(review_answers.answer(record(), manifest(), decision("PASS")))
    assert text.startswith("Passed.")


def test_what_blocks_goes_to_its_owners_and_then_into_the_next_round() -> None:
    text = advice(review_answers.answer(record(), manifest(), decision("BLOCK", merged()), mend_plan="fix-it"))
    assert "fix-it" in text
    assert f"after={RUN[:8]!r}" in text
    assert "only a person can waive" in text


def test_the_last_round_ends_with_a_person() -> None:
    rules = council_decision.CouncilRules(rounds=2)
    text = advice(review_answers.answer(record(), manifest(round=2, rules=rules), decision("BLOCK", merged())))
    assert text.startswith("This was round 2 of 2. Ask the user")


@pytest.mark.parametrize(("blocks", "words"), [(True, "It blocks"), (False, "let it through")])
def test_an_inconclusive_round_says_what_it_means_and_how_to_try_anew(*, blocks: bool, words: str) -> None:
    text = advice(review_answers.answer(record(), manifest(), decision("INCONCLUSIVE", blocks=blocks)))
    assert words in text
    assert "try anew" in text


def test_the_wire_leaves_out_what_says_nothing() -> None:
    wire = review_answers.answer(record(), manifest(), decision("PASS", voices=())).wire(tool_wording.words)
    assert wire["outcome"] == "PASS"
    assert not {"findings", "flags", "assignments", "mend_plan", "counts", "poll_after_s"} & set(wire)
