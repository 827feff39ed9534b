"""Views of a run, read from the store and never from memory."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import anyio
import anyio.to_thread

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.agents import a2a_card
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import TaskState, WorkerKind, like_failures, records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind, age
from dispatch_mcp.planning import flowchart, plan_checks
from dispatch_mcp.process import computation
from dispatch_mcp.review import review_tasks
from dispatch_mcp.runs import budget, capsules, step_choice
from dispatch_mcp.service import answers, handles, messaging
from dispatch_mcp.service.run_views import run_figures, run_report, view_names
from dispatch_mcp.store import sqlite_store, whereabouts
from dispatch_mcp.store.attempts import attempt_rows
from dispatch_mcp.store.looks import listed_runs

T = TypeVar("T")

MAX_WAIT_S = 45.0
"""How long a trace waits for news at most; hosts give a call up after about a minute."""

PAGE = listed_runs.PAGE
FEW = 100
"""Tasks and attempts that are told of on the spot, in about a millisecond."""

SHOWN_DOUBTS = 5
OWNER_DIGITS = 8
"""Digits of an owner's number that are shown."""
INLINE_CHARS = 4_000
CONTENT_CHARS = 20_000
"""Characters of artifacts' text on one page."""


async def read(
    settings: configuration.Settings, run_id: str, name: view_names.View, task_id: str = "", cursor: str = ""
) -> answers.Trace:
    """Returns a view of a run, or the list of runs; takes over no run and starts nothing."""
    async with sqlite_store.open_store(settings.home, begins=False) as store:
        if not run_id:
            return await overview(store, records.LOCAL, all_runs=name == "all", after=cursor)
        own = handles.Handles(store, records.LOCAL, str(settings.workspace))
        return await trace_view(store, await own.look(run_id), name, task_id, cursor)


async def overview(store: sqlite_store.Store, principal: str, *, all_runs: bool, after: str = "") -> answers.Trace:
    """Returns the principal's runs, newest first: the open ones, or all of them."""
    runs = await store.runs(principal, open_only=not all_runs, limit=PAGE, after=after)
    ownerless = frozenset(await store.adoptable(limit=listed_runs.MOST_OWNERLESS))
    work = await store.open_work([run.id for run in runs if run.state not in model.RUN_FINAL])
    now = store.now()
    lines = [
        _run_line(run, work.get(run.id, {}), now).model_copy(
            update={"ownerless": run.id in ownerless and not run.paused}
        )
        for run in runs
    ]
    only = runs[0].id if len(runs) == 1 else ""
    step = NextStep(StepKind.READ_RUN, only) if lines else await _without_runs(store, principal)
    cursor = runs[-1].id if len(runs) == PAGE else ""
    context = listed_runs.saving(*await store.context_tokens(principal))
    return answers.Trace(runs=tuple(lines), context=context, cursor=cursor, next=step)


async def _without_runs(store: sqlite_store.Store, principal: str) -> NextStep:
    """Returns what comes next where no run is listed: those that are over are looked at, or the first one begins."""
    newest = await store.runs(principal, limit=1)
    if newest:
        return NextStep(StepKind.LIST_ALL_RUNS, run=newest[0].id)
    plans = await store.plans(principal, limit=1)
    return NextStep(StepKind.BEGIN_RUN, plan=plans[0].id if plans else "", advice="There are no runs yet.")


def _run_line(run: records.RunRecord, work: records.OpenWork, now: float) -> answers.RunLine:
    final = sum(count for state, count in run.counts.items() if TaskState(state) in model.TASK_FINAL)
    return answers.RunLine(
        run_id=run.id,
        title=run.title,
        state=run.state,
        workspace=run.workspace,
        age=age(now - run.created_at),
        progress=f"{final} of {sum(run.counts.values())}",
        waits=step_choice.waits(run.state, work),
        plan_id=run.plan_id,
        counts=run.counts,
        updated=iso(run.updated_at),
    )


