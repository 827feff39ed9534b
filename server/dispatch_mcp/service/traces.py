"""Views of a run, read from the store and never from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import anyio
import anyio.to_thread

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.agents import a2a_card
from dispatch_mcp.engine import executor, run_view
from dispatch_mcp.model import TaskState, WorkerKind, records
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import flowchart, plan_checks, todo_list
from dispatch_mcp.runs import budget, capsules, next_step
from dispatch_mcp.service import answers, handles
from dispatch_mcp.store import sqlite_store

View = Literal["summary", "timeline", "results", "artifacts", "todo", "mermaid", "all"]

MAX_WAIT_S = 45.0
"""How long a trace waits for news at most; hosts give a call up after about a minute."""

PAGE = 50
INLINE_CHARS = 4_000
CONTENT_CHARS = 20_000
"""Characters of artifacts' text on one page."""


async def read(
    settings: configuration.Settings, run_id: str, name: View, task_id: str = "", cursor: str = ""
) -> answers.Trace:
    """Returns a view of a run, or the list of runs; takes over no run and starts nothing."""
    async with sqlite_store.open_store(settings.home) as store:
        if not run_id:
            return await overview(store, records.LOCAL, everything=name == "all", after=cursor)
        own = handles.Handles(store, records.LOCAL, str(settings.workspace))
        return await view(store, await own.run(run_id), name, task_id, cursor)


async def overview(store: sqlite_store.Store, principal: str, *, everything: bool, after: str = "") -> answers.Trace:
    """Returns the principal's runs, newest first: the open ones, or all of them."""
    runs = await store.runs(principal, open_only=not everything, limit=PAGE, after=after)
    lines = [
        answers.RunLine(
            run_id=run.id, state=run.state, plan_id=run.plan_id, counts=run.counts, updated=iso(run.updated_at)
        )
        for run in runs
    ]
    step = NextStep(StepKind.READ_RUN if lines else StepKind.LIST_ALL_RUNS)
    cursor = runs[-1].id if len(runs) == PAGE else ""
    context = saving(*await store.context_tokens(principal))
    return answers.Trace(runs=tuple(lines), context=context, cursor=cursor, next=step)


@dataclass(frozen=True, slots=True)
class Tracing:
    """Shows the runs of one principal."""

    store: sqlite_store.Store
    engine: executor.EmbeddedEngine
    handles: handles.Handles

    async def trace(self, handle: str, task_id: str, name: View, cursor: str, wait_s: float) -> answers.Trace:
        """Returns a view of a run, or the list of runs when no run is named; may wait up to 45 s for news."""
        if not handle:
            return await overview(self.store, self.handles.principal, everything=name == "all", after=cursor)
        run_id = await self.handles.run_id(handle)
        after = cursor if name == "timeline" else ""
        loaded = await self._awaited(run_id, after, min(max(wait_s, 0.0), MAX_WAIT_S))
        return await view(self.store, loaded, name, task_id, cursor)

    async def _awaited(self, run_id: str, cursor: str, wait_s: float) -> run_view.RunView:
        """Returns the run once it is over, needs the host, has events after the cursor, or time is up."""
        after = sequence(cursor)
        with anyio.move_on_after(wait_s or None):
            while True:
                pulse = self.engine.pulse  # taken before the look, so that no change falls between look and wait
                loaded = await run_view.load(self.store, run_id, self.handles.principal)
                if wait_s == 0 or _asks_for_somebody(loaded):
                    return loaded
                if cursor and await self.store.events(run_id, after=after, limit=1):
                    return loaded
                await pulse.wait()
        return await run_view.load(self.store, run_id, self.handles.principal)


def _asks_for_somebody(loaded: run_view.RunView) -> bool:
    """Returns whether a run is over, or waits for a person or for the host."""
    if loaded.run.state in model.RUN_FINAL or loaded.run.state is model.RunState.WAITING_INPUT:
        return True
    return any(task.state is TaskState.READY and task.worker is WorkerKind.HOST for task in loaded.tasks)


async def open_work(store: sqlite_store.Store, principal: str) -> dict[str, list[a2a_card.Work]]:
    """Returns what is open for each agent, in the newest runs that are not over."""
    found: dict[str, list[a2a_card.Work]] = {}
    for run in await store.runs(principal, open_only=True, limit=PAGE):
        loaded = await run_view.load(store, run.id, principal)
        agents = {task.id: task.agent for task in loaded.plan.tasks}
        for task in loaded.tasks:
            agent = agents.get(task.id)
            if agent and task.state not in model.TASK_FINAL:
                found.setdefault(agent, []).append(a2a_card.Work(run.id, task.id, task.state))
    return found


async def view(
    store: sqlite_store.Store, loaded: run_view.RunView, name: str, task_id: str, cursor: str
) -> answers.Trace:
    """Returns the view of that name; a task id asks for that task's whole result, or its artifacts' text."""
    if name == "artifacts":
        return await artifacts(store, loaded, task_id, cursor)
    if task_id or name == "results":
        return await results(store, loaded, task_id, cursor)
    if name == "timeline":
        return await timeline(store, loaded, cursor)
    if name == "todo":
        return todo(loaded)
    return mermaid(loaded) if name == "mermaid" else await summary(store, loaded)


