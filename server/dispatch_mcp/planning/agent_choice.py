"""Who does the tasks of a plan that name nobody: the router's choice for each, where it is sure enough to name one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import WorkerKind, model_names, problems, transitions
from dispatch_mcp.review import reviewer_selection
from dispatch_mcp.routing import confidence, offers, router, suitability

MAX_ROUTED: Final = 500
"""Tasks of one plan that get an agent by routing; more than that would make planning slow."""

UNROUTED: Final = frozenset(WorkerKind) - transitions.MODEL_WORKERS
"""Workers that need no agent."""

REVIEWERS: Final = "reviewers"
"""The roster that the reviews of single tasks choose from."""


NO_SPECIALIST: Final = "No specialist fits; you may name one."


class Question(NamedTuple):
    """A task for which the words alone are not sure, and the agents that are offered for it, the likeliest first."""

    task_id: str
    goal: str
    choices: Sequence[offers.OfferedAgent]


class Choices(NamedTuple):
    """The agents that somebody has chosen, by task, and what that used."""

    agents: Mapping[str, str]
    usage: model.Usage | None = None

    def with_earlier(self, usage: model.Usage | None) -> model.Usage | None:
        """Returns what these choices and earlier ones used together."""
        if usage is None or self.usage is None:
            return usage or self.usage
        usages = (usage, self.usage)
        names = model.Usage.model_fields
        return model.Usage.within_bounds({name: sum(getattr(part, name) or 0 for part in usages) for name in names})


NO_CHOICES: Final = Choices({})


Chooser = Callable[[Sequence[Question]], Awaitable[Choices]]
"""Who chooses among the agents that are offered, where no assistant does; never raises for a choice not made."""


@dataclass(slots=True)
class AgentAssignment:
    """The tasks with their agents; by id what was chosen and the strategy of its route; those without a specialist."""

    tasks: list[model.Task] = field(default_factory=list[model.Task])
    choices: dict[str, dict[str, model.Json]] = field(default_factory=dict[str, dict[str, model.Json]])
    strategies: dict[str, confidence.Strategy] = field(default_factory=dict[str, confidence.Strategy])
    without_home: list[str] = field(default_factory=list[str])
    route_count: int = 0

    @property
    def notices(self) -> list[problems.Notice]:
        """What to tell of tasks for which no specialist was found."""
        ids = tuple(self.without_home)
        return [problems.Notice(code="low_confidence_route", tasks=ids, message=NO_SPECIALIST)] if ids else []


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """Gives tasks the agents of a catalogue; `reviewer` returns who judges a task, empty for nobody in particular.

    `general` does what nobody in the catalogue is likely to do, if the catalogue has no general agent itself. With
    `every_strategy` a route that names nobody has its say about reviews too.
    """

    agents: catalog.Catalog
    history: router.History
    bands: confidence.Bands
    reviewer: Callable[[model.Task], str]
    general: str = ""
    every_strategy: bool = False

    def questions(self, tasks: Sequence[model.Task], pinned_ids: Collection[str] = ()) -> list[Question]:
        """Returns the tasks that name nobody and for which no route is sure, with the agents to choose from."""
        open_tasks = [task for task in tasks if not (is_settled(task) or task.reviews or task.id in pinned_ids)]
        routes = [(task, self._route_of(task)) for task in open_tasks[:MAX_ROUTED]]
        return [Question(task.id, task.goal, route.offer.choices) for task, route in routes if not route.sure]

    def assign(
        self,
        tasks: Sequence[model.Task],
        pinned_ids: Collection[str] = (),
        picks: Mapping[str, str] = MappingProxyType({}),
    ) -> AgentAssignment:
        """Returns the tasks, each that names nobody with an agent: the one in `picks`, or the router's best."""
        assignment = AgentAssignment()
        for task in tasks:
            if task.reviews and not task.agent and task.worker is not WorkerKind.HUMAN and task.id not in pinned_ids:
                choice = {"agent": self.reviewer(task) or None, "model": task.model or model_names.REVIEW_MODEL}
                assignment.tasks.append(task.model_copy(update=choice))
            elif is_settled(task) or task.id in pinned_ids or assignment.route_count >= MAX_ROUTED:
                assignment.tasks.append(task)
            else:
                self._route(task, assignment, picks.get(task.id, ""))
        return assignment

    def _route_of(self, task: model.Task) -> router.Route:
        hints = router.Hints(bands=self.bands, files=task.files, changes_files=bool(task.files))
        return router.route(task.goal, self.agents, history=self.history, hints=hints)

    def _route(self, task: model.Task, assignment: AgentAssignment, choice_of_model: str) -> None:
        route = self._route_of(task)
        assignment.route_count += 1
        if route.specialist or self.every_strategy:
            assignment.strategies[task.id] = route.strategy
        if choice_of_model:
            choice = {"agent": choice_of_model, "model": task.model or route.model}
            assignment.tasks.append(task.model_copy(update=choice))
            assignment.choices[task.id] = {**choice, "by": "model"}
            return
        if route.specialist is None:
            assignment.without_home.append(task.id)
        agent = route.specialist or route.general or ("" if _is_review(task) else self.general)
        if not agent:
            assignment.tasks.append(task)
            return
        choice = {"agent": agent, "model": task.model or route.model}
        assignment.tasks.append(task.model_copy(update=choice))
        doubtful = route.specialist and route.confidence < self.bands.review
        assignment.choices[task.id] = {**choice, "conf": round(route.confidence, 2)} if doubtful else choice


def is_settled(task: model.Task) -> bool:
    """Returns whether a task says who does it, or needs no agent."""
    return bool(task.agent or task.command or task.worker in UNROUTED)


def _is_review(task: model.Task) -> bool:
    return suitability.work(task.goal) == "reviews"


def additions(tasks: Sequence[model.Task], before: Sequence[model.Task]) -> dict[str, dict[str, model.Json]]:
    """Returns the agents and models that were chosen for tasks that named no agent."""
    open_ids = {task.id for task in before if not task.agent}
    return {task.id: {"agent": task.agent, "model": task.model} for task in tasks if task.id in open_ids and task.agent}


def council(agents: catalog.Catalog, tasks: Sequence[model.Task]) -> Sequence[str]:
    """Returns who judges the change of a run: those who always do, and the two who fit its goals best."""
    pool = reviewer_selection.pool(agents)
    names = [agent.name for agent in pool.choice]
    if not names:
        return ()
    goals = "\n".join(task.goal for task in tasks)
    fitting = [candidate.name for candidate in router.route(goals, agents.roster(REVIEWERS)).ranked]
    best = [name for name in dict.fromkeys([*fitting, *names]) if name in names]
    return (*(agent.name for agent in pool.always), *best[: reviewer_selection.SEATS])


def reviewer(agents: catalog.Catalog, task: model.Task) -> str:
    """Returns the reviewer who fits a task's goal best, or the one who always takes part."""
    if REVIEWERS not in agents.rosters:
        return ""
    candidates = router.route(task.goal, agents.roster(REVIEWERS)).ranked
    return candidates[0].name if candidates else ""
