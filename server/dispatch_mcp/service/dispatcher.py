"""The one facade that every interface uses: route, plan, dispatch, report, trace, steer, message, review."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import a2a_card, catalog
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.engine.earlier_runs import freed_work
from dispatch_mcp.model import WorkerKind, merge_offer, ports, records, short_ids, transitions, worker_choice
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import agent_choice
from dispatch_mcp.routing import router
from dispatch_mcp.service import (
    answers,
    approvals,
    handles,
    host_assignments,
    host_reports,
    messaging,
    plan_proposals,
    planner,
    review_subjects,
    reviews,
    route_memory,
    run_starts,
    steering,
    traces,
)
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.store import sqlite_store

POLL_S = 5.0
"""After how many seconds it is worth looking at a run again that only the server works on."""


def as_reported(outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome as it is."""
    return outcome


@dataclass(slots=True)
class Dispatcher:
    """Everything a host or a shell may ask.

    `catalog` returns the current catalogue, refreshed on change; `redact` takes secrets out of what the host reports,
    `clean_plan` out of plans, and `means.clean` out of all other texts before they are stored.
    `memory` is what routing learns from; without it, it learns nothing. `available_workers` are who can work here, of
    whom `default_worker` is the one that the caller has chosen for tasks that name nobody. `hooks` is what the hooks of
    the calling session do; it is known from their first contact. `chooser` chooses agents where the router is not sure
    and no assistant does.
    """

    store: sqlite_store.Store
    engine: run_engine.RunEngine
    rules: plan_proposals.PlanningRules
    catalog: Callable[[], catalog.Catalog]
    assign: host_assignments.Assign
    installed: Callable[[], Collection[str]] = frozenset
    principal: str = records.LOCAL
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = planner.new_id
    redact: Callable[[model.Outcome], model.Outcome] = as_reported
    default_worker: WorkerKind | None = None
    available_workers: worker_choice.AvailableWorkers = field(default_factory=worker_choice.AvailableWorkers)
    memory: route_memory.Memory | None = None
    checkouts: ports.Checkouts | None = None
    inner_folders: ports.InnerFolders | None = None
    means: review_subjects.ReviewMeans = field(default_factory=review_subjects.ReviewMeans)
    clean_plan: planner.Clean = planner.as_written
    hooks: host_assignments.Hooks = "off"
    chooser: agent_choice.Chooser | None = None

    @property
    def handles(self) -> handles.Handles:
        """What handles of this principal mean."""
        return handles.Handles(self.store, self.principal, self.rules.workspace)

    @property
    def plans(self) -> planner.Planner:
        """What makes and changes plans, with the same store and rules."""
        return planner.Planner(
            self.store,
            self.rules,
            self.catalog,
            self.principal,
            self.clock,
            self.new_id,
            self.memory,
            self.inner_folders,
            self.clean_plan,
            self.chooser,
        )

    @property
    def council(self) -> reviews.Council:
        """What reviews changes."""
        return reviews.Council(
            self.store,
            self.handles,
            self.catalog,
            self.plans,
            self.means,
            self.dispatch,
            self._workers,
            self.clock,
            self.engine.attempts.services.evidence,
        )

    def expect_work(self) -> None:
        """Begins to read the workspace, for which there will probably be tasks; returns before that is done."""
        gathering = self.engine.attempts.services.briefing
        if gathering is not None and not gathering.expects(self.rules.workspace):
            read = functools.partial(gathering.expect, self.rules.workspace)
            self.engine.beside(functools.partial(anyio.to_thread.run_sync, read))

    def search_progress(self) -> tuple[int, int] | None:
        """Returns how many files of the workspace are searched, and how many there are; None when nobody reads it."""
        gathering = self.engine.attempts.services.briefing
        share = gathering.gatherer.progress(self.rules.workspace) if gathering else None
        return (share.files - share.rest, share.files) if share and share.rest else None

    def route(self, text: str, *, roster: str = "", hints: router.Hints = router.NO_HINTS) -> router.Route:
        """Returns who should do this, with evidence. Raises InputError for an empty text or unknown roster."""
        if not text.strip():
            raise errors.InputError("The task text is empty.", hint="Say in one or two sentences what is to be done.")
        candidates = self.catalog().roster(roster) if roster else self.catalog()
        hints = hints.model_copy(update={"bands": self.rules.bands})
        route = router.route(text, candidates, history=self.plans.history, hints=hints)
        if self.memory:
            self.memory.note_suggestion(text, route.specialist or "" if route.sure else "")
        return route

    async def dispatch(
        self,
        *,
        plan_id: str = "",
        run_id: str = "",
        worker: str = "auto",
        request_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
        roster: str = "",
        limits: model.Limits = model.Limits(),
        word: records.PersonWord | None = None,
    ) -> answers.Progress:
        """Starts a plan or goes on with a run, and returns its handle at once with the host's assignments.

        With `roster` those tasks of the plan that have no agent are routed in it first. `word` is a person's who has
        agreed that a run may use more; only interfaces that have asked a person give one.

        Raises:
            InputError: neither or both handles are given, or nobody of that name can work.
            NotAllowed: a run under way would be given higher ceilings and no person has agreed.
            UnknownHandle: there is no such plan, run or roster.
        """
        if bool(plan_id) == bool(run_id):
            raise errors.InputError(
                f"Give either plan_id or run_id (got plan_id={plan_id!r}, run_id={run_id!r}).",
                hint="plan_id starts a plan; run_id goes on with a run.",
            )
        if run_id and roster:
            raise errors.InputError(
                f"roster {roster!r} is for plan_id: run {run_id!r} has its agents.",
                hint="Edit its plan to give a task another agent.",
            )
        if run_id:
            record, is_new = await self._starts.limit(run_id, limits, word), False
            if record.state is model.RunState.NEEDS_CHANGES and await freed_work.free(self.store, record):
                record = await self.store.run(record.id, principal=record.principal)
        else:
            key = self.means.clean(request_key)
            how = run_starts.StartRequest(
                plan_id, worker, key, dry_run=dry_run, fresh=fresh, roster=roster, limits=limits
            )
            record, is_new = await self._starts.create(how)
        if record.state not in model.RUN_FINAL:
            await self.engine.start(record.id)
        handover = await self._handed_out(record)
        why = self._workers.why(worker, handover.view.plan.tasks, dry_run=dry_run) if is_new else ""
        return _progress(handover, reused=not is_new, why=why)

    async def limit(self, run_id: str, limits: model.Limits, word: records.PersonWord | None = None) -> str:
        """Gives a run other ceilings and returns its id; a raise needs the word of a person who was shown it.

        Raises:
            NotAllowed: it is beyond what the configuration allows, or a raise to which nobody has agreed.
            StaleVersion: a person has agreed for another plan, or to another raise.
        """
        return (await self._starts.limit(run_id, limits, word)).id

    async def offer_raise(self, run_id: str, limits: model.Limits) -> approvals.RaiseOffer | None:
        """Returns what a person would have to agree to for a run to have these ceilings; None when nothing rises."""
        return await self._starts.offer_raise(run_id, limits)

    async def report(self, run_id: str, raw: Sequence[model.Json]) -> answers.ReportAnswer:
        """Accepts results of host-made attempts, each exactly once, and hands out what is ready next.

        An entry that cannot be read is refused alone.

        Raises:
            InputError: no entry can be read.
        """
        accepting = host_reports.Reporting(
            self.store, self.engine, self.contact, self.redact, self.rules.price, self.plans.learn
        )
        return await accepting.accept(await self.handles.run(run_id), raw)

    async def trace(
        self,
        *,
        run_id: str = "",
        task_id: str = "",
        view: view_names.View = "summary",
        cursor: str = "",
        wait_s: float = 0.0,
    ) -> answers.Trace:
        """Returns a view of a run, or the list of runs when no run is named; may wait up to 45 s for news.

        The view `brief` is what the worker of a task is to read, for hosts that cannot read it as a resource.
        """
        if view == "brief":
            return await self._brief_view(run_id, task_id)
        tracing = traces.Tracing(self.store, self.engine, self.handles)
        return await tracing.trace(run_id, task_id, view, cursor, wait_s)

    async def steer(
        self, run_id: str, kind: steering.Kind, task_id: str, reason: str, *, by_person: bool = False
    ) -> answers.SteeringAnswer:
        """Cancels, pauses or resumes a run; retries or skips a task. Never approves anything.

        Only interfaces that a person uses directly say `by_person`, who may let a review go that has not passed.
        """
        return await self._steering.steer(run_id, kind, task_id, self.means.clean(reason), by_person=by_person)

    async def decisions(self, run_id: str) -> list[approvals.OpenDecision]:
        """Returns the decisions of people that a run waits for."""
        return await self._steering.decisions(run_id)

    async def decide(self, run_id: str, task_id: str, verdict: approvals.PersonVerdict) -> answers.SteeringAnswer:
        """Records what a person decided; only interfaces that have asked a person call this.

        Raises:
            InputError: no such decision is open, or no task is named and several are.
        """
        verdict = verdict._replace(reason=self.means.clean(verdict.reason))
        answer = await self._steering.decide(run_id, task_id, verdict)
        if self.memory:
            await self.memory.learn_from_run(answer.run_id)
        return answer

    async def offer(self, run_id: str, expect: str = "") -> merge_offer.Offer:
        """Returns what a run would bring into its checkout; with `expect`, what it brought there.

        Only interfaces that have asked a person give `expect`.

        Raises:
            InputError: there is nothing to apply, or it has moved on from `expect`.
            NotAllowed: the checkout is in no state for it; nothing was touched.
        """
        if self.checkouts is None:
            raise errors.InputError("Nothing can be applied from here.", hint=NextStep(StepKind.LOOK_AT_CHANGE, run_id))
        record = await self.store.run(await self.handles.run_id(run_id), principal=self.principal)
        if not expect:
            offer = await self.checkouts.look(record.workspace, record.id)
            return offer.model_copy(update={"run_state": record.state.value})
        offer = await self.checkouts.apply(record.workspace, record.id, expect)
        if self.memory:
            await self.memory.learn_from_applying(record.id)
        return offer

    async def send(self, message: model.Message) -> answers.MessagesAnswer:
        """Posts a message between agents of a run. Raises InputError if nobody of that name takes part."""
        clean = {"text": self.means.clean(message.text), "sender": self.means.clean(message.sender)}
        return await self._messaging.send(message.model_copy(update=clean))

    async def inbox(self, run_id: str, recipient: str) -> answers.MessagesAnswer:
        """Returns the unread messages for a recipient and marks them as read."""
        return await self._messaging.inbox(run_id, recipient)

    async def card(self, name: str, version: str) -> dict[str, model.Json]:
        """Returns the A2A card of an agent, with what it does now. Raises UnknownHandle."""
        agent = self.catalog().agent(name)
        work = (await traces.open_work(self.store, self.principal)).get(agent.name, [])
        return a2a_card.card(agent, version=version, work=work)

    async def brief(self, run_id: str, task_id: str) -> str:
        """Returns the whole prompt of a task's newest attempt. Raises UnknownHandle."""
        view = await run_view.load(self.store, await self.handles.run_id(run_id), self.principal)
        row = view.task(task_id)
        kept_text = await self.store.kept_brief(view.run.id, task_id, row.attempt)
        return kept_text or await self._host.prompt(view, row)

    async def _brief_view(self, run_id: str, task_id: str) -> answers.Trace:
        if not run_id or not task_id:
            raise errors.InputError("The view 'brief' is of one task.", hint="Send run_id and task_id too.")
        view = await run_view.load(self.store, await self.handles.run_id(run_id), self.principal)
        text = await self.brief(view.run.id, task_id)
        return answers.Trace(run_id=view.run.id, state=view.run.state.value, text=text)

    async def messages(self, run_id: str) -> list[model.Message]:
        """Returns all messages of a run, whole, in the order in which they were sent. Raises UnknownHandle."""
        view = await run_view.load(self.store, await self.handles.run_id(run_id), self.principal)
        return list((await self.store.mail(view.run.id)).messages)

    async def result(self, run_id: str, task_id: str) -> str:
        """Returns the accepted outcome of a task as JSON. Raises UnknownHandle."""
        view = await run_view.load(self.store, await self.handles.run_id(run_id), self.principal)
        row = view.task(task_id)
        outcome = await self.store.outcome(view.run.id, task_id)
        if outcome is None:
            raise errors.UnknownHandle(
                f"Task {task_id!r} is {row.state.value}: no result.", hint=NextStep(StepKind.READ_RUN, view.run.id)
            )
        return outcome.model_dump_json(exclude_defaults=True, exclude={"footprints"})

    @property
    def _workers(self) -> run_starts.Workers:
        return run_starts.Workers(self.available_workers, self.default_worker)

    @property
    def _starts(self) -> run_starts.RunStarts:
        return run_starts.RunStarts(
            *(self.store, self.engine, self.handles, self.rules, self._workers, self.clock, self.new_id),
            *(self.plans.review_blocked, self.plans.route_in),
        )

    @property
    def _steering(self) -> steering.Steering:
        return steering.Steering(self.store, self.engine, self.handles, self.clock)

    @property
    def _messaging(self) -> messaging.Messaging:
        return messaging.Messaging(self.store, self.handles, self.clock)

    @property
    def _host(self) -> host_assignments.HostAssignments:
        return host_assignments.HostAssignments(
            self.engine.attempts,
            self.catalog(),
            self.installed(),
            self.assign,
            self.hooks,
            self.engine.beside,
            self.rules.lease_s,
        )

    @property
    def contact(self) -> host_assignments.HostContact:
        """What happens whenever the host calls."""
        return host_assignments.HostContact(self._host, self.principal, self.clock, self.rules.lease_s)

    async def _handed_out(self, record: records.RunRecord) -> host_assignments.Handover:
        """Returns a run with the assignments that are out with whoever calls; none for a caller that is no host."""
        if record.state in model.RUN_FINAL or not self.available_workers.chat:
            return host_assignments.Handover(await council_rounds.load(self.store, record.id, self.principal))
        return await self.contact.hand_out(record.id)


def _progress(handover: host_assignments.Handover, *, reused: bool, why: str) -> answers.Progress:
    view = handover.view
    handouts, briefs = answers.in_one_folder(handover.assignments)
    record, step = view.run, handover.next_step()
    pause_s = step.retry_s if step.retries else POLL_S
    return answers.Progress(
        run_id=record.id,
        state=record.state,
        counts=record.counts,
        next=step,
        pass_on=handover.news.pass_on,
        unread=handover.news.unread,
        notes_at=handover.news.notes_at,
        title=record.title,
        plan_id=record.plan_id,
        plan_version=record.plan_version,
        worker=record.worker.value,
        why_worker=why,
        reused=reused,
        simulated=view.is_simulated,
        assignments=handouts,
        briefs=briefs,
        replayed=sum(task.cause == transitions.REPLAYED for task in view.tasks),
        stale={
            task.id: task.cause.removeprefix(transitions.STALE)
            for task in view.tasks
            if task.cause.startswith(transitions.STALE)
        },
        poll_after_s=0.0 if handouts or record.state in model.RUN_FINAL else round(pause_s, 1),
        trace=f"dispatch://runs/{short_ids.short(record.id)}",
    )