async def summary(store: sqlite_store.Store, loaded: run_view.RunView) -> answers.Trace:
    """Returns state, counts, cost, what waits for what, and what to do next: metadata only."""
    attempts = await store.attempts(loaded.run.id)
    spend = await store.spend(loaded.run.id)
    limits, minutes = loaded.run.limits, _seconds(loaded.run) / 60
    return _head(
        loaded,
        tasks=tuple(_task_lines(loaded, attempts)[:PAGE]),
        blocked=_blocked(loaded),
        spend=spend,
        context=_context(attempts),
        limits=budget.ceilings(limits),
        left=budget.left(limits, spend, attempts=len(attempts), minutes=minutes),
        **await _held(store, loaded),
    )


def _context(attempts: Sequence[records.AttemptRecord]) -> dict[str, float]:
    """Returns the tokens of context that attempts were given, those that were found for them, and the share saved."""
    packs: list[dict[str, float]] = [attempt.beat["context"] for attempt in attempts if "context" in attempt.beat]
    return saving(sum(int(pack["tokens"]) for pack in packs), sum(int(pack["gathered"]) for pack in packs))


def saving(sent: int, gathered: int) -> dict[str, float]:
    """Returns what filtering saved against sending everything that was gathered, nothing if nothing was gathered."""
    if not gathered:
        return {}
    return {"sent": sent, "gathered": gathered, "saved": round(1 - sent / gathered, 3)}


async def _held(store: sqlite_store.Store, loaded: run_view.RunView) -> dict[str, str]:
    """Returns why a run waits that nobody paused: the ceiling that it met, and how to go on."""
    if loaded.run.state is not model.RunState.PAUSED or loaded.run.paused:
        return {}
    met = await store.limit_reached(loaded.run.id)
    if "ceiling" not in met:
        return {}
    hold = budget.Hold(**met)
    return {"held": hold.text()}


