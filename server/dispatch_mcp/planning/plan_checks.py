"""Checks a task graph and says how it would run: everything at once, before anything is dispatched."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dispatch_mcp import model
from dispatch_mcp.model import bounds, problems
from dispatch_mcp.model.problems import Notice, Problem
from dispatch_mcp.planning import acceptance, conflicts, graph, plan_advice, schedule
from dispatch_mcp.text import json_types, path_globs

MAX_CONFLICTS = conflicts.MAX_CONFLICTS
"""Problems that an answer lists one by one."""

_ID = re.compile(model.TASK_ID)

MOST_NAME = 255
"""Bytes that a name of a file or folder may have on the disks that we know."""
_SURELY_SHORT = MOST_NAME // 4
"""Characters of a path whose names cannot have more bytes than that."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Forecast in minutes; `parallel` is the makespan on `max_parallel` workers."""

    serial: float
    parallel: float
    critical: float
    lower_bound: float

    @property
    def speedup(self) -> float:
        """How many times faster than one task after the other."""
        return self.serial / self.parallel if self.parallel > 0 else 1.0


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """How a checked plan would run.

    `tasks` carry the added edges among their deps and the isolation that was decided; everything else is of these
    tasks. `problems` is empty unless conflicts are errors.
    `width` is the largest wave, `peak` the most tasks at once with unlimited workers, `next` every task that is
    ready at the start, most urgent first.
    """

    tasks: tuple[model.Task, ...]
    graph: graph.Graph
    times: schedule.Times
    urgent: tuple[int, ...]
    waves: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    estimate: Estimate
    width: int
    peak: int
    added_edges: tuple[model.AddedEdge, ...]
    isolated: tuple[str, ...]
    next: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def redundant(self) -> tuple[tuple[str, str], ...]:
        """Edges (before, after) that other edges imply: what a transitive reduction leaves out."""
        ids = self.graph.ids
        return tuple([(ids[dep], ids[node]) for node, deps in graph.implied(self.graph).items() for dep in deps])

    @property
    def slack(self) -> dict[str, float]:
        """Minutes that each task can be late without making the plan longer, with unlimited workers."""
        return {task_id: self.times.slack(node) for node, task_id in enumerate(self.graph.ids)}

    def with_notices(self, extra: Iterable[Notice]) -> ScheduledPlan:
        """Returns the same plan with `extra` in front of its notices."""
        return replace(self, notices=(*extra, *self.notices))


def check(
    tasks: Sequence[model.Task],
    *,
    agents: Collection[str] | None,
    models: Collection[str],
    max_tasks: int = bounds.MAX_TASKS,
    workspace: str = "",
) -> list[Problem]:
    """Returns all problems of a plan; one is enough to refuse it as a whole. None for `agents` checks no agent.

    Codes: empty_plan, too_many_tasks, bad_id, duplicate_id, empty_goal, unknown_agent, unknown_model,
    unknown_dependency, self_dependency, bad_review, bad_file, bad_acceptance, cycle. Absolute paths in `acceptance`
    must lie below `workspace`.
    """
    if not tasks:
        return [Problem(code="empty_plan", message="The plan has no tasks.", fix="Send at least one task.")]
    if len(tasks) > max_tasks:
        message = f"The plan has {len(tasks)} tasks; at most {max_tasks} are allowed."
        return [Problem(code="too_many_tasks", message=message, fix="Merge small tasks or send several plans.")]
    index: dict[str, int] = {}
    for position, task in enumerate(tasks):
        index.setdefault(task.id, position)
    return [
        *_check_ids(tasks, index),
        *_check_goals(tasks),
        *_check_choices(tasks, agents, models),
        *_check_deps(tasks, index),
        *_check_reviews(tasks, index),
        *_check_files(tasks),
        *_check_councils(tasks, index),
        *acceptance.problems_of(tasks, workspace),
        *_check_cycles(tasks, index),
    ]


