"""The tree of a run, from records alone."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, records
from dispatch_mcp.telemetry import span_tree


def run(state: RunState = RunState.SUCCEEDED, **more: Any) -> records.RunRecord:
    values = {"created_at": 10.0, "updated_at": 90.0, "finished_at": 80.0, **more}
    return records.RunRecord(
        id="r" * 32, plan_id="plan", plan_version=1, state=state, worker=WorkerKind.SCRIPTED, **values
    )


def attempt(
    state: AttemptState = AttemptState.SUCCEEDED, number: int = 1, worker: WorkerKind = WorkerKind.COMMAND, **more: Any
) -> records.AttemptRecord:
    values = {"started_at": 10.0 * number, "ended_at": 10.0 * number + 5, **more}
    return records.AttemptRecord(run_id="r" * 32, task_id="a", attempt=number, state=state, worker=worker, **values)


def only_task(*attempts: records.AttemptRecord, **fields: Any) -> span_tree.SpanLine:
    [line] = span_tree.tree(run(), [model.Task(id="a", do="Do it", **fields)], attempts).children
    return line


@pytest.mark.parametrize(
    ("state", "error_kind", "expected"),
    [
        (AttemptState.FAILED, "rate_limited", "rate_limited"),
        (AttemptState.FAILED, "", "failed"),
        (AttemptState.TIMED_OUT, "", "timed_out"),
        (AttemptState.ABANDONED, "", "abandoned"),
        (AttemptState.CANCELLED, "", ""),
        (AttemptState.SUPERSEDED, "", ""),
        (AttemptState.SUCCEEDED, "left_over", ""),
    ],
)
def test_the_error_of_an_attempt_is_the_kind_of_its_failure_and_else_its_state(
    state: AttemptState, error_kind: str, expected: str
) -> None:
    [line] = only_task(attempt(state, error_kind=error_kind)).children
    assert line.error == expected


@pytest.mark.parametrize("state", sorted(model.RUN_FINAL))
def test_a_run_is_an_error_where_work_failed_or_is_blocked_and_not_where_somebody_stopped_it(state: RunState) -> None:
    line = span_tree.tree(run(state), [], [])
    assert line.error == (state.value if state in {"failed", "partial", "needs_changes"} else "")


def test_a_task_has_the_error_of_its_last_attempt_alone() -> None:
    lost, done = attempt(AttemptState.FAILED, error_kind="refusal"), attempt(number=2)
    assert only_task(lost, done).error == ""
    assert only_task(attempt(), attempt(AttemptState.FAILED, 2, error_kind="refusal")).error == "refusal"


def test_a_task_lasts_from_its_first_attempt_to_the_end_of_the_one_that_ends_last() -> None:
    line = only_task(attempt(ended_at=55.0), attempt(number=2, ended_at=30.0))
    assert (line.start, line.end, line.attributes["dispatch.task.attempts"]) == (10.0, 55.0, 2)


@pytest.mark.parametrize(("finished_at", "expected"), [(80.0, 80.0), (None, 90.0)])
def test_what_has_no_end_of_its_own_ends_with_its_run(finished_at: float | None, expected: float) -> None:
    line = span_tree.tree(run(finished_at=finished_at), [model.Task(id="a", do="Do it")], [attempt(ended_at=None)])
    assert {line.end, line.children[0].end, line.children[0].children[0].end} == {expected}


@pytest.mark.parametrize(
    ("worker", "model_name", "expected"),
    [
        (WorkerKind.API, "large", ["chat large"]),
        (WorkerKind.API, None, ["chat"]),
        (WorkerKind.CLAUDE, "large", ["invoke_agent large"]),
        (WorkerKind.HOST, None, ["invoke_agent"]),
        (WorkerKind.COMMAND, "large", []),
        (WorkerKind.HUMAN, None, []),
    ],
)
def test_what_a_model_was_asked_is_named_by_the_operation_and_the_model_and_others_ask_none(
    worker: WorkerKind, model_name: str | None, expected: list[str]
) -> None:
    [line] = only_task(attempt(worker=worker), model=model_name).children
    assert [call.name for call in line.children] == expected
    assert all(call.attributes.get("gen_ai.request.model") == model_name for call in line.children)


@pytest.mark.parametrize("dollars", [None, 0.0, 0.25])
def test_a_price_stands_only_where_it_is_known_and_nothing_is_a_price(dollars: float | None) -> None:
    usage = model.Usage(input_tokens=7, output_tokens=3, cost_usd=dollars)
    [[call]] = [line.children for line in only_task(attempt(worker=WorkerKind.API, usage=usage)).children]
    assert call.attributes.get("dispatch.usage.cost_usd") == dollars
    assert (call.attributes["gen_ai.usage.input_tokens"], call.attributes["gen_ai.usage.output_tokens"]) == (7, 3)


def test_a_run_counts_the_tasks_that_never_began_too() -> None:
    tasks = [model.Task(id=name, do="Do it") for name in "abc"]
    line = span_tree.tree(run(), tasks, [attempt(), attempt(number=2)])
    assert (line.attributes["dispatch.run.tasks"], line.attributes["dispatch.run.attempts"]) == (3, 2)
    assert [child.attributes["dispatch.task.id"] for child in line.children] == ["a"]
