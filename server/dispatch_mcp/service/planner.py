"""Plans as the store keeps them: checked, assigned, scheduled, stored, and changed by edits."""

from __future__ import annotations

import functools
import itertools
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import project_files
from dispatch_mcp.context.documents import declared_files
from dispatch_mcp.engine.earlier_runs import blocked_work, person_decisions
from dispatch_mcp.model import TaskState, bounds, digests, ports, problems, records, short_ids
from dispatch_mcp.planning import (
    agent_choice,
    edit_rules,
    forecast,
    gated_work,
    plan_checks,
    plan_documents,
    plan_edits,
    proof_proposals,
    review_rules,
    typed_inputs,
)
from dispatch_mcp.planning.drafts import pattern_graphs, patterns, plan_offer
from dispatch_mcp.process import allowlist, computation
from dispatch_mcp.routing import learning, router
from dispatch_mcp.service import handles, plan_proposals, route_memory
from dispatch_mcp.store import sqlite_store

MAX_OPEN_RUNS = 1_000

_REFUSABLE = (plan_proposals.PATTERN, gated_work.AGAIN)
"""How the reasons of decisions begin that planning has added, and that are nobody's once nothing waits for them."""


def new_id() -> str:
    """Returns a random 128-bit id as 32 hex characters."""
    return secrets.token_hex(16)


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
    rules: plan_proposals.PlanningRules
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

    def offer(self, request: str, pattern: str = "", *, roster: str = "") -> plan_offer.PlanOffer:
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
        plan_proposals.refuse(pattern_graphs.problems_of(name, ()) if name and shape is None else [])
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
    ) -> plan_proposals.PlanProposal:
        """Does what `plan` does with the graph of a pattern around the caller's own words.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        plan_proposals.refuse(pattern_graphs.problems_of(pattern, parts))
        graph, agents = pattern_graphs.build(pattern, parts), self._agents(roster)
        reading = plan_documents.read_tasks([self._like_another(task, graph, agents) for task in graph.tasks])
        additions = {task_id: f"{plan_proposals.PATTERN}{name}" for task_id, name in graph.additions.items()}
        frame = self._frame(plan_documents.PlanDocument(reading, max_parallel), on_conflict)
        words = {"request": request, "title": title, "pattern": self._pattern(pattern), "roster": roster}
        frame = frame.model_copy(update={**words, "additions": additions})
        proposal = await self._planned(reading, frame, graph.place)
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
    ) -> plan_proposals.PlanProposal:
        """Checks, assigns, schedules and stores version 1 of a plan of tasks as a model sends them.

        It is called `title`, or after the first words of the request or of its first task.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        document = plan_documents.PlanDocument(await computation.apart(plan_documents.read_tasks, raw), max_parallel)
        words = {"request": request, "title": title, "pattern": pattern, "roster": roster}
        return await self.plan_document(document, on_conflict=on_conflict, **words)

    async def plan_document(
        self,
        document: plan_documents.PlanDocument,
        *,
        request: str = "",
        title: str = "",
        on_conflict: model.Conflict = "serialize",
        plan_id: str = "",
        pattern: str = "",
        roster: str = "",
    ) -> plan_proposals.PlanProposal:
        """Does what `plan` does with a document that has been read.

        The number of its id is `plan_id`, or a new one.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        self._agents(roster)
        words = {"request": request, "title": title, "pattern": self._pattern(pattern), "roster": roster}
        frame = self._frame(document, on_conflict, plan_id).model_copy(update=words)
        return await self._planned(document.reading, frame)

    def _frame(
        self, document: plan_documents.PlanDocument, on_conflict: model.Conflict, plan_id: str = ""
    ) -> model.Plan:
        """Returns the plan of a document without its tasks; `plan_id` is the number of its id, or a new one."""
        return model.Plan(
            id=plan_id or self.new_id(),
            tasks=(),
            workspace=self.rules.workspace,
            max_parallel=document.max_parallel or self.rules.max_parallel,
            on_conflict=on_conflict,
            timeout_s=document.timeout_s,
        )

    async def _planned(
        self, reading: plan_documents.Reading, frame: model.Plan, place: Callable[[str], str] = str
    ) -> plan_proposals.PlanProposal:
        """Does the rest of what `plan` does with tasks that have been read; `place` says where a problem of them is."""
        if self.memory:
            await self.memory.refresh()
        candidate = await computation.apart(self._candidate, reading, frame, place)
        proposal = await self._prepared(candidate, await self._runners())
        if self.memory:
            await self.memory.learn_corrections(reading.tasks, self.catalog().names, self.clock())
        return proposal

    def _candidate(
        self, reading: plan_documents.Reading, frame: model.Plan, place: Callable[[str], str]
    ) -> plan_proposals.CheckedPlan:
        """Returns the plan of tasks in which nothing is wrong; only threads call it. Raises PlanRejected."""
        faults = self.check(reading)
        plan_proposals.refuse([fault.model_copy(update={"where": place(fault.where)}) for fault in faults])
        notes = [*reading.notes, *typed_inputs.notices(reading.tasks, self._form)]
        return self._without_secrets(frame, reading.tasks, notes)

    async def plan_file(
        self,
        document: plan_documents.PlanDocument,
        *,
        on_conflict: model.Conflict = "serialize",
        title: str = "",
        roster: str = "",
    ) -> plan_proposals.PlanProposal:
        """Does what `plan` does with a document, under a name made of its content: the same one is the same plan.

        What was planned before is found again as it was, also after edits; under another title it is another plan.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
            UnknownHandle: there is no such roster.
        """
        reading, rules = document.reading, self.rules
        self._agents(roster)
        tasks = [task.model_dump(mode="json", by_alias=True, exclude_defaults=True) for task in reading.tasks]
        routing = filter(None, [roster, "model" if self.chooser else ""])
        settings = [rules.workspace, document.max_parallel, document.timeout_s, on_conflict, *routing]
        plan_id = digests.digest([tasks, *settings, rules.reviews, rules.review_policy])[:32]
        plan = await self._kept(plan_id)
        if plan is not None and title and plan.title != short_ids.first_words(self.clean(title, ())[0]):
            plan_id = digests.digest([plan_id, title])[:32]
            plan = await self._kept(plan_id)
        if plan is None:
            frame = self._frame(document, on_conflict, plan_id).model_copy(update={"title": title, "roster": roster})
            return await self._planned(reading, frame)
        return await self._as_it_was(plan, reading)

    async def _as_it_was(self, plan: model.Plan, reading: plan_documents.Reading) -> plan_proposals.PlanProposal:
        """Returns what was planned of a document before. Raises PlanRejected if it holds no more."""
        runners = await self._runners()

        def proposal() -> plan_proposals.PlanProposal:
            plan_proposals.refuse(self.check(reading))
            schedule = plan_checks.prepare(plan.tasks, max_parallel=plan.max_parallel, workspace=plan.workspace)
            proofs = proof_proposals.propose(plan.tasks, runners, self.rules.allow_list)
            choices = agent_choice.additions(plan.tasks, reading.tasks)
            return plan_proposals.PlanProposal(plan, schedule, choices, proofs=proofs, additions=plan.additions)

        return await computation.apart(proposal)

    async def _kept(self, plan_id: str) -> model.Plan | None:
        """Returns the newest version of a plan, None if there is none."""
        try:
            return await self.store.plan(await self.handles.plan_id(plan_id), principal=self.principal)
        except errors.UnknownHandle:
            return None

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
        disputed_work: Collection[str] = (),
    ) -> plan_proposals.PlanProposal:
        """Stores the next version of a plan, and lets its open runs go on with it; all edits or none.

        Tasks without an agent are routed in `roster`, or in the plan's own if none is named; those in `agentless` lose
        theirs first. With `disputed_work` the version is stored only if one of these tasks is reviewed in it.

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
        objections = await self.handles.objections(plan_id)
        passes = {row.id for rows in runs for row in rows if row.state is TaskState.SUCCEEDED}
        objections = [row for row in objections if row.id not in passes]
        runners = await self._runners()

        def edited() -> tuple[plan_edits.TaskProgress, plan_proposals.CheckedPlan]:
            standing = plan_edits.standing(runs)
            base = edit_rules.bare(plan.tasks, plan.added_edges, standing.fixed)
            tasks = self._edited(base, edits, standing, runners)
            tasks = [task.model_copy(update={"agent": None}) if task.id in agentless else task for task in tasks]
            extras = () if runs else [name for name, why in plan.additions.items() if why.startswith(_REFUSABLE)]
            of_runs = [
                edit_rules.refusals(base, tasks, rows, extras=extras, workspace=plan.workspace)
                for rows in (runs or [objections])
            ]
            if runs:
                of_runs.append(edit_rules.refused_by_reviews(base, tasks, objections, plan.workspace))
            plan_proposals.refuse([*self._check(tasks), *dict.fromkeys(itertools.chain.from_iterable(of_runs))])
            for run in open_runs:
                refuse_tasks(run.limits, len(tasks))
            update = {"version": plan.version + 1, "added_edges": (), "roster": roster or plan.roster}
            return standing, self._without_secrets(plan.model_copy(update=update), tasks, final_ids=standing.fixed)

        standing, candidate = await computation.apart(edited)
        blocks = await self._blocks(plan.workspace, [*plan.tasks, *candidate.tasks])
        plan_proposals.refuse(edit_rules.refused_by_blocks(plan.tasks, candidate.tasks, blocks))
        next_version = await self._prepared(candidate, runners, standing, disputed_work)

        def consequences() -> tuple[list[learning.Lesson], Mapping[str, model.Json]]:
            ready = {row.id for rows in runs for row in rows if row.state in (TaskState.READY, TaskState.RUNNING)}
            schedule = next_version.prepared
            changes = plan_edits.changes(plan, next_version.plan, edits, schedule=schedule, ready=ready, stand=standing)
            return route_memory.lessons_of_edits(plan.tasks, candidate.tasks, self.clock()), changes

        lessons, changes = await computation.apart(consequences)
        await self.learn(lessons)
        return next_version._replace(changes=changes)

    def _edited(
        self,
        base: Sequence[model.Task],
        edits: Sequence[Mapping[str, model.Json]],
        standing: plan_edits.TaskProgress,
        runners: Sequence[proof_proposals.Runner],
    ) -> list[model.Task]:
        """Returns what edits make of tasks. Raises PlanRejected with every problem of the edits themselves."""

        def propose(task: model.Task) -> tuple[str, ...]:
            is_fixed = task.id in standing.fixed
            return () if is_fixed else proof_proposals.proposal_for(task, runners, self.rules.allow_list)[0]

        tasks, faults = plan_edits.apply(base, edits, propose)
        plan_proposals.refuse(faults)
        return tasks

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

    async def review_blocked(self, plan: model.Plan) -> bool:
        """Has the work of a plan reviewed that is on files on which a review has blocked a change since it was made.

        What a person has refused since, or has to decide elsewhere, waits for a person here too. Returns whether the
        plan has another version for it.
        """
        blocks = await self._blocks(plan.workspace, plan.tasks)
        disputed_work = set(blocks) - _reviewed_ids(plan.tasks)
        work = [task for task in plan.tasks if task.files or task.command]
        is_gated = bool(work) and bool(
            gated_work.unguarded(plan.tasks, await self._gates(plan, work, await self._runners()))
        )
        if not (disputed_work or is_gated) or await self._open_runs(plan.id):
            return False
        if is_gated:
            await self.edit(plan.id, plan.version, [])
            return True
        proposal = await self.edit(plan.id, plan.version, [], disputed_work=disputed_work)
        return not disputed_work.isdisjoint(_reviewed_ids(proposal.plan.tasks))

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

    def _without_secrets(
        self,
        frame: model.Plan,
        tasks: Sequence[model.Task],
        notes: Sequence[problems.Notice] = (),
        final_ids: Collection[str] = (),
    ) -> plan_proposals.CheckedPlan:
        """Returns a checked plan without secrets and links; final tasks stay as they are. Only threads call it."""
        request, safe = self.clean(frame.request, [task for task in tasks if task.id not in final_ids])
        frame = frame.model_copy(update={"request": request, "title": self.clean(frame.title, ())[0]})
        by_id = {task.id: task for task in safe}
        tasks, links = declared_files.without_links(
            frame.workspace, [by_id.get(task.id, task) for task in tasks], final_ids
        )
        choice = self._agent_choice(frame.roster)
        questions = choice.questions(tasks, final_ids) if self.chooser is not None else ()
        return plan_proposals.CheckedPlan(frame, tasks, [*notes, *links], choice, questions)

    async def _prepared(
        self,
        candidate: plan_proposals.CheckedPlan,
        runners: Sequence[proof_proposals.Runner],
        standing: plan_edits.TaskProgress = plan_edits.NOTHING_BEGUN,
        disputed_work: Collection[str] = (),
    ) -> plan_proposals.PlanProposal:
        """Assigns and schedules checked tasks and stores them as the frame's version; `runners` run its tests.

        With `disputed_work` nothing is stored unless one of these tasks is reviewed now.
        """
        candidate = candidate._replace(frame=await self.handles.named(candidate.frame, candidate.tasks))
        situation = await self._situation(candidate, runners)
        proposal = await computation.apart(situation.proposal, candidate, standing)
        if not disputed_work or not _reviewed_ids(proposal.plan.tasks).isdisjoint(disputed_work):
            await self._keep(proposal.plan)
        return proposal

    async def _situation(
        self, candidate: plan_proposals.CheckedPlan, runners: Sequence[proof_proposals.Runner]
    ) -> plan_proposals.Situation:
        """Returns what there is to know before tasks are assigned and scheduled."""
        workspace, paths = candidate.frame.workspace, {path for task in candidate.tasks for path in task.files}
        picks = agent_choice.NO_CHOICES
        if self.chooser is not None and candidate.questions:
            picks = await self.chooser(candidate.questions)
        return plan_proposals.Situation(
            self.rules,
            self.catalog(),
            picks,
            runners,
            forecast.Past(await self.store.samples(self.principal)),
            await self.inner_folders(workspace, paths) if self.inner_folders and paths else (),
            await anyio.to_thread.run_sync(declared_files.notices, workspace, candidate.tasks),
            await self._touched(workspace, candidate.tasks),
            await self._gates(candidate.frame, candidate.tasks, runners),
        )

    async def _gates(
        self, frame: model.Plan, tasks: Sequence[model.Task], runners: Sequence[proof_proposals.Runner]
    ) -> Mapping[str, gated_work.EarlierGate]:
        """Returns which tasks are work that a person has refused, or not decided about, in another run.

        A command that only reads, or runs the tests, is the same in many plans: nobody is asked about it.
        """
        calls = {tuple(call) for runner in runners for call in runner.calls}

        def is_harmless(argv: Sequence[str]) -> bool:
            return tuple(argv) in calls or allowlist.only_reads(argv)

        work = [
            task
            for task in tasks
            if gated_work.proofs(task)
            or (gated_work.acts(task) and (task.files or not (task.command and is_harmless(task.command))))
        ]
        return await person_decisions.gates_before(
            self.store, self.principal, frame.workspace, work, frame.id, is_harmless=is_harmless
        )

    async def _blocks(self, workspace: str, tasks: Iterable[model.Task]) -> dict[str, tuple[str, str]]:
        """Returns which tasks are about files on which a review has blocked a change before: its run and its name."""
        return await self._touched(workspace, tasks) if self.rules.has_reviews else {}

    async def _touched(self, workspace: str, tasks: Iterable[model.Task]) -> dict[str, tuple[str, str]]:
        """Returns the same where nothing is reviewed, too: whoever has switched that off is told of it."""
        work = filter(review_rules.may_touch_files, tasks)
        blocks = await blocked_work.touched(self.store, self.principal, workspace, work)
        return {name: (short_ids.short(block.run_id), block.review) for name, block in blocks.items()}

    def _agent_choice(self, roster: str) -> agent_choice.AgentChoice:
        return agent_choice.AgentChoice(
            self._agents(roster),
            self.history,
            self.rules.bands,
            functools.partial(agent_choice.reviewer, self.catalog()),
            self.catalog().general_name,
            every_strategy=self.rules.review_policy == "strict",
        )

    async def _runners(self) -> tuple[proof_proposals.Runner, ...]:
        """Returns what runs the tests of the workspace, as it is now."""
        files = await anyio.to_thread.run_sync(project_files.read, self.rules.workspace)
        return proof_proposals.runners_of(files)

    async def _keep(self, plan: model.Plan) -> None:
        """Stores a version. Raises StaleVersion that says what changed, also when somebody was faster."""
        if plan.version == 1:
            return await self.store.save_plan(plan, self.principal)
        try:
            return await self.store.revise(plan, self.principal, base_version=plan.version - 1)
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


def refuse_tasks(limits: model.Limits, tasks: int) -> None:
    """Raises NotAllowed for a plan above its ceiling of tasks; nothing was started."""
    if limits.tasks is not None and tasks > limits.tasks:
        raise errors.NotAllowed(
            f"The plan has {tasks} tasks; the limit of this dispatch is {limits.tasks}.",
            hint="Raise limits.tasks or split the plan.",
        )


def _reviewed_ids(tasks: Iterable[model.Task]) -> set[str]:
    return {subject for task in tasks for subject in task.reviews}