def _check_ids(tasks: Sequence[model.Task], index: Mapping[str, int]) -> Iterable[Problem]:
    places: dict[str, list[int]] = {}
    for position, task in enumerate(tasks):
        if not _ID.fullmatch(task.id):
            yield Problem(
                code="bad_id",
                task=task.id,
                where=f"tasks[{position}].id",
                message=f"Id {json_types.quoted(task.id)} is not a task id." if task.id else "The task has no id.",
                fix="Use 1-64 letters, digits, `.`, `_` or `-`, starting with a letter or digit.",
            )
        elif index[task.id] != position:
            places.setdefault(task.id, [index[task.id]]).append(position)
    for task_id, positions in places.items():
        at = ", ".join(f"tasks[{position}]" for position in positions[:8]) + (", …" if len(positions) > 8 else "")
        yield Problem(
            code="duplicate_id",
            task=task_id,
            where=at,
            message=f"Id {task_id!r} is used {len(positions)} times: {at}.",
            fix="Give each task an id of its own and correct the deps that mean the others.",
        )


def _check_goals(tasks: Sequence[model.Task]) -> Iterable[Problem]:
    for position, task in enumerate(tasks):
        if not task.goal or task.goal.isspace():
            yield Problem(
                code="empty_goal",
                task=task.id,
                where=f"tasks[{position}].do",
                message=f"Task {json_types.quoted(task.id)} does not say what to do.",
                fix="Give one measurable goal in `do`.",
            )


def _check_choices(
    tasks: Sequence[model.Task], agents: Collection[str] | None, models: Collection[str]
) -> Iterable[Problem]:
    names_of = (
        {"model": frozenset(models)} if agents is None else {"agent": frozenset(agents), "model": frozenset(models)}
    )
    names = {kind: problems.Names(sorted(choices)) for kind, choices in names_of.items()}
    for position, task in enumerate(tasks):
        for kind, choices in names_of.items():
            choice = task.agent if kind == "agent" else task.model
            if choice is not None and choice not in choices:
                yield _unknown_choice(task, kind, f"tasks[{position}].{kind}", names[kind])


def _unknown_choice(task: model.Task, kind: str, where: str, names: problems.Names) -> Problem:
    choice = (task.agent if kind == "agent" else task.model) or ""
    nearest = names.nearest(choice)
    otherwise = "Leave it out to have one chosen" if kind == "agent" else f"Use one of {names.listed}"
    return Problem(
        code=f"unknown_{kind}",
        task=task.id,
        where=where,
        message=f"There is no {kind} {json_types.quoted(choice)}.",
        did_you_mean=nearest,
        fix=f"Use `{nearest}`." if nearest else f"{otherwise}.",
    )


def _check_deps(tasks: Sequence[model.Task], index: Mapping[str, int]) -> Iterable[Problem]:
    names: problems.Names | None = None
    for position, task in enumerate(tasks):
        for place, dep in enumerate(task.deps):
            if dep == task.id:
                yield Problem(
                    code="self_dependency",
                    task=task.id,
                    where=f"tasks[{position}].deps[{place}]",
                    message=f"Task {json_types.quoted(task.id)} waits for itself.",
                    fix=f"Remove `{task.id}` from its own deps.",
                )
            elif dep not in index:
                names = names or problems.Names(index)
                yield _unknown_dependency(task, dep, f"tasks[{position}].deps[{place}]", names)


def _check_reviews(tasks: Sequence[model.Task], index: Mapping[str, int]) -> Iterable[Problem]:
    for position, task in enumerate(tasks):
        reviews = [name for name in task.reviews if name in index and name != task.id and tasks[index[name]].reviews]
        faults: list[tuple[str, str]] = []
        if reviews:
            fault = f"reviews {json_types.quoted(reviews[0])}, a review itself"
            faults.append((fault, "Name the work that both are to judge."))
        if task.reviews and (task.command or task.files):
            act, field = ("runs a command", "command") if task.command else ("writes files", "files")
            faults.append((f"reviews others and {act}", f"Leave `{field}` to a task of its own."))
        for fault, fix in faults:
            message = f"Task {json_types.quoted(task.id)} {fault}."
            yield Problem(code="bad_review", task=task.id, where=f"tasks[{position}].reviews", message=message, fix=fix)


