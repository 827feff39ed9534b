"""The one facade that every face uses: route, plan, dispatch, report, trace, steer, message."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import a2a_card, catalog
from dispatch_mcp.engine import executor, review_attempt, run_view
from dispatch_mcp.model import (
    RunState,
    TaskState,
    WorkerKind,
    assignments,
    merge_offer,
    ports,
    problems,
    records,
    transitions,
    worker_choice,
)
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.routing import router
from dispatch_mcp.runs import budget, message_rules, next_step
from dispatch_mcp.service import answers, approvals, handles, host_work, planner, review_subjects, route_memory, traces
from dispatch_mcp.store import sqlite_store

MAX_WAIT_S = 45.0
View = Literal["summary", "timeline", "results", "artifacts", "todo", "mermaid", "all"]


def unredacted(outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome as it is."""
    return outcome


@dataclass(slots=True)
class Dispatcher:
    """Everything a host or a shell may ask.

    `catalog` returns the current catalogue, refreshed on change; `redact` takes secrets out of what the host reports.
    `memory` is what routing learns from; without it, it learns nothing. `hands` are who can work here, of whom
    `default_worker` is the one that the caller has chosen for tasks that name nobody.
    """

    store: sqlite_store.Store
    engine: executor.EmbeddedEngine
    rules: planner.Rules
    catalog: Callable[[], catalog.Catalog]
    assign: host_work.Assign
    installed: Callable[[], Collection[str]] = frozenset
    principal: str = records.LOCAL
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = planner.new_id
    redact: Callable[[model.Outcome], model.Outcome] = unredacted
    default_worker: WorkerKind | None = None
    available_workers: worker_choice.AvailableWorkers = field(default_factory=worker_choice.AvailableWorkers)
    memory: route_memory.Memory | None = None
    checkouts: ports.Checkouts | None = None
    means: review_subjects.Means = field(default_factory=review_subjects.Means)

    # -- route and plan

    def route(self, text: str, *, roster: str = "", hints: router.Hints = router.NO_HINTS) -> router.Route:
        """Returns who should do this, with evidence. Raises InputError for an empty text or unknown roster."""
        if not text.strip():
            raise errors.InputError("The task text is empty.", hint="Say in one or two sentences what is to be done.")
        chosen = self.catalog().roster(roster) if roster else self.catalog()
        hints = hints.model_copy(update={"bands": self.rules.bands})
        found = router.route(text, chosen, history=self.plans.history, hints=hints)
        if self.memory and found.specialist:
            self.memory.suggested(text, found.specialist)
        return found

    @property
    def plans(self) -> planner.Planner:
        """What makes and changes plans, with the same store and rules."""
        return planner.Planner(
            self.store, self.rules, self.catalog, self.principal, self.clock, self.new_id, self.memory
        )

    # -- dispatch and report

    async def dispatch(
        self,
        *,
        plan_id: str = "",
        run_id: str = "",
        worker: str = "auto",
        request_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
        limits: model.Limits = model.Limits(),
    ) -> answers.Progress:
        """Starts a plan or goes on with a run, and returns its handle at once with the host's assignments.

        Raises:
            InputError: neither or both handles are given, or nobody of that name can work.
        """
        if bool(plan_id) == bool(run_id):
            raise errors.InputError(
                f"Give either plan_id or run_id (got plan_id={plan_id!r}, run_id={run_id!r}).",
                hint="plan_id starts a plan; run_id goes on with a run.",
            )
        if run_id:
            record, created = await self._limited(await self._run_id(run_id), limits), False
        else:
            record, created = await self._create(
                plan_id, worker, request_key, dry_run=dry_run, fresh=fresh, limits=limits
            )
        if record.state not in model.RUN_FINAL:
            await self.engine.start(record.id)
        assigned = await self._contact(record)
        return await self._progress(record.id, assigned, reused=not created, why=self._why(worker, dry_run=dry_run))

    async def _create(
        self, plan_id: str, worker: str, request_key: str, *, dry_run: bool, fresh: bool, limits: model.Limits
    ) -> tuple[records.RunRecord, bool]:
        plan = await self.store.plan(await self._plan_id(plan_id), None, principal=self.principal)
        if plan.draft:
            raise errors.InputError(
                f"Plan {plan_id!r} is a draft.", hint=NextStep(StepKind.COMPLETE_DRAFT, plan=plan.id)
            )
        self._refuse_depth(limits)
        limits = budget.within(limits, self.rules.ceilings)
        planner.refuse_tasks(limits, len(plan.tasks))
        kind = WorkerKind.SCRIPTED if dry_run else self._kind(worker)
        new = records.NewRun(
            id=self.new_id(),
            plan_id=plan.id,
            plan_version=plan.version,
            worker=kind,
            principal=self.principal,
            request_key=request_key or await self._own_key(plan, kind, dry_run=dry_run),
            workspace=plan.workspace,
            dry_run=dry_run,
            fresh=fresh,
            limits=limits,
        )
        return await self.store.create_run(new)

    async def limit(self, run_id: str, limits: model.Limits) -> str:
        """Gives a run other ceilings and returns its id. Raises NotAllowed beyond what the configuration allows."""
        return (await self._limited(await self._run_id(run_id), limits)).id

    async def _limited(self, run_id: str, limits: model.Limits) -> records.RunRecord:
        """Returns a run, with those of its ceilings changed that `limits` names."""
        record = await self.store.run(run_id, principal=self.principal)
        if not limits.model_fields_set or record.state in model.RUN_FINAL:
            return record
        self._refuse_depth(limits)
        changed = budget.within(budget.merged(record.limits, limits), self.rules.ceilings)
        await self.store.advance(run_id, records.Step(now=self.clock(), limits=changed))
        self.engine.poke(run_id)
        return await self.store.run(run_id, principal=self.principal)

    async def _own_key(self, plan: model.Plan, kind: WorkerKind, *, dry_run: bool) -> str:
        """Returns a key under which a re-issued call finds the plan's open run, and a later one starts anew.

        The number of finished runs is read first: a run that begins in between is then found under the same key.
        """
        prefix = f"{plan.id}:{plan.version}:{'dry' if dry_run else kind.value}:"
        finished = await self.store.finished_runs(plan.id, principal=self.principal)
        for record in await self.store.runs(self.principal, open_only=True, limit=planner.MAX_OPEN_RUNS):
            if record.plan_id == plan.id and record.request_key.startswith(prefix):
                return record.request_key
        return f"{prefix}{finished}"

    def _kind(self, worker: str) -> WorkerKind:
        if worker == "auto":
            return self.default_worker or self.available_workers.pick().kind
        known = {kind.value: kind for kind in WorkerKind}
        missing = self.available_workers.missing(known[worker]) if worker in known else "there is none of that name"
        if missing:
            here = ", ".join(sorted(kind.value for kind in self.available_workers.kinds))
            raise errors.InputError(f"No worker {worker!r} here: {missing}.", hint=f"Use auto or one of: {here}.")
        return known[worker]

    def _why(self, worker: str, *, dry_run: bool) -> str:
        if dry_run:
            return "dry run: every task is simulated by the scripted worker"
        if worker != "auto":
            return "as asked"
        return self.available_workers.pick().why if self.default_worker is None else "as asked"

    async def run_handle(self, given: str) -> str:
        """Returns the id of the run that somebody means. Raises UnknownHandle."""
        return await self._run_id(given)

    async def _run_id(self, given: str) -> str:
        return await handles.run_id(self.store, given, self.principal, self.rules.workspace)

    async def _plan_id(self, given: str) -> str:
        return await handles.plan_id(self.store, given, self.principal, self.rules.workspace)

    def _refuse_depth(self, limits: model.Limits) -> None:
        deepest = min(limits.depth, self.rules.depth_limit)
        if self.rules.depth >= deepest:
            raise errors.NotAllowed(
                f"This server runs inside a worker at depth {self.rules.depth}; the limit is {deepest}.",
                hint="Return the sub-tasks to your orchestrator in the handoff's open_questions.",
            )

    async def report(self, run_id: str, raw: Sequence[Mapping[str, model.Json]]) -> answers.Reported:
        """Accepts results of host-made attempts, each exactly once, and hands out what is ready next.

        Raises:
            InputError: an entry cannot be read; then none is accepted.
        """
        reports = host_work.read_reports(raw)
        run_id = await self._run_id(run_id)
        loaded = await run_view.load(self.store, run_id, self.principal)
        outcomes = [await self._read(loaded, report) for report in reports]
        tasks = {task.id: task for task in loaded.tasks}
        refused = [host_work.refusal(report, tasks) for report in reports]
        outcomes = await self._judged(loaded, reports, outcomes, refused)
        finished = [
            transitions.Finished(report.task_id, report.attempt, outcome)
            for report, outcome, why in zip(reports, outcomes, refused, strict=True)
            if not why
        ]
        advance = await self.store.advance(run_id, self._host_step(finished))
        self.engine.poke(run_id)
        if advance.state not in model.RUN_FINAL:
            await self.engine.start(run_id)
        after, settled = await self._settled(run_id)
        accepted = host_work.verdicts(reports, refused, outcomes, advance.accepted, after.tasks)
        assigned = await self.hosting().assignments(after, {start.task_id for start in advance.starts} - settled)
        await self.plans.learn(
            route_memory.ended(after, {one.task_id for one in accepted if one.accepted}, self.clock())
        )
        messages = await self.store.inbox(run_id, message_rules.ORCHESTRATOR, mark_read=True)
        told = {one.task_id: outcome.handoff for one, outcome in zip(accepted, outcomes, strict=True) if one.accepted}
        sent = [note for task_id, handoff in told.items() for note in message_rules.sent(run_id, task_id, handoff, 0.0)]
        return answers.Reported(
            run_id=run_id,
            state=after.run.state,
            counts=after.run.counts,
            results=tuple(accepted),
            assignments=tuple(assigned),
            messages=tuple(note for note in messages if not note.read),
            proposed_edits=await self._proposals(run_id, sent),
            next=next_step.next_step(after.run, after.tasks, after.plan.tasks, assigned=len(assigned)),
        )

    async def _read(self, loaded: run_view.RunView, report: host_work.Report) -> model.Outcome:
        """Returns what a report says, without secrets, and priced if it names tokens but no dollars."""
        outcome = self.redact(host_work.outcome_of(report))
        if host_work.is_unreadable(outcome) and not await self._asked_again(loaded.run.id, report):
            outcome = self.redact(host_work.again(report, outcome))
        if outcome.usage.cost_usd is not None or budget.is_silent(outcome.usage):
            return outcome
        name = next((task.model for task in loaded.plan.tasks if task.id == report.task_id), None)
        dollars = await anyio.to_thread.run_sync(self.rules.price, name, outcome.usage)
        usage = outcome.usage.model_copy(update={"cost_usd": dollars})
        return outcome.model_copy(update={"usage": usage})

    async def _asked_again(self, run_id: str, report: host_work.Report) -> bool:
        tries = await self.store.attempts(run_id, report.task_id)
        return any(one.error_kind == transitions.UNUSABLE for one in tries)

    async def _judged(
        self,
        loaded: run_view.RunView,
        reports: Sequence[host_work.Report],
        outcomes: Sequence[model.Outcome],
        refused: Sequence[str],
    ) -> list[model.Outcome]:
        """Returns what the reports claim as receipts judge it, all looked at side by side: whoever reports waits."""
        found, desk = list(outcomes), self.hosting()

        async def judge(place: int) -> None:
            found[place] = await desk.judged(loaded, reports[place], outcomes[place])

        async with anyio.create_task_group() as group:
            for place, why in enumerate(refused):
                if not why:
                    group.start_soon(judge, place)
        return found

    def _host_step(self, finished: Sequence[transitions.Finished] = ()) -> records.Step:
        return records.Step(
            now=self.clock(),
            finished=finished,
            start=transitions.HOST_WORKERS,
            lease_s=self.rules.lease_s,
            renew=True,
        )

    async def _contact(self, record: records.RunRecord) -> list[assignments.Assignment]:
        """Hands out ready host tasks and repeats those that are out; renews their leases."""
        if record.state in model.RUN_FINAL or not self.available_workers.chat:
            return []
        await self.store.advance(record.id, self._host_step())
        loaded, _ = await self._settled(record.id)
        out = {task.id for task in loaded.tasks if host_work.is_out(task)}
        return await self.hosting().assignments(loaded, out)

    async def _settled(self, run_id: str) -> tuple[run_view.RunView, frozenset[str]]:
        """Returns a run as it is, after closing what is out with the host and turned out to need nobody."""
        loaded = await run_view.load(self.store, run_id, self.principal)
        done = await review_attempt.settled(self.store, loaded, self.clock())
        return (await run_view.load(self.store, run_id, self.principal), done) if done else (loaded, done)

    def hosting(self) -> host_work.Hosting:
        """Returns what makes assignments out of ready host tasks, with today's agents."""
        return host_work.Hosting(self.store, self.catalog(), self.installed(), self.assign, self.engine.services)

    async def _progress(
        self, run_id: str, assigned: Sequence[assignments.Assignment], *, reused: bool, why: str
    ) -> answers.Progress:
        loaded = await run_view.load(self.store, run_id, self.principal)
        record = loaded.run
        return answers.Progress(
            run_id=run_id,
            state=record.state,
            counts=record.counts,
            next=next_step.next_step(record, loaded.tasks, loaded.plan.tasks, assigned=len(assigned)),
            plan_id=record.plan_id,
            plan_version=record.plan_version,
            worker=record.worker.value,
            why_worker="" if reused else why,
            reused=reused,
            simulated=record.dry_run,
            assignments=tuple(assigned),
            replayed=sum(task.cause == transitions.REPLAYED for task in loaded.tasks),
            poll_after_s=0.0 if assigned or record.state in model.RUN_FINAL else 5.0,
            trace=f"dispatch://runs/{run_id}",
        )

    # -- trace, steer, message

    async def trace(
        self,
        *,
        run_id: str = "",
        task_id: str = "",
        view: View = "summary",
        cursor: str = "",
        wait_s: float = 0.0,
    ) -> answers.Trace:
        """Returns a view of a run, or the list of runs when no run is named; may wait up to 45 s for news."""
        if not run_id:
            return await traces.overview(self.store, self.principal, everything=view == "all", after=cursor)
        run_id = await self._run_id(run_id)
        await self._wait(run_id, cursor if view == "timeline" else "", min(max(wait_s, 0.0), MAX_WAIT_S))
        loaded = await run_view.load(self.store, run_id, self.principal)
        return await traces.view(self.store, loaded, view, task_id, cursor)

    async def _wait(self, run_id: str, cursor: str, wait_s: float) -> None:
        """Returns when the run is over, needs the host, has events after the cursor, or time is up."""
        after = traces.sequence(cursor)
        with anyio.move_on_after(wait_s):
            while True:
                pulse = self.engine.pulse
                loaded = await run_view.load(self.store, run_id, self.principal)
                asked = loaded.run.state in model.RUN_FINAL or loaded.run.state is RunState.WAITING_INPUT
                if wait_s == 0 or asked or _needs_host(loaded.tasks):
                    return
                if cursor and await self.store.events(run_id, after=after, limit=1):
                    return
                await pulse.wait()

    async def steer(
        self, run_id: str, kind: Literal["cancel", "pause", "resume", "retry", "skip"], task_id: str, reason: str
    ) -> answers.Steered:
        """Cancels, pauses or resumes a run; retries or skips a task. Never approves anything."""
        if kind in ("retry", "skip") and not task_id:
            raise errors.InputError(f"{kind!r} needs the id of a task.", hint=NextStep(StepKind.LIST_TASKS, run_id))
        run_id = await self._run_id(run_id)
        before = await run_view.load(self.store, run_id, self.principal)
        await self.engine.signal(run_id, records.Action(kind, task_id, reason))
        return await self._steered(before)

    async def _steered(self, before: run_view.RunView) -> answers.Steered:
        run_id = before.run.id
        after = await run_view.load(self.store, run_id, self.principal)
        changed = tuple(task.id for task in after.tasks if before.states.get(task.id) is not task.state)
        return answers.Steered(
            run_id=run_id,
            state=after.run.state,
            counts=after.run.counts,
            changed=changed[: traces.PAGE],
            next=next_step.next_step(after.run, after.tasks, after.plan.tasks),
        )

    async def decisions(self, run_id: str) -> list[approvals.Decision]:
        """Returns the decisions of people that a run waits for."""
        run_id = await self._run_id(run_id)
        return approvals.waiting(await run_view.load(self.store, run_id, self.principal))

    async def decide(self, run_id: str, task_id: str, verdict: approvals.Verdict) -> answers.Steered:
        """Records what a person decided; only interfaces that have asked a person call this.

        Raises:
            InputError: no such decision is open, or no task is named and several are.
        """
        run_id = await self._run_id(run_id)
        before = await run_view.load(self.store, run_id, self.principal)
        chosen = approvals.chosen(before, task_id)
        advance = await approvals.record(self.store, chosen, verdict, self.clock())
        self.engine.poke(run_id)
        if advance.state not in model.RUN_FINAL:
            await self.engine.start(run_id)
        return await self._steered(before)

    async def offer(self, run_id: str, expect: str = "") -> merge_offer.Offer:
        """Returns what a run would bring into its checkout; with `expect`, what it brought there.

        Only interfaces that have asked a person give `expect`.

        Raises:
            InputError: there is nothing to apply, or it has moved on from `expect`.
            NotAllowed: the checkout is in no state for it; nothing was touched.
        """
        if self.checkouts is None:
            raise errors.InputError("Nothing can be applied from here.", hint=NextStep(StepKind.LOOK_AT_CHANGE, run_id))
        record = await self.store.run(await self._run_id(run_id), principal=self.principal)
        if expect:
            return await self.checkouts.apply(record.workspace, record.id, expect)
        return await self.checkouts.look(record.workspace, record.id)

    async def send(self, message: model.Message) -> answers.Posted:
        """Posts a message between agents of a run. Raises InputError if nobody of that name takes part."""
        run_id = await self._run_id(message.run_id)
        loaded = await run_view.load(self.store, run_id, self.principal)
        known = message_rules.recipients(loaded.plan.tasks)
        if message.recipient not in known:
            near = problems.nearest(message.recipient, known)
            fix = f"Did you mean {near!r}?" if near else f"Write to one of {problems.listed(sorted(known))}."
            raise errors.InputError(f"Nobody in this run is called {message.recipient[:80]!r}.", hint=fix)
        stamped = message.model_copy(update={"run_id": run_id, "at": self.clock()})
        sent = await self.store.send(stamped)
        return answers.Posted(run_id=run_id, sent=sent, proposed_edits=await self._proposals(run_id, [stamped]))

    async def _proposals(self, run_id: str, notes: Sequence[model.Message]) -> tuple[dict[str, model.Json], ...]:
        """Returns the edits of the plan that requests for change ask for."""
        if not any(note.kind == "request" for note in notes):
            return ()
        loaded = await run_view.load(self.store, run_id, self.principal)
        return message_rules.proposals(notes, loaded.plan.tasks, loaded.states)

    async def card(self, name: str, version: str) -> dict[str, model.Json]:
        """Returns the A2A card of an agent, with what it does now. Raises UnknownHandle."""
        agent = self.catalog().agent(name)
        work = (await traces.open_work(self.store, self.principal)).get(agent.name, [])
        return a2a_card.card(agent, version=version, work=work)

    async def brief(self, run_id: str, task_id: str) -> str:
        """Returns the whole prompt of a task's newest attempt. Raises UnknownHandle."""
        loaded = await run_view.load(self.store, run_id, self.principal)
        kept = await self.store.kept_brief(run_id, task_id, loaded.task(task_id).attempt)
        if kept:
            return kept
        return await self.hosting().whole(loaded, loaded.task(task_id))

    async def result(self, run_id: str, task_id: str) -> str:
        """Returns the accepted outcome of a task as JSON. Raises UnknownHandle."""
        loaded = await run_view.load(self.store, run_id, self.principal)
        outcome = await self.store.outcome(run_id, loaded.task(task_id).id)
        if outcome is None:
            raise errors.UnknownHandle(
                f"Task {task_id!r} is {loaded.states[task_id].value}: no result.",
                hint=NextStep(StepKind.READ_RUN, run_id),
            )
        return outcome.model_dump_json(exclude_defaults=True)

    async def inbox(self, run_id: str, recipient: str) -> answers.Posted:
        """Returns the unread messages for a recipient and marks them as read."""
        run_id = await self._run_id(run_id)
        await self.store.run(run_id, principal=self.principal)
        found = await self.store.inbox(run_id, recipient or message_rules.ORCHESTRATOR, mark_read=True)
        return answers.Posted(run_id=run_id, messages=tuple(note for note in found if not note.read))


def _needs_host(tasks: Sequence[records.TaskRecord]) -> bool:
    return any(task.state is TaskState.READY and task.worker is WorkerKind.HOST for task in tasks)
