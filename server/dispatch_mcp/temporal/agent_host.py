"""A host of workers: takes orders from queues and carries them out, without the store of the run that they are of."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import anyio
import anyio.to_thread
from temporalio import activity, client, worker

from dispatch_mcp import errors, model
from dispatch_mcp.engine import task_runner
from dispatch_mcp.model import ports, transitions, work_order
from dispatch_mcp.temporal import connection, host_line, order_papers, papers, places

log = logging.getLogger(__name__)

BEAT_EVERY_S: Final = 2.0


@dataclass(slots=True)
class Pulse:
    """What the heartbeats of an order carry: the name of what its attempt leaves."""

    digest: str = ""


@dataclass(slots=True)
class HostContext:
    """The task context of an attempt whose run is driven elsewhere; what it leaves is sent on by heartbeats."""

    run_id: str
    task_id: str
    attempt: int
    last_beat: Mapping[str, model.Json]
    blobs: ports.Blobs
    details: dict[str, model.Json] = field(default_factory=dict[str, model.Json])
    pulse: Pulse = field(default_factory=Pulse)
    sent_details: dict[str, model.Json] = field(default_factory=dict[str, model.Json])

    def beat(self, **details: model.Json) -> None:
        """Keeps the newest details for the next attempt."""
        self.details.update(details)

    async def mail(self) -> Sequence[model.Message]:
        """Returns nothing: messages that come later go with the next attempt's order."""
        return ()

    async def send(self) -> None:
        """Keeps what the attempt leaves as a blob, and says so."""
        details = dict(self.details)
        if details != self.sent_details:
            self.pulse.digest = await anyio.to_thread.run_sync(self.blobs.put, json.dumps(details).encode())
            self.sent_details = details
        activity.heartbeat(self.pulse.digest)


@dataclass(frozen=True, slots=True)
class AgentHost:
    """Carries orders out with the workers of this machine.

    `blobs` are what it shares with the control plane; without `places` it shares the folders of the work too.
    """

    workers: ports.Workers
    blobs: ports.Blobs
    places: places.Places | None = None

    @activity.defn(name="carry_out")
    async def carry_out(self, paper: papers.CarryPaper) -> papers.CarriedPaper:
        """Returns what has become of an order; a cancelled one stops its programs first."""
        pulse = Pulse()
        async with _beside(_beat(pulse)):  # the blobs may be slow: then this host is alive all the same
            try:
                work = order_papers.order_of(await anyio.to_thread.run_sync(self.blobs.get, paper.order))
            except (errors.DispatchError, ValueError) as trouble:
                text = f"A host could not read what it was sent: {trouble}"
                return papers.CarriedPaper(
                    await self._kept(task_runner.failure(transitions.HOST_LOST, text, retryable=True))
                )
            ctx = HostContext(work.run_id, work.task.id, work.attempt, work.last_beat, self.blobs, pulse=pulse)
            try:
                async with _beside(_leave(ctx)):
                    outcome, change = await self._carried_out(ctx, work, paper.place)
            except asyncio.CancelledError:
                # Its programs are stopped. What they had used is said all the same; a host that stops in order is lost.
                await ctx.send()
                details = activity.cancellation_details()
                return papers.CarriedPaper(beat=pulse.digest, is_lost=bool(details and details.worker_shutdown))
            digest = await self._kept(outcome)
            await ctx.send()
        return papers.CarriedPaper(digest, change, beat=pulse.digest)

    async def _kept(self, outcome: model.Outcome) -> str:
        data = outcome.model_dump_json(exclude_unset=True).encode("utf-8", "surrogatepass")
        return await anyio.to_thread.run_sync(self.blobs.put, data)

    async def _carried_out(
        self, ctx: HostContext, work: work_order.WorkOrder, place_digest: str
    ) -> tuple[model.Outcome, str]:
        """Returns how an order ended, and the digest of what it has changed here, empty where folders are shared."""
        if not place_digest:
            return await task_runner.run_task(ctx, work, self.workers), ""
        if self.places is None:
            text = "This host shares no blobs with the control plane: set temporal_blobs here as it is there."
            return task_runner.failure("git_failed", text, retryable=True), ""
        try:
            data = await anyio.to_thread.run_sync(self.blobs.get, place_digest)
            place = await self.places.take(work, places.parcel_of(data))
        except (errors.DispatchError, OSError, ValueError) as trouble:
            return task_runner.failure(
                "git_failed", f"The work's folder could not be made: {trouble}", retryable=True
            ), ""
        ctx.beat(**{places.PLACE: str(place.folder)})
        try:
            outcome = await task_runner.run_task(ctx, place.work, self.workers)
        except asyncio.CancelledError:
            if not ctx.details.get(ports.SESSION):
                await self.places.leave(place)
            raise
        try:
            change = await self.places.change(place)
        except (errors.DispatchError, OSError) as trouble:
            failure = task_runner.failure(
                "git_failed", f"What was changed could not be sent back: {trouble}", retryable=True
            )
            return failure.model_copy(update={"usage": outcome.usage}), ""
        if not places.is_to_stay(outcome, ctx.details):
            await self.places.leave(place)
        return outcome, change


