"""What a new version of a live run's plan may not change (docs/rules.md#edits-of-a-plan)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.model.problems import Problem
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import gated_work


def refusals(
    before: Sequence[model.Task],
    after: Sequence[model.Task],
    rows: Iterable[transitions.TaskRow] = (),
    *,
    additions: Collection[model.AddedEdge] = (),
    extras: Collection[str] = (),
    reopening: bool = False,
    workspace: str = "",
) -> list[Problem]:
    """Returns everything that keeps a run whose tasks are at `rows` from going on with `after`.

    Codes: task_started (it runs or has ended, so it stays as it is), needs_person (a person's decision, or a review
    that objects, would be removed, changed or gone round; or what a task may spend would rise). `additions` are the
    edges of `before` that planning made: nobody's decision. Nor are those in `extras` that no other task waits for.
    For a run that is over and is `reopening`, what failed or was cancelled has not ended. A plan that never ran, so
    without rows, may lose work behind a gate: nobody has been asked about it.
    """
    rows = list(rows)
    reopenable = (TaskState.FAILED, TaskState.CANCELLED) if reopening else ()
    final_rows = {row.id: row for row in rows if transitions.is_fixed(row) and row.state not in reopenable}
    tasks = {task.id: task for task in after}
    refusable = {task_id for task_id in extras if not gated_work.behind(task_id, before)}
    decisions = [task_id for task_id in _undecided(before, final_rows.values()) if task_id not in refusable]
    gates = dict.fromkeys(decisions, _DECISION)
    gates |= dict.fromkeys([*_against(before, rows), *_asked(before, rows)], _OBJECTION)
    work_rows = {task_id: row for task_id, row in final_rows.items() if task_id not in gates}
    plan = bare(before, additions, final_rows)
    return [
        *_started(before, tasks, work_rows, reopening=reopening),
        *(
            _decisions(plan, tasks, final_rows, gates)
            or _gone_round(plan, tasks, final_rows, gates if rows else {}, workspace)
        ),
        *_raises(before, tasks),
    ]


def _raises(before: Sequence[model.Task], tasks: Mapping[str, model.Task]) -> Iterable[Problem]:
    """Yields where a task might spend more than its plan allowed it: while it runs that is a person's to decide."""
    for task in before:
        now = tasks.get(task.id, task).limits
        for name in ("dollars", "tokens"):
            old, new = getattr(task.limits, name), getattr(now, name)
            if old is not None and (new is None or new > old):
                change = "take that away" if new is None else f"make that {new:,.6g}"
                yield Problem(
                    code="needs_person",
                    task=task.id,
                    message=f"Task {task.id!r} may use {old:,.6g} {name}; an edit of a run cannot {change}.",
                    fix="Leave it, or lower it. What the task could not do for it, the user can have planned anew.",
                )


def refused_by_reviews(
    before: Sequence[model.Task],
    after: Sequence[model.Task],
    rows: Sequence[transitions.TaskRow],
    workspace: str = "",
) -> list[Problem]:
    """Returns what would remove, change or go round reviews that have not passed in a run that is over, at `rows`."""
    gates, tasks = dict.fromkeys(_against(before, rows), _OBJECTION), {task.id: task for task in after}
    final_ids = frozenset[str]()
    return _decisions(before, tasks, final_ids, gates) or _gone_round(before, tasks, final_ids, gates, workspace)


def refused_by_blocks(
    before: Sequence[model.Task], after: Sequence[model.Task], blocks: Mapping[str, tuple[str, str]]
) -> list[Problem]:
    """Returns what would take reviews away from work on files on which a review has blocked a change before.

    `blocks` are by task of `after`: the run of that review, as people call it, and the review.
    """
    now = {task.id: task for task in after}
    problems: dict[str, Problem] = {}
    for review in sorted(before, key=lambda task: not task.joins):  # a council speaks for its seats
        subject = next((name for name in review.reviews if name in blocks and name in now), "")
        if subject and subject not in problems and not _judges_as_before(review, now.get(review.id), [*blocks]):
            run, name = blocks[subject]
            why = f"has to judge {subject!r}, as {name!r} of run {run} has blocked a change of its files"
            problems[subject] = _needs_person(review.id, f"{why}; an edit can neither remove nor change it", _OBJECTION)
    return [*problems.values()]


