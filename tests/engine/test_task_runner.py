"""What comes of an attempt whose worker does not come to an end of its own."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.engine import task_runner
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order

pytestmark = pytest.mark.anyio

WORK = work_order.WorkOrder("run", model.Task(id="a", do="Wait"), 1, WorkerKind.COMMAND, timeout_s=0.01)


class Context:
    """A task context that nothing is kept of."""

    run_id, task_id, attempt, last_beat = "run", "a", 1, dict[str, model.Json]()

    @property
    def blobs(self) -> ports.Blobs:
        raise AssertionError

    def beat(self, **details: model.Json) -> None:
        return

    async def mail(self) -> tuple[model.Message, ...]:
        return ()


class Spending:
    """A worker that has used something when it breaks, or else never ends."""

    def __init__(self, fault: Exception | None) -> None:
        self._fault = fault

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat(**{ports.SPENT: {"output_tokens": 7}})
        ctx.beat(turns=1)
        if self._fault is not None:
            raise self._fault
        await anyio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize(
    ("fault", "state", "kind", "why"),
    [
        (None, AttemptState.TIMED_OUT, "timeout", "No result after 0.01 s."),
        (KeyError("x"), AttemptState.FAILED, "worker_crashed", "The command worker crashed: KeyError('x')"),
    ],
)
async def test_an_attempt_that_is_cut_off_is_told_with_its_reason_and_what_it_has_used(
    fault: Exception | None, state: AttemptState, kind: str, why: str
) -> None:
    work = WORK if fault is None else replace(WORK, timeout_s=None)
    outcome = await task_runner.run_task(Context(), work, {WorkerKind.COMMAND: Spending(fault)})
    assert outcome == model.Outcome(
        state=state,
        error=why,
        error_kind=kind,
        summary=why,
        retryable=True,
        usage=model.Usage(output_tokens=7),
    )