@asynccontextmanager
async def _beside(loop: Coroutine[None, None, None]) -> AsyncGenerator[None]:
    """Runs a loop as long as a block runs."""
    running = asyncio.create_task(loop)
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _beat(pulse: Pulse) -> None:
    while True:
        activity.heartbeat(pulse.digest)
        await asyncio.sleep(BEAT_EVERY_S)


async def _leave(ctx: HostContext) -> None:
    while True:
        try:
            await ctx.send()
        except Exception:
            log.exception("what %s/%s leaves was not kept", ctx.run_id, ctx.task_id)
        await asyncio.sleep(BEAT_EVERY_S)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What a host takes: from which queues, and how many orders of each kind at a time.

    `per_second` bounds how many begin on a queue in all, whichever hosts take them; None for no bound. One that is
    `read_only` takes only orders that change nothing.
    """

    agents: str
    slots: int
    per_second: float | None = None
    read_only: bool = False

    def queues(self, workers: ports.Workers) -> list[str]:
        """Returns the queues of what a host with these workers takes."""
        kinds = [kind for kind in host_line.DISTANT if kind in workers] if self.slots else []
        looks = [kind for kind in kinds if kind in transitions.MODEL_WORKERS]
        return [
            *(host_line.agent_queue(self.agents, kind) for kind in kinds if not self.read_only),
            *(host_line.agent_queue(self.agents, kind, looks=True) for kind in looks),
        ]


@asynccontextmanager
async def serving(
    server: client.Client,
    host: AgentHost,
    plan: HostPlan,
) -> AsyncGenerator[Sequence[connection.Ending]]:
    """Takes orders for every kind of worker here until the block ends; yields what is done early with a fault."""
    async with AsyncExitStack() as stack:
        if host.places is not None:
            await stack.enter_async_context(_beside(host.places.sweep_now_and_then()))
        make = _maker(server, host, plan)
        yield [
            await stack.enter_async_context(connection.offering(functools.partial(make, task_queue=queue)))
            for queue in plan.queues(host.workers)
        ]


async def serve(server: client.Client, connect: connection.Connect, host: AgentHost, plan: HostPlan) -> None:
    """Takes orders until cancelled, over a new connection whenever the last one has come to nothing."""
    while True:
        async with serving(server, host, plan) as endings:
            fault = await connection.first_fault(endings) if endings else await anyio.sleep_forever()
        log.error("this host takes no work for the moment", exc_info=fault)
        await anyio.sleep(connection.AGAIN_S)
        server = await connection.connected_at_last(connect)


def _maker(server: client.Client, host: AgentHost, plan: HostPlan) -> Callable[..., worker.Worker]:
    return functools.partial(
        worker.Worker,
        server,
        activities=[host.carry_out],
        max_concurrent_activities=plan.slots,
        max_task_queue_activities_per_second=plan.per_second,
        max_heartbeat_throttle_interval=timedelta(seconds=BEAT_EVERY_S),
        default_heartbeat_throttle_interval=timedelta(seconds=BEAT_EVERY_S),
        graceful_shutdown_timeout=timedelta(seconds=0),
    )
