"""Plans as the store keeps them: checked, assigned, scheduled, stored, and changed by edits."""

from __future__ import annotations

import functools
import itertools
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import project_files
from dispatch_mcp.context.documents import declared_files
from dispatch_mcp.model import TaskState, bounds, digests, ports, problems, records, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import (
    agent_choice,
    edit_rules,
    forecast,
    plan_advice,
    plan_checks,
    plan_documents,
    plan_edits,
    proof_proposals,
    review_rules,
    typed_inputs,
)
from dispatch_mcp.planning.drafts import pattern_graphs, patterns, plan_offer
from dispatch_mcp.process import allowlist, computation
from dispatch_mcp.review import reviewer_selection
from dispatch_mcp.routing import confidence, learning, router
from dispatch_mcp.runs import prompt_lint
from dispatch_mcp.service import handles, route_memory
from dispatch_mcp.store import sqlite_store

BANDS = confidence.Bands()
NO_CEILINGS = model.Limits()
NO_COMMANDS = allowlist.AllowList()
MAX_OPEN_RUNS = 1_000


def new_id() -> str:
    """Returns a random 128-bit id as 32 hex characters."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration decides for every call; `workspace` is an absolute path, the lease is in seconds.

    `ceilings` are the most that a run may be given, `price` is what forecasts and reports are priced by, `allow_list`
    what the server may start, and `how_to_allow` what the user writes for a command that it may not. `reviews` says
    what is reviewed, and `review_rounds` how often a review of it may judge.
    """

    workspace: str
    max_parallel: int = 5
    lease_s: float = 1800.0
    depth: int = 0
    depth_limit: int = 2
    bands: confidence.Bands = BANDS
    review_policy: review_rules.Policy = "standard"
    reviews: review_rules.Scope = "end"
    review_rounds: int = 3
    ceilings: model.Limits = NO_CEILINGS
    price: forecast.Price = forecast.no_price
    allow_list: allowlist.AllowList = NO_COMMANDS
    how_to_allow: Callable[[Sequence[str]], str] = lambda _argv: ""


PATTERN: Final = "pattern "
"""How the reason of an added task begins that a pattern has."""


class PlanProposal(NamedTuple):
    """A stored plan, its schedule, and what was decided for each task that did not say: agent, model, confidence.

    `changes` says what an edit did (`replan.changes`); the schedule of an edited plan is of what has not ended.
    `proofs` are acceptance that its tasks could be given. `additions` are the tasks that nobody sent, each with its
    reason; `goals` are those that were made of parts, in the words that they were sent in.
    """

    plan: model.Plan
    prepared: plan_checks.ScheduledPlan
    decided: Mapping[str, Mapping[str, model.Json]]
    changes: Mapping[str, model.Json] = {}
    proofs: proof_proposals.Proposals = proof_proposals.Proposals()
    additions: Mapping[str, str] = {}
    goals: Mapping[str, str] = {}


Clean = Callable[[str, Sequence[model.Task]], tuple[str, Sequence[model.Task]]]
"""Takes secrets out of a request and of tasks before they are stored."""


def as_written(request: str, tasks: Sequence[model.Task]) -> tuple[str, Sequence[model.Task]]:
    """Returns both as they are."""
    return request, tasks


