"""Views of a run: figures that are measured, a report for people, and a summary that stays small at any size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, records
from dispatch_mcp.service.run_views import run_figures, short_summary
from dispatch_mcp.text import token_count


def attempt(start: float, end: float | None, worker: str = "host", task: str = "a") -> records.AttemptRecord:
    return records.AttemptRecord(
        run_id="run",
        task_id=task,
        attempt=1,
        state=AttemptState.SUCCEEDED,
        worker=WorkerKind(worker),
        started_at=start,
        ended_at=end,
    )


DONE, FAILED, SKIPPED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED


@pytest.mark.parametrize(
    ("attempts", "work", "busy", "most", "efficiency"),
    [
        ([], 0, 0, 0, None),
        ([attempt(0, 10)], 10, 10, 1, 1.0),
        ([attempt(0, 10), attempt(10, 20)], 20, 20, 1, 1.0),
        ([attempt(0, 10), attempt(0, 10)], 20, 10, 2, 1.0),
        ([attempt(0, 10), attempt(0, 5)], 15, 10, 2, 0.75),
        ([attempt(0, 10), attempt(100, 110)], 20, 20, 1, 1.0),
        ([attempt(0, 10), attempt(2, 4), attempt(3, 5)], 14, 10, 3, 14 / 30),
        ([attempt(0, 10), attempt(0, 1000, "human"), attempt(5, None)], 10, 10, 1, 1.0),
        ([attempt(10, 5)], 0, 0, 1, None),
    ],
)
def test_the_figures_are_those_of_attempts_that_have_ended(
    attempts: list[records.AttemptRecord], work: float, busy: float, most: int, efficiency: float | None
) -> None:
    figures = run_figures.figures([], run_figures.spans(attempts))
    assert (figures.work_s, figures.busy_s, figures.most) == (work, busy, most)
    assert figures.efficiency == (None if efficiency is None else pytest.approx(efficiency))
    assert figures.saved_s == work - busy


@pytest.mark.parametrize(
    ("states", "rate"),
    [
        ([], None),
        ([TaskState.RUNNING, SKIPPED], None),
        ([DONE, DONE, TaskState.UNVERIFIED, FAILED], 0.25),
        ([FAILED, SKIPPED, SKIPPED], 1.0),
        ([DONE], 0.0),
    ],
)
def test_only_tasks_that_failed_or_are_done_count_for_the_failure_rate(
    states: list[TaskState], rate: float | None
) -> None:
    assert run_figures.figures(states, []).failure_rate == rate


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), max_size=40))
def test_nothing_is_ever_saved_that_was_not_worked_and_no_share_is_above_one(spans: list[tuple[float, float]]) -> None:
    figures = run_figures.figures([], [(start, start + length) for start, length in spans])
    assert figures.busy_s <= figures.work_s + 1e-6
    assert figures.work_s <= figures.busy_s * max(figures.most, 1) + 1e-6
    assert figures.efficiency is None or 0 <= figures.efficiency <= 1
    assert figures.most <= len(spans)


def summary(tasks: int, failures: int, text: str) -> dict[str, Any]:
    """A summary as the service answers it for a large run."""
    lines = [
        {
            "id": f"{text[:40]}-{n}",
            "state": "failed" if n < failures else "ready",
            "agent": "eng-backend",
            "error": text,
        }
        for n in range(min(tasks, 50))
    ]
    return {
        "run_id": "fix-shop-7d2f",
        "title": text[:60],
        "workspace": f"/data/{text}",
        "state": "running",
        "plan_id": "fix-shop-7d2f",
        "plan_version": 3,
        "counts": {"failed": failures, "ready": tasks - failures},
        "seconds": 1234.5,
        "next": f"Working. {text}",
        "spend": {"input_tokens": 123_456, "output_tokens": 6_543, "cost_usd": 3.2},
        "tasks": lines,
        "blocked": {f"{text[:40]}-{n}": text for n in range(min(tasks, 50))},
        "follow_ups": [text] * min(tasks, 50),
        "doubts": [text] * 5,
        "losses": [text] * min(tasks, 30),
        "unread": [{"sender": "a", "to": ["b"] * 5, "kind": "warning", "text": text}] * 5,
        "council": {"outcome": "BLOCK", "why": text, "findings": [{"claim": text}] * 30, "calibration": [text] * 9},
    }


WORDS = st.text(min_size=1, max_size=500)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10_000), st.integers(0, 100), WORDS)
def test_a_summary_has_at_most_400_tokens_and_keeps_what_matters(tasks: int, failures: int, text: str) -> None:
    whole = summary(tasks, min(failures, tasks), text)
    short = short_summary.fit(whole)
    assert token_count.count(json.dumps(short, ensure_ascii=False, separators=(",", ":"))) <= short_summary.MOST_TOKENS
    assert (short["run_id"], short["state"], short["counts"]) == ("fix-shop-7d2f", "running", whole["counts"])
    assert short["next"]


def test_what_is_left_out_is_counted_and_failures_come_first() -> None:
    whole = summary(10_000, 100, "A long title of a task that goes on and on")
    short = short_summary.fit(whole)
    kept = len(short.get("tasks", []))
    assert kept + short["more"]["tasks"] == 50
    assert all(line["state"] == "failed" for line in short.get("tasks", []))


def test_a_small_run_is_answered_whole() -> None:
    whole = {
        "run_id": "r",
        "state": "running",
        "counts": {"ready": 2},
        "tasks": [{"id": "a"}, {"id": "b"}],
        "next": "go",
    }
    assert short_summary.fit(whole) == whole