def _check_files(tasks: Sequence[model.Task]) -> Iterable[Problem]:
    """Yields declared paths that no disk can have, and files that lie where git keeps its own, here or further down."""
    for position, task in enumerate(tasks):
        for field, paths in (("files", task.files), ("reads", task.reads)):
            for place, path in enumerate(paths):
                if len(path) > _SURELY_SHORT and any(
                    len(part.encode("utf-8", "replace")) > MOST_NAME for part in path.split("/")
                ):
                    why = "cannot be the name of a file."
                    fix = f"Declare paths whose names have at most {MOST_NAME} bytes each."
                elif field == "files" and path_globs.is_of_git(path):
                    why = "is git's own: nothing that changes there could be merged."
                    fix = "Declare files of the project; what git is to do belongs into a task with a `command`."
                else:
                    continue
                where, message = f"tasks[{position}].{field}[{place}]", f"{json_types.quoted(path)} {why}"
                yield Problem(code="bad_file", task=task.id, where=where, message=message, fix=fix)


def _check_councils(tasks: Sequence[model.Task], index: Mapping[str, int]) -> Iterable[Problem]:
    """Yields what would let a verdict count nowhere: it is joined only where it decides nothing by itself."""
    waiting: dict[str, list[str]] = {}
    for task in tasks if any(task.joins for task in tasks) else ():
        for dep in task.deps:
            waiting.setdefault(dep, []).append(task.id)
    for position, task in enumerate(tasks):
        for seat_id in task.joins:
            seat = tasks[index[seat_id]] if seat_id in index else None
            is_seat = seat is not None and seat.reviews and seat.reviews == task.reviews and not seat.joins
            if not is_seat or waiting.get(seat_id) != [task.id]:
                yield Problem(
                    code="bad_review",
                    task=task.id,
                    where=f"tasks[{position}].joins",
                    message=f"Task {json_types.quoted(task.id)} cannot join {json_types.quoted(seat_id)}.",
                    fix="A council joins reviews of just its own work, for which nothing but itself waits.",
                )


def _unknown_dependency(task: model.Task, dep: str, where: str, names: problems.Names) -> Problem:
    nearest = names.nearest(dep)
    nearest = "" if nearest == task.id else nearest
    return Problem(
        code="unknown_dependency",
        task=task.id,
        where=where,
        message=f"Task {json_types.quoted(task.id)} waits for {json_types.quoted(dep)}, which is not in the plan.",
        did_you_mean=nearest,
        fix=f"Use `{nearest}`." if nearest else "Add that task or remove the dep.",
    )


def _check_cycles(tasks: Sequence[model.Task], index: Mapping[str, int]) -> Iterable[Problem]:
    get = index.get
    deps = [[at for dep in task.deps if (at := get(dep)) is not None and at != node] for node, task in enumerate(tasks)]
    for cycle in graph.shortest_cycles(deps):
        path = tuple(tasks[node].id for node in (*cycle, cycle[0]))
        last = cycle.index(max(cycle))
        waiting = path[last + 1]
        yield Problem(
            code="cycle",
            task=path[0],
            path=path,
            where=f"tasks[{cycle[(last + 1) % len(cycle)]}].deps",
            message=f"These tasks wait for each other: {_arrows(path)}.",
            fix=f"Remove `{path[last]}` from the deps of `{waiting}`.",
        )


def _arrows(path: Sequence[str]) -> str:
    steps = path if len(path) <= 12 else (*path[:6], f"… {len(path) - 12} more …", *path[-6:])
    return " -> ".join(steps)


