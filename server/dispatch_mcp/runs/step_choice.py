"""What to do next about a run, as a value that the interfaces put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import RunState, TaskState, WorkerKind, bounds, like_failures, problems, records, transitions
from dispatch_mcp.next_steps import LikeFailures, NextStep, StepKind, duration, names, who_is_waited_for
from dispatch_mcp.planning import edit_rules, proof_edits
from dispatch_mcp.review import review_tasks
from dispatch_mcp.runs import dependencies, objections, task_isolation
from dispatch_mcp.text import escape

MOST_TASKS = 5
"""Tasks that a step names; a trace lists the others."""

MOST_CHARS = 80
"""Characters of a criterion that is told of."""

DONE = "Done."
"""What is said of a run in which all is done, and nothing is to be said beside it."""


class Handouts(NamedTuple):
    """What an answer about a run holds beside where it stands.

    `new` is how many assignments it hands out, `repeats` how many it holds that were out before. `pass_on` are the
    tasks out with the host to which it has messages, `unread` those that ended without having read one; `notes_at` is
    where messages stand whole that it cuts or leaves out.
    """

    new: int = 0
    repeats: int = 0
    pass_on: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    notes_at: str = ""


NONE_HANDED_OUT = Handouts()


@dataclass(frozen=True, slots=True)
class RunMoment:
    """What of a run is not in its rows: the time in seconds since the epoch, and the attempts that run.

    `max_parallel` is how many assignments may be out at once, `failures` are those of tasks that are not done,
    `is_driven` is whether a living process carries on what the server does, `proof_losses` are what edits took out of
    what shows that tasks are done, `losses` is after how many attempts something of the user's was gone.
    """

    now: float = 0.0
    attempts: Mapping[str, records.NewestAttempt] = field(default_factory=dict[str, records.NewestAttempt])
    max_parallel: int = bounds.MAX_PARALLEL
    failures: Sequence[like_failures.Failure] = ()
    is_driven: bool = True
    proof_losses: proof_edits.Loosening = field(default_factory=dict[str, Sequence[str]])
    losses: int = 0

    def left_alone(self, tasks: Sequence[records.TaskRecord]) -> list[records.TaskRecord]:
        """Returns what a worker of the server is to do, or was doing, while no living process carries the run on."""
        open_tasks = [task for task in tasks if task.state in _OPEN and task.worker in transitions.SERVER_WORKERS]
        return [] if self.is_driven else open_tasks

    def is_due(self, task: records.TaskRecord) -> bool:
        """Returns whether a ready task may begin now, or still pauses before its next attempt."""
        return task.state is TaskState.READY and task.ready_at <= self.now

    def has_lapsed(self, task: records.TaskRecord) -> bool:
        """Returns whether the lease of a running task is over: whoever asks next for work is handed another attempt."""
        newest = self.attempts.get(task.id)
        until = None if newest is None else newest.lease_until
        return task.state is TaskState.RUNNING and until is not None and until <= self.now

    def out(self, tasks: Sequence[records.TaskRecord]) -> list[records.TaskRecord]:
        """Returns the tasks that are out with the host under a lease that holds."""
        return [task for task in tasks if _is_out(task) and not self.has_lapsed(task)]

    def fetchable(self, tasks: Sequence[records.TaskRecord]) -> int:
        """Returns how many assignments the host would be handed if it asked now."""
        due = sum(task.worker is WorkerKind.HOST and (self.is_due(task) or self.has_lapsed(task)) for task in tasks)
        return min(due, max(0, self.max_parallel - len(self.out(tasks))))

    def out_s(self, tasks: Sequence[records.TaskRecord]) -> float:
        """Returns for how many seconds the first of these tasks has been out; 0 if nobody knows."""
        starts = [self.attempts[task.id].started_at for task in tasks if task.id in self.attempts]
        return max(0.0, self.now - min(starts, default=self.now))


UNTIMED = RunMoment()


def next_step(
    run: records.RunRecord,
    tasks: Sequence[records.TaskRecord],
    plan: Sequence[model.Task] = (),
    *,
    moment: RunMoment = UNTIMED,
    handouts: Handouts = NONE_HANDED_OUT,
) -> NextStep:
    """Returns the next step for whoever reads: the host or a person at a shell.

    Args:
        run: The run as it stands.
        tasks: Its tasks as they stand.
        plan: The same tasks as planned; without them nothing is said of merged changes.
        moment: When that is, and which attempts run.
        handouts: What the same answer holds beside it.
    """
    alike = tuple(_with_fate(like, tasks) for like in like_failures.alike(moment.failures))
    step = replace(_of_state(run, tasks, plan, moment, handouts), alike=alike)
    if alike and step.kind is StepKind.SETTLE_FAILURES:
        step = replace(step, advice=_failed_otherwise(step))
    return replace(step, pass_on=handouts.pass_on, unread=handouts.unread, notes_at=handouts.notes_at)


def _with_fate(like: LikeFailures, tasks: Sequence[records.TaskRecord]) -> LikeFailures:
    """Returns failures that are one; where all of them are being tried again, that is said instead of what to do."""
    states = {task.state for task in tasks if task.id in like.tasks}
    return like._replace(cure="Each is being tried again, with that reason.") if states == {TaskState.RUNNING} else like


def _failed_otherwise(step: NextStep) -> str:
    """Returns which tasks failed that did not fail alike; those that did are told of with their cause."""
    names = {name for like in step.alike for name in like.tasks}
    rest = [task_id for task_id in step.tasks if task_id not in names]
    return f"Failed otherwise: {', '.join(rest[:MOST_TASKS])}." if rest else ""


def _of_state(
    run: records.RunRecord,
    tasks: Sequence[records.TaskRecord],
    plan: Sequence[model.Task],
    moment: RunMoment,
    handouts: Handouts,
) -> NextStep:
    if run.state in model.RUN_FINAL:
        step = _after_the_end(run, tasks, plan)
        step = _with_proof_losses(step, moment.proof_losses) if moment.proof_losses else step
        is_done = moment.losses and step.advice == DONE
        return replace(step, losses=moment.losses, advice="" if is_done else step.advice)
    if run.state is RunState.PAUSED:
        return NextStep(StepKind.RESUME if run.paused else StepKind.RAISE_LIMIT, run.id)
    if run.state is RunState.WAITING_INPUT:
        return NextStep(StepKind.DECIDE, run.id, _decisions(tasks))
    step = _with_pauses(_while_it_runs(run, tasks, moment, handouts), tasks, moment)
    return _with_ownerless(step, tasks, moment)


def _while_it_runs(
    run: records.RunRecord, tasks: Sequence[records.TaskRecord], moment: RunMoment, handouts: Handouts
) -> NextStep:
    out = moment.out(tasks)
    out_s = moment.out_s(out)
    if handouts.new:
        return NextStep(StepKind.DO_ASSIGNMENTS, run.id, count=handouts.new, repeats=handouts.repeats, out_s=out_s)
    if handouts.repeats:
        return NextStep(StepKind.KEEP_ASSIGNMENTS, run.id, repeats=handouts.repeats, out_s=out_s)
    ready = moment.fetchable(tasks)
    if ready:
        return NextStep(StepKind.FETCH_ASSIGNMENTS, run.id, count=ready)
    if out:
        return NextStep(StepKind.FINISH_ASSIGNMENTS, run.id, count=len(out), out_s=out_s)
    return NextStep(StepKind.WATCH, run.id)


def _with_pauses(step: NextStep, tasks: Sequence[records.TaskRecord], moment: RunMoment) -> NextStep:
    """Returns the step with what is tried again after a pause, the first one first."""
    pausing = sorted((task.ready_at, task.id) for task in tasks if _pauses(task, moment))
    if not pausing:
        return step
    alone = step.kind is StepKind.WATCH and not any(task.state is TaskState.RUNNING for task in tasks)
    kind = StepKind.AWAIT_RETRY if alone else step.kind
    retries = tuple(task_id for _, task_id in pausing)
    return replace(step, kind=kind, retries=retries, retry_s=pausing[0][0] - moment.now)


def _with_ownerless(step: NextStep, tasks: Sequence[records.TaskRecord], moment: RunMoment) -> NextStep:
    """Returns the step with what nobody carries on, and which workers that takes."""
    ownerless = moment.left_alone(tasks)
    if not ownerless:
        return step
    waits = step.kind in (StepKind.WATCH, StepKind.AWAIT_RETRY)
    kinds = {task.worker for task in tasks if task.state not in model.TASK_FINAL} & transitions.SERVER_WORKERS
    needs = tuple(sorted(kinds & transitions.MODEL_WORKERS))
    if waits:
        step = replace(step, kind=StepKind.CARRY_ON, retries=(), retry_s=0.0)
    return replace(step, ownerless=tuple(task.id for task in ownerless), needs=needs)


def _after_the_end(run: records.RunRecord, tasks: Sequence[records.TaskRecord], plan: Sequence[model.Task]) -> NextStep:
    counts = Counter([task.state for task in tasks])
    failures = tuple([task.id for task in tasks if task.state is TaskState.FAILED]) if counts[TaskState.FAILED] else ()
    step = NextStep(StepKind.READ_RESULTS, run.id, failures, has_changes=task_isolation.has_changes(plan, tasks))
    unproven, fakes = counts[TaskState.UNVERIFIED], simulations(run, tasks)
    if unproven or fakes:
        proven = counts[TaskState.SUCCEEDED] - fakes
        step = replace(step, unproven=unproven, simulations=fakes, proven=proven, total=_total(tasks))
    if run.state is RunState.SUCCEEDED or (run.state is RunState.PARTIAL and _is_satisfied(tasks)):
        skips = _skips(tasks, plan) if counts[TaskState.SKIPPED] else ""
        return replace(step, advice=skips or ("" if unproven or fakes else DONE))
    failed_names = ", ".join(failures[:MOST_TASKS])
    disputes = objections.disputes(map(records.row_of, tasks), plan)
    if disputes and run.state is RunState.NEEDS_CHANGES and not failures:
        return replace(step, kind=StepKind.HAVE_REVIEWED, tasks=tuple(disputes), advice=_of_disputes(disputes))
    if run.state in _BY_REVIEWS:
        # What a round of the council came to, and what follows, is in its decision, whichever seat it is about.
        is_round = bool(plan) and review_tasks.assignment_of(plan[0]) is not None
        kind = StepKind.SETTLE_REVIEWS if failures and not is_round else StepKind.READ_DECISION
        return replace(step, kind=kind, advice=f"{_BY_REVIEWS[run.state]}{': ' if failures else ''}{failed_names}.")
    if failures:
        step = replace(step, kind=StepKind.SETTLE_FAILURES, advice=f"Failed: {failed_names}.")
        person, nobody = edit_rules.kept_from_skipping(plan, [records.row_of(task) for task in tasks])
        person_skips, no_skips = (tuple(name for name in failures if name in ids) for ids in (person, nobody))
        return replace(step, person_skips=person_skips, no_skips=no_skips)
    return replace(step, kind=StepKind.REOPEN, advice=f"Ended as {run.state.value}.")


def _of_disputes(disputes: Mapping[str, str]) -> str:
    """Returns the sentence on work that changed blocked files; `disputes` has the review that has blocked them."""
    by_review: dict[str, list[str]] = {}
    for task_id, review in disputes.items():
        by_review.setdefault(review, []).append(task_id)
    parts = [f"{names(ids)} changed files of which {review} has blocked a change" for review, ids in by_review.items()]
    return f"Blocked by review: {'; '.join(parts)}, and nothing in this run reviews that."


def _with_proof_losses(step: NextStep, proof_losses: proof_edits.Loosening) -> NextStep:
    """Returns the step of a run that is over with what edits took out; it is not simply done then."""
    texts = tuple(
        f"{task_id!r}: {problems.in_backticks([escape.one_line(text, limit=MOST_CHARS) for text in criteria])}"
        for task_id, criteria in proof_losses.items()
    )
    return replace(step, proof_losses=texts, advice="" if step.advice == DONE else step.advice)


def simulations(run: records.RunRecord, tasks: Sequence[records.TaskRecord]) -> int:
    """Returns how many tasks have ended well by the worker that only simulates, in a run that is no simulation."""
    fakes = [] if run.dry_run else [task for task in tasks if task.worker is WorkerKind.SCRIPTED]
    return sum(task.state is TaskState.SUCCEEDED for task in fakes)


def _total(tasks: Sequence[records.TaskRecord]) -> int:
    """Returns how many tasks there are; those that a person skipped do not count."""
    return sum(task.state is not TaskState.SKIPPED or not _is_satisfied([task]) for task in tasks)


def _skips(tasks: Sequence[records.TaskRecord], plan: Sequence[model.Task]) -> str:
    """Returns how much of the work of a run was done, and who skipped the rest; empty where nobody skipped any."""
    reviews = {task.id for task in plan if not objections.is_work(task)}
    work = [task for task in tasks if task.id not in reviews]
    by_whom = {
        name: [task.id for task in work if task.state is TaskState.SKIPPED and task.cause == cause]
        for cause, name in _SKIPPED_BY.items()
    }
    parts = [f"by {name}: {', '.join(ids[:MOST_TASKS])}" for name, ids in by_whom.items() if ids]
    count = sum(task.state in model.TASK_DONE for task in work)
    return f"{count} of {len(work)} done; skipped {'; '.join(parts)}." if parts else ""


def _is_satisfied(tasks: Sequence[records.TaskRecord]) -> bool:
    return all(dependencies.is_satisfied(records.row_of(task)) for task in tasks)


def waits(state: RunState, work: records.OpenWork) -> tuple[str, ...]:
    """Returns what of a run in that state waits for whom, the person first; nothing when it is over."""
    if state in model.RUN_FINAL:
        return ()
    return who_is_waited_for(state, work.items())


def why_waiting(
    run_id: str, task: records.TaskRecord, states: Mapping[str, TaskState], deps: Sequence[str], now: float = 0.0
) -> str | NextStep:
    """Returns why a task has not run at the time `now`, or an empty string; a step where somebody has to act."""
    if task.state is TaskState.BLOCKED:
        waiting = [dep for dep in deps if states[dep] not in model.TASK_DONE]
        why = "blocks what it reviewed; " if task.cause == transitions.NEEDS_CHANGES else ""
        return f"{why}waits for " + (", ".join(f"{dep} ({states[dep].value})" for dep in waiting) or "other reviews")
    if task.state is TaskState.SKIPPED and task.cause:
        return transitions.why_skipped(task.cause)
    if task.state is TaskState.READY and task.ready_at > now:
        pause = duration(task.ready_at - now)
        cause = transitions.IN_WORDS.get(task.cause, task.cause) or "failed"
        return f"attempt {task.attempt + 1} begins in {pause}, after attempt {task.attempt} ({cause})"
    if (task.worker, task.state) in _WAITS_FOR:
        return NextStep(_WAITS_FOR[task.worker, task.state], run_id, (task.id,))
    if task.state is TaskState.FAILED:
        return f"failed: {task.cause or 'see results'}"
    return ""


def _decisions(tasks: Sequence[records.TaskRecord]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks if task.worker is WorkerKind.HUMAN and task.state is TaskState.RUNNING)


def _is_out(task: records.TaskRecord) -> bool:
    return task.state is TaskState.RUNNING and task.worker is WorkerKind.HOST


def _pauses(task: records.TaskRecord, moment: RunMoment) -> bool:
    return task.state is TaskState.READY and not moment.is_due(task)


_OPEN = frozenset({TaskState.READY, TaskState.RUNNING})
_BY_REVIEWS = {
    RunState.NEEDS_CHANGES: "Blocked by review",
    RunState.INCONCLUSIVE: "Reviewed without a verdict, which does not count as passed",
}
_SKIPPED_BY = {transitions.BY_USER: "a person", transitions.BY_ASSISTANT: "the assistant"}
_WAITS_FOR = {
    (WorkerKind.HUMAN, TaskState.RUNNING): StepKind.WAITS_FOR_PERSON,
    (WorkerKind.HOST, TaskState.READY): StepKind.WAITS_FOR_ASSISTANT,
}