@dataclass(frozen=True, slots=True)
class Tracing:
    """Shows the runs of one principal."""

    store: sqlite_store.Store
    engine: run_engine.RunEngine
    handles: handles.Handles

    async def trace(
        self, handle: str, task_id: str, name: view_names.View, cursor: str, wait_s: float
    ) -> answers.Trace:
        """Returns a view of a run, or the list of runs when no run is named; may wait up to 45 s for news."""
        if not handle:
            runs = await overview(self.store, self.handles.principal, all_runs=name == "all", after=cursor)
            return runs.model_copy(update={"search": self.search(self.handles.workspace)})
        run_id = await self.handles.run_id(handle)
        after = cursor if name == "timeline" else ""
        view = await self._awaited(run_id, after, min(max(wait_s, 0.0), MAX_WAIT_S))
        trace = await trace_view(self.store, view, name, task_id, cursor)
        return trace.model_copy(update={"search": self.search(view.run.workspace)}) if name == "summary" else trace

    def search(self, workspace: str) -> str:
        """Returns how much of a workspace is searched so far; empty when that is all, or nobody reads it."""
        gathering = self.engine.attempts.services.briefing
        share = gathering.gatherer.progress(workspace) if gathering and workspace else None
        if share is None or not share.rest:
            return ""
        return f"{share.files - share.rest:,} of {share.files:,} files of the workspace are searched so far."

    async def _awaited(self, run_id: str, cursor: str, wait_s: float) -> run_view.RunView:
        """Returns the run once it is over, needs the host, has events after the cursor, or time is up."""
        after = sequence(cursor)
        with anyio.move_on_after(wait_s or None):
            while True:
                pulse = self.engine.pulse  # taken before the look, so that no change falls between look and wait
                view = await council_rounds.look(self.store, run_id, self.handles.principal)
                if wait_s == 0 or _asks_for_somebody(view):
                    return view
                if cursor and await self.store.events(run_id, after=after, limit=1):
                    return view
                with anyio.move_on_after(_until_due(view)):
                    await pulse.wait()
        return await council_rounds.look(self.store, run_id, self.handles.principal)


def _asks_for_somebody(view: run_view.RunView) -> bool:
    """Returns whether a run is over, or waits for a person or for the host."""
    if view.run.state in model.RUN_FINAL or view.run.state is model.RunState.WAITING_INPUT:
        return True
    return view.moment.fetchable(view.tasks) > 0


def _until_due(view: run_view.RunView) -> float | None:
    """Returns in how many seconds a task of the host is tried again or its lease is over; None if none has a time."""
    host = [task for task in view.tasks if task.worker is WorkerKind.HOST]
    times = [task.ready_at for task in host if task.state is TaskState.READY and task.ready_at > view.now]
    times += [attempt.lease_until for attempt in view.attempts.values() if attempt.lease_until is not None]
    return max(0.0, min(times) - view.now) if times else None


async def open_work(store: sqlite_store.Store, principal: str) -> dict[str, list[a2a_card.CardTask]]:
    """Returns what is open for each agent, in the newest runs that are not over."""
    by_agent: dict[str, list[a2a_card.CardTask]] = {}
    for run in await store.runs(principal, open_only=True, limit=PAGE):
        view = await run_view.load(store, run.id, principal)
        agents = {task.id: task.agent for task in view.plan.tasks}
        for task in view.tasks:
            agent = agents.get(task.id)
            if agent and task.state not in model.TASK_FINAL:
                by_agent.setdefault(agent, []).append(a2a_card.CardTask(run.id, task.id, task.state))
    return by_agent


async def trace_view(
    store: sqlite_store.Store, view: run_view.RunView, name: str, task_id: str, cursor: str
) -> answers.Trace:
    """Returns the view of that name; a task id asks for that task's whole result, or its artifacts' text."""
    if name == "artifacts":
        return await artifacts(store, view, task_id, cursor)
    if task_id or name == "results":
        return await results(store, view, task_id, cursor)
    if name == "timeline":
        return await timeline(store, view, cursor)
    if name == "todo":
        return await todo(store, view, cursor)
    if name in _MORE_VIEWS:
        return await _MORE_VIEWS[name](store, view, cursor)
    return await (computation.apart(mermaid, view) if name == "mermaid" else summary(store, view))