async def timeline(store: sqlite_store.Store, loaded: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns a page of events after the cursor, with times relative to the start of the run."""
    events = await store.events(loaded.run.id, after=sequence(cursor), limit=PAGE)
    lines = tuple(
        answers.EventLine(
            seq=event.seq,
            t=round(event.at - loaded.run.created_at, 3),
            kind=event.kind,
            task=event.task_id,
            attempt=event.attempt,
            data=event.data,
        )
        for event in events
    )
    return _head(loaded, timeline=lines, cursor=str(events[-1].seq) if events else cursor)


async def results(store: sqlite_store.Store, loaded: run_view.RunView, task_id: str, cursor: str) -> answers.Trace:
    """Returns capsules of finished tasks, a page at a time; one task's with its output."""
    finished = [task for task in loaded.tasks if task.state in model.TASK_FINAL]
    if task_id:
        wanted = [task for task in finished if task.id == task_id]
        if not wanted:
            raise errors.InputError(
                f"Task {task_id!r} is {loaded.task(task_id).state.value}: no result yet.",
                hint=NextStep(StepKind.AWAIT_RESULT, loaded.run.id, (task_id,)),
            )
    else:
        start = sequence(cursor)
        wanted = finished[start : start + PAGE // 2]
    outcomes = await store.outcomes(loaded.run.id, [task.id for task in wanted if task.result])
    failures = await _failures(store, loaded.run.id, wanted)
    run_id = loaded.run.id
    lines = tuple(_result_line(run_id, task, outcomes.get(task.id), failures, full=bool(task_id)) for task in wanted)
    end = sequence(cursor) + len(wanted)
    more = str(end) if not task_id and end < len(finished) else ""
    return _head(loaded, results=lines, cursor=more)


async def artifacts(store: sqlite_store.Store, loaded: run_view.RunView, task_id: str, cursor: str) -> answers.Trace:
    """Returns a page of the artifacts that results name; those of one task with their text, a page after the other."""
    wanted = [loaded.task(task_id)] if task_id else [task for task in loaded.tasks if task.result]
    outcomes = await store.outcomes(loaded.run.id, [task.id for task in wanted])
    lines = [
        answers.ArtifactLine(task_id=name, **artifact.model_dump())
        for name, outcome in outcomes.items()
        for artifact in outcome.handoff.artifacts
    ]
    start = sequence(cursor)
    if task_id:
        return await _contents(store, loaded, lines, start)
    end = start + PAGE
    return _head(loaded, artifacts=tuple(lines[start:end]), cursor=str(end) if end < len(lines) else "")


async def _contents(
    store: sqlite_store.Store, loaded: run_view.RunView, lines: Sequence[answers.ArtifactLine], start: int
) -> answers.Trace:
    """Returns the artifacts whose text, one behind the other, lies on the page that begins at character `start`."""
    shown: list[answers.ArtifactLine] = []
    at, end = 0, start + CONTENT_CHARS
    for line in lines:
        text = await anyio.to_thread.run_sync(_kept_text, store, line.digest)
        if at < end and (at + len(text) > start or not text):
            page = text[max(0, start - at) : end - at]
            shown.append(line.model_copy(update={"text": page}))
        at += len(text)
    return _head(loaded, artifacts=tuple(shown), cursor=str(end) if end < at else "")


def _kept_text(store: sqlite_store.Store, digest: str) -> str:
    try:
        return store.blobs.get(digest).decode("utf-8") if digest else ""
    except (errors.UnknownHandle, UnicodeDecodeError):
        return ""


def todo(loaded: run_view.RunView) -> answers.Trace:
    """Returns the plan as a to-do list for the host's own list (docs/rules.md#to-do-list)."""
    items = todo_list.todos(loaded.plan.tasks, loaded.states)
    return _head(loaded, todo=items)


def mermaid(loaded: run_view.RunView) -> answers.Trace:
    """Returns the graph as a Mermaid flowchart with the state of every task."""
    prepared = plan_checks.prepare(loaded.plan.tasks, max_parallel=loaded.plan.max_parallel, on_conflict="worktree")
    return _head(loaded, text=flowchart.mermaid(loaded.plan, prepared, loaded.states))


def sequence(cursor: str) -> int:
    """Returns the number that a cursor stands for. Raises InputError."""
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise errors.InputError(
            f"Cursor {cursor[:40]!r} is not one of ours.", hint="Leave it out to start from the beginning."
        )
    return int(cursor)


def iso(at: float) -> str:
    """Returns an ISO 8601 time in UTC for seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _seconds(run: records.RunRecord) -> float:
    return max(0.0, (run.finished_at or run.updated_at) - run.created_at)


def _head(loaded: run_view.RunView, **fields: object) -> answers.Trace:
    """Returns what every view of a run begins with, and the view's own fields."""
    run = loaded.run
    head = answers.Trace(
        run_id=run.id,
        state=run.state.value,
        plan_id=run.plan_id,
        plan_version=run.plan_version,
        simulated=run.dry_run,
        counts=run.counts,
        seconds=round(_seconds(run), 3),
        next=next_step.next_step(run, loaded.tasks, loaded.plan.tasks),
        poll_after_s=0.0 if run.state in model.RUN_FINAL else 5.0,
    )
    return head.model_copy(update=fields)


def _task_lines(loaded: run_view.RunView, attempts: Sequence[records.AttemptRecord]) -> list[answers.TaskLine]:
    seconds: dict[str, float] = {}
    errors_of: dict[str, str] = {}
    for attempt in attempts:
        took = (attempt.ended_at or loaded.run.updated_at) - attempt.started_at
        seconds[attempt.task_id] = seconds.get(attempt.task_id, 0.0) + max(0.0, took)
        errors_of[attempt.task_id] = attempt.error_kind
    specs = {task.id: task for task in loaded.plan.tasks}
    order = {TaskState.FAILED: 0, TaskState.RUNNING: 1, TaskState.READY: 2, TaskState.BLOCKED: 3}
    ranked = sorted(loaded.tasks, key=lambda task: (order.get(task.state, 4), task.position))
    return [
        answers.TaskLine(
            id=task.id,
            state=task.state.value,
            worker=task.worker.value,
            agent=specs[task.id].agent or "",
            attempts=task.attempt,
            seconds=round(seconds.get(task.id, 0.0), 3),
            replayed=task.cause == "replayed",
            error=errors_of.get(task.id, "") if task.state is not TaskState.SUCCEEDED else "",
        )
        for task in ranked
    ]


def _blocked(loaded: run_view.RunView) -> dict[str, str | NextStep]:
    deps = {task.id: task.deps for task in loaded.plan.tasks}
    reasons = (
        (task.id, next_step.why_waiting(loaded.run.id, task, loaded.states, deps[task.id])) for task in loaded.tasks
    )
    return dict([pair for pair in reasons if pair[1]][:PAGE])


async def _failures(
    store: sqlite_store.Store, run_id: str, tasks: Sequence[records.TaskRecord]
) -> Mapping[str, records.AttemptRecord]:
    if all(task.result for task in tasks):
        return {}
    return {attempt.task_id: attempt for attempt in await store.attempts(run_id)}


def _result_line(
    run_id: str,
    task: records.TaskRecord,
    outcome: model.Outcome | None,
    failures: Mapping[str, records.AttemptRecord],
    *,
    full: bool,
) -> answers.ResultLine:
    if outcome is None:
        failed = failures.get(task.id)
        text = (failed.error if failed else "") or task.cause
        return answers.ResultLine(task_id=task.id, state=task.state.value, capsule=text[:1200])
    fits = full and len(outcome.model_dump_json()) <= INLINE_CHARS
    return answers.ResultLine(
        task_id=task.id,
        state=task.state.value,
        capsule=capsules.capsule(outcome),
        receipts=outcome.receipts,
        proposed_edits=outcome.handoff.proposed_edits,
        output=outcome.output if fits else None,
        truncated=full and outcome.output is not None and not fits,
        ref=f"dispatch://runs/{run_id}/tasks/{task.id}/result" if outcome.output is not None else "",
    )
