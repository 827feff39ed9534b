"""What the host reports: turned into outcomes, and answered one by one."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, records, transitions
from dispatch_mcp.runs import report_reader
from dispatch_mcp.service import answers, host_reports
from dispatch_mcp.text.reading import reported_failures


def report(**fields: Any) -> report_reader.HostReport:
    default: dict[str, Any] = {"task_id": "part", "attempt": 1}
    return report_reader.HostReport(**{**default, **fields})


def row(task_id: str = "part", **fields: Any) -> records.TaskRecord:
    default: dict[str, Any] = {"position": 0, "worker": WorkerKind.HOST, "state": TaskState.RUNNING, "attempt": 1}
    return records.TaskRecord(id=task_id, **{**default, **fields})


def test_entries_that_can_be_taken_are_taken_beside_those_that_cannot() -> None:
    raw = [{"task_id": "part", "attempt": 1}, {"task_id": "part"}, "done"]
    good, *bad = entries = report_reader.read(raw, {"part": row()})
    host_reports.refuse_all(entries)
    assert good == report()
    refusals = [entry for entry in bad if isinstance(entry, report_reader.RefusedEntry)]
    assert [(entry.task_id, entry.why.split()[0]) for entry in refusals] == [
        ("part", "results[1].attempt"),
        ("", "results[2]"),
    ]


def test_a_wave_in_which_nothing_can_be_taken_is_refused_with_every_reason() -> None:
    with pytest.raises(errors.InputError) as refused:
        host_reports.refuse_all(
            report_reader.read([{"task_id": "part"}, {"task_id": "part", "attempt": 0}], {"part": row()})
        )
    assert "results[0].attempt" in refused.value.message
    assert "results[1].attempt" in refused.value.message
    assert "task_id" in str(refused.value.hint)


def test_a_refusal_of_very_many_entries_stays_short() -> None:
    with pytest.raises(errors.InputError) as refused:
        host_reports.refuse_all(report_reader.read([{"task_id": "x" * 10_000}] * 500, {"part": row()}))
    assert "495 more" in refused.value.message
    assert len(refused.value.message) < 2_000


@hypothesis.given(text=st.text(max_size=3_000), status=st.sampled_from(["succeeded", "failed", "cancelled"]))
def test_nothing_the_host_says_is_believed_without_proof(text: str, status: str) -> None:
    outcome = host_reports.outcome_of(report(status=status, text=text))
    assert outcome.unverified is (status == "succeeded")
    assert [receipt.kind for receipt in outcome.receipts] == ["claim"]
    assert len(outcome.summary) <= host_reports.SUMMARY_CHARS


def test_a_handoff_in_its_own_field_outranks_the_text() -> None:
    outcome = host_reports.outcome_of(report(text="chatter", handoff={"completed_work": "the work"}))
    assert outcome.handoff.completed_work == "the work"
    assert (outcome.summary, outcome.output) == ("the work", "chatter")


def test_a_handoff_at_the_end_of_the_text_is_found() -> None:
    block = json.dumps({"completed_work": "the work", "decisions_made": ["use b"]})
    outcome = host_reports.outcome_of(report(text=f"I did it.\n```json\n{block}\n```"))
    assert outcome.handoff.decisions_made == ("use b",)
    assert not host_reports.is_unreadable(outcome)


def test_plain_text_is_a_handoff_of_its_own() -> None:
    outcome = host_reports.outcome_of(report(text="I did it."))
    assert outcome.handoff == model.Handoff(completed_work="I did it.")


def test_an_output_of_its_own_is_kept_instead_of_the_text() -> None:
    assert host_reports.outcome_of(report(text="chatter", output={"n": 1})).output == {"n": 1}
    assert host_reports.outcome_of(report()).output is None


def test_a_failure_carries_its_error_and_may_be_tried_again_if_the_host_says_so() -> None:
    outcome = host_reports.outcome_of(report(status="failed", error="it broke", retryable=True))
    assert (outcome.error, outcome.error_kind, outcome.retryable) == ("it broke", "host", True)
    assert host_reports.outcome_of(report(status="failed", error="it broke")).retryable is False


def test_a_broken_handoff_is_asked_for_again_with_the_beginning_of_the_answer() -> None:
    broken = report(text='Done.\n```json\n{"completed_work": "half\n```')
    outcome = host_reports.outcome_of(broken)
    assert host_reports.is_unreadable(outcome)
    again = host_reports.again(broken, outcome.error)
    assert (again.state, again.error_kind, again.retryable) == (AttemptState.FAILED, transitions.UNUSABLE, True)
    assert "Done." in again.error
    assert "do not repeat it" in again.error


def test_reports_for_others_are_refused_with_the_reason() -> None:
    rows = {"part": row(), "made": row("made", worker=WorkerKind.COMMAND)}
    assert host_reports.refusal(report(), rows) == ""
    assert host_reports.refusal(report(task_id="nobody"), rows) == "the run has no such task"
    assert host_reports.refusal(report(task_id="parts"), rows) == "the run has no such task; did you mean 'part'?"
    assert "command worker" in host_reports.refusal(report(task_id="made"), rows)


def results(*acceptances: bool, **fields: Any) -> list[Any]:
    reports = [report(), report(task_id="nobody"), report(attempt=2)]
    outcomes = [host_reports.outcome_of(one) for one in reports]
    refusals = ["", "the run has no such task", ""]
    return host_reports.report_results(reports, refusals, outcomes, acceptances, {"part": row(**fields)})


def test_every_report_is_answered_in_order_and_refused_ones_ask_for_no_acceptance() -> None:
    lines = results(True, True, state=TaskState.UNVERIFIED)
    assert [(line.task_id, line.accepted) for line in lines] == [("part", True), ("nobody", False), ("part", True)]
    assert [line.state for line in lines] == ["unverified", "", "unverified"]
    assert lines[1].why == "the run has no such task"


def test_a_report_that_came_too_late_says_which_attempt_counts() -> None:
    first, _, second = results(False, False, attempt=2)
    assert first.why == "attempt 1 was replaced; the newest is 2"
    assert second.why == "this attempt is over already; its result was kept once"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"attempt": 1}, "there has been no attempt 7; the newest is 1"),
        ({"attempt": 0, "state": TaskState.READY}, "there has been no attempt 7; the task has not begun"),
        ({"attempt": 7, "state": TaskState.UNVERIFIED}, "this attempt is over already; its result was kept once"),
        ({"attempt": 9}, "attempt 7 was replaced; the newest is 9"),
    ],
)
def test_an_attempt_that_never_was_is_called_that(fields: dict[str, Any], why: str) -> None:
    entry = report(attempt=7)
    outcome = host_reports.outcome_of(entry)
    [line] = host_reports.report_results([entry], [""], [outcome], [False], {"part": row(**fields)})
    assert (line.accepted, line.why) == (False, why)


def test_entries_that_could_not_be_read_keep_their_place_in_the_answer() -> None:
    first, last = report_reader.RefusedEntry("", 0, "results[0] is 7"), report_reader.RefusedEntry("part", 1, "no")
    rows = {"part": row()}
    accepted = host_reports.report_results([report()], [""], [host_reports.outcome_of(report())], [True], rows)
    lines = host_reports.with_refused_entries(accepted, [first, report(), last], rows)
    assert [(line.accepted, line.why, line.state) for line in lines] == [
        (False, "results[0] is 7", ""),
        (True, "", "running"),
        (False, "no", "running"),
    ]


def test_claims_are_no_receipts() -> None:
    assert results(True, True)[0].receipts == ()


@hypothesis.given(
    st.text(max_size=600),
    st.lists(
        st.builds(
            model.Receipt,
            kind=st.sampled_from(["diff", "file", "exit_code", "touched"]),
            ok=st.booleans(),
            detail=st.text(max_size=600),
            criterion=st.text(max_size=300),
        ),
        max_size=8,
    ),
)
def test_a_line_of_the_answer_is_short_and_counts_what_it_leaves_out(why: str, evidence: list[model.Receipt]) -> None:
    line = host_reports.fitted(
        answers.Accepted(task_id="t", attempt=1, accepted=True, why=why, receipts=tuple(evidence))
    )
    texts = [line.why, *(receipt.model_dump_json(exclude_defaults=True) for receipt in line.receipts)]
    assert sum(map(len, texts)) <= host_reports.ENTRY_CHARS
    assert len(line.receipts) + line.more_receipts == len(evidence)
    assert [receipt.kind for receipt in line.receipts] == [receipt.kind for receipt in evidence[: len(line.receipts)]]


def test_a_notice_that_is_quoted_as_the_failure_is_not_repeated_behind_it() -> None:
    notice = report(text="API Error: 529 Overloaded")
    failure = host_reports.claimed_failure(notice, host_reports.outcome_of(notice))
    assert failure.error == f"{reported_failures.LEAD}it is 'API Error: 529 Overloaded'."
    longer = report(text="I began with the schema.\n" + '{"status": "failed"}')
    assert "The answer began:" in host_reports.claimed_failure(longer, host_reports.outcome_of(longer)).error