def prepare(
    tasks: Sequence[model.Task],
    *,
    max_parallel: int,
    on_conflict: model.Conflict = "serialize",
    durations: Mapping[str, float] | None = None,
    workspace: str = "",
) -> ScheduledPlan:
    """Returns how a plan without problems would run, with its write conflicts settled as `on_conflict` says.

    `durations` are minutes by task id, instead of what the effort suggests; paths below `workspace` count as
    relative to it.

    Raises:
        ValueError: the tasks were not checked and have an unknown dependency, a repeated id or a cycle.
    """
    minutes = durations or {}
    first = schedule.outlook(tasks, minutes, max_parallel)
    settlement = conflicts.settle(tasks, first.plan, first.at.tails, on_conflict=on_conflict, workspace=workspace)
    last = schedule.outlook(settlement.tasks, minutes, max_parallel) if settlement.edges else first
    notices = plan_advice.of_plan(tasks, settlement, first, last)
    return _scheduled(settlement, last, max_parallel, tuple(notices))


def _scheduled(
    settlement: conflicts.Settlement, outlook: schedule.Outlook, workers: int, notices: tuple[Notice, ...]
) -> ScheduledPlan:
    ids, deps, at = outlook.plan.ids, outlook.plan.deps, outlook.at
    waves = schedule.waves(outlook.plan)
    serial = sum(at.minutes)
    return ScheduledPlan(
        tasks=tuple(settlement.tasks),
        graph=outlook.plan,
        times=at,
        urgent=outlook.urgent,
        waves=tuple([tuple([ids[node] for node in wave]) for wave in waves]),
        critical_path=tuple([ids[node] for node in schedule.critical_path(outlook.plan, at)]),
        estimate=Estimate(serial, outlook.makespan, at.critical, max(at.critical, serial / workers)),
        width=max(map(len, waves), default=0),
        peak=schedule.peak(at),
        added_edges=tuple(settlement.edges),
        isolated=tuple([ids[node] for node in settlement.in_worktrees]),
        next=tuple([ids[node] for node in outlook.urgent if not deps[node]]),
        problems=tuple(settlement.problems),
        notices=notices,
    )


def answer(
    schedule: ScheduledPlan,
    *,
    plan_id: str = "",
    version: int = 1,
    decided: Mapping[str, Mapping[str, model.Json]] | None = None,
) -> dict[str, model.Json]:
    """Returns the compact answer to whoever sent the plan: what the server decided and nothing that it was sent.

    `decided` holds per task what was chosen for it (agent, model, conf). Slack is in whole minutes, for tasks that
    have some. What is ready first is the first wave.
    """
    head: dict[str, model.Json] = {"plan_id": plan_id, "version": version} if plan_id else {}
    out: dict[str, model.Json] = {
        **head,
        "ok": not schedule.problems,
        "waves": [list(wave) for wave in schedule.waves],
        "tasks": _decided(schedule, decided or {}),
        "critical_path": list(schedule.critical_path),
        "added_edges": [edge.model_dump() for edge in schedule.added_edges],
        "warnings": [notice.model_dump(mode="json", exclude_defaults=True) for notice in schedule.notices],
    }
    return {key: value for key, value in out.items() if value not in ([], {})}


def refusal(problems: Sequence[Problem], limit: int = MAX_CONFLICTS) -> dict[str, model.Json]:
    """Returns the compact answer to a plan with problems: the first `limit` of them and how many are left."""
    out: dict[str, model.Json] = {
        "ok": False,
        "errors": [problem.model_dump(mode="json", exclude_defaults=True) for problem in problems[:limit]],
    }
    return {**out, "more": len(problems) - limit} if len(problems) > limit else out


def _decided(
    schedule: ScheduledPlan, decisions: Mapping[str, Mapping[str, model.Json]]
) -> dict[str, dict[str, model.Json]]:
    in_worktrees = set(schedule.isolated)
    out: dict[str, dict[str, model.Json]] = {}
    for node, task_id in enumerate(schedule.graph.ids):
        decision = dict(decisions.get(task_id, {}))
        slack = round(schedule.times.slack(node))
        if slack:
            decision["slack"] = slack
        if task_id in in_worktrees:
            decision["isolation"] = "worktree"
        if decision:
            out[task_id] = decision
    return out
