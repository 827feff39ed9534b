"""Builds the task graphs of the dispatch patterns as drafts: what only the host can decide is marked `fill`.

Rules: docs/rules.md#six-patterns, #three-phases, #feedback-loop and #model-table. A draft is never
dispatched: the host fills it in and plans the result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import Effort, Priority, WorkerKind
from dispatch_mcp.text import tokenizer

DEEP: Final = "opus"
THOROUGH: Final = "sonnet"
QUICK: Final = "haiku"
"""Models of docs/rules.md#model-table: complex implementation, investigation and review, short consultation."""

MAX_PARTS: Final = 12
MAX_ROUNDS: Final = 3
"""Rounds of review that a loop may have; each but the first costs only when the one before blocks."""

_SLUG = re.compile(r"[^a-z0-9]+")


class Part(NamedTuple):
    """A share of the work: what it is called, whose it is (empty when nobody clearly fits), paths it is about."""

    name: str
    agent: str = ""
    files: tuple[str, ...] = ()


class TaskDraft(model.Task):
    """A task to be filled in. `fill` names the fields that the host decides; `worker` is `human` for a gate."""

    fill: tuple[str, ...] = ()


def single(work: Part, do: str = "Do it and prove it with a test") -> list[TaskDraft]:
    """Returns one task."""
    return [_draft("work", do, work, "", (), ("do", "files"))]


def parallel_investigation(looks: Sequence[Part]) -> list[TaskDraft]:
    """Returns one look for each part, beside each other, and a conclusion that waits for all of them."""
    tasks = _each("look", "Look into {}", looks, THOROUGH, (), ("do",))
    conclusion = TaskDraft(
        id="conclude", do="Cause, evidence and next step from all findings", deps=_ids(tasks), model=THOROUGH
    )
    return [*tasks, conclusion]


def sequential_handoff(steps: Sequence[Part], *, looks_first: bool = False) -> list[TaskDraft]:
    """Returns a chain in which each step takes over what the one before hands on.

    With `looks_first` the first step finds something out instead of defining something.
    """
    tasks: list[TaskDraft] = []
    for number, step in enumerate(steps):
        task_id, last = f"step-{number + 1}", tasks[-1:]
        if number == 0 and looks_first:
            tasks.append(_draft(task_id, f"Find out: {step.name}", step, THOROUGH, (), ("do",)))
        elif number == 0:
            tasks.append(_draft(task_id, f"Define: {step.name}", step, DEEP, (), _WRITES))
        else:
            tasks.append(_draft(task_id, f"With the handoff: {step.name}", step, DEEP, _ids(last), _WRITES))
    return tasks


def consultation(knows: Part, builds: Part) -> list[TaskDraft]:
    """Returns a short question on the small model and the implementation that uses its answer."""
    ask = _draft("ask", "Answer with code and pattern to reuse", knows, QUICK, (), ("do",))
    return [
        ask.model_copy(update={"effort": Effort.S}),
        _draft("build", "Implement with the answer", builds, DEEP, ("ask",), _WRITES),
    ]


def side_by_side(acts: Sequence[Part]) -> list[TaskDraft]:
    """Returns one task for each act, none waiting for another: different works that share nothing."""
    return _each("do", "{}", acts, DEEP, (), _WRITES)


def parallel_implementation(places: Sequence[Part], reviewer: str = "") -> list[TaskDraft]:
    """Returns the shared contract, the same change in each place, and a check that all places agree.

    With two sides of one interface as places, the contract is the interface (docs/rules.md#api-first).
    """
    contract = TaskDraft(id="contract", do="Fix what all places share", model=DEEP, effort=Effort.S, fill=("do",))
    changes = _each("change", "Change {}", places, DEEP, ("contract",), _WRITES)
    compare = TaskDraft(
        id="compare",
        do="Check all places against the contract",
        deps=_ids(changes),
        agent=reviewer or None,
        model=THOROUGH,
    )
    return [contract, *changes, compare]


def phased_rollout(base: Part, areas: Sequence[Part], verifier: str = "") -> list[TaskDraft]:
    """Returns the base, its integration into each area beside each other, and a check of the whole.

    The base's specialist verifies when nobody is named (docs/rules.md#six-patterns).
    """
    first = _draft("base", "Build what the rest needs", base, DEEP, (), _WRITES)
    middle = _each("integrate", "Integrate {}", areas, DEEP, ("base",), _WRITES)
    last = Part("verify", verifier or base.agent)
    verify = _draft("verify", "Verify all integrations together", last, THOROUGH, _ids(middle or [first]), ())
    big = {"effort": Effort.L, "priority": Priority.HIGH}
    return [first.model_copy(update=big), *middle, verify]


