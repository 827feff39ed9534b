"""The host's own calls of subagents: which attempt each of them begins, and which session has it.

A host whose hooks ask us holds no brief: it calls a subagent by the name of an attempt, and gets the brief here when it
really begins. So what is out and what has begun can be told apart, and a session that ends gives back what it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.hooks import holders, hook_words
from dispatch_mcp.model import TaskState, problems, records, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import report_reader
from dispatch_mcp.service import dispatcher, traces
from dispatch_mcp.store.looks import host_begins
from dispatch_mcp.text import json_types

MOST_TRIES: Final = 5
"""How often an attempt is taken whose details others change at the same moment."""

MOST_RUNS: Final = 50
"""Open runs, the newest first, among which those of a session are looked for."""

Call = dict[str, model.Json]
"""The arguments of the host's call of a subagent, but for the prompt."""


class Begun(NamedTuple):
    """An attempt that has begun: the run's id, the arguments for the host's call as planned, and the whole brief."""

    run_id: str
    call: Call
    brief: str


@dataclass(frozen=True, slots=True)
class HostCalls:
    """What the sessions of a dispatcher's principal begin in its workspace, hold and give back."""

    app: dispatcher.Dispatcher

    async def begin(self, run: str, task_id: str, attempt: int, session: holders.Session, call_id: str) -> Begun:
        """Lets a session's subagent begin an attempt that the host was handed.

        Raises:
            UnknownHandle: there is no such run or task here.
            NotAllowed: the attempt is not out, somebody else has it, its run does not go on, or a ceiling forbids it.
        """
        view = await self.app.handles.run(run)
        row = self._row(view, task_id)
        if why := await traces.held(self.app.store, view) or _obstacle(view, row, attempt):
            raise errors.NotAllowed(f"Attempt {attempt} of {task_id!r} cannot begin: {why}.", hint=view.next_step())
        await self._hold(view, row, session, call_id)
        await self._act(view, records.Action("begin", task_id, attempt=attempt))
        after = await self.app.handles.run(view.run.id)
        if after.rows[task_id].state is not TaskState.RUNNING:
            why = (await self.app.store.attempts(view.run.id, task_id))[-1].error
            handover = await self.app.contact.hand_out(view.run.id)  # what else may begin, or that the run waits
            raise errors.NotAllowed(f"{task_id!r} cannot begin: {why}.", hint=handover.view.next_step())
        brief = await self.app.store.kept_brief(view.run.id, task_id, attempt)
        return Begun(view.run.id, call_of(view, task_id), brief or await self.app.contact.host.prompt(after, row))

    async def _hold(
        self, view: run_view.RunView, row: records.TaskRecord, session: holders.Session, call_id: str
    ) -> None:
        """Gives an attempt to one call; of several at once, also of other processes, only the first has it."""
        for _ in range(MOST_TRIES):
            _refuse_held(holder_of(view, row), session, call_id, row.id)
            beat = view.attempts[row.id].beat
            if await self.app.store.beat(
                view.run.id, row.id, row.attempt, {**beat, host_begins.HOLDER: session.holds(call_id)}, after=beat
            ):
                return
            view = await self.app.handles.run(view.run.id)
            row = view.rows[row.id]
            if why := _obstacle(view, row, row.attempt):
                break
        else:
            why = "it changes all the time"
        raise errors.NotAllowed(f"{row.id!r} cannot begin: {why}.", hint=view.next_step())

    def _row(self, view: run_view.RunView, task_id: str) -> records.TaskRecord:
        run = view.run
        if run.workspace != self.app.handles.workspace:
            raise errors.NotAllowed(
                f"Run {short_ids.short(run.id)!r} is of another workspace, {run.workspace!r}.",
                hint=NextStep(StepKind.LIST_RUNS),
            )
        row = view.rows.get(task_id)
        if row is None:
            nearest = problems.nearest(task_id, list(view.rows))
            raise errors.UnknownHandle(
                f"Run {short_ids.short(run.id)!r} has no task {task_id!r}"
                + (f"; did you mean {nearest!r}?" if nearest else "."),
                hint=NextStep(StepKind.LIST_TASKS, run.id),
            )
        return row

    async def give_back(self, session: holders.Session) -> int:
        """Takes back what a session that has ended had begun, and returns how many attempts that were."""
        return await self._take_back(lambda holder: holder.session.is_same(session))

    async def give_back_of_dead(self) -> int:
        """Takes back what sessions had begun whose process is gone, and returns how many attempts that were."""
        return await self._take_back(lambda holder: not holder.session.is_alive)

    async def _take_back(self, is_lost: Callable[[holders.Holder], bool]) -> int:
        count = 0
        for view in await self.open_runs():
            rows = [row for row in view.tasks if (holder := holder_of(view, row)) and is_lost(holder)]
            if rows:
                await self._act(view, *[records.Action("give_back", row.id, attempt=row.attempt) for row in rows])
                count += len(rows)
        return count

    async def take_back_overdrawn(self, view: run_view.RunView, row: records.TaskRecord) -> None:
        """Takes back an attempt that has not begun, if a ceiling does not bear it; others may begin in its place."""
        await self._act(view, records.Action("begin", row.id, attempt=row.attempt))
        await self.app.contact.hand_out(view.run.id)

    async def open_runs(self) -> list[run_view.RunView]:
        """Returns the runs of this workspace that are not over, the newest first."""
        runs = await self.app.store.runs(self.app.handles.principal, open_only=True, limit=MOST_RUNS)
        return [await self.app.handles.run(run.id) for run in runs if run.workspace == self.app.handles.workspace]

    async def _act(self, view: run_view.RunView, *actions: records.Action) -> None:
        step = records.Step(now=self.app.clock(), actions=actions, lease_s=self.app.contact.lease_s)
        await self.app.store.advance(view.run.id, step)
        self.app.engine.poke(view.run.id)


