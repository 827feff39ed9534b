"""Builds work orders: what a task needs of its run, its predecessors, its messages and its earlier attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.model import ports, records, transitions, work_order
from dispatch_mcp.runs import budget, message_rules, task_isolation, tool_permissions
from dispatch_mcp.store import sqlite_store

MakeOrder = Callable[[work_order.WorkOrder], work_order.WorkOrder]
"""Fills a bare order with what its worker needs: role text, model, tools, deadline."""


def bare(work: work_order.WorkOrder) -> work_order.WorkOrder:
    """Returns the order as it is."""
    return work


def with_agent(work: work_order.WorkOrder, agents: catalog.Catalog) -> work_order.WorkOrder:
    """Returns the order with its agent's role text, model, tools and effort, as far as the agent is trusted with them.

    An agent that nobody has approved has no tools but those that look.
    """
    agent = task_kinds.kind_of(work.task, work.worker).agent(work.agent, agents)
    if agent is None:
        return replace(work, no_role=f"There is no agent {work.agent!r} here.") if work.agent else work
    return replace(
        work,
        agent_prompt=agent.body,
        is_role_instruction=agent.trusted,
        no_role="" if agent.body.strip() else f"The file of agent {work.agent!r} holds no role text.",
        model=work.model or (agent.model if agent.trusted else None),
        tools=tool_permissions.tools_of_agent(agent.tools, agent.disallowed_tools) if agent.trusted else (),
        effort=work.effort or (agent.effort if agent.trusted else ""),
    )


def upstream_of(task_id: str, outcome: model.Outcome) -> work_order.Upstream:
    """Returns what dependants of a task receive from its outcome."""
    return work_order.Upstream(task_id, outcome.handoff, outcome.output, outcome.summary, unverified=outcome.unverified)


@dataclass(slots=True)
class OrderBuilder:
    """Builds the orders of one run, for whoever carries them out.

    `mail` is that of the whole run; None reads it for each order whose worker is a model, as only models read.
    `results` are read once a run: what a task has handed over never changes, unless reviews send it back.
    """

    store: sqlite_store.Store
    run: records.RunRecord
    plan: model.Plan
    make: MakeOrder = bare
    mail: records.Mail | None = None
    results: dict[str, work_order.Upstream] = field(default_factory=dict[str, work_order.Upstream])
    placement: Mapping[str, task_isolation.Placement] = field(default_factory=dict[str, task_isolation.Placement])

    _tasks: Mapping[str, model.Task] = field(init=False)
    _reviews: Mapping[str, Sequence[str]] = field(init=False)
    _declarations: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._tasks = {task.id: task for task in self.plan.tasks}
        self._declarations = tuple(dict.fromkeys(path for task in self.plan.tasks for path in task.files))
        self._reviews = {}
        for review in self.plan.tasks:
            self._reviews |= {task_id: (*self._reviews.get(task_id, ()), review.id) for task_id in review.reviews}

    async def order(
        self,
        start: transitions.Start,
        newest: records.NewestAttempt | None = None,
        notices: tuple[str, ...] = (),
    ) -> work_order.WorkOrder:
        """Returns the order of an attempt; `newest` is what the store has of it, read here if it is a later one."""
        if newest is None and start.attempt > 1:
            newest = await self.store.newest_attempt(self.run.id, start.task_id)
        task = self._tasks[start.task_id]
        upstream = await self._upstream(task)
        mail = await self._mail(start.worker)
        work = self.bare_order(
            start,
            newest or records.NewestAttempt(start.task_id),
            upstream=upstream,
            messages=message_rules.messages_for(mail.messages, task),
            news=message_rules.news_for(mail, task) if start.attempt > 1 else (),
            notices=notices,
        )
        if start.attempt > 1 and start.task_id in self._reviews:
            work = await self._with_objections(work)
        return self.make(work)

    def bare_order(
        self,
        start: transitions.Start,
        newest: records.NewestAttempt,
        *,
        upstream: tuple[work_order.Upstream, ...] = (),
        messages: tuple[model.Message, ...] = (),
        news: tuple[model.Message, ...] = (),
        notices: tuple[str, ...] = (),
    ) -> work_order.WorkOrder:
        """Returns the order without what others have written, as far as it is not given: enough to judge an outcome."""
        task = self._tasks[start.task_id]
        isolation, rank = self.placement.get(task.id, task_isolation.SHARED)
        return work_order.WorkOrder(
            run_id=self.run.id,
            task=task,
            attempt=start.attempt,
            worker=start.worker,
            key=start.key,
            workspace=self.run.workspace,
            timeout_s=budget.deadline_s(task, self.plan.timeout_s),
            model=task.model,
            last_beat=newest.last_beat,
            last_error=newest.last_error,
            ceiling=start.ceiling,
            isolation=isolation,
            rank=rank,
            declarations=self._declarations if task.command or task.acceptance else (),  # commands are watched by them
            stand_ins=start.stand_ins,
            upstream=upstream,
            messages=messages,
            news=news,
            notices=notices,
        )

    async def _with_objections(self, work: work_order.WorkOrder) -> work_order.WorkOrder:
        """Returns the order of work that reviews have sent back with what they found.

        It begins a conversation of its own: the one before it has come to its end, and was paid for.
        """
        attempts = [
            past for past in await self.store.attempts(self.run.id, work.task.id) if past.attempt < work.attempt
        ]
        sent_back = max([past.attempt for past in attempts if past.state is model.AttemptState.SUCCEEDED], default=0)
        objections: list[work_order.Objection] = []
        for review in self._reviews[work.task.id]:
            answers = [past for past in await self.store.attempts(self.run.id, review) if past.ended_at is not None]
            if answers and answers[-1].error_kind == transitions.NEEDS_CHANGES:
                objections.append(work_order.Objection(review, answers[-1].error))
        work = replace(work, objections=tuple(objections), sent_back=sent_back)
        if sent_back < work.attempt - 1:
            return work
        look = {name: value for name, value in work.last_beat.items() if name in ports.FIRST}
        return replace(work, last_beat=look, last_error="")

    async def read_results(self, task_ids: Iterable[str]) -> None:
        """Reads the results of these tasks, as far as they are not known yet or may have changed, all at once."""
        missing = [
            task_id for task_id in dict.fromkeys(task_ids) if task_id not in self.results or task_id in self._reviews
        ]
        if missing:
            outcomes = await self.store.outcomes(self.run.id, missing)
            self.results.update({task_id: upstream_of(task_id, outcome) for task_id, outcome in outcomes.items()})

    async def _upstream(self, task: model.Task) -> tuple[work_order.Upstream, ...]:
        await self.read_results(task.deps)
        return tuple(self.results[dep] for dep in task.deps if dep in self.results)

    async def _mail(self, worker: model.WorkerKind) -> records.Mail:
        if self.mail is not None:
            return self.mail
        return await self.store.mail(self.run.id) if worker in transitions.MODEL_WORKERS else records.Mail()
