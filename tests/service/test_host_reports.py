"""What the host reports: read whole or refused whole, turned into outcomes, and answered one by one."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, records, transitions
from dispatch_mcp.service import host_reports

TEXTS = st.text(max_size=200)
REPORTS = st.fixed_dictionaries(
    {"task_id": st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), "attempt": st.integers(1, 9)},
    optional={"status": st.sampled_from(["succeeded", "failed", "cancelled"]), "text": TEXTS, "error": TEXTS},
)


def report(**fields: Any) -> host_reports.Report:
    return host_reports.Report(**{"task_id": "part", "attempt": 1, **fields})


def row(task_id: str = "part", **fields: Any) -> records.TaskRecord:
    default = {"position": 0, "worker": WorkerKind.HOST, "state": TaskState.RUNNING, "attempt": 1}
    return records.TaskRecord(id=task_id, **{**default, **fields})


@hypothesis.given(st.lists(REPORTS, max_size=5))
def test_entries_of_the_right_form_are_all_read_in_order(raw: list[dict[str, Any]]) -> None:
    reports = host_reports.read_reports(raw)
    assert [(one.task_id, one.attempt) for one in reports] == [(entry["task_id"], entry["attempt"]) for entry in raw]


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"attempt": 1}, "task_id"),
        ({"task_id": "a"}, "attempt"),
        ({"task_id": "a", "attempt": 0}, "attempt"),
        ({"task_id": "a", "attempt": 1, "handoff": "done"}, "handoff"),
        ({"task_id": "a", "attempt": 1, "usage": {"input_tokens": "many"}}, "usage.input_tokens"),
        ({"task_id": "a", "attempt": 1, "text": "x" * (host_reports.MAX_REPORT_CHARS + 1)}, "text"),
    ],
)
def test_the_first_wrong_entry_is_named_with_its_place(entry: dict[str, Any], place: str) -> None:
    with pytest.raises(errors.InputError) as refused:
        host_reports.read_reports([{"task_id": "fine", "attempt": 1}, entry])
    assert f"results[1].{place}:" in refused.value.message
    assert len(refused.value.message) < 300
    assert "task_id" in refused.value.hint


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", AttemptState.SUCCEEDED),
        ("success", AttemptState.SUCCEEDED),
        ("done", AttemptState.SUCCEEDED),
        ("failed", AttemptState.FAILED),
        ("error", AttemptState.FAILED),
        ("cancelled", AttemptState.CANCELLED),
    ],
)
def test_what_hosts_call_an_end_is_understood(status: str, state: AttemptState) -> None:
    assert host_reports.outcome_of(report(status=status)).state is state


def test_a_status_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(errors.InputError, match="'finished' is unknown") as refused:
        host_reports.outcome_of(report(status="finished"))
    assert "'succeeded'" in refused.value.hint


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
    again = host_reports.again(broken, outcome)
    assert (again.state, again.error_kind, again.retryable) == (AttemptState.FAILED, transitions.UNUSABLE, True)
    assert "Done." in again.error
    assert "do not repeat it" in again.error


def test_only_a_running_task_of_the_host_is_out() -> None:
    assert host_reports.is_out(row())
    assert not host_reports.is_out(row(state=TaskState.READY))
    assert not host_reports.is_out(row(worker=WorkerKind.API))


def test_reports_for_others_are_refused_with_the_reason() -> None:
    rows = {"part": row(), "made": row("made", worker=WorkerKind.COMMAND)}
    assert host_reports.refusal(report(), rows) == ""
    assert host_reports.refusal(report(task_id="nobody"), rows) == "the run has no such task"
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


def test_claims_are_no_receipts() -> None:
    assert results(True, True)[0].receipts == ()