def holder_of(view: run_view.RunView, row: records.TaskRecord) -> holders.Holder | None:
    """Returns which session has begun the attempt of a task that is out with the host; None if none has."""
    if not report_reader.is_out(row) or row.id not in view.attempts:
        return None
    fields = view.attempts[row.id].beat.get(host_begins.HOLDER)
    if not json_types.is_object(fields):
        return None
    pid = fields.get("pid")
    session = holders.Session(str(fields.get("id") or ""), pid if isinstance(pid, int) else 0)
    return holders.Holder(session, str(fields.get("call") or ""))


def unbegun(view: run_view.RunView) -> Sequence[records.TaskRecord]:
    """Returns the tasks of a run that are out with the host and that no session has begun."""
    return [row for row in view.tasks if report_reader.is_out(row) and holder_of(view, row) is None]


def call_of(view: run_view.RunView, task_id: str) -> Call:
    """Returns how the host was asked to call a subagent for a task that is out; nothing if nobody kept it."""
    beat: Mapping[str, model.Json] = view.attempts[task_id].beat if task_id in view.attempts else {}
    call = beat.get(host_begins.CALL)
    return dict(call) if json_types.is_object(call) else {}


def _refuse_held(holder: holders.Holder | None, session: holders.Session, call_id: str, task_id: str) -> None:
    if holder is None or not holder.session.is_alive:
        return
    if not holder.session.is_same(session):
        raise errors.NotAllowed(f"Another session does {task_id!r} already.", hint="Leave it to that session.")
    if holder.call_id != call_id:
        raise errors.NotAllowed(
            f"A subagent of this session does {task_id!r} already.",
            hint="Wait for it. If it is lost, report this attempt as failed, and another one comes.",
        )


def _obstacle(view: run_view.RunView, row: records.TaskRecord, attempt: int) -> str:
    """Returns why an attempt cannot begin now, or an empty string."""
    is_over = view.run.state in model.RUN_FINAL
    place = hook_words.AttemptStates(view.run.state.value, is_over, row.worker.value, row.state.value, row.attempt)
    return place.obstacle(attempt)