def _judges_as_before(review: model.Task, now: model.Task | None, work: Collection[str]) -> bool:
    """Returns whether a review still judges what of `work` it judged, in the same words and by the same agent."""
    if now is None or not set(review.reviews).intersection(work) <= set(now.reviews):
        return False
    links = {"deps": (), "reviews": (), "reads": (), "joins": ()}
    return now.model_copy(update=links) == review.model_copy(update=links) and set(review.joins) <= set(now.joins)


class _Gate(NamedTuple):
    """What keeps work from beginning: how it is called in a sentence, and who could open it."""

    name: str
    fix: str


_DECISION: Final = _Gate("a person's decision", "Only a person can decide; nobody else can approve.")
_OBJECTION: Final = _Gate(
    "a review that has not passed",
    "Have the work mended until it passes, by a task that it waits for; only the user can let the review go.",
)


def refuse_skip(
    run_id: str,
    row: transitions.TaskRow,
    tasks: Sequence[model.Task],
    rows: Iterable[transitions.TaskRow],
    *,
    by_person: bool,
) -> None:
    """Does nothing when a task of a run may be skipped, by a person or by anybody.

    Raises:
        InputError: the task has a result already, or was cancelled or skipped.
        NotAllowed: it is, or waits for, a person's decision, or a review that objects and that no person lets go; it
            is a review that has not taken place; or it is work that a review has blocked.
    """
    is_for_person = row.state is TaskState.CANCELLED and not (by_person and _open_review(row.id, tasks))
    if is_for_person or TaskState.SKIPPED not in transitions.MOVES[row.state]:
        raise errors.InputError(
            f"Task {row.id!r} is {row.state} and cannot be skipped.",
            hint="Skip a task that has not finished, or that failed.",
        )
    rows = list(rows)
    gate = undecided(row.id, tasks, rows)
    if gate:
        reason = "is a person's decision" if gate == row.id else f"waits for a person's decision in {gate!r}"
        decide = NextStep(StepKind.DECIDE, run_id, (gate,))
        raise errors.NotAllowed(f"Task {row.id!r} {reason} and cannot be skipped.", hint=decide)
    review = "" if by_person else _open_review(row.id, tasks) or blocking_review(row.id, tasks, rows)
    objecting = "" if by_person or review or not row.rounds else _reviewer_of(row.id, tasks)
    if review or objecting:
        reason = f"waits for the review {review!r}" if review else f"is work that the review {objecting!r} has blocked"
        reason = "is a review that has not passed" if review == row.id else reason
        raise errors.NotAllowed(
            f"Task {row.id!r} {reason}; only a person can let it go.",
            hint=NextStep(StepKind.LET_REVIEW_GO, run_id, (review or objecting,)),
        )