def three_phases(research: Sequence[Part], execution: Sequence[TaskDraft]) -> list[TaskDraft]:
    """Returns research beside each other, a plan drawn from it, and `execution` waiting for the plan.

    Nobody builds before all findings are together (docs/rules.md#three-phases); whatever of `execution` waited for
    nothing waits for the plan. The plan's own tasks replace the execution by edits once they are known.
    """
    looks = _each("research", "Research {}", research, THOROUGH, (), ("do",))
    plan = TaskDraft(
        id="plan",
        do="Tasks with specialist, priority, deps from all findings",
        deps=_ids(looks),
        model=DEEP,
        priority=Priority.HIGH,
    )
    later = [task if task.deps else task.model_copy(update={"deps": ("plan",)}) for task in execution]
    return [*looks, plan, *later]


def feedback_loop(work: Part, reviewer: Part, rounds: int = MAX_ROUNDS) -> list[TaskDraft]:
    """Returns execute, up to `rounds` of review, and a person's approval (docs/rules.md#feedback-loop).

    A review that blocks sends the work back to whoever did it. After the last round nothing loops on: what is still not
    right goes to a person, and no model can approve.

    Raises:
        ValueError: fewer rounds than 1 or more than `MAX_ROUNDS`.
    """
    if not 1 <= rounds <= MAX_ROUNDS:
        raise ValueError(f"rounds is {rounds!r}; a loop has 1 to {MAX_ROUNDS}")
    execute = _draft("execute", "Do the work", work, DEEP, (), _WRITES)
    review = _draft("review", "Review the work: PASS or findings", reviewer, THOROUGH, ("execute",), ())
    judging = review.model_copy(update={"reviews": ("execute",), "rounds": rounds})
    gate = TaskDraft(id="approve", do="A person approves the result", deps=("review",), worker=WorkerKind.HUMAN)
    return [execute, judging, gate]


def groups(tasks: Sequence[TaskDraft]) -> list[list[str]]:
    """Returns the ids that can run beside each other, group after group (docs/rules.md#groups)."""
    depth: dict[str, int] = {}
    for task in tasks:
        depth[task.id] = 1 + max((depth[dep] for dep in task.deps), default=-1)
    return [[name for name, at in depth.items() if at == level] for level in range(1 + max(depth.values(), default=-1))]


def wire(task: TaskDraft) -> dict[str, model.Json]:
    """Returns a draft in the words of `plan_dag`, without defaults, and without `fill` where it is as usual."""
    usual = {"effort", "fill"} if set(task.fill) <= set(_WRITES) else {"effort"}
    return task.model_dump(mode="json", exclude_defaults=True, exclude=usual)


def as_task(task: TaskDraft) -> model.Task:
    """Returns a draft as a task, for pictures and estimates; it is not ready to be dispatched."""
    return model.Task.model_validate(task.model_dump(exclude={"fill"}))


_WRITES: Final = ("do", "files")


def _draft(  # noqa: PLR0917  # all positional: read like a row of a table
    task_id: str, do: str, part: Part, model_name: str, deps: Sequence[str], fill: tuple[str, ...], /
) -> TaskDraft:
    """Returns a task; it writes the paths of its part if the host has to say which, and reads them otherwise."""
    writes = "files" in fill
    return TaskDraft(
        id=task_id,
        do=do,
        deps=tuple(deps),
        agent=part.agent or None,
        model=model_name or None,
        files=part.files if writes else (),
        reads=() if writes else part.files,
        fill=_open(fill, part),
    )


def _open(fill: tuple[str, ...], part: Part) -> tuple[str, ...]:
    """Returns what is left to fill in: known paths are not, a missing specialist is."""
    fields = tuple(name for name in fill if not (name == "files" and part.files))
    return fields if part.agent else (*fields, "agent")


def _each(  # noqa: PLR0917  # as _draft
    prefix: str, do: str, parts: Sequence[Part], model_name: str, deps: Sequence[str], fill: tuple[str, ...], /
) -> list[TaskDraft]:
    return [
        _draft(task_id, do.format(part.name), part, model_name, deps, fill)
        for task_id, part in zip(_names(prefix, parts), parts, strict=True)
    ]


def _names(prefix: str, parts: Sequence[Part]) -> list[str]:
    """Returns an id for each part: the prefix and what the part is called, or its number."""
    names: list[str] = []
    for number, part in enumerate(parts, 1):
        slug = _SLUG.sub("-", tokenizer.fold(part.name.casefold())).strip("-")[:18].rstrip("-")
        name = f"{prefix}-{slug or number}"
        names.append(name if name not in names else f"{name}-{number}")
    return names


def _ids(tasks: Sequence[TaskDraft]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks)
