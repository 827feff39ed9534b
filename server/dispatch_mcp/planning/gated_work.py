"""Work behind a gate: no edit of a live plan takes any of it away, or has it done in front of the gate.

Nor does another plan: what a person has refused there, or still has to decide, waits here for a decision of its own.

Rule: docs/rules.md#edits-of-a-plan. What work is, its files tell; what an edit adds that changes something and names
none may write all of them. So may a program without files, whoever allowed it, unless it is one that only reads; before
a review it is only what it is, as tests are run while work is mended.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model.problems import Notice
from dispatch_mcp.planning import acceptance, plan_advice
from dispatch_mcp.process import allowlist
from dispatch_mcp.text import path_globs
from dispatch_mcp.text.reading import command_words

APPROVAL: Final = "approval"
"""The id of the decision that is added for work which a person has not let go on before."""

AGAIN: Final = "a person decides again: "
"""How the reason of such a decision begins."""

GATED: Final = "gated_before"
"""The code of the notice of such work."""


class EarlierGate(NamedTuple):
    """A decision of a person in another run, by its short id, that work waited for, and what became of it."""

    run: str
    gate: str
    end: Literal["refused", "open", "unanswered"]

    @property
    def text(self) -> str:
        """What became of it, as a sentence without its full stop."""
        return f"{self.gate!r} of run {self.run}, behind which the same work stood, {_ENDS[self.end]}"


_ENDS: Final = {
    "refused": "was refused by a person",
    "open": "still waits for a person",
    "unanswered": "was called off before a person had answered",
}


@dataclass(frozen=True, slots=True)
class GatedTasks:
    """A plan's tasks with the decision that work of earlier gates waits for, if any is needed; `additions` says why."""

    tasks: Sequence[model.Task]
    notices: Sequence[Notice] = ()
    additions: Mapping[str, str] = field(default_factory=dict[str, str])