def kept_from_skipping(
    tasks: Sequence[model.Task], rows: Sequence[transitions.TaskRow]
) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the tasks that only a person may skip, and those that nobody may; see `refuse_skip`."""
    no_skips = _with_behind(_undecided(tasks, rows), tasks)
    blocks = {row.id for row in rows if row.rounds and _reviewer_of(row.id, tasks)}
    reviews = {task.id for task in tasks if task.reviews}
    return (_with_behind(_against(tasks, rows), tasks) | blocks | reviews) - no_skips, no_skips


def _with_behind(gates: Sequence[str], tasks: Sequence[model.Task]) -> frozenset[str]:
    return frozenset(gates).union(*(gated_work.behind(gate, tasks) for gate in gates))


def bare(
    tasks: Sequence[model.Task], additions: Iterable[model.AddedEdge], keep: Collection[str] = ()
) -> list[model.Task]:
    """Returns the tasks without the edges that planning added, but for those into the tasks `keep`."""
    cuts: dict[str, set[str]] = {}
    for edge in additions:
        if edge.after not in keep:
            cuts.setdefault(edge.after, set()).add(edge.before)
    return [
        task.model_copy(update={"deps": tuple(dep for dep in task.deps if dep not in cuts[task.id])})
        if task.id in cuts
        else task
        for task in tasks
    ]


def _started(
    before: Sequence[model.Task],
    tasks: Mapping[str, model.Task],
    rows: Mapping[str, transitions.TaskRow],
    *,
    reopening: bool,
) -> Iterable[Problem]:
    for task in before:
        row, new = rows.get(task.id), tasks.get(task.id)
        # In a run that is over, what would have come before work that is done no longer matters.
        is_same = new == task or (reopening and new is not None and new.model_copy(update={"deps": task.deps}) == task)
        if row is not None and not is_same and not _only_relinked(task, tasks, rows):
            change = "removed" if task.id not in tasks else "changed"
            yield Problem(
                code="task_started",
                task=task.id,
                message=f"Task {task.id!r} is {row.state.value} and cannot be {change}.",
                fix="Leave it as it is; add a task, or change those that have not begun.",
            )


def _only_relinked(task: model.Task, tasks: Mapping[str, model.Task], final_ids: Collection[str]) -> bool:
    """Returns whether a task has changed only because one that it waited for was removed, which is refused itself."""
    now = tasks.get(task.id)
    loses_dep = any(dep in final_ids and dep not in tasks for dep in task.deps)
    return now is not None and loses_dep and now.model_copy(update={"deps": task.deps}) == task


def _asks_the_same(task: model.Task, tasks: Mapping[str, model.Task]) -> bool:
    """Returns whether a review, or a look, still asks the same, with more attempts and after further work at most.

    A look that is no review may come after its work through others, and be by another agent or model.
    """
    now = tasks.get(task.id)
    if now is None or now.max_attempts < task.max_attempts:
        return False
    names = ("deps", "max_attempts", *_LOOKERS * (not task.reviews))
    is_same = now.model_copy(update={name: getattr(task, name) for name in names}) == task
    if task.reviews:
        return is_same and set(task.deps) <= set(now.deps)
    return is_same and all(task.id in gated_work.behind(dep, tasks.values()) for dep in task.deps)


_LOOKERS: Final = ("agent", "model")


def _decisions(
    before: Sequence[model.Task],
    tasks: Mapping[str, model.Task],
    final_ids: Collection[str],
    gates: Mapping[str, _Gate],
) -> list[Problem]:
    """Returns what would let work begin that a person or a review has not approved; not what follows from it."""
    differing = [
        task
        for task in before
        if task.id in gates
        and tasks.get(task.id) != task
        and not (gates[task.id] is _OBJECTION and _asks_the_same(task, tasks))
    ]
    gate_ids = [task.id for task in differing if not _only_relinked(task, tasks, final_ids)]
    if gate_ids:
        return [
            _needs_person(
                gate_id, f"is {gates[gate_id].name}; an edit can neither remove nor change it", gates[gate_id]
            )
            for gate_id in gate_ids
        ]
    gate_of: dict[str, str] = {}
    for gate in gates:
        now = gated_work.behind(gate, tasks.values())
        for task_id in sorted(gated_work.behind(gate, before)):
            if task_id in tasks and task_id not in now and task_id not in final_ids:
                gate_of.setdefault(task_id, gate)
    return [
        _needs_person(task_id, f"depends on {gates[gate].name}, {gate!r}, and has to go on doing so", gates[gate])
        for task_id, gate in gate_of.items()
        if gate_of.keys().isdisjoint(tasks[task_id].deps)
    ]


def _gone_round(
    before: Sequence[model.Task],
    tasks: Mapping[str, model.Task],
    final_ids: Collection[str],
    gates: Mapping[str, _Gate],
    workspace: str,
) -> list[Problem]:
    """Returns what takes work behind a gate away, or has it done in front of it under another name.

    All that waited for a gate and is still there waits for it: `_decisions` has refused the rest.
    """
    problems: dict[str, Problem] = {}
    for gate, kind in gates.items():
        waiting = gated_work.behind(gate, before).difference(final_ids)
        waiting_now = gated_work.behind(gate, tasks.values())
        is_decision = kind is _DECISION
        for bypass in gated_work.bypasses(before, tasks, waiting, waiting_now, workspace, keeps_programs=is_decision):
            problems.setdefault(bypass.task_id, _bypass(bypass, gate, kind))
    return [*problems.values()]


def _bypass(bypass: gated_work.Bypass, gate: str, kind: _Gate) -> Problem:
    if bypass.kind == "lost":
        act = f"writes `{bypass.path}`" if bypass.path else "does its work"
        why = f"waits for {kind.name}, {gate!r}, and nothing behind that {act} now"
        fix = f"Keep it, or let what takes its place depend on {gate!r} and name all of its files. {kind.fix}"
    else:
        act = f"may write `{bypass.path}`" if bypass.path else "may do the same"
        why = f"{act} as {bypass.gated_id!r}, which waits for {kind.name}, {gate!r}"
        fix = f"Add {gate!r} to its deps, or name its files where nothing behind {gate!r} writes them."
    return Problem(code="needs_person", task=bypass.task_id, message=f"Task {bypass.task_id!r} {why}.", fix=fix)


def _needs_person(task_id: str, why: str, gate: _Gate) -> Problem:
    return Problem(code="needs_person", task=task_id, message=f"Task {task_id!r} {why}.", fix=gate.fix)


def _undecided(tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> list[str]:
    """Returns the decisions that no person has approved."""
    approvals = {row.id for row in rows if row.state is TaskState.SUCCEEDED}
    return [task.id for task in tasks if task.worker is WorkerKind.HUMAN and task.id not in approvals]


def _open_review(task_id: str, tasks: Sequence[model.Task]) -> str:
    """Returns the task if it is a review, or an empty string.

    Whether it has objected does not matter: one that is tried again, or was only handed out, would else be let go by
    whoever it judges.
    """
    return next((task.id for task in tasks if task.id == task_id and task.reviews), "")


def _reviewer_of(task_id: str, tasks: Sequence[model.Task]) -> str:
    """Returns what decides about the work of a task: a council rather than one of its seats; empty for nothing."""
    reviews = [task for task in tasks if task_id in task.reviews]
    return next((task.id for task in sorted(reviews, key=lambda task: not task.joins)), "")


def _against(tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> list[str]:
    """Returns the reviews that object, came to no verdict, or were asked before, and that no person has let go.

    So are other tasks whose answer was a verdict that blocks.
    """
    rows = list(rows)
    objecting = {row.id for row in rows if transitions.stands_against(row) or transitions.is_asked(row)}
    verdict_ids = {row.id for row in rows if transitions.is_verdict(row)}
    return [task.id for task in tasks if (task.reviews and task.id in objecting) or task.id in verdict_ids]


def _asked(tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> list[str]:
    """Returns the reviews that are asked now."""
    running_ids = {row.id for row in rows if row.state is TaskState.RUNNING}
    return [task.id for task in tasks if task.reviews and task.id in running_ids]


def blocking_review(task_id: str, tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> str:
    """Returns a review that has not passed and that a task is or waits for, or an empty string."""
    reviews = _against(tasks, rows)
    return next((review for review in reviews if review == task_id or task_id in gated_work.behind(review, tasks)), "")


def undecided(task_id: str, tasks: Sequence[model.Task], rows: Iterable[transitions.TaskRow]) -> str:
    """Returns a decision that a person has not approved and that a task is or waits for, or an empty string."""
    gates = _undecided(tasks, rows)
    return next((gate for gate in gates if gate == task_id or task_id in gated_work.behind(gate, tasks)), "")
