"""A run with its plan and tasks, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dispatch_mcp import errors, model
from dispatch_mcp.model import TaskState, declared_paths, like_failures, ports, records, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import proof_edits
from dispatch_mcp.runs import budget, step_choice, task_isolation
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import path_globs


@dataclass(frozen=True)
class RunView:
    """A run with everything that its views are made of; `now` is when it was read, in seconds since the epoch.

    `failures` are those of tasks that are not done, the first ones of very many; `is_driven` is whether a living
    process carries the run on. `loosenings` are what edits took out of what shows that tasks are done, once it is over,
    and `losses` how many attempts something of the user's was gone after.
    It has no slots, for what is looked up by task id is derived once: an answer asks for it with every task.
    """

    run: records.RunRecord
    plan: model.Plan
    tasks: list[records.TaskRecord]
    attempts: Mapping[str, records.NewestAttempt] = field(default_factory=dict[str, records.NewestAttempt])
    now: float = 0.0
    failures: Sequence[like_failures.Failure] = ()
    is_driven: bool = True
    loosenings: Sequence[proof_edits.Loosening] = ()
    losses: int = 0

    @cached_property
    def states(self) -> Mapping[str, TaskState]:
        """State by task id."""
        return {task.id: task.state for task in self.tasks}

    @cached_property
    def rows(self) -> Mapping[str, records.TaskRecord]:
        """Task by id."""
        return {task.id: task for task in self.tasks}

    @cached_property
    def specs(self) -> Mapping[str, model.Task]:
        """What each task is to do, by task id."""
        return {task.id: task for task in self.plan.tasks}

    @cached_property
    def declarations(self) -> declared_paths.DeclaredPaths:
        """The paths that tasks declare."""
        return self._paths_of(self.plan.tasks)

    @cached_property
    def active(self) -> declared_paths.DeclaredPaths:
        """The paths that tasks declare which have begun."""
        return self._paths_of(task for task in self.plan.tasks if task.id in self.rows and self.rows[task.id].attempt)

    def _paths_of(self, tasks: Iterable[model.Task]) -> declared_paths.DeclaredPaths:
        root = self.run.workspace
        return declared_paths.DeclaredPaths(
            (task.id, path_globs.normalise(path, root)) for task in tasks for path in task.files
        )

    @cached_property
    def has_merged(self) -> bool:
        """Whether tasks of the run have changed files in worktrees of their own."""
        return task_isolation.has_changes(self.plan.tasks, self.tasks)

    @cached_property
    def alike(self) -> frozenset[str]:
        """The tasks that failed alike, of which `next_step` tells at once."""
        return frozenset(name for like in like_failures.alike(self.failures) for name in like.tasks)

    @cached_property
    def is_simulated(self) -> bool:
        """Whether the run is a simulation, or has tasks that are given to the worker that only simulates."""
        return self.run.dry_run or any(task.worker is model.WorkerKind.SCRIPTED for task in self.tasks)

    @cached_property
    def simulations(self) -> int:
        """How many tasks of a run that is no simulation are done by the worker that only simulates."""
        return step_choice.simulations(self.run, self.tasks)

    @property
    def moment(self) -> step_choice.RunMoment:
        """What of the run is not in its rows."""
        proof_losses = proof_edits.still_missing(self.loosenings, self.plan.tasks) if self.loosenings else {}
        return step_choice.RunMoment(
            self.now, self.attempts, self.plan.max_parallel, self.failures, self.is_driven, proof_losses, self.losses
        )

    def next_step(self, handouts: step_choice.Handouts = step_choice.NONE_HANDED_OUT) -> NextStep:
        """Returns what to do next about the run; `handouts` is what the same answer holds beside it."""
        return step_choice.next_step(self.run, self.tasks, self.plan.tasks, moment=self.moment, handouts=handouts)

    def spec(self, task_id: str) -> model.Task:
        """Returns what a task of the run is to do."""
        return self.specs[task_id]

    def agent_of(self, task: records.TaskRecord) -> str:
        """Returns who does a task of the run: its own agent or who stands in, empty for nobody by name."""
        return task.stand_ins[-1].agent if task.stand_ins else self.specs[task.id].agent or ""

    def deadline_s(self, task_id: str) -> float | None:
        """Returns the seconds that an attempt of a task may take with the host, None for no deadline."""
        return budget.deadline_s(self.spec(task_id), self.plan.timeout_s)

    def task(self, task_id: str) -> records.TaskRecord:
        """Returns a task of the run. Raises UnknownHandle."""
        row = self.rows.get(task_id)
        if row is not None:
            return row
        raise errors.UnknownHandle(
            f"Run {short_ids.short(self.run.id)} has no task {task_id!r}.",
            hint=NextStep(StepKind.LIST_TASKS, self.run.id),
        )


async def load(store: sqlite_store.Store, run_id: str, principal: str) -> RunView:
    """Returns the run. Raises UnknownHandle when this principal has none of that id."""
    whole = await store.whole_run(run_id, principal=principal)
    newest = {attempt.task_id: attempt for attempt in whole.attempts}
    return RunView(
        whole.run,
        whole.plan,
        whole.tasks,
        newest,
        store.now(),
        whole.failures,
        whole.is_driven,
        whole.loosenings,
        whole.losses,
    )


def losses(attempts: Sequence[records.AttemptRecord]) -> tuple[str, ...]:
    """Returns which uncommitted work of the user's is gone since attempts began, and how to have it back.

    What was written over meanwhile comes after it: that may be the user's own doing.
    """
    beats = [attempt.beat for attempt in attempts]
    details = (beat[name] for name in (ports.LOSS, ports.WRITTEN_OVER) for beat in beats if name in beat)
    return tuple(dict.fromkeys(map(str, details)))
