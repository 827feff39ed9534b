"""The activities of a run: the steps of its state machine and its attempts, in a process that has the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio.to_thread
from temporalio import activity, exceptions

from dispatch_mcp import errors, model
from dispatch_mcp.engine import council_rounds, order_builder, task_runner
from dispatch_mcp.engine.driving import run_attempts, run_engine
from dispatch_mcp.model import TaskState, records, transitions
from dispatch_mcp.store import owner_locks
from dispatch_mcp.temporal import host_line, order_papers, papers
from dispatch_mcp.text import escape

log = logging.getLogger(__name__)

BEAT_EVERY_S: Final = 3.0
"""A fifth of the silence after which another process says that this one is gone."""

TRIES: Final = 5
"""As often a step that meets a fault of ours is tried before its drive counts as failed."""

_CANCELLED: Final = "cancelled where Temporal shows it"


@dataclass(slots=True)
class RunSteps:
    """Carries out what the workflows of runs ask for. `revisions` are those that steps of this process have made."""

    engine: run_engine.RunEngine
    line: host_line.HostLine
    revisions: dict[str, int] = field(default_factory=dict[str, int])
    _runs: dict[str, run_attempts.RunAttempts] = field(default_factory=dict[str, run_attempts.RunAttempts])
    _begun: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])
    _ends_told: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def activities(self) -> Sequence[Callable[..., object]]:
        """What a Temporal worker offers of this."""
        return (self.adopt, self.step, self.attempt, self.settle)

    @activity.defn(name="adopt")
    async def adopt(self, run_id: str) -> int:
        """Returns the epoch under which the run is driven from now on, -1 if it is over or another engine has it.

        A history that begins has no attempt out: what the store still has running has lost its workflow.
        """
        store = self.engine.store
        epoch = await store.adopt(run_id, owner_locks.ELSEWHERE)
        if epoch is None:
            return -1
        owner = records.Owner(owner_locks.ELSEWHERE, epoch)
        losses = [self._lost(start) for start in await store.begun(run_id)]
        if losses:
            await store.advance(run_id, records.Step(now=self.engine.clock(), owner=owner, finished=losses))
        return epoch

    @activity.defn(name="step")
    async def step(self, paper: papers.StepPaper) -> papers.Standing:
        """Records what ended, begins what may begin, and returns where the run stands."""
        try:
            return await self._step(paper, is_again=activity.info().attempt > 1)
        except errors.Fenced as fenced:
            raise exceptions.ApplicationError(str(fenced), type="Fenced", non_retryable=True) from fenced
        except errors.StoreError:
            raise
        except Exception as fault:
            log.exception("a step of run %s failed", paper.run_id)
            if activity.info().attempt < TRIES:
                raise
            owner = records.Owner(owner_locks.ELSEWHERE, paper.epoch)
            await self.engine.store.fail_drive(paper.run_id, owner, escape.one_line(repr(fault), limit=600))
            raise exceptions.ApplicationError("drive failed", type="DriveFailed", non_retryable=True) from fault

    async def _step(self, paper: papers.StepPaper, *, is_again: bool) -> papers.Standing:
        store = self.engine.store
        starts_out = {start.task_id: start for start in await store.begun(paper.run_id)} if is_again else {}
        ends = [end for end in paper.ends if not is_again or _is_out(starts_out, end)]
        reports = await anyio.to_thread.run_sync(self._outcomes, [end for end in ends if end.outcome])
        actions = [records.Action("give_back", end.task_id, attempt=end.attempt) for end in ends if end.given_back]
        if paper.cancel:
            actions.append(records.Action("cancel", reason=_CANCELLED))
        step = records.Step(
            now=self.engine.clock(),
            owner=records.Owner(owner_locks.ELSEWHERE, paper.epoch),
            finished=reports,
            actions=actions,
            start=transitions.SERVER_WORKERS if paper.may_begin else frozenset(),
        )
        advance = await store.advance(paper.run_id, step)
        self._remember(paper.run_id, reports, advance)
        # The answer of an earlier try may have been lost with what it began.
        starts = await store.begun(paper.run_id) if is_again else advance.starts
        standing = await self._standing(paper, advance, starts)
        if standing.is_over and not advance.running:
            await self._tell_end(paper.run_id, advance.revision)
        return standing

    async def _standing(
        self, paper: papers.StepPaper, advance: records.Advance, starts: Collection[transitions.Start]
    ) -> papers.Standing:
        is_moved = paper.revision >= 0 and advance.revision_before != paper.revision
        until = advance.waiting_until
        return papers.Standing(
            advance.state.value,
            advance.revision,
            advance.plan_version,
            advance.state in model.RUN_FINAL,
            starts=[order_papers.start_paper(start) for start in starts],
            at_work=await self._at_work(paper.run_id) if is_moved else None,
            wait_s=None if until is None else max(0.0, until - self.engine.clock()),
            needs_verdict=advance.needs_verdict,
        )

    async def _at_work(self, run_id: str) -> dict[str, int]:
        rows = await self.engine.store.tasks(run_id)
        return {row.id: row.attempt for row in rows if row.state is TaskState.RUNNING}

    def _outcomes(self, ends: Sequence[papers.EndPaper]) -> list[transitions.Finished]:
        read = self.engine.store.blobs.get
        return [
            transitions.Finished(end.task_id, end.attempt, model.Outcome.model_validate_json(read(end.outcome)))
            for end in ends
        ]

    def _remember(self, run_id: str, reports: Sequence[transitions.Finished], advance: records.Advance) -> None:
        self.revisions[run_id] = advance.revision
        results = self._run(run_id).results
        for end, is_accepted in zip(reports, advance.accepted, strict=True):
            if is_accepted and end.outcome.state is model.AttemptState.SUCCEEDED:
                results[end.task_id] = order_builder.upstream_of(end.task_id, end.outcome)
        self.engine.beat_pulse()

    async def _tell_end(self, run_id: str, revision: int) -> None:
        if self._ends_told.get(run_id) != revision:
            self._ends_told[run_id] = revision
            self._runs.pop(run_id, None)
            self._begun -= {key for key in self._begun if key[0] == run_id}
            await self.engine.tell_end(run_id)

    def _run(self, run_id: str) -> run_attempts.RunAttempts:
        attempts = self._runs.get(run_id)
        if attempts is None:
            attempts = self._runs[run_id] = run_attempts.RunAttempts(self.engine.means, run_id)
        return attempts

    @activity.defn(name="attempt")
    async def attempt(self, paper: papers.AttemptPaper) -> papers.EndPaper:
        """Carries an attempt out; of one whose process has died it only says so, as its state is not known."""
        start = order_papers.start_of(paper.start)
        key = paper.run_id, start.task_id, start.attempt
        if activity.info().attempt > 1:
            await self.line.recall(paper.run_id, start)
            return await self._end(_out_of_sight(start) if key in self._begun else self._lost(start))
        self._begun.add(key)
        ends: list[transitions.Finished] = []
        attempts = self._run(paper.run_id)
        async with _heartbeats(attempts):
            try:
                await attempts.carry_out(paper.plan_version, start, ends.append)
            except asyncio.CancelledError:
                details = activity.cancellation_details()
                if details is not None and details.worker_shutdown:
                    return papers.EndPaper(start.task_id, start.attempt, given_back=True)
                if not ends:
                    raise
            await attempts.settle_beat(start.task_id, start.attempt)
        return await self._end(ends[0])

    async def _end(self, end: transitions.Finished) -> papers.EndPaper:
        data = end.outcome.model_dump_json(exclude_unset=True).encode("utf-8", "surrogatepass")
        digest = await anyio.to_thread.run_sync(self.engine.store.blobs.put, data)
        return papers.EndPaper(end.task_id, end.attempt, digest)

    @staticmethod
    def _lost(start: transitions.Start) -> transitions.Finished:
        text = "The process that carried this attempt out has died."
        outcome = task_runner.failure(transitions.FAULT, text, retryable=True)
        return transitions.Finished(start.task_id, start.attempt, outcome)

    @activity.defn(name="settle")
    async def settle(self, run_id: str) -> None:
        """Records what a council decides whose last reviewer has answered."""
        await council_rounds.load(self.engine.store, run_id, records.ANYBODY)
        self.engine.beat_pulse()


def _out_of_sight(start: transitions.Start) -> transitions.Finished:
    """Returns how an attempt ended that was at work here when its server lost sight of this process, which lives."""
    text = "The Temporal server was away for too long, so that nobody knew of this attempt any more."
    outcome = task_runner.failure(transitions.HOST_LOST, text, retryable=True)
    return transitions.Finished(start.task_id, start.attempt, outcome)


def _is_out(starts_out: Mapping[str, transitions.Start], end: papers.EndPaper) -> bool:
    return end.task_id in starts_out and starts_out[end.task_id].attempt == end.attempt


@asynccontextmanager
async def _heartbeats(attempts: run_attempts.RunAttempts) -> AsyncGenerator[None]:
    """Says that an attempt is alive, and writes what it leaves for its successors, until the block ends."""
    beside = [asyncio.create_task(_beat()), asyncio.create_task(attempts.write_beats())]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*beside, return_exceptions=True)


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_EVERY_S)
