"""From an attempt to a host and back, over a connection in memory: the activity of a host is the real one."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import memory_blobs
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, WorkerKind, ports, transitions, work_order

pytest.importorskip("temporalio", reason="the extra `temporal` is not installed")
import host_wires
from temporalio import activity, client, exceptions, service, testing

from dispatch_mcp.temporal import agent_host, host_line, order_papers, papers

pytestmark = pytest.mark.anyio

SECRET = "sk-ant-" + "api03-not-a-real-one-but-long-enough"
WORDS = "Rebuild the vault of the Northwind bank"


@pytest.fixture
def anyio_backend() -> str:
    """Temporal's library runs on asyncio alone."""
    return "asyncio"


class Leaving:
    """A worker that leaves a session for the next attempt, then ends as it was made to; None waits for ever."""

    def __init__(self, outcome: model.Outcome | Exception | None) -> None:
        self.outcome = outcome
        self.orders: list[work_order.WorkOrder] = []
        self.begun = asyncio.Event()

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.orders.append(work)
        ctx.beat(session_id="s-1")
        self.begun.set()
        if self.outcome is None:
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome


class Place:
    """A line whose host has one worker, and the context of an attempt that goes through it."""

    def __init__(self, worker: Leaving, *, silent: str | None = None, open_at_once: bool = True) -> None:
        self.worker = worker
        self.blobs = memory_blobs.Shelf()
        self.wire = host_wires.Wire(agent_host.AgentHost({WorkerKind.CLAUDE: worker}, self.blobs), silent=silent)
        self.line = host_line.HostLine(self.blobs, "control", "agents")
        self.ctx = agent_host.HostContext("run", "a", 2, {}, self.blobs)
        if open_at_once:
            self.line.open(self.wire)  # type: ignore[arg-type]  # as much of a client as is used

    def carry_out(self, **changes: Any) -> asyncio.Task[model.Outcome]:
        return asyncio.create_task(host_line.DistantWorker(self.line).carry_out(self.ctx, order(**changes)))


def order(priority: model.Priority = model.Priority.MEDIUM, **changes: Any) -> work_order.WorkOrder:
    task = model.Task(id="a", do=f"{WORDS} {SECRET}", priority=priority)
    return dataclasses.replace(work_order.WorkOrder("run", task, 2, WorkerKind.CLAUDE), **changes)


DONE = model.Outcome(state=AttemptState.SUCCEEDED, summary=f"{WORDS} {SECRET}", output={"port": 8080})


async def test_what_a_host_has_made_of_an_order_comes_back_whole_with_what_it_leaves() -> None:
    place = Place(Leaving(DONE))
    assert await place.carry_out(agent_prompt="Be kind.") == DONE
    assert place.worker.orders == [order(agent_prompt="Be kind.")]
    assert place.ctx.details == {"session_id": "s-1"}


async def test_what_passes_the_server_is_digests_and_no_text_of_anybody() -> None:
    place = Place(Leaving(DONE))
    await place.carry_out()
    [(paper, options)] = place.wire.sent
    carried = await place.wire.handles["control/carry/run/a/2"].result()
    text = repr((paper, options, carried))
    assert "Northwind" not in text
    assert SECRET not in text
    assert {paper.order, carried.outcome, carried.beat} == set(place.blobs)


@pytest.mark.parametrize(
    ("priority", "rank"), [(model.Priority.HIGH, 2), (model.Priority.MEDIUM, 3), (model.Priority.LOW, 4)]
)
async def test_urgent_work_is_taken_first(priority: model.Priority, rank: int) -> None:
    place = Place(Leaving(DONE))
    await place.carry_out(priority=priority)
    assert place.wire.sent[0][0].priority == rank


@pytest.mark.parametrize(
    ("timeout_s", "expected"),
    [(None, host_line.UNBOUNDED_S), (30.0, 30.0 + host_line.MARGIN_S)],
)
async def test_a_host_gets_more_time_than_its_work_so_that_it_can_say_that_it_ran_out(
    timeout_s: float | None, expected: float
) -> None:
    place = Place(Leaving(DONE))
    await place.carry_out(timeout_s=timeout_s)
    [(paper, options)] = place.wire.sent
    assert (paper.deadline_s, paper.queue, options["task_queue"]) == (expected, "agents-claude-look", "control")


async def test_work_waits_for_the_connection_and_goes_on_once_there_is_one() -> None:
    place = Place(Leaving(DONE), open_at_once=False)
    work = place.carry_out()
    await asyncio.sleep(0)
    assert (work.done(), place.wire.sent) == (False, [])
    place.line.open(place.wire)  # type: ignore[arg-type]  # as much of a client as is used
    assert (await work).state is AttemptState.SUCCEEDED


async def test_a_host_that_falls_silent_is_a_fault_that_is_tried_again_with_what_it_had_left() -> None:
    place = Place(Leaving(DONE), silent="")
    place.wire.silent = place.blobs.put(b'{"session_id": "left"}')
    outcome = await place.carry_out()
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, transitions.HOST_LOST, True)
    assert place.ctx.details == {"session_id": "left"}


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (service.RPCError("no route", service.RPCStatusCode.UNAVAILABLE, b""), transitions.HOST_LOST),
        (client.WorkflowFailureError(cause=exceptions.TerminatedError("by an operator")), "interrupted"),
    ],
)
async def test_what_temporal_itself_ends_is_no_crash_of_the_worker(trouble: Exception, kind: str) -> None:
    place = Place(Leaving(DONE))
    place.wire.trouble = trouble
    outcome = await place.carry_out()
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, kind, True)


