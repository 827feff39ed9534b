"""From an attempt to a host that can do its work, and back: the workers that the driver of an attempt sees."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import anyio.to_thread
from temporalio import client, service

from dispatch_mcp import errors, model
from dispatch_mcp.engine import task_runner
from dispatch_mcp.git import git_process, parcels
from dispatch_mcp.model import WorkerKind, failures, ports, transitions, work_order
from dispatch_mcp.temporal import order_papers, papers, places

log = logging.getLogger(__name__)

LOOK_S: Final = 3.0
"""How often what a host has left for the next attempt is fetched, in seconds."""

SILENCE_S: Final = 15.0
"""Seconds without a word after which a host counts as lost."""

FAREWELL_S: Final = 20.0
"""What a host gets to stop its programs and say what they used, once an attempt is cancelled."""

UNBOUNDED_S: Final = 30 * 86_400.0
"""A month, for work without a deadline: longer than anybody waits for an agent."""

MARGIN_S: Final = 120.0
"""What a host may take beyond the deadline of its work, to stop programs and to send what came of it."""

DISTANT: Final = (WorkerKind.COMMAND, WorkerKind.API, WorkerKind.CLAUDE)
"""What hosts do; simulated work is done where the run is driven."""

_RANKS: Final[Mapping[model.Priority, int]] = {
    model.Priority.HIGH: 2,
    model.Priority.MEDIUM: 3,
    model.Priority.LOW: 4,
}


def agent_queue(base: str, kind: WorkerKind, *, looks: bool = False) -> str:
    """Returns the queue of what needs a certain kind of worker, or of that part of it which only looks."""
    return f"{base}-{kind.value}{'-look' if looks else ''}"


def only_looks(work: work_order.WorkOrder) -> bool:
    """Returns whether an order changes nothing: a model without a directory of its own has no tools that could.

    What a command does, nobody knows before.
    """
    return work.worker in transitions.MODEL_WORKERS and not work.directory


@dataclass(slots=True)
class HostLine:
    """The way to the hosts. `blobs` is what both sides reach; `control` is the queue of the process with the store.

    With a `sender` hosts see no folder of this machine: what they work on is sent to them, and what they change comes
    back; `own_blobs` then keeps what results refer to.
    """

    blobs: ports.Blobs
    control: str
    agents: str
    sender: parcels.Sender | None = None
    own_blobs: ports.Blobs | None = None
    connection: client.Client | None = None
    opening: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, connection: client.Client) -> None:
        """Lets what waits for a connection go on."""
        self.connection = connection
        self.opening.set()

    async def _client(self) -> client.Client:
        await self.opening.wait()
        assert self.connection is not None
        return self.connection

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns what a host has made of an order; one that nobody hears of any more counts as lost, with its work."""
        try:
            return await self._carry_out(ctx, work)
        except service.RPCError as trouble:
            log.warning("nobody knows what became of %s/%s: %s", work.run_id, work.task.id, trouble)
            return _lost("The Temporal server did not say what became of this work.")
        except client.WorkflowFailureError:
            text = "Somebody has ended this work where Temporal shows it."
            return task_runner.failure("interrupted", text, retryable=True)

    async def _carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        if self.sender is None or not work.cwd:
            return await self._outcome(await self._carried(ctx, work))
        try:
            parcel = await self.sender.pack(work.cwd, places.declared_files(work))
            digest = await anyio.to_thread.run_sync(self.blobs.put, places.parcel_bytes(parcel))
        except errors.WorkerError as trouble:
            return _failure(trouble, "git_failed", "The work could not be sent to a host")
        paper = await self._carried(ctx, work, digest)
        outcome = await self._outcome(paper)
        if not paper.change:
            return outcome
        try:
            await self.sender.take_back(work.cwd, parcel, paper.change, moves_head=bool(work.directory))
        except errors.WorkerError as trouble:
            failure = _failure(trouble, "not_kept", "What a host has changed could not be taken over")
            return failure.model_copy(update={"usage": outcome.usage})
        return outcome

    async def _carried(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, place: str = ""
    ) -> papers.CarriedPaper:
        """Returns what came back from a host."""
        connection = await self._client()
        order = await anyio.to_thread.run_sync(self.blobs.put, order_papers.order_bytes(work))
        handle = await connection.start_workflow(
            papers.CARRY_WORKFLOW,
            papers.CarryPaper(
                order,
                agent_queue(self.agents, work.worker, looks=only_looks(work)),
                UNBOUNDED_S if work.timeout_s is None else work.timeout_s + MARGIN_S,
                SILENCE_S,
                _RANKS[work.task.priority],
                place,
            ),
            id=self._id(work.run_id, work.task.id, work.attempt),
            task_queue=self.control,
            result_type=papers.CarriedPaper,
        )
        watching = asyncio.create_task(self._watch(ctx, handle))
        try:
            paper: papers.CarriedPaper = await handle.result()
        except asyncio.CancelledError:
            await self._stop(ctx, handle)
            raise
        finally:
            watching.cancel()
        if paper.beat:
            await self._keep(ctx, paper.beat)
        return paper

    async def _outcome(self, paper: papers.CarriedPaper) -> model.Outcome:
        if paper.is_lost:
            return _lost("The host that did this work fell silent.")
        data = await anyio.to_thread.run_sync(self.blobs.get, paper.outcome)
        outcome = model.Outcome.model_validate_json(data)
        if self.own_blobs is not None:
            for artifact in outcome.handoff.artifacts:
                if artifact.digest:
                    await anyio.to_thread.run_sync(self._copy, artifact.digest)
        return outcome

    def _copy(self, digest: str) -> None:
        """Keeps here what a host's result refers to; what is not there any more is missed by whoever reads it."""
        assert self.own_blobs is not None
        try:
            self.own_blobs.put(self.blobs.get(digest))
        except errors.UnknownHandle:
            log.warning("a host's result refers to %s, which is nowhere", digest)

    async def _stop(self, ctx: ports.TaskContext, handle: client.WorkflowHandle[object, papers.CarriedPaper]) -> None:
        """Has a host stop its programs, and waits until it says so and what they had used."""
        with contextlib.suppress(service.RPCError, client.WorkflowFailureError, asyncio.TimeoutError):
            await handle.cancel()
            paper = await asyncio.wait_for(handle.result(), FAREWELL_S)
            if paper.beat:
                await self._keep(ctx, paper.beat)

    async def _watch(self, ctx: ports.TaskContext, handle: client.WorkflowHandle[object, papers.CarriedPaper]) -> None:
        """Keeps what a host leaves for the next attempt where the run is driven, while it works."""
        last = ""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                digest = await _beat_of(handle)
            except service.RPCError as trouble:
                log.info("a host's progress is not known: %s", trouble)
                continue
            if digest and digest != last:
                last = digest
                await self._keep(ctx, digest)

    async def _keep(self, ctx: ports.TaskContext, digest: str) -> None:
        try:
            ctx.beat(**json.loads(await anyio.to_thread.run_sync(self.blobs.get, digest)))
        except Exception:
            log.exception("what a host left for the next attempt is lost")

    async def recall(self, run_id: str, start: transitions.Start) -> None:
        """Cancels what a host may still do for an attempt that nobody waits for any more."""
        connection = await self._client()
        with contextlib.suppress(service.RPCError):
            await connection.get_workflow_handle(self._id(run_id, start.task_id, start.attempt)).cancel()

    def _id(self, run_id: str, task_id: str, attempt: int) -> str:
        return f"{self.control}/carry/{run_id}/{task_id}/{attempt}"


def _lost(text: str) -> model.Outcome:
    return task_runner.failure(transitions.HOST_LOST, text, retryable=True)


def _failure(trouble: errors.WorkerError, kind: failures.FailureKind, event: str) -> model.Outcome:
    kind = trouble.kind if isinstance(trouble, git_process.Lasting) else kind
    return task_runner.failure(kind, f"{event}: {trouble}", retryable=failures.is_retryable(kind))


async def _beat_of(handle: client.WorkflowHandle[object, papers.CarriedPaper]) -> str:
    """Returns the digest of what the host has left last, empty when there is nothing."""
    description = await handle.describe(rpc_timeout=timedelta(seconds=5))
    for pending in description.raw_description.pending_activities:
        if pending.heartbeat_details.payloads:
            [digest] = await description.data_converter.decode(pending.heartbeat_details.payloads[:1], [str])
            return str(digest)
    return ""


@dataclass(frozen=True, slots=True)
class DistantWorker(ports.KeepsDeadline):
    """The worker that an attempt sees of a host that has yet to be found."""

    line: HostLine

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns what a host has made of the order."""
        return await self.line.carry_out(ctx, work)