async def report(store: sqlite_store.Store, view: run_view.RunView, _cursor: str) -> answers.Trace:
    """Returns the results as a document for people; what comes next stands beside it."""
    attempts = await store.attempts(view.run.id)
    outcomes = await store.outcomes(view.run.id, run_report.shown_tasks(view), with_output=False)
    return _head(view, text=await computation.apart(run_report.markdown, view, attempts, outcomes))


async def cost(store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns what tasks have used, the dearest first, a page at a time, and what working side by side has brought."""
    start = sequence(cursor)
    costs = await store.costs(view.run.id, view.now, limit=PAGE + 1, skip=start)
    usage, counting = await store.usage_and_count(view.run.id)
    figures = await computation.apart(run_figures.figures, view.states.values(), await store.spans(view.run.id))
    limits = view.run.limits
    return _head(
        view,
        costs=tuple([_cost_line(view, cost) for cost in costs[:PAGE]]),
        spend=usage,
        figures=figures.shown(),
        limits=budget.ceilings(limits),
        left=budget.remaining(limits, usage, attempts=counting, minutes=_seconds(view.run) / 60),
        cursor=str(start + PAGE) if len(costs) > PAGE else "",
    )


def _cost_line(view: run_view.RunView, cost: attempt_rows.TaskCost) -> answers.CostLine:
    return answers.CostLine(agent=view.agent_of(view.task(cost.task_id)), **cost._asdict())


async def blocked(_store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns why tasks wait, a page at a time."""
    reasons = await computation.apart(lambda: list(_reasons(view)))
    page, more = _page(reasons, cursor, PAGE)
    return _head(view, blocked=dict(page), cursor=more)


async def messages(store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns the messages of a run in the order in which they were sent, a page at a time."""
    page, more = _page((await store.mail(view.run.id)).messages, cursor, PAGE // 2)
    return _head(view, messages=page, cursor=more)


async def council(store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns what the reviews of a run have said, a page at a time; those that are not over are left out."""
    reviews = [task.id for task in view.plan.tasks if task.reviews or task.joins or review_tasks.assignment_of(task)]
    return await _pages_of_results(store, view, [view.task(name) for name in reviews], cursor)


def _page(entries: Sequence[T], cursor: str, size: int) -> tuple[tuple[T, ...], str]:
    """Returns the entries behind a cursor, and the cursor of the next page, empty behind the last one."""
    start = sequence(cursor)
    end = start + size
    return tuple(entries[start:end]), str(end) if end < len(entries) else ""


async def summary(store: sqlite_store.Store, view: run_view.RunView) -> answers.Trace:
    """Returns state, counts, cost, what waits for what, and what to do next: metadata, and messages that wait.

    Looking changes nothing: the messages count as told of only when the assistant reports or fetches work.
    """
    news = messaging.news(view, await store.mail(view.run.id))
    handouts = step_choice.Handouts(pass_on=news.active, unread=news.late, notes_at=news.notes_at)
    sums = await store.attempt_sums(view.run.id)
    tasks, reasons = await _tasks_to_tell_of(view)
    attempts = await store.attempts_of(view.run.id, [task.id for task in tasks])
    notable = await store.attempts(view.run.id) if sums.has_notes else ()
    limits, minutes, hold = view.run.limits, _seconds(view.run) / 60, await _hold(store, view)
    return _head(
        view,
        next=view.next_step(handouts),
        pass_on=news.pass_on,
        unread=news.unread,
        notes_at=news.notes_at,
        tasks=tuple(_task_lines(view, tasks, attempts)),
        blocked=reasons,
        spend=sums.usage,
        context=listed_runs.saving(sums.pack_tokens, sums.named_files),
        doubts=_doubts(notable),
        losses=run_view.losses(notable),
        limits=budget.ceilings(limits),
        left=budget.remaining(limits, sums.usage, attempts=sums.counting, minutes=minutes, hold=hold),
        follow_ups=tuple((await _left_to_do(store, view))[:PAGE]),
        held=hold.text(budget.counted(hold.limit, sums.usage)) if hold else _short_of_space(store, view),
    )


async def _tasks_to_tell_of(
    view: run_view.RunView,
) -> tuple[Sequence[records.TaskRecord], dict[str, str | NextStep]]:
    """Returns the first tasks, and why the first ones wait; many tasks are looked through in a thread."""

    def tell() -> tuple[Sequence[records.TaskRecord], dict[str, str | NextStep]]:
        return _first_tasks(view), dict(itertools.islice(_reasons(view), PAGE))

    return tell() if len(view.tasks) <= FEW else await computation.apart(tell)


def _doubts(attempts: Sequence[records.AttemptRecord]) -> tuple[str, ...]:
    """Returns which attempts have figures that nobody can have used, and what is counted instead."""
    lines = [
        f"Attempt {attempt.attempt} of task {attempt.task_id!r} has {', '.join(attempt.beyond)} beyond what an attempt "
        "can have used, stored by an earlier version; the most that is possible is counted."
        for attempt in attempts
        if attempt.beyond
    ]
    return (*lines[:SHOWN_DOUBTS], f"{len(lines) - SHOWN_DOUBTS} more.") if len(lines) > SHOWN_DOUBTS else tuple(lines)


async def held(store: sqlite_store.Store, view: run_view.RunView) -> str:
    """Returns why a run waits that nobody paused: its ceiling, or the full disk; empty for one that does not."""
    hold = await _hold(store, view)
    return hold.text() if hold else _short_of_space(store, view)


def _short_of_space(store: sqlite_store.Store, view: run_view.RunView) -> str:
    is_held = view.run.state is model.RunState.RUNNING and whereabouts.is_short(store.home)
    return whereabouts.shortage(store.home) if is_held else ""


async def _hold(store: sqlite_store.Store, view: run_view.RunView) -> budget.Hold | None:
    """Returns the ceiling that a run has met and waits at, None for one that waits at none."""
    if view.run.state is not model.RunState.PAUSED or view.run.paused:
        return None
    ceiling = await store.limit_reached(view.run.id)
    return budget.Hold(**ceiling) if "ceiling" in ceiling else None


async def timeline(store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns a page of events after the cursor, with times relative to the start of the run."""
    events = await store.events(view.run.id, after=sequence(cursor), limit=PAGE)
    lines = tuple(
        answers.EventLine(
            seq=event.seq,
            t=round(event.at - view.run.created_at, 3),
            kind=event.kind,
            task=event.task_id,
            attempt=event.attempt,
            data={key: _brief(key, value) for key, value in event.data.items()},
        )
        for event in events
    )
    return _head(view, timeline=lines, cursor=str(events[-1].seq) if events else cursor)


def _brief(key: str, value: model.Json) -> model.Json:
    """Returns a value as one tells it from others: ids in their short form, an owner by the head of its number."""
    if not isinstance(value, str):
        return value
    return value[:OWNER_DIGITS] if key == "owner" else short_ids.short(value) if short_ids.is_whole(value) else value


async def results(store: sqlite_store.Store, view: run_view.RunView, task_id: str, cursor: str) -> answers.Trace:
    """Returns capsules of finished tasks, a page at a time; one task's with its output."""
    if not task_id:
        return await _pages_of_results(store, view, view.tasks, cursor)
    page = [task for task in view.tasks if task.state in model.TASK_FINAL and task.id == task_id]
    if not page:
        raise errors.InputError(
            f"Task {task_id!r} is {view.task(task_id).state.value}: no result yet.",
            hint=NextStep(StepKind.AWAIT_RESULT, view.run.id, (task_id,)),
        )
    return _head(view, results=await _result_lines(store, view, page, full=True))


async def _pages_of_results(
    store: sqlite_store.Store, view: run_view.RunView, tasks: Sequence[records.TaskRecord], cursor: str
) -> answers.Trace:
    page, more = _page([task for task in tasks if task.state in model.TASK_FINAL], cursor, PAGE // 2)
    return _head(view, results=await _result_lines(store, view, page, full=False), cursor=more)


async def _result_lines(
    store: sqlite_store.Store, view: run_view.RunView, page: Sequence[records.TaskRecord], *, full: bool
) -> tuple[answers.ResultLine, ...]:
    states = {task.id: task.state for task in page}

    def line(task_id: str, outcome: model.Outcome) -> answers.ResultLine:
        return _result_line(view.run.id, task_id, states[task_id], outcome, full=full)

    lines = await store.of_outcomes(view.run.id, [task.id for task in page if task.result], line, with_output=full)
    failures = await _failures(store, view.run.id, page)
    return _told_once([lines.get(task.id) or _failure_line(task, failures) for task in page])


async def artifacts(store: sqlite_store.Store, view: run_view.RunView, task_id: str, cursor: str) -> answers.Trace:
    """Returns a page of the artifacts that results name; those of one task with their text, a page after the other."""
    rows = [view.task(task_id)] if task_id else [task for task in view.tasks if task.result]
    outcomes = await store.outcomes(view.run.id, [task.id for task in rows], with_output=False)
    lines = [
        answers.ArtifactLine(task_id=name, **artifact.model_dump())
        for name, outcome in outcomes.items()
        for artifact in outcome.handoff.artifacts
    ]
    start = sequence(cursor)
    if task_id:
        return await _contents(store, view, lines, start)
    end = start + PAGE
    return _head(view, artifacts=tuple(lines[start:end]), cursor=str(end) if end < len(lines) else "")


async def _contents(
    store: sqlite_store.Store, view: run_view.RunView, lines: Sequence[answers.ArtifactLine], start: int
) -> answers.Trace:
    """Returns the artifacts whose text, one behind the other, lies on the page that begins at character `start`."""
    visible: list[answers.ArtifactLine] = []
    at, end = 0, start + CONTENT_CHARS
    for line in lines:
        text = await anyio.to_thread.run_sync(_kept_text, store, line.digest)
        if at < end and (at + len(text) > start or not text):
            page = text[max(0, start - at) : end - at]
            visible.append(line.model_copy(update={"text": page}))
        at += len(text)
    return _head(view, artifacts=tuple(visible), cursor=str(end) if end < at else "")


def _kept_text(store: sqlite_store.Store, digest: str) -> str:
    try:
        return store.blobs.get(digest).decode("utf-8") if digest else ""
    except (errors.UnknownHandle, UnicodeDecodeError):
        return ""


async def todo(store: sqlite_store.Store, view: run_view.RunView, cursor: str) -> answers.Trace:
    """Returns the plan as a to-do list for the host's own list (docs/rules.md#to-do-list), and what reviews leave.

    A list of very many tasks comes a page at a time.
    """
    notes = await _left_to_do(store, view)
    items = await computation.apart(flowchart.todos, view.plan.tasks, view.states, notes)
    page, more = _page(items, cursor, PAGE)
    return _head(view, todo=page, cursor=more)


async def _left_to_do(store: sqlite_store.Store, view: run_view.RunView) -> list[str]:
    """Returns what reviews that passed have found all the same, and nobody has to do before the run goes on."""
    reviews = [task.id for task in view.plan.tasks if task.reviews and view.states.get(task.id) in model.TASK_DONE]
    outcomes = await store.outcomes(view.run.id, reviews, with_output=False) if reviews else {}
    return [f"{name}: {text}" for name in outcomes for text in outcomes[name].handoff.open_questions]


def mermaid(view: run_view.RunView) -> answers.Trace:
    """Returns the graph as a Mermaid flowchart with the state of every task."""
    schedule = plan_checks.prepare(view.plan.tasks, max_parallel=view.plan.max_parallel, on_conflict="worktree")
    return _head(view, text=flowchart.mermaid(view.plan, schedule, view.states))


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


def _head(view: run_view.RunView, **fields: object) -> answers.Trace:
    """Returns what every view of a run begins with, and the view's own fields."""
    run = view.run
    head = answers.Trace(
        is_review=council_rounds.is_round(view),
        run_id=run.id,
        title=run.title,
        workspace=run.workspace,
        age=age(view.now - run.created_at),
        state=run.state.value,
        plan_id=run.plan_id,
        plan_version=run.plan_version,
        simulated=view.is_simulated,
        counts=run.counts,
        seconds=round(_seconds(run), 3),
        poll_after_s=0.0 if run.state in model.RUN_FINAL else 5.0,
    )
    step = fields.pop("next", None) or view.next_step()
    return head.model_copy(update={**fields, "next": step})


_SHOWN_FIRST = {TaskState.FAILED: 0, TaskState.RUNNING: 1, TaskState.READY: 2, TaskState.BLOCKED: 3}


def _first_tasks(view: run_view.RunView) -> Sequence[records.TaskRecord]:
    """Returns the first tasks, those that have failed or are at work before all others."""
    return sorted(view.tasks, key=lambda task: _SHOWN_FIRST.get(task.state, 4))[:PAGE]


def _task_lines(
    view: run_view.RunView, tasks: Iterable[records.TaskRecord], attempts: Iterable[records.AttemptRecord]
) -> Iterator[answers.TaskLine]:
    """Yields the lines of some tasks; `attempts` are theirs."""
    seconds: dict[str, float] = {}
    errors_of: dict[str, str] = {}
    for attempt in attempts:
        took = (attempt.ended_at or view.run.updated_at) - attempt.started_at
        seconds[attempt.task_id] = seconds.get(attempt.task_id, 0.0) + max(0.0, took)
        errors_of[attempt.task_id] = attempt.error_kind
    for task in tasks:
        yield answers.TaskLine(
            id=task.id,
            state=task.state.value,
            worker=task.worker.value,
            agent=view.agent_of(task),
            in_place_of=(view.specs[task.id].agent or "") if task.stand_ins else "",
            attempts=task.attempt,
            seconds=round(seconds.get(task.id, 0.0), 3),
            replayed=task.cause == "replayed",
            error=errors_of.get(task.id, "") if task.state is not TaskState.SUCCEEDED else "",
        )


def _reasons(view: run_view.RunView) -> Iterator[tuple[str, str | NextStep]]:
    """Returns why tasks wait, each with its id."""
    deps = {task.id: task.deps for task in view.plan.tasks}
    states = view.states
    reasons = (
        (task.id, step_choice.why_waiting(view.run.id, task, states, deps[task.id], view.now))
        for task in view.tasks
        if task.state is not TaskState.SUCCEEDED and task.state is not TaskState.UNVERIFIED
        if not (task.state is TaskState.FAILED and task.id in view.alike)  # `next` says why, once for all of them
    )
    return (pair for pair in reasons if pair[1])


async def _failures(
    store: sqlite_store.Store, run_id: str, tasks: Sequence[records.TaskRecord]
) -> Mapping[str, records.AttemptRecord]:
    failures = [task.id for task in tasks if not task.result]
    return {attempt.task_id: attempt for attempt in await store.attempts_of(run_id, failures)} if failures else {}


def _told_once(lines: Sequence[answers.ResultLine]) -> tuple[answers.ResultLine, ...]:
    """Returns the lines of results, what several failed tasks say in the same words only with the first of them."""
    failures = {line.task_id: line.capsule for line in lines if line.state == TaskState.FAILED}
    short = like_failures.references(failures)
    return tuple(
        [line.model_copy(update={"capsule": short[line.task_id]}) if line.task_id in short else line for line in lines]
    )


def _failure_line(task: records.TaskRecord, failures: Mapping[str, records.AttemptRecord]) -> answers.ResultLine:
    attempt = failures.get(task.id)
    why = transitions.why_skipped(task.cause) if task.state is TaskState.SKIPPED else task.cause
    text = (attempt.error if attempt else "") or why
    return answers.ResultLine(task_id=task.id, state=task.state.value, capsule=text[:1200])


def _result_line(
    run_id: str, task_id: str, state: TaskState, outcome: model.Outcome, *, full: bool
) -> answers.ResultLine:
    fits = full and len(outcome.model_dump_json(exclude={"footprints"})) <= INLINE_CHARS
    return answers.ResultLine(
        task_id=task_id,
        state=state.value,
        capsule=capsules.capsule(outcome),
        receipts=outcome.receipts,
        proposed_edits=outcome.handoff.proposed_edits,
        output=outcome.output if fits else None,
        truncated=full and outcome.output is not None and not fits,
        ref=f"dispatch://runs/{short_ids.short(run_id)}/tasks/{task_id}/result" if outcome.output is not None else "",
    )


_MORE_VIEWS: Mapping[str, Callable[[sqlite_store.Store, run_view.RunView, str], Awaitable[answers.Trace]]] = {
    "report": report,
    "cost": cost,
    "blocked": blocked,
    "messages": messages,
    "council": council,
}
"""Views that are asked for by their names alone."""