@dataclass(slots=True)
class Planner:
    """Makes and changes plans for one principal. `memory` is what routing learns from; without it, nothing.

    `chooser` is who chooses agents where the router is not sure, None for nobody beside the router.
    `inner_folders` tells which submodules and other repositories there are in a workspace, around some paths of it.
    """

    store: sqlite_store.Store
    rules: Rules
    catalog: Callable[[], catalog.Catalog]
    principal: str = records.LOCAL
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = new_id
    memory: route_memory.Memory | None = None
    inner_folders: ports.InnerFolders | None = None
    clean: Clean = as_written
    chooser: agent_choice.Chooser | None = None

    @property
    def handles(self) -> handles.Handles:
        """What handles of this principal mean."""
        return handles.Handles(self.store, self.principal, self.rules.workspace)

    @property
    def history(self) -> router.History:
        """What past routes have taught."""
        return self.memory.history if self.memory else router.NO_HISTORY

    async def learn(self, lessons: Sequence[learning.Lesson]) -> None:
        """Keeps lessons, if anything is to be learned here."""
        if self.memory:
            await self.memory.learn(lessons)

    def offer(self, request: str, pattern: str = "", *, roster: str = "") -> plan_offer.Offer:
        """Returns what is offered for a request in free words; nothing is stored. `roster` names the only one to ask.

        Raises:
            InputError: the request is empty.
            PlanRejected: there is no such pattern.
            UnknownHandle: there is no such roster.
        """
        if not request.strip():
            raise errors.InputError(
                "There is nothing to plan: request, tasks and edits are all empty.",
                hint="Send tasks: a list of {id, do, deps, files}.",
            )
        name = self._pattern(pattern)
        hints = router.Hints(bands=self.rules.bands)
        offer = plan_offer.offer(request, self._agents(roster), pattern=name, history=self.history, hints=hints)
        if self.memory:
            self.memory.note_suggestion(request, "")
        return offer

    def _agents(self, roster: str) -> catalog.Catalog:
        """Returns who takes part in routing, everybody or a roster. Raises UnknownHandle if there is no such roster."""
        return self.catalog().roster(roster) if roster else self.catalog()

    def _pattern(self, name: str) -> str:
        """Returns a pattern's own name. Raises PlanRejected if there is none of that name; an empty one stays empty."""
        shape = patterns.shape(name) if name else None
        refuse(pattern_graphs.problems_of(name, ()) if name and shape is None else [])
        return shape.name if shape else ""

    async def plan_parts(
        self,
        parts: Sequence[str],
        pattern: str,
        *,
        request: str = "",
        title: str = "",
        max_parallel: int | None = None,
        on_conflict: model.Conflict = "serialize",
        roster: str = "",
    ) -> PlanProposal:
        """Does what `plan` does with the graph of a pattern around the caller's own words.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        refuse(pattern_graphs.problems_of(pattern, parts))
        graph, agents = pattern_graphs.build(pattern, parts), self._agents(roster)
        reading = plan_documents.read_tasks([self._like_another(task, graph, agents) for task in graph.tasks])
        faults = await computation.apart(self.check, reading)
        refuse([fault.model_copy(update={"where": graph.place(fault.where)}) for fault in faults])
        additions = {task_id: f"{PATTERN}{name}" for task_id, name in graph.additions.items()}
        frame = self._frame(plan_documents.Document(reading, max_parallel), on_conflict)
        words = {"request": request, "title": title, "pattern": self._pattern(pattern), "roster": roster}
        proposal = await self._planned(reading, frame.model_copy(update={**words, "additions": additions}))
        return proposal._replace(
            goals={task["id"]: task["do"] for task in graph.tasks if task["id"] not in graph.additions},
        )

    def _like_another(
        self, task: pattern_graphs.RawTask, graph: pattern_graphs.PatternPlan, agents: catalog.Catalog
    ) -> pattern_graphs.RawTask:
        """Returns a task with the agent of the task whose agent it is to have, where the router is sure of one."""
        source = next((other for other in graph.tasks if other["id"] == graph.follows.get(task["id"])), None)
        hints = router.Hints(bands=self.rules.bands)
        agent = router.route(source["do"], agents, history=self.history, hints=hints).specialist if source else ""
        return {**task, "agent": agent} if agent else task

    async def plan(
        self,
        raw: Sequence[Mapping[str, model.Json]],
        *,
        request: str = "",
        title: str = "",
        max_parallel: int | None = None,
        on_conflict: model.Conflict = "serialize",
        pattern: str = "",
        roster: str = "",
    ) -> PlanProposal:
        """Checks, assigns, schedules and stores version 1 of a plan of tasks as a model sends them.

        It is called `title`, or after the first words of the request or of its first task.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        document = plan_documents.Document(await computation.apart(plan_documents.read_tasks, raw), max_parallel)
        words = {"request": request, "title": title, "pattern": pattern, "roster": roster}
        return await self.plan_document(document, on_conflict=on_conflict, **words)

    async def plan_document(
        self,
        document: plan_documents.Document,
        *,
        request: str = "",
        title: str = "",
        on_conflict: model.Conflict = "serialize",
        plan_id: str = "",
        pattern: str = "",
        roster: str = "",
    ) -> PlanProposal:
        """Does what `plan` does with a document that has been read.

        The number of its id is `plan_id`, or a new one.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        self._agents(roster)
        refuse(await computation.apart(self.check, document.reading))
        words = {"request": request, "title": title, "pattern": self._pattern(pattern), "roster": roster}
        frame = self._frame(document, on_conflict, plan_id).model_copy(update=words)
        return await self._planned(document.reading, frame)

    def _frame(self, document: plan_documents.Document, on_conflict: model.Conflict, plan_id: str = "") -> model.Plan:
        """Returns the plan of a document without its tasks; `plan_id` is the number of its id, or a new one."""
        return model.Plan(
            id=plan_id or self.new_id(),
            tasks=(),
            workspace=self.rules.workspace,
            max_parallel=document.max_parallel or self.rules.max_parallel,
            on_conflict=on_conflict,
            timeout_s=document.timeout_s,
        )

    async def _planned(self, reading: plan_documents.Reading, frame: model.Plan) -> PlanProposal:
        """Does the rest of what `plan` does with tasks that have been checked."""
        if self.memory:
            await self.memory.refresh()
        notes = [*reading.notes, *typed_inputs.notices(reading.tasks, self._form)]
        proposal = await self._prepared(frame, reading.tasks, notes, await self._runners())
        if self.memory:
            await self.learn(self.memory.corrections(reading.tasks, self.catalog().names, self.clock()))
        return proposal

    async def plan_file(
        self,
        document: plan_documents.Document,
        *,
        on_conflict: model.Conflict = "serialize",
        title: str = "",
        roster: str = "",
    ) -> PlanProposal:
        """Does what `plan` does with a document, under a name made of its content: the same one is the same plan.

        What was planned before is found again as it was, also after edits.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        reading, rules = document.reading, self.rules
        self._agents(roster)
        refuse(await computation.apart(self.check, reading))
        tasks = [task.model_dump(mode="json", by_alias=True, exclude_defaults=True) for task in reading.tasks]
        routing = filter(None, [roster, "model" if self.chooser else ""])
        settings = [rules.workspace, document.max_parallel, document.timeout_s, on_conflict, *routing]
        plan_id = digests.digest([tasks, *settings, rules.reviews, rules.review_policy])[:32]
        try:
            plan = await self.store.plan(await self.handles.plan_id(plan_id), principal=self.principal)
        except errors.UnknownHandle:
            frame = self._frame(document, on_conflict, plan_id).model_copy(update={"title": title, "roster": roster})
            return await self._planned(reading, frame)
        schedule = await computation.apart(
            plan_checks.prepare, plan.tasks, max_parallel=plan.max_parallel, workspace=plan.workspace
        )
        runners = await self._runners()
        proofs = await computation.apart(proof_proposals.propose, plan.tasks, runners, rules.allow_list)
        return PlanProposal(
            plan, schedule, agent_choice.additions(plan.tasks, reading.tasks), proofs=proofs, additions=plan.additions
        )

    def check(self, reading: plan_documents.Reading) -> list[problems.Problem]:
        """Returns everything that is wrong with a document's tasks."""
        blanks = typed_inputs.check_blanks(reading.tasks, self._form)
        return problems.without_consequences(reading.problems, [*self._check(reading.tasks), *blanks])

    async def edit(
        self,
        plan_id: str,
        base_version: int,
        edits: Sequence[Mapping[str, model.Json]],
        *,
        roster: str = "",
        agentless: Collection[str] = (),
    ) -> PlanProposal:
        """Stores the next version of a plan, and lets its open runs go on with it; all edits or none.

        Tasks without an agent are routed in `roster`, or in the plan's own if none is named; those in `agentless` lose
        theirs first.

        Raises:
            UnknownHandle: there is no such plan, or no such roster.
            StaleVersion: the plan has moved on; the error says what changed since.
            NotAllowed: an open run may not have so many tasks.
            PlanRejected: with every problem at once; nothing is stored.
        """
        plan_id = await self.handles.plan_id(plan_id)
        plan = await self.store.plan(plan_id, principal=self.principal)
        if base_version != plan.version:
            raise await self._stale(plan, base_version)
        open_runs = await self._open_runs(plan_id)
        runs = [[records.row_of(task) for task in await self.store.tasks(run.id)] for run in open_runs]
        review_rows = [] if runs else await self.handles.failed_reviews(plan_id)
        standing = await computation.apart(plan_edits.standing, runs)
        base = await computation.apart(edit_rules.bare, plan.tasks, plan.added_edges, standing.fixed)
        runners = await self._runners()

        def propose(task: model.Task) -> tuple[str, ...]:
            is_fixed = task.id in standing.fixed
            return () if is_fixed else proof_proposals.proposal_for(task, runners, self.rules.allow_list)[0]

        tasks, faults = await computation.apart(plan_edits.apply, base, edits, propose)
        tasks = [task.model_copy(update={"agent": None}) if task.id in agentless else task for task in tasks]
        extras = () if runs else [name for name, why in plan.additions.items() if why.startswith(PATTERN)]

        def objections() -> list[problems.Problem]:
            of_runs = (edit_rules.refusals(base, tasks, rows, extras=extras) for rows in (runs or [review_rows]))
            return [*self._check(tasks), *dict.fromkeys(itertools.chain.from_iterable(of_runs))]

        refuse(faults or await computation.apart(objections))
        for run in open_runs:
            refuse_tasks(run.limits, len(tasks))
        frame = plan.model_copy(
            update={"version": plan.version + 1, "added_edges": (), "roster": roster or plan.roster}
        )
        self._agents(frame.roster)
        next_version = await self._prepared(frame, tasks, [], runners, standing)
        await self.learn(await computation.apart(route_memory.lessons_of_edits, plan.tasks, tasks, self.clock()))
        ready = {row.id for rows in runs for row in rows if row.state in (TaskState.READY, TaskState.RUNNING)}
        changes = await computation.apart(
            plan_edits.changes,
            *(plan, next_version.plan, edits),
            schedule=next_version.prepared,
            ready=ready,
            stand=standing,
        )
        return next_version._replace(changes=changes)

    async def route_in(self, plan_id: str, roster: str) -> None:
        """Routes the tasks of a plan that no specialist has in a roster, if they were not; its next version keeps that.

        Raises:
            UnknownHandle: there is no such plan, or no such roster.
        """
        if not roster:
            return
        self._agents(roster)
        plan_id = await self.handles.plan_id(plan_id)
        plan = await self.store.plan(plan_id, principal=self.principal)
        if plan.roster == roster:
            return
        begun = await self._begun(plan_id)
        general = self.catalog().general_name
        free = {task.id for task in plan.tasks if general and task.agent == general and task.id not in begun}
        await self.edit(plan_id, plan.version, [], roster=roster, agentless=free)

    async def _begun(self, plan_id: str) -> Collection[str]:
        """Returns the tasks of a plan whose work has begun in an open run."""
        runs = [await self.store.tasks(run.id) for run in await self._open_runs(plan_id)]
        return plan_edits.standing([list(map(records.row_of, tasks)) for tasks in runs]).fixed

    async def _open_runs(self, plan_id: str) -> list[records.RunRecord]:
        runs = await self.store.runs(self.principal, open_only=True, limit=MAX_OPEN_RUNS)
        return [run for run in runs if run.plan_id == plan_id]

    async def _stale(self, plan: model.Plan, base_version: int) -> errors.DispatchError:
        try:
            base = await self.store.plan(plan.id, base_version, principal=self.principal)
            changes = plan_edits.difference(base.tasks, plan.tasks)
        except errors.UnknownHandle:
            changes = {}
        summary = "; ".join(f"{kind}: {', '.join(ids)}" for kind, ids in changes.items() if ids)
        since = f" Since then: {summary}." if summary else ""
        return errors.StaleVersion(
            f"Plan {short_ids.short(plan.id)} is at version {plan.version}, not {base_version}.{since}",
            hint=f"Send the edits again with base_version={plan.version}.",
            version=plan.version,
            changes=changes,
        )

    async def _prepared(
        self,
        frame: model.Plan,
        tasks_read: Sequence[model.Task],
        notes: Sequence[problems.Notice],
        runners: Sequence[proof_proposals.Runner],
        standing: plan_edits.Standing = plan_edits.NOTHING_BEGUN,
    ) -> PlanProposal:
        """Assigns and schedules checked tasks and stores them as the frame's version; `runners` run its tests."""
        request, safe = await computation.apart(
            self.clean, frame.request, [task for task in tasks_read if task.id not in standing.fixed]
        )
        frame = frame.model_copy(update={"request": request, "title": self.clean(frame.title, ())[0]})
        frame = await self.handles.named(frame, safe)
        by_id = {task.id: task for task in safe}
        tasks_read = [by_id.get(task.id, task) for task in tasks_read]
        picks = await self._picks(frame.roster, tasks_read, standing.fixed)
        frame = frame.model_copy(update={"routing_usage": picks.with_earlier(frame.routing_usage)})
        whole = await computation.apart(self._assigned, frame, tasks_read, standing, picks.agents)
        assignment, with_reviews, rest = whole
        past = forecast.Past(await self.store.samples(self.principal))
        schedule = await computation.apart(
            plan_checks.prepare,
            rest.tasks,
            max_parallel=frame.max_parallel,
            on_conflict=frame.on_conflict,
            durations=past.durations(rest.tasks),
            workspace=frame.workspace,
        )
        refuse(schedule.problems)
        edges = (*rest.edges, *schedule.added_edges)
        tasks = rest.merged(with_reviews.tasks, schedule.tasks)
        additions = {**frame.additions, **with_reviews.added}
        additions = {task.id: additions[task.id] for task in tasks if task.id in additions}
        plan = frame.model_copy(update={"tasks": tasks, "added_edges": edges, "additions": additions})
        plan = plan.model_copy(update={"forecast": await self._forecast(schedule, plan.max_parallel, past)})
        if plan.version == 1:
            await self.store.save_plan(plan, self.principal)
        else:
            await self._revise(plan)
        paths = {path for task in tasks_read for path in task.files}
        inner_folders = await self.inner_folders(frame.workspace, paths) if self.inner_folders and paths else ()
        near_files = await anyio.to_thread.run_sync(declared_files.notices, frame.workspace, tasks_read)

        news = plan.additions if plan.version == 1 else with_reviews.added

        def proposal() -> PlanProposal:
            outlook = schedule.with_notices(
                [
                    *notes,
                    *near_files,
                    *assignment.notices,
                    *with_reviews.notices,
                    *prompt_lint.lint_tasks(tasks_read),
                    *proof_proposals.refused_commands(rest.tasks, self.rules.allow_list, self.rules.how_to_allow),
                    *plan_advice.of_inner_folders(tasks_read, inner_folders, frame.workspace),
                ]
            )
            proofs = proof_proposals.propose(rest.tasks, runners, self.rules.allow_list)
            return PlanProposal(plan, outlook, assignment.choices, proofs=proofs, additions=news)

        return await computation.apart(proposal)

    async def _picks(
        self, roster: str, tasks: Sequence[model.Task], pinned_ids: Collection[str]
    ) -> agent_choice.Choices:
        """Returns the agents that a model chooses for tasks whose route is not sure; nothing where no model does."""
        if self.chooser is None:
            return agent_choice.NO_CHOICES
        questions = await computation.apart(self._agent_choice(roster).questions, tasks, pinned_ids)
        return await self.chooser(questions) if questions else agent_choice.NO_CHOICES

    def _agent_choice(self, roster: str) -> agent_choice.AgentChoice:
        return agent_choice.AgentChoice(
            self._agents(roster),
            self.history,
            self.rules.bands,
            functools.partial(agent_choice.reviewer, self.catalog()),
            self.catalog().general_name,
            every_strategy=self.rules.review_policy == "strict",
        )

    def _assigned(
        self,
        frame: model.Plan,
        tasks: Sequence[model.Task],
        standing: plan_edits.Standing,
        picks: Mapping[str, str],
    ) -> tuple[agent_choice.Assignment, review_rules.Reviewed, plan_edits.Rest]:
        """Returns who does checked tasks, with the reviews that follow from it, and what of them is left to do."""
        judging = review_rules.with_reviewers(tasks, reviewer_selection.names(self.catalog()))
        assignment = self._agent_choice(frame.roster).assign(judging, standing.fixed, picks)
        with_reviews = review_rules.with_reviews(
            assignment.tasks, assignment.strategies, self._review_rules(standing.fixed, frame.tasks)
        )
        return assignment, with_reviews, plan_edits.rest(with_reviews.tasks, standing, frame.workspace)

    async def _runners(self) -> tuple[proof_proposals.Runner, ...]:
        """Returns what runs the tests of the workspace, as it is now."""
        files = await anyio.to_thread.run_sync(project_files.read, self.rules.workspace)
        return proof_proposals.runners_of(files)

    async def _forecast(
        self, schedule: plan_checks.ScheduledPlan, workers: int, past: forecast.Past
    ) -> dict[str, model.Json]:
        """Returns what is left to do is expected to use; in a thread, as the price list takes long to load."""
        estimate = await anyio.to_thread.run_sync(forecast.of_plan, schedule, workers, past, self.rules.price)
        return estimate.answer()

    async def _revise(self, plan: model.Plan) -> None:
        """Stores the next version. Raises StaleVersion that says what changed, also when somebody was faster."""
        try:
            await self.store.revise(plan, self.principal, base_version=plan.version - 1)
        except errors.StaleVersion:
            newest = await self.store.plan(plan.id, principal=self.principal)
            raise await self._stale(newest, plan.version - 1) from None

    def _check(self, tasks: Sequence[model.Task]) -> list[problems.Problem]:
        faults = plan_checks.check(
            tasks,
            agents=self.catalog().names,
            models=router.MODELS,
            max_tasks=bounds.MAX_TASKS,
            workspace=self.rules.workspace,
        )
        return [*faults, *typed_inputs.check(tasks, self._form, self.rules.workspace)]

    def _form(self, name: str) -> typed_inputs.Form:
        """Returns the form that an agent declares for inputs, empty for none."""
        agent = self.catalog().find(name)
        return agent.inputs if agent else {}

    def without_additions(self) -> Planner:
        """Returns a planner that adds nothing to the tasks that it is given."""
        return replace(self, rules=replace(self.rules, review_policy="off", reviews="none"))

    def _review_rules(self, pinned_ids: Collection[str], earlier: Sequence[model.Task]) -> review_rules.Rules:
        rules = self.rules
        return review_rules.Rules(
            rules.review_policy,
            rules.reviews,
            rules.review_rounds,
            functools.partial(agent_choice.reviewer, self.catalog()),
            functools.partial(agent_choice.council, self.catalog()),
            advocate=reviewer_selection.pool(self.catalog()).advocate_name,
            final_ids=frozenset(pinned_ids),
            earlier=earlier,
        )


def refuse(faults: Sequence[problems.Problem]) -> None:
    """Raises PlanRejected when there are problems."""
    if faults:
        raise errors.PlanRejected(
            f"The plan has {len(faults)} problem{'s' if len(faults) > 1 else ''}; nothing was stored.",
            hint=NextStep(StepKind.CORRECT_PLAN),
            problems=tuple(faults),
        )


def refuse_tasks(limits: model.Limits, tasks: int) -> None:
    """Raises NotAllowed for a plan above its ceiling of tasks; nothing was started."""
    if limits.tasks is not None and tasks > limits.tasks:
        raise errors.NotAllowed(
            f"The plan has {tasks} tasks; the limit of this dispatch is {limits.tasks}.",
            hint="Raise limits.tasks or split the plan.",
        )
