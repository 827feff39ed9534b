"""Who holds an attempt to its deadline."""

from __future__ import annotations

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


class Slow:
    """A worker that takes longer than its deadline."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        await anyio.sleep(0.05)
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="done")


class Distant(Slow, ports.KeepsDeadline):
    """The same at a distance: when somebody begins there is known there only."""


@pytest.mark.parametrize(("worker", "state"), [(Slow(), AttemptState.TIMED_OUT), (Distant(), AttemptState.SUCCEEDED)])
async def test_a_deadline_is_held_here_unless_the_worker_holds_it(worker: ports.Worker, state: AttemptState) -> None:
    outcome = await task_runner.run_task(Context(), WORK, {WorkerKind.COMMAND: worker})
    assert outcome.state is state
