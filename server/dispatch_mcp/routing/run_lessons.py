"""What the ends of a run's tasks teach routing about the agents that did them.

Only proof and a person's word speak for an agent: a result that receipts prove, or one that a person approved or took
over. Refuted claims, failures of the work itself, and reviews that block it speak against it. An unproven "done" says
nothing, and neither does trouble that no agent could help: no key, no network, a ceiling, somebody else's failure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records, transitions
from dispatch_mcp.routing import learning

_OWN_FAULTS: Final = frozenset({transitions.BY_WORKER, *transitions.UNUSABLES, *transitions.REFUTATIONS})
"""Kinds of errors of an attempt that are about its work: said by the worker itself, or shown by the server."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The tasks of a run as they stand; `taken_over` are those whose changes a person has brought into the checkout."""

    run_id: str
    plan: Sequence[model.Task]
    rows: Mapping[str, records.TaskRecord]
    taken_over: Collection[str] = ()
    _judges: Mapping[str, list[records.TaskRecord]] = field(init=False)

    def __post_init__(self) -> None:
        judges: dict[str, list[records.TaskRecord]] = {}
        subjects = {task.id: task.reviews for task in self.plan if task.reviews}
        for task in self.plan:
            row = self.rows[task.id]
            targets = subjects.get(task.id, ())
            if row.worker is WorkerKind.HUMAN:  # a person decides about what came before, and what reviews looked at
                targets = tuple(subject for dep in task.deps for subject in subjects.get(dep, (dep,)))
            for subject in dict.fromkeys(targets):
                judges.setdefault(subject, []).append(row)
        object.__setattr__(self, "_judges", judges)

    def lessons(self, names: Collection[str], now: float) -> list[learning.Lesson]:
        """Returns what these tasks teach as far as they are settled; asking again gives the same and perhaps more."""
        return [
            learning.Lesson(task.goal, task.agent, outcome, _WEIGHTS[outcome], self.run_id, task.id, now)
            for task in self.plan
            if task.id in names and task.agent and self._is_agents_work(task)
            for outcome in self._outcomes(self.rows[task.id])
        ]

    def related(self, names: Collection[str]) -> set[str]:
        """Returns the tasks about which the ends of these ones say something: themselves, and what they judge."""
        subjects = {subject for subject, judges in self._judges.items() if any(row.id in names for row in judges)}
        return subjects.union(names)

    def _is_agents_work(self, task: model.Task) -> bool:
        row = self.rows[task.id]
        is_work = not task.command and not task.reviews
        return is_work and row.worker in transitions.MODEL_WORKERS and row.cause != transitions.REPLAYED

    def _outcomes(self, row: records.TaskRecord) -> Iterator[learning.Outcome]:
        judges = self._judges.get(row.id, ())
        people = [judge for judge in judges if judge.worker is WorkerKind.HUMAN]
        reviews = [judge for judge in judges if judge.worker is not WorkerKind.HUMAN]
        is_blocked = any(judge.cause == transitions.NEEDS_CHANGES for judge in (row, *reviews))
        is_blocked |= any(person.state is TaskState.FAILED for person in people)
        is_own_fault = row.state is TaskState.FAILED and row.cause in _OWN_FAULTS
        if is_own_fault or is_blocked or row.rounds:
            yield "failed"
        if is_blocked or any(review.state not in model.TASK_FINAL for review in reviews):
            return
        is_accepted = row.id in self.taken_over or any(person.state is TaskState.SUCCEEDED for person in people)
        if row.state is TaskState.SUCCEEDED or (row.state is TaskState.UNVERIFIED and is_accepted):
            yield "accepted"


_WEIGHTS: Final[Mapping[learning.Outcome, float]] = {"accepted": 1.0, "failed": learning.FAILED}