def free_id(first: str, ids: Collection[str], stem: str = "") -> str:
    """Returns an id that is none of these: the first choice, or its stem with the lowest number behind it."""
    names = itertools.chain([first], (f"{stem or first}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in ids)


def decision_task(name: str, question: str) -> model.Task:
    """Returns the task by which a person answers a question of planning's."""
    return model.Task(
        id=name,
        do=question,
        worker=model.WorkerKind.HUMAN,
        effort=model.Effort.S,
        priority=model.Priority.HIGH,
        attempts=1,
    )


def unguarded(
    tasks: Sequence[model.Task], gates: Mapping[str, EarlierGate], final_ids: Collection[str] = ()
) -> list[model.Task]:
    """Returns the work of earlier gates that waits for no person in its own plan, but for what may no longer change."""
    people = [task.id for task in tasks if task.worker is model.WorkerKind.HUMAN]
    settled_ids = frozenset(final_ids).union(*(behind(name, tasks) for name in people))
    return [task for task in tasks if task.id in gates and task.id not in settled_ids]


def with_approval(
    tasks: Sequence[model.Task], gates: Mapping[str, EarlierGate], final_ids: Collection[str] = ()
) -> GatedTasks:
    """Returns tasks of which the work of earlier gates waits for a person's decision."""
    subjects = {task.id for task in unguarded(tasks, gates, final_ids)}
    if not subjects:
        return GatedTasks(tasks)
    name = free_id(APPROVAL, {task.id for task in tasks})
    why = "; ".join(dict.fromkeys(gates[task.id].text for task in tasks if task.id in subjects))
    decision = decision_task(name, f"Decide whether these go on: {', '.join(sorted(subjects))}. {why}.")
    waiting = [task.model_copy(update={"deps": (name, *task.deps)}) if task.id in subjects else task for task in tasks]
    message = f"{why}: these wait for `{name}`, which only a person decides, and no edit takes it out."
    notice = Notice(code=GATED, tasks=tuple(sorted(subjects)), message=message)
    return GatedTasks([decision, *waiting], [notice], {name: f"{AGAIN}{why}"})


def behind(first: str, tasks: Iterable[model.Task]) -> set[str]:
    """Returns the other tasks that depend on `first`, directly or through others."""
    followers: dict[str, list[str]] = {}
    for task in tasks:
        for dep in task.deps:
            followers.setdefault(dep, []).append(task.id)
    descendants: set[str] = set()
    stack = [first]
    while stack:
        for follower in followers.get(stack.pop(), ()):
            if follower not in descendants:
                descendants.add(follower)
                stack.append(follower)
    return descendants - {first}  # edits are checked for cycles only when all of them have been applied


class Bypass(NamedTuple):
    """How an edit goes round a gate: a task behind it is `lost`, or another comes `before` it with the work of one."""

    kind: Literal["lost", "before"]
    task_id: str
    gated_id: str
    path: str = ""


def bypasses(
    before: Sequence[model.Task],
    now: Mapping[str, model.Task],
    waiting: Collection[str],
    waiting_now: Collection[str],
    workspace: str = "",
    *,
    keeps_programs: bool = False,
) -> Iterator[Bypass]:
    """Yields how an edit from `before` to `now` goes round one gate.

    `waiting` are the tasks that wait for it in `before` and have not begun, `waiting_now` those that wait for it now.
    With `keeps_programs`, so before a person's decision, a program without files waits too, unless it only reads, and
    no other task is proven by the command of one that waits.
    """
    gated_tasks = [task for task in before if task.id in waiting and acts(task)]
    if not gated_tasks:
        return
    rest = [now[task_id] for task_id in waiting_now if task_id in now and acts(now[task_id])]
    for task in gated_tasks:
        path = _uncovered(task, rest, workspace)
        if path is not None:
            yield Bypass("lost", task.id, task.id, path)
    old = {task.id: task for task in before}
    if keeps_programs:
        rest = [task for task in now.values() if task.id not in waiting_now]
        pairs = [(task.id, _proven_by(task, old.get(task.id), gated_tasks)) for task in rest]
        yield from (Bypass("before", task_id, rival) for task_id, rival in pairs if rival)
    goner = next((task.id for task in gated_tasks if task.id not in now), "")
    for task in now.values():
        if task.id in waiting_now or not acts(task) or not _is_other(task, old.get(task.id)):
            continue
        if keeps_programs and _is_blind_program(task) and _is_other_program(task, old.get(task.id)):
            yield Bypass("before", task.id, gated_tasks[0].id)
            continue
        rivals = ((rival, _shared(task, rival, workspace)) for rival in gated_tasks)
        meeting = next(((rival, path) for rival, path in rivals if path is not None), None)
        if meeting is not None and (task.id not in old or _shared(old[task.id], meeting[0], workspace) is None):
            yield Bypass("before", task.id, meeting[0].id, meeting[1] or "")
        elif goner and task.id not in old:
            yield Bypass("before", task.id, goner)


def acts(task: model.Task) -> bool:
    """Returns whether a task may change something: it does not say that it only looks, and neither judges nor asks."""
    if task.reviews or task.worker is model.WorkerKind.HUMAN:
        return False
    return _is_program(task) or not plan_advice.names_no_change(task)


def only_reads(task: model.Task) -> bool:
    """Returns whether a program is one that may always be started, as it changes nothing."""
    return allowlist.only_reads(task.command)


def telling_calls(argv: Sequence[str]) -> list[command_words.Call]:
    """Returns the calls by which a command that waits for a person is known: none of those that only read."""
    return command_words.telling_calls(argv, allowlist.only_reads)


def proofs(task: model.Task) -> list[tuple[str, ...]]:
    """Returns the commands that are to prove a task, which are run whatever it is itself."""
    return [criterion.argv for criterion in acceptance.criteria_of(task) if criterion.kind == "command"]


def _proven_by(task: model.Task, old: model.Task | None, gated_tasks: Sequence[model.Task]) -> str:
    """Returns the gated task whose command is a new proof of another task, or an empty string."""
    former = proofs(old) if old is not None else []
    calls = [call for argv in proofs(task) if argv not in former for call in command_words.calls(argv)]
    return next(
        (
            rival.id
            for rival in gated_tasks
            for gated_call in telling_calls(rival.command)
            if any(command_words.does(call, gated_call) for call in calls)
        ),
        "",
    )


def _is_program(task: model.Task) -> bool:
    return bool(task.command) or task.worker is model.WorkerKind.COMMAND


def _is_blind_program(task: model.Task) -> bool:
    """Returns whether a task is a program that may write anything."""
    return _is_program(task) and not task.files and not only_reads(task)


def _is_other_program(task: model.Task, old: model.Task | None) -> bool:
    return old is None or not _is_blind_program(old) or task.command != old.command


def _is_other(task: model.Task, old: model.Task | None) -> bool:
    """Returns whether a task is new, or does something else than before."""
    if old is None:
        return True
    return any(getattr(task, name) != getattr(old, name) for name in ("goal", "files", "command", "worker"))


def _uncovered(task: model.Task, rest: Sequence[model.Task], workspace: str) -> str | None:
    """Returns a file of a gated task, or an empty string for all that it may write, that no gated one has now."""
    if not task.files:
        is_covered = any(
            other.command == task.command if _is_program(task) else not (other.files or _is_program(other))
            for other in rest
        )
        return None if is_covered else ""
    covers = [path for other in rest for path in _paths(other, workspace)]
    return next(
        (
            path
            for path in _paths(task, workspace)
            if not any(path == cover or path_globs.contains(cover, path) for cover in covers)
        ),
        None,
    )


def _shared(task: model.Task, rival: model.Task, workspace: str) -> str | None:
    """Returns a file that both may write, an empty string for work without files that may be the same, else None."""
    if task.files and rival.files:
        rival_paths = _paths(rival, workspace)
        paths = (
            path for path in _paths(task, workspace) if any(path_globs.touch(other, path) for other in rival_paths)
        )
        return next(paths, None)
    if _is_program(task) and not task.files:
        return "" if _is_program(rival) else None
    return None if task.files else ""


def _paths(task: model.Task, workspace: str) -> list[str]:
    return [path_globs.normalise(path, workspace) for path in task.files]
