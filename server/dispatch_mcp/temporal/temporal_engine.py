"""The engine whose runs are workflows of a Temporal server: it survives this process, and its workers are anywhere.

This process has the store, so it offers the steps of runs and the drives of their attempts; what an attempt needs a
worker for goes to a host (`host_line`). Runs are recorded and read without the server too: what cannot be started or
told of now is, once it answers.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
from temporalio import client, common, exceptions, service, worker
from temporalio.worker import workflow_sandbox

from dispatch_mcp import errors
from dispatch_mcp.engine import attempt_services, order_builder
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import WorkerKind, ports
from dispatch_mcp.process import private_files
from dispatch_mcp.store import owner_locks, sqlite_store
from dispatch_mcp.temporal import agent_host, connection, host_line, papers, places, run_steps, workflows

log = logging.getLogger(__name__)

STICKY: Final = timedelta(seconds=3)
"""How long a step waits for the process that keeps its workflow in memory, before any other one takes it."""

MOST_AT_ONCE: Final = 2_000
"""Activities of a process with the store: its attempts only wait for hosts."""

IDENTITY: Final = "temporal-id"
"""The file that names a store among those that share a Temporal namespace."""


@dataclass(frozen=True, slots=True)
class TemporalPlan:
    """How runs go through Temporal: the queues of the hosts, and how much this process takes of them itself.

    `kept_workflows` stay in memory between two steps; 0 reads each from its history, for servers that do not notice
    when a process that keeps them has ended. Without `distant` all work is done where runs are driven; without
    `sharing` hosts see the state folder and the workspaces of runs themselves.
    """

    agents: str = "agents"
    slots: int = 0
    per_second: float | None = None
    most_events: int = papers.MOST_EVENTS
    distant: bool = True
    kept_workflows: int = 1_000
    sharing: places.Sharing | None = None
    read_only: bool = False

    @property
    def host_plan(self) -> agent_host.HostPlan:
        """What this process takes from the queues."""
        return agent_host.HostPlan(self.agents, self.slots, self.per_second, self.read_only)

    def host(self, workers: ports.Workers, blobs: ports.Blobs) -> agent_host.AgentHost:
        """Returns who carries orders out here; `blobs` are those of the state folder."""
        if self.sharing is None:
            return agent_host.AgentHost(workers, blobs)
        return agent_host.AgentHost(workers, self.sharing.blobs, self.sharing.places)


class TemporalEngine(run_engine.RunEngine):
    """Has runs driven by workflows."""

    def __init__(
        self,
        store: sqlite_store.Store,
        workers: ports.Workers,
        *,
        tasks: anyio.abc.TaskGroup,
        clock: Callable[[], float],
        make_order: order_builder.MakeOrder,
        pace: run_engine.Pace,
        services: attempt_services.AttemptServices,
        plan: TemporalPlan,
        control: str,
    ) -> None:
        line = host_line.HostLine(store.blobs, control, plan.agents)
        if plan.sharing is not None:
            line = host_line.HostLine(plan.sharing.blobs, control, plan.agents, plan.sharing.sender, store.blobs)
        distant = host_line.DistantWorker(line)
        all_workers = {**workers, **dict.fromkeys(host_line.DISTANT, distant)} if plan.distant else workers
        super().__init__(
            store, all_workers, tasks=tasks, clock=clock, make_order=make_order, pace=pace, services=services
        )
        self.local_workers = workers
        self.plan = plan
        self.control = control
        self.line = line
        self.steps = run_steps.RunSteps(self, line)
        self._open: dict[str, int] = {}

    async def start(self, run_id: str) -> None:
        """Has a workflow drive the run; one that has one keeps it, and without a server it begins later."""
        if self.line.connection is None:
            return
        try:
            await self.line.connection.start_workflow(
                papers.RUN_WORKFLOW,
                papers.RunPaper(run_id, self.plan.most_events),
                id=workflow_id(self.control, run_id),
                task_queue=self.control,
                id_conflict_policy=common.WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=timedelta(seconds=10),
            )
        except (service.RPCError, exceptions.TemporalError) as trouble:
            log.warning("run %s begins once the Temporal server answers: %s", run_id, trouble)

    def poke(self, run_id: str) -> None:
        """Has the workflow of a run look at the store, if it has one."""
        self.beat_pulse()
        self._tasks.start_soon(self._signal_look, run_id)

    async def _signal_look(self, run_id: str, revision: int = -1) -> None:
        if self.line.connection is None:
            return
        handle = self.line.connection.get_workflow_handle(workflow_id(self.control, run_id))
        with contextlib.suppress(service.RPCError):  # none, or no server: then whoever starts it makes it look
            await handle.signal(papers.LOOK_SIGNAL, revision, rpc_timeout=timedelta(seconds=10))

    def look_again(self) -> None:
        """Tells the workflows of those runs that somebody else has moved."""
        self._tasks.start_soon(self._tell_moved)

    async def _tell_moved(self) -> None:
        try:
            runs = await self._open_runs()
        except errors.StoreError:
            return
        for run_id, revision in runs.items():
            last = self.steps.revisions.get(run_id, -1)
            if last >= 0 and revision > last:
                self.steps.revisions[run_id] = revision
                await self._signal_look(run_id, revision)

    async def _open_runs(self) -> dict[str, int]:
        self._open = await self.store.kept_by(owner_locks.ELSEWHERE)
        return self._open

    async def take_over(self) -> None:
        """Has runs driven that nobody drives, and those begun again whose workflow somebody has ended."""
        if self.line.connection is None:
            return
        for run_id in await self.store.adoptable(limit=20, kinds=WorkerKind):
            await self.start(run_id)

    async def resume(self) -> None:
        """Starts the workflows of open runs that have none any more."""
        for run_id in await self._open_runs():
            await self.start(run_id)

    @property
    def driven_runs(self) -> frozenset[str]:
        """The open runs that workflows drive, as of the last look."""
        return frozenset(self._open)

    async def serve(self, connect: connection.Connect) -> None:
        """Connects, however long that takes, and offers what workflows ask of this process; until cancelled."""
        while True:
            server = await connection.connected_at_last(connect)
            self.line.open(server)
            fault = await self._offer(server)
            log.error("this process takes no work for the moment", exc_info=fault)
            await anyio.sleep(connection.AGAIN_S)

    async def _offer(self, server: client.Client) -> BaseException | None:
        """Offers it on one connection, and returns what ended that."""
        host = self.plan.host(self.local_workers, self.store.blobs)
        async with AsyncExitStack() as stack:
            try:
                endings = [*await stack.enter_async_context(agent_host.serving(server, host, self.plan.host_plan))]
                endings.append(await stack.enter_async_context(connection.offering(self._control_worker(server))))
                await self.resume()
                return await connection.first_fault(endings)
            finally:
                # What is at work here is stopped and given back, while the server can still be told.
                with anyio.move_on_after(connection.FAREWELL_S, shield=True):
                    await stack.aclose()

    async def attach(self, connect: connection.Connect) -> None:
        """Connects without offering anything: for whoever only starts or steers for a moment."""
        self.line.open(await connection.connected_at_last(connect))

    def _control_worker(self, server: client.Client) -> Callable[..., worker.Worker]:
        return functools.partial(
            worker.Worker,
            server,
            task_queue=self.control,
            workflows=[workflows.RunWorkflow, workflows.CarryWorkflow],
            activities=self.steps.activities,
            max_concurrent_activities=MOST_AT_ONCE,
            max_cached_workflows=self.plan.kept_workflows,
            sticky_queue_schedule_to_start_timeout=STICKY,
            disable_eager_activity_execution=True,  # one handed to a process that ends is only missed after a while
            max_heartbeat_throttle_interval=timedelta(seconds=run_steps.BEAT_EVERY_S),
            default_heartbeat_throttle_interval=timedelta(seconds=run_steps.BEAT_EVERY_S),
            workflow_runner=workflow_sandbox.SandboxedWorkflowRunner(
                restrictions=workflow_sandbox.SandboxRestrictions.default.with_passthrough_modules(
                    "dispatch_mcp.temporal.papers"
                )
            ),
        )


def workflow_id(control: str, run_id: str) -> str:
    """Returns the id of the workflow that drives a run of the store with this queue."""
    return f"{control}/run/{run_id}"


def control_queue(home: Path) -> str:
    """Returns the queue of the processes that have this store, which a file in it names."""
    return f"dispatch-mcp-{private_files.common(home / IDENTITY, uuid.uuid4().hex).strip()}"


@asynccontextmanager
async def open_engine(
    store: sqlite_store.Store,
    workers: ports.Workers,
    connect: connection.Connect,
    *,
    plan: TemporalPlan = TemporalPlan(),
    clock: Callable[[], float] = time.time,
    make_order: order_builder.MakeOrder = order_builder.bare,
    pace: run_engine.Pace = run_engine.Pace(),
    services: attempt_services.AttemptServices = attempt_services.BARE,
    drives: bool = True,
) -> AsyncGenerator[TemporalEngine]:
    """Yields an engine whose runs go on without it; one that does not drive only starts and tells of them.

    Without `sharing` hosts see the state folder of the store and the workspaces of its runs themselves.
    """
    store.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    control = control_queue(store.home)
    async with anyio.create_task_group() as group:
        engine = TemporalEngine(
            store,
            workers,
            tasks=group,
            clock=clock,
            make_order=make_order,
            pace=pace,
            services=services,
            plan=plan,
            control=control,
        )
        group.start_soon(engine.watch)
        group.start_soon(engine.serve if drives else engine.attach, connect)
        try:
            yield engine
        finally:
            group.cancel_scope.cancel()
