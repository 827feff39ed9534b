"""The strategy of each route as tasks of the plan: reviews, and one decision of a person.

Rule: docs/rules.md#confidence-bands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.model import model_names
from dispatch_mcp.model.problems import Notice
from dispatch_mcp.routing import confidence

Policy = Literal["standard", "strict", "off"]
"""What becomes of strategies: `standard` follows every route, `strict` also asks a person about tasks without one."""


GATE: Final = "decision"
REVIEW: Final = "review"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A plan's tasks with what the strategies ask for, in an order that keeps dependencies first."""

    tasks: Sequence[model.Task]
    notices: Sequence[Notice] = ()
    added: Mapping[str, str] = field(default_factory=dict[str, str])


def with_reviews(
    tasks: Sequence[model.Task],
    strategies: Mapping[str, confidence.Strategy],
    *,
    reviewers: Mapping[str, str],
    policy: Policy = "standard",
    taken: Collection[str] = (),
) -> Reviewed:
    """Returns the tasks with a review or a decision where the strategy of their route asks for one.

    A supervised task is followed by a review that everything behind it waits for; one more review looks at all tasks
    that go on unwatched, and nobody waits for it; one decision comes before every task whose route is a person's to
    judge. `strategies` and `reviewers` are by task id; ids in `taken` are not used again. `added` says why each new
    task is there.
    """
    if policy == "off":
        return Reviewed(tasks)
    names = _Names({task.id for task in tasks} | set(taken))
    for_person = _having(tasks, strategies, "human")
    gate = names.free(GATE) if for_person else ""
    review_of = {task.id: names.free(f"{task.id}.{REVIEW}") for task in _having(tasks, strategies, "supervised")}
    beside = _having(tasks, strategies, "direct+async-review")
    out: list[model.Task] = [_decision(gate, for_person)] if for_person else []
    behind_gate = {task.id for task in for_person}
    for task in tasks:
        deps = (
            *((gate,) if task.id in behind_gate else ()),
            *task.deps,
            *(review_of[dep] for dep in task.deps if dep in review_of),
        )
        out.append(task if deps == task.deps else task.model_copy(update={"deps": deps}))
        if task.id in review_of:
            out.append(_review(review_of[task.id], [task], reviewers))
    if beside:
        out.append(_review(names.free(REVIEW), beside, reviewers))
    return Reviewed(
        out, _notices(gate, for_person, review_of, out[-1].id if beside else "", beside), _reasons(out, tasks)
    )


def _having(
    tasks: Sequence[model.Task], strategies: Mapping[str, confidence.Strategy], strategy: confidence.Strategy
) -> list[model.Task]:
    return [task for task in tasks if strategies.get(task.id) == strategy]


@dataclass(slots=True)
class _Names:
    taken: set[str]

    def free(self, first: str) -> str:
        """Returns the wanted id, or the first free one with a number behind it, at most 64 characters long."""
        number, name = 1, first if len(first) <= 64 else f"{first[:48]}.{REVIEW}"
        stem = name[:58]
        while name in self.taken:
            number += 1
            name = f"{stem}-{number}"
        self.taken.add(name)
        return name


def _decision(gate: str, subjects: Sequence[model.Task]) -> model.Task:
    names = ", ".join(task.id for task in subjects[:20]) + (
        f" and {len(subjects) - 20} more" if len(subjects) > 20 else ""
    )
    return model.Task(
        id=gate,
        do=f"Decide whether these tasks go on as planned; no specialist is sure for them: {names}.",
        worker=model.WorkerKind.HUMAN,
        effort=model.Effort.S,
        priority=model.Priority.HIGH,
        attempts=1,
    )


def _review(name: str, subjects: Sequence[model.Task], reviewers: Mapping[str, str]) -> model.Task:
    subject_names = ", ".join(f"`{task.id}`" for task in subjects[:20])
    return model.Task(
        id=name,
        do=(
            f"Review the work of {subject_names} against its goals: is it right, complete, tested and safe? "
            "Report status failed if a critical or high finding stands."
        ),
        deps=tuple(task.id for task in subjects),
        agent=next((reviewers[task.id] for task in subjects if task.id in reviewers), None),
        model=model_names.REVIEW_MODEL,
        effort=model.Effort.S,
        reads=tuple(dict.fromkeys(path for task in subjects for path in task.files)),
        output=("Findings with severity (critical, high, medium, low), place and evidence", "Verdict PASS or FAIL"),
        constraints=("Change nothing.",),
        attempts=2,
    )


def _notices(
    gate: str,
    for_person: Sequence[model.Task],
    review_of: Mapping[str, str],
    beside_id: str,
    beside: Sequence[model.Task],
) -> list[Notice]:
    notices: list[Notice] = []
    if for_person:
        message = f"`{gate}` waits for a person: name an agent for these tasks to plan them without it."
        notices.append(Notice(code="needs_decision", tasks=tuple(task.id for task in for_person), message=message))
    if review_of:
        message = "What depends on these waits for their reviews."
        notices.append(Notice(code="supervised", tasks=tuple(review_of), message=message))
    if beside:
        message = f"`{beside_id}` looks at these afterwards; nothing waits for it."
        notices.append(Notice(code="reviewed_after", tasks=tuple(task.id for task in beside), message=message))
    return notices


def _reasons(out: Sequence[model.Task], before: Sequence[model.Task]) -> dict[str, str]:
    old_ids = {task.id for task in before}
    return {
        task.id: "a person decides" if task.worker is model.WorkerKind.HUMAN else "review"
        for task in out
        if task.id not in old_ids
    }
