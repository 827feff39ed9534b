"""Which answers of models still hold for another attempt, and what they still cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from worker_conformance import MemoryBlobs

from dispatch_mcp import errors, model
from dispatch_mcp.engine import paid_answers
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order

pytestmark = pytest.mark.anyio

USAGE = model.Usage(input_tokens=7, cost_usd=0.5, seconds=3.0)
ANSWER = model.Outcome(state=AttemptState.SUCCEEDED, summary="done", output={"n": 1}, usage=USAGE)
WORK = work_order.WorkOrder("run", model.Task(id="t", do="do it"), 1, WorkerKind.API, key="k", workspace="/w")


def later(detail: Mapping[str, Any], **more: Any) -> work_order.WorkOrder:
    return replace(WORK, attempt=2, last_beat={ports.ANSWER: dict(detail)}, **more)


async def kept(
    work: work_order.WorkOrder = WORK, blobs: MemoryBlobs | None = None
) -> tuple[MemoryBlobs, dict[str, Any]]:
    blobs = blobs or MemoryBlobs()
    return blobs, await paid_answers.PaidAnswers(blobs).keep(work, ANSWER)


async def read(blobs: MemoryBlobs, detail: Mapping[str, Any]) -> model.Outcome | None:
    return await paid_answers.PaidAnswers(blobs).read(detail)


@pytest.mark.parametrize(
    ("worker", "state", "is_paid"),
    [
        (WorkerKind.API, AttemptState.SUCCEEDED, True),
        (WorkerKind.CLAUDE, AttemptState.SUCCEEDED, True),
        (WorkerKind.COMMAND, AttemptState.SUCCEEDED, False),
        (WorkerKind.API, AttemptState.FAILED, False),
        (WorkerKind.API, AttemptState.TIMED_OUT, False),
    ],
)
def test_what_models_have_answered_is_paid(worker: WorkerKind, state: AttemptState, *, is_paid: bool) -> None:
    assert paid_answers.is_paid(replace(WORK, worker=worker), ANSWER.model_copy(update={"state": state})) is is_paid


async def test_an_answer_is_read_as_it_was_kept() -> None:
    blobs, detail = await kept()
    assert paid_answers.detail_of(later(detail)) == detail
    assert await read(blobs, detail) == ANSWER


async def test_an_answer_whose_cost_was_reported_costs_nothing_more() -> None:
    blobs, detail = await kept()
    outcome = await read(blobs, paid_answers.booked(detail))
    assert outcome == ANSWER.model_copy(update={"usage": model.Usage(cost_usd=0.0)})


@pytest.mark.parametrize(
    "more",
    [
        {"key": "another"},  # another task, or other results that it builds on
        {"key": ""},
        {"sent_back": 1},  # accepted, and not enough
        {"attempt": 1},
        {"isolation": "own", "directory": "/elsewhere"},
    ],
)
async def test_an_answer_holds_for_just_the_order_that_it_answers(more: dict[str, Any]) -> None:
    _, detail = await kept()
    assert paid_answers.detail_of(replace(later(detail), **more)) is None


async def test_an_answer_about_a_worktree_holds_in_that_worktree_alone() -> None:
    placed = replace(WORK, isolation="own", directory="/state/t.1")
    _, detail = await kept(placed)
    again = replace(placed, attempt=2, last_beat={ports.ANSWER: detail})
    assert paid_answers.detail_of(again) == detail
    assert paid_answers.detail_of(replace(again, directory="/state/t.2")) is None


@pytest.mark.parametrize("detail", [None, {}, "x", [], {"key": "k"}, {"key": "k", "attempt": "1", "directory": ""}])
def test_what_is_no_detail_of_an_answer_is_none(detail: Any) -> None:
    assert paid_answers.detail_of(replace(WORK, attempt=2, last_beat={ports.ANSWER: detail})) is None


@pytest.mark.parametrize("digest", ["", "0" * 64, 7])
async def test_an_answer_that_is_not_there_any_more_is_none(digest: Any) -> None:
    blobs, detail = await kept()
    assert await read(blobs, {**detail, "outcome": digest}) is None
    blobs.kept[str(detail["outcome"])] = b"{"
    assert await read(blobs, detail) is None


def test_what_an_attempt_was_given_and_has_used_is_nobody_elses() -> None:
    beat = {"context": {"tokens": 1}, "spent": {"input_tokens": 1}, "before": {"x": 1}, "api": {}, "worktree": {}}
    work = replace(WORK, attempt=2, last_beat=beat)
    assert paid_answers.legacy(work) == {"api": {}, "worktree": {}}
    assert paid_answers.look(work) == {"before": {"x": 1}}


async def test_an_answer_that_cannot_be_written_is_kept_in_memory_until_nobody_needs_it() -> None:
    class Lost(MemoryBlobs):
        def put(self, data: bytes) -> str:
            raise errors.StoreDamaged("it takes nothing")

    answers = paid_answers.PaidAnswers(Lost())
    detail = await answers.keep(WORK, ANSWER)
    assert await answers.read(detail) == ANSWER
    answers.forget(detail)
    assert await answers.read(detail) is None
