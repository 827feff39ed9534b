"""Plans as the book keeps them: checked, assigned, scheduled, stored, and changed by edits."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.core import (
    catalog,
    confidence,
    documents,
    learning,
    model,
    planning,
    problems,
    records,
    replan,
    routing,
)
from dispatch_mcp.engine import handles, memory
from dispatch_mcp.store import book as books

BANDS = confidence.Bands()
MAX_OPEN_RUNS = 1_000
MAX_ROUTED = 500
"""Tasks of one plan that get an agent by routing; more than that would make planning slow."""


def new_id() -> str:
    """Returns a random 128-bit id as 32 hex characters."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration decides for every call; `workspace` is an absolute path, the lease is in seconds."""

    workspace: str
    max_parallel: int = 5
    lease_s: float = 1800.0
    depth: int = 0
    depth_limit: int = 2
    bands: confidence.Bands = BANDS


class Planned(NamedTuple):
    """A stored plan, its schedule, and what was decided for each task that did not say: agent, model, confidence."""

    plan: model.Plan
    prepared: planning.Prepared
    decided: Mapping[str, Mapping[str, model.Json]]


@dataclass(slots=True)
class _Assigned:
    tasks: list[model.Task] = field(default_factory=list[model.Task])
    notices: list[problems.Notice] = field(default_factory=list[problems.Notice])
    decided: dict[str, dict[str, model.Json]] = field(default_factory=dict[str, dict[str, model.Json]])


@dataclass(slots=True)
class Planner:
    """Makes and changes plans for one principal. `memory` is what routing learns from; without it, nothing."""

    book: books.Book
    rules: Rules
    catalog: Callable[[], catalog.Catalog]
    principal: str = records.LOCAL
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = new_id
    memory: memory.Memory | None = None

    @property
    def history(self) -> routing.History:
        """What past routes have taught."""
        return self.memory.history if self.memory else routing.NO_HISTORY

    async def learn(self, lessons: Sequence[learning.Lesson]) -> None:
        """Keeps lessons, if anything is to be learned here."""
        if self.memory:
            await self.memory.learn(lessons)

    async def plan(
        self,
        raw: Sequence[Mapping[str, model.Json]],
        *,
        request: str = "",
        max_parallel: int | None = None,
        on_conflict: model.Conflict = "serialize",
    ) -> Planned:
        """Checks, assigns, schedules and stores version 1 of a plan of tasks as a model sends them.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
        """
        document = documents.Document(documents.read_tasks(raw), max_parallel)
        return await self.plan_document(document, request=request, on_conflict=on_conflict)

    async def plan_document(
        self,
        document: documents.Document,
        *,
        request: str = "",
        on_conflict: model.Conflict = "serialize",
        plan_id: str = "",
    ) -> Planned:
        """Does what `plan` does with a document that has been read; its plan gets `plan_id` or a new id.

        Raises:
            PlanRejected: with every problem at once; nothing is stored.
        """
        reading = document.reading
        refuse(self.check(reading))
        if self.memory:
            await self.memory.refresh()
        frame = model.Plan(
            id=plan_id or self.new_id(),
            tasks=(),
            request=request,
            workspace=self.rules.workspace,
            max_parallel=document.max_parallel or self.rules.max_parallel,
            on_conflict=on_conflict,
            timeout_s=document.timeout_s,
        )
        made = await self._prepared(frame, reading.tasks, reading.notes)
        if self.memory:
            await self.learn(self.memory.corrections(reading.tasks, self.catalog().names, self.clock()))
        return made

    def check(self, reading: documents.Reading) -> list[problems.Problem]:
        """Returns everything that is wrong with a document's tasks."""
        return [*reading.problems, *self._check(reading.tasks)]

    async def replan(self, plan_id: str, base_version: int, edits: Sequence[Mapping[str, model.Json]]) -> Planned:
        """Stores the next version of a plan that no open run uses; all edits or none.

        Raises:
            StaleVersion: the plan has moved on; the message says what changed since.
            InputError: a run of the plan is open.
            PlanRejected: with every problem at once; nothing is stored.
        """
        plan_id = await handles.plan_id(self.book, plan_id, self.principal, self.rules.workspace)
        plan = await self.book.plan(plan_id, principal=self.principal)
        if base_version != plan.version:
            raise await self._stale(plan, base_version)
        for open_run in await self.book.runs(self.principal, open_only=True, limit=MAX_OPEN_RUNS):
            if open_run.plan_id == plan_id:
                raise errors.InputError(
                    f"Run {open_run.id} of this plan is {open_run.state.value}; its plan cannot change yet.",
                    hint="Skip or retry single tasks with steer_run, or plan the rest anew.",
                )
        tasks, found = replan.apply(plan.tasks, edits)
        refuse(found or self._check(tasks))
        frame = plan.model_copy(update={"version": plan.version + 1, "added_edges": ()})
        made = await self._prepared(frame, tasks, [])
        await self.learn(memory.edited(plan.tasks, tasks, self.clock()))
        return made

    async def _stale(self, plan: model.Plan, base_version: int) -> errors.DispatchError:
        try:
            base = await self.book.plan(plan.id, base_version, principal=self.principal)
        except errors.UnknownHandle:
            changed = ""
        else:
            changed = f" Since then: {replan.difference(base.tasks, plan.tasks)}."
        return errors.StaleVersion(
            f"Plan {plan.id} is at version {plan.version}, not {base_version}.{changed}",
            hint=f"Send the edits again with base_version={plan.version}.",
        )

    async def _prepared(
        self, frame: model.Plan, checked: Sequence[model.Task], notes: Sequence[problems.Notice]
    ) -> Planned:
        """Assigns and schedules checked tasks and stores them as the frame's version."""
        made = self._assign(checked)
        prepared = planning.prepare(
            made.tasks, max_parallel=frame.max_parallel, on_conflict=frame.on_conflict, workspace=frame.workspace
        )
        refuse(prepared.problems)
        plan = frame.model_copy(update={"tasks": prepared.tasks, "added_edges": prepared.added_edges})
        await self.book.save_plan(plan, self.principal)
        return Planned(plan, prepared.with_notices([*notes, *made.notices]), made.decided)

    def _check(self, tasks: Sequence[model.Task]) -> list[problems.Problem]:
        known = self.catalog()
        return planning.check(tasks, agents=known.names, models=routing.MODELS, max_tasks=model.MAX_TASKS)

    def _assign(self, tasks: Sequence[model.Task]) -> _Assigned:
        """Gives each task without an agent the best one, if the router is sure enough to name one."""
        made = _Assigned()
        known = self.catalog()
        for task in tasks:
            if task.agent or task.command or len(made.tasks) >= MAX_ROUTED:
                made.tasks.append(task)
                continue
            route = routing.route(task.goal, known, history=self.history)
            if route.specialist is None:
                made.notices.append(problems.Notice(code="low_confidence_route", tasks=(task.id,), message=route.why))
                made.tasks.append(task)
                continue
            chosen = {"agent": route.specialist, "model": task.model or route.model}
            made.tasks.append(task.model_copy(update=chosen))
            made.decided[task.id] = {**chosen, "conf": round(route.confidence, 2)}
        return made


def refuse(found: Sequence[problems.Problem]) -> None:
    """Raises PlanRejected when there are problems."""
    if found:
        raise errors.PlanRejected(
            f"The plan has {len(found)} problem{'s' if len(found) > 1 else ''}; nothing was stored.",
            hint="Fix all of them and call plan_dag again.",
            problems=tuple(found),
        )
