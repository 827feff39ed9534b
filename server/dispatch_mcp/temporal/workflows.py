"""The deterministic part: one workflow drives one run, another one has one piece of work done by a host.

A run's workflow is the loop that the embedded engine's `Drive` is: record what ended, begin what may begin, wait.
What may happen next it does not decide; that is `runs.state_machine`, asked in the one transaction of a step.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta

from temporalio import exceptions, workflow
from temporalio.common import Priority, RetryPolicy

from dispatch_mcp.temporal import papers

_STEP_S = timedelta(seconds=60)
_BEAT_S = timedelta(seconds=15)
_LONGEST = timedelta(days=30)
"""An attempt's own deadline ends it; this only bounds what a server keeps."""

_ALARMS = "timers are not cancelled"

_AGAIN = RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=20))
"""A step that fails for its process or its disk is tried until it succeeds: it can be repeated without harm."""

_LOST_TWICE = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_attempts=0)
"""An attempt whose process dies is handed to another one, which only says so: whether it is tried again is decided by
the state machine alone, which counts it."""

_ONCE = RetryPolicy(maximum_attempts=1)


@workflow.defn(name=papers.RUN_WORKFLOW)
class RunWorkflow:
    """Drives one run to its end."""

    def __init__(self) -> None:
        self._looks = 0
        self._alarm: datetime | None = None
        self._bells = set[asyncio.Task[None] | None]()
        self._revision = -1
        self._is_cancelled = False
        self._ends: list[papers.EndPaper] = []
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}

    @workflow.run
    async def run(self, paper: papers.RunPaper) -> str:
        """Returns the state in which the run ended, or why it is not driven here."""
        loop = asyncio.create_task(self._drive(paper))
        try:
            return await asyncio.shield(loop)
        except asyncio.CancelledError:
            # Somebody cancels the workflow where Temporal shows it: the run is cancelled, as its other doors do it.
            self._is_cancelled = True
            return await loop

    @workflow.signal(name=papers.LOOK_SIGNAL)
    def look(self, revision: int = -1) -> None:
        """Has the run looked at again: somebody has moved it to this revision; -1 where they do not know."""
        if revision < 0 or revision > self._revision:
            self._looks += 1

    @workflow.query(name=papers.REVISION_QUERY)
    def revision(self) -> int:
        """Returns the revision of the run that the last step has seen."""
        return self._revision

    async def _drive(self, paper: papers.RunPaper) -> str:
        epoch = await workflow.execute_activity(
            "adopt", paper.run_id, result_type=int, start_to_close_timeout=_STEP_S, retry_policy=_AGAIN
        )
        if epoch < 0:
            return "not ours"
        while True:
            is_full = workflow.info().get_current_history_length() >= paper.most_events
            self._looks = 0
            standing = await self._step(paper, epoch, may_begin=not is_full)
            self._begin(paper.run_id, standing)
            self._drop_revoked(standing)
            is_idle = not self._running and not self._ends
            if standing.is_over and is_idle:
                return standing.state
            if is_full and is_idle:
                workflow.continue_as_new(paper)
            if standing.needs_verdict and is_idle:
                await self._settle(paper.run_id)
            else:
                await self._wait(standing.wait_s)

    async def _step(self, paper: papers.RunPaper, epoch: int, *, may_begin: bool) -> papers.Standing:
        batch, self._ends = self._ends, []
        cancel, self._is_cancelled = self._is_cancelled, False
        step = papers.StepPaper(
            paper.run_id,
            epoch,
            ends=batch,
            may_begin=may_begin,
            cancel=cancel,
            revision=self._revision,
        )
        standing = await workflow.execute_activity(
            "step", step, result_type=papers.Standing, start_to_close_timeout=_STEP_S, retry_policy=_AGAIN
        )
        self._revision = standing.revision
        return standing

    def _begin(self, run_id: str, standing: papers.Standing) -> None:
        end_keys = {(end.task_id, end.attempt) for end in self._ends}
        for start in standing.starts:
            is_here = self._running.get(start.task_id, (0, None))[0] == start.attempt
            if not is_here and (start.task_id, start.attempt) not in end_keys:
                order = papers.AttemptPaper(run_id, standing.plan_version, start)
                self._running[start.task_id] = start.attempt, asyncio.create_task(self._attempt(order))

    async def _attempt(self, order: papers.AttemptPaper) -> None:
        start = order.start
        end = papers.EndPaper(start.task_id, start.attempt)
        try:
            end = await workflow.execute_activity(
                "attempt",
                order,
                result_type=papers.EndPaper,
                start_to_close_timeout=_LONGEST,
                heartbeat_timeout=_BEAT_S,
                retry_policy=_LOST_TWICE,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except exceptions.ActivityError as trouble:
            if not exceptions.is_cancelled_exception(trouble):
                workflow.logger.warning("attempt %d of %s did not come back", start.attempt, start.task_id)
        finally:
            if self._running.get(start.task_id, (0, None))[0] == start.attempt:
                del self._running[start.task_id]
            if end.outcome or end.given_back:
                self._ends.append(end)
            self._looks += 1

    def _drop_revoked(self, standing: papers.Standing) -> None:
        """Cancels attempts that somebody else's change has closed."""
        if standing.at_work is None:
            return
        for task_id, (attempt, handle) in list(self._running.items()):
            if standing.at_work.get(task_id) != attempt:
                handle.cancel()

    async def _settle(self, run_id: str) -> None:
        """Records what a council decides whose last reviewer has answered."""
        await workflow.execute_activity("settle", run_id, start_to_close_timeout=_STEP_S, retry_policy=_AGAIN)

    async def _wait(self, wait_s: float | None) -> None:
        """Returns when there is something to look at, or a time is over.

        A timer is left to ring and never cancelled: that is an event fewer, and Temporal's time-skipping server loses
        a workflow that cancels one in the moment in which it rings. Histories of before go on as they began.
        """
        if wait_s is None:
            await workflow.wait_condition(lambda: self._is_to_look)
            return
        pause = timedelta(seconds=max(wait_s, 0.001))
        if not workflow.patched(_ALARMS):
            with contextlib.suppress(asyncio.TimeoutError):
                await workflow.wait_condition(lambda: self._is_to_look, timeout=pause)
            return
        due = workflow.now() + pause
        while not self._is_to_look and workflow.now() < due:
            if self._alarm is None or self._alarm > due:
                self._alarm = due
                self._bells.add(asyncio.create_task(self._ring(due)))
            await workflow.wait_condition(lambda alarm=self._alarm: self._is_to_look or self._alarm != alarm)

    async def _ring(self, due: datetime) -> None:
        await workflow.sleep(due - workflow.now())
        self._alarm = None if self._alarm == due else self._alarm
        self._bells.discard(asyncio.current_task())

    @property
    def _is_to_look(self) -> bool:
        return bool(self._looks or self._ends or self._is_cancelled)


@workflow.defn(name=papers.CARRY_WORKFLOW)
class CarryWorkflow:
    """Has one order carried out by a host that can, and says what came back."""

    @workflow.run
    async def run(self, paper: papers.CarryPaper) -> papers.CarriedPaper:
        """Returns what a host has made of the order; a host that falls silent is said to be lost, and not replaced.

        Whether the work is tried again is decided by the state machine of its run, which counts it.
        """
        try:
            return await workflow.execute_activity(
                "carry_out",
                paper,
                task_queue=paper.queue,
                result_type=papers.CarriedPaper,
                start_to_close_timeout=timedelta(seconds=paper.deadline_s),
                schedule_to_start_timeout=None,
                heartbeat_timeout=timedelta(seconds=paper.silence_s),
                retry_policy=_ONCE,
                priority=Priority(priority_key=paper.priority),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except exceptions.ActivityError as trouble:
            if exceptions.is_cancelled_exception(trouble):
                raise
            cause = trouble.cause
            details = cause.last_heartbeat_details if isinstance(cause, exceptions.TimeoutError) else ()
            return papers.CarriedPaper(beat=str(details[0]) if details else "", is_lost=True)