@pytest.mark.parametrize("spoil", [b'{"run_id": "run", "of_a_newer_version": 1}', b"no json", None])
async def test_a_host_that_cannot_read_an_order_says_why_and_leaves_it_to_others(spoil: bytes | None) -> None:
    place = Place(Leaving(DONE))
    digest = "0" * 64 if spoil is None else place.blobs.put(spoil)
    paper = papers.CarryPaper(digest, "agents-claude", 60.0, 15.0)
    carried = await testing.ActivityEnvironment().run(place.wire.host.carry_out, paper)
    outcome = model.Outcome.model_validate_json(place.blobs.get(carried.outcome))
    assert (outcome.error_kind, outcome.retryable) == (transitions.HOST_LOST, True)
    assert "could not read what it was sent" in outcome.error
    assert place.worker.orders == []


@pytest.mark.parametrize("content", [None, b"no json", b'["a list"]'])
async def test_what_a_host_left_that_cannot_be_read_is_lost_alone_and_not_the_attempt(content: bytes | None) -> None:
    place = Place(Leaving(DONE), silent="0" * 64)
    if content is not None:
        place.wire.silent = place.blobs.put(content)
    outcome = await place.carry_out()
    assert outcome.error_kind == transitions.HOST_LOST
    assert place.ctx.details == {}


async def test_a_worker_that_crashes_on_a_host_is_told_of_as_anywhere() -> None:
    place = Place(Leaving(RuntimeError("out of paper")))
    outcome = await place.carry_out()
    assert (outcome.error_kind, outcome.retryable) == ("worker_crashed", True)
    assert "out of paper" in outcome.error


async def test_a_host_without_such_a_worker_says_so() -> None:
    place = Place(Leaving(DONE))
    outcome = await place.carry_out(worker=WorkerKind.API)
    assert (outcome.error_kind, outcome.retryable) == ("no_worker", False)
    assert place.worker.orders == []


async def test_cancelling_an_attempt_stops_its_host_and_keeps_what_it_leaves() -> None:
    place = Place(Leaving(None))
    work = place.carry_out()
    await place.worker.begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    carried = await place.wire.handles["control/carry/run/a/2"].result()
    assert (carried.outcome, carried.is_lost) == ("", False)
    assert place.ctx.details == {"session_id": "s-1"}


@pytest.mark.parametrize(("attempt", "is_stopped"), [(2, True), (1, False)])
async def test_recalling_an_attempt_stops_that_one_and_none_that_is_not_known(
    attempt: int, *, is_stopped: bool
) -> None:
    place = Place(Leaving(None))
    work = place.carry_out()
    await place.worker.begun.wait()
    await place.line.recall("run", transitions.Start("a", attempt, WorkerKind.CLAUDE, ""))
    if is_stopped:
        carried = await place.wire.handles["control/carry/run/a/2"].result()
        assert carried.outcome == ""
    else:
        assert not place.wire.handles["control/carry/run/a/2"].work.done()
    work.cancel()
    with pytest.raises((asyncio.CancelledError, errors.UnknownHandle)):
        await work


@pytest.mark.parametrize("shutdown", [True, False])
async def test_a_host_that_is_stopped_in_order_gives_its_work_up_as_lost(*, shutdown: bool) -> None:
    place = Place(Leaving(None))
    environment = testing.ActivityEnvironment()
    digest = place.blobs.put(order_papers.order_bytes(order()))
    paper = papers.CarryPaper(digest, "agents-claude", 60.0, 15.0)
    work = asyncio.create_task(environment.run(place.wire.host.carry_out, paper))
    await place.worker.begun.wait()
    environment.cancel(activity.ActivityCancellationDetails(worker_shutdown=shutdown, cancel_requested=not shutdown))
    carried = await work
    assert (carried.is_lost, carried.outcome) == (shutdown, "")
    assert place.blobs.get(carried.beat) == b'{"session_id": "s-1"}'


@pytest.mark.parametrize(
    ("worker", "directory", "queue"),
    [
        (WorkerKind.CLAUDE, "", "agents-claude-look"),
        (WorkerKind.CLAUDE, "/there", "agents-claude"),
        (WorkerKind.API, "", "agents-api-look"),
        (WorkerKind.COMMAND, "", "agents-command"),
    ],
)
async def test_what_changes_nothing_has_a_queue_of_its_own(worker: WorkerKind, directory: str, queue: str) -> None:
    place = Place(Leaving(DONE))
    await place.carry_out(worker=worker, directory=directory)
    assert place.wire.sent[0][0].queue == queue


@pytest.mark.parametrize(
    ("plan", "queues"),
    [
        (agent_host.HostPlan("q", 4), ["q-command", "q-claude", "q-claude-look"]),
        (agent_host.HostPlan("q", 4, read_only=True), ["q-claude-look"]),
        (agent_host.HostPlan("q", 0), []),
    ],
)
def test_a_host_takes_what_its_workers_can_do_and_one_that_only_reads_no_more(
    plan: agent_host.HostPlan, queues: list[str]
) -> None:
    worker = Leaving(DONE)
    assert plan.queues({WorkerKind.COMMAND: worker, WorkerKind.CLAUDE: worker}) == queues
