"""Decisions of people: what waits for one, and what a person answered. No tool of a model comes here.

Higher ceilings for a run under way are one of them: an assistant may lower ceilings, and name any within the
configuration's when a run begins. What a run may use beyond that is asked of a person each time, for the plan that they
saw.
"""

from __future__ import annotations

from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, digests, records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind, counted, sentences
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget
from dispatch_mcp.service import answers
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import escape

_ANYWAY = "beyond_forecast"
SHOWN_DIGITS = 12
"""Digits of a plan's digest that a person is shown, and may answer with."""


class OpenDecision(NamedTuple):
    """A task that waits for a person; `attempt` fences an answer to an earlier question."""

    run_id: str
    task_id: str
    attempt: int
    question: str


class PersonVerdict(NamedTuple):
    """What a person said; `by` is how it reached us."""

    approved: bool
    by: str
    reason: str = ""


def waiting(view: run_view.RunView) -> list[OpenDecision]:
    """Returns the decisions that a run waits for, in plan order."""
    goals = {task.id: task.goal for task in view.plan.tasks}
    return [
        OpenDecision(view.run.id, task.id, task.attempt, goals[task.id])
        for task in view.tasks
        if task.worker is WorkerKind.HUMAN and task.state is TaskState.RUNNING
    ]


def choose(view: run_view.RunView, task_id: str) -> OpenDecision:
    """Returns the decision that a person means, the only one if no task is named.

    Raises:
        InputError: nothing of that name waits, or more than one does.
    """
    open_ones = waiting(view)
    candidates = [decision for decision in open_ones if task_id in ("", decision.task_id)]
    if len(candidates) == 1:
        return candidates[0]
    if not open_ones and not task_id:
        run_id = view.run.id
        raise errors.InputError(
            f"No decision waits in run {short_ids.short(run_id)}.", hint=NextStep(StepKind.READ_RUN, run_id)
        )
    names = ", ".join(decision.task_id for decision in open_ones) or "none"
    problem = f"Task {task_id!r} does not wait for a decision" if task_id else f"{len(candidates)} decisions wait"
    raise errors.InputError(f"{problem} in run {short_ids.short(view.run.id)}.", hint=f"Waiting: {names}.")


async def record(
    store: sqlite_store.Store, decision: OpenDecision, verdict: PersonVerdict, now: float
) -> records.Advance:
    """Records what a person said and returns where the run stands.

    Raises:
        InputError: the question is no longer open.
    """
    end = transitions.Finished(decision.task_id, decision.attempt, outcome(verdict))
    advance = await store.advance(decision.run_id, records.Step(now=now, finished=[end]))
    if not advance.accepted[0]:
        raise errors.InputError(
            f"Task {decision.task_id!r} no longer waits for this decision.",
            hint=NextStep(StepKind.READ_RUN, decision.run_id),
        )
    return advance


def outcome(verdict: PersonVerdict) -> model.Outcome:
    """Returns the outcome of a decision; a rejection is final, and what depends on it is skipped."""
    word = "approved" if verdict.approved else "rejected"
    text = f"{word} by {verdict.by}" + (f": {verdict.reason}" if verdict.reason else "")
    return model.Outcome(
        state=AttemptState.SUCCEEDED if verdict.approved else AttemptState.FAILED,
        summary=text,
        handoff=model.Handoff(completed_work=text) if verdict.approved else model.Handoff(),
        error="" if verdict.approved else text,
        error_kind="" if verdict.approved else "rejected",
        receipts=(model.Receipt(kind="approval", ok=verdict.approved, detail=text),),
    )


class RaiseOffer(answers.Answer):
    """What a person would agree to: which ceilings of which run rise, what is spent, and for which plan.

    `entries` are all ceilings that were asked for, as one names them at a shell.
    """

    run_id: short_ids.Handle
    title: str
    plan_version: int
    plan_digest: str
    tasks: int
    spend: str
    raises: records.Raises
    entries: tuple[str, ...]

    @property
    def question(self) -> str:
        """The whole of it as a question to a person."""
        changes = [_change(*entry) for entry in self.raises]
        plan = f"version {self.plan_version}, {counted(self.tasks, 'task')}, digest {self.shown_digest}"
        return sentences(
            f"Raise what run {short_ids.short(self.run_id)} ({escape.one_line(self.title, limit=200)}) may use?",
            f"{'; '.join(changes)}.",
            f"Spent so far: {self.spend}.",
            f"Its plan: {plan}.",
        )

    @property
    def subject(self) -> tuple[str, str, records.Raises]:
        """What the question is about; not how much is spent, which moves on while somebody reads it."""
        return self.run_id, self.plan_digest, self.raises

    @property
    def shown_digest(self) -> str:
        """The beginning of the plan's digest."""
        return self.plan_digest[:SHOWN_DIGITS]

    def word(self, by: str) -> records.PersonWord:
        """Returns the word of a person who has seen this and agrees."""
        return records.PersonWord(by, self.plan_digest, self.raises)

    def refuse(self, word: records.PersonWord | None) -> None:
        """Does nothing when a person has agreed to just this.

        Raises:
            NotAllowed: nobody has agreed.
            StaleVersion: somebody has agreed to something else: of another plan, or to other ceilings.
        """
        ask = NextStep(StepKind.AGREE_TO_RAISE, self.run_id, limits=self.entries, digest=self.shown_digest)
        if word is None:
            raise errors.NotAllowed(f"Only a person can agree to this. {self.question}", hint=ask)
        if (word.plan_digest, word.raises) != (self.plan_digest, self.raises):
            other = "another plan" if word.plan_digest != self.plan_digest else "other ceilings"
            raise errors.StaleVersion(
                f"The run has {other} by now than those that were agreed to. {self.question}", hint=ask
            )


def raise_offer(
    whole: records.WholeRun, spend: model.Usage, request: model.Limits, in_force: model.Limits
) -> RaiseOffer | None:
    """Returns what a person would have to agree to for a run to get what a request names; None when nothing rises then.

    `in_force` are its ceilings if they agree.
    """
    changes = budget.raises(whole.run.limits, in_force)
    if not changes:
        return None
    return RaiseOffer(
        run_id=whole.run.id,
        title=whole.run.title,
        plan_version=whole.plan.version,
        plan_digest=digests.plan_digest(whole.plan),
        tasks=len(whole.plan.tasks),
        spend=_spend_text(spend),
        raises=changes,
        entries=tuple(
            f"{name}={float(height):.15g}" for name, height in request.model_dump(exclude_unset=True).items() if height
        ),
    )


def _spend_text(spend: model.Usage) -> str:
    tokens = counted(forecast.counted_tokens(spend), "token")
    if budget.is_silent(spend):
        return "nothing that anybody has reported"
    return tokens if spend.cost_usd is None else f"${spend.cost_usd:.2f}, {tokens}"


def _change(name: str, before: float | None, after: float | None) -> str:
    if name == _ANYWAY:
        return "work may begin with what is left although its forecast does not fit"
    return f"{name} from {_height(before)} to {_height(after)}"


def _height(value: float | None) -> str:
    return "no ceiling" if value is None else f"{value:,.15g}"
