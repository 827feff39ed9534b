"""The kinds of task: what each shows to its worker before the work, and how each judges what comes back.

`kind_of` is the one place that decides what a task is. Everybody else asks the kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Protocol

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import (
    attempt_services,
    briefing,
    claim_evidence,
    judged_files,
    plan_council,
    plan_review_attempt,
    review_attempt,
    run_view,
)
from dispatch_mcp.engine.earlier_runs import reworked_files
from dispatch_mcp.model import AttemptState, WorkerKind, records, transitions, work_order
from dispatch_mcp.planning import plan_advice, review_rules
from dispatch_mcp.process import computation
from dispatch_mcp.review import answer_parser, contradictions, plan_reviews, review_tasks, reviewer_selection
from dispatch_mcp.review.findings import ReviewReport
from dispatch_mcp.routing import router
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text.reading import reported_failures, spoken_verdicts


class TaskKind(Protocol):
    """What a task is. The attempt driver asks these questions in the order in which they stand here.

    `by_reference` is whether the host is only told where the brief is, however short it is.
    """

    by_reference: ClassVar[bool]

    def agent(self, name: str, agents: catalog.Catalog, /) -> catalog.Agent | None:
        """Returns who does the task under that name; None for nobody, and for a name that the catalogue lacks."""
        ...

    def runners_up(self, task: model.Task, agents: catalog.Catalog, /) -> Sequence[str]:
        """Returns which agents may do the task in place of its own if that cannot be started, the best first."""
        ...

    def subagents(self, names: Collection[str], /) -> Collection[str]:
        """Returns which of the host's installed subagents may do the task under their own role."""
        ...

    async def needless(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, view: run_view.RunView, /
    ) -> model.Outcome | None:
        """Returns the outcome of a task that turns out to need nobody; None for one that has to be done."""
        ...

    async def prepare(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, work: work_order.WorkOrder, /
    ) -> briefing.BriefedOrder:
        """Returns the order with what its worker shall read. Raises DispatchError when that cannot be had."""
        ...

    def brief(self, work: work_order.WorkOrder, /) -> prompt_builder.Prompt:
        """Returns the prompt of a prepared order."""
        ...

    async def judge(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns the claimed outcome as the server could prove it. Writes nothing, so that it can be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A task that changes or finds out something: it gets a context pack, and its claim is proved by receipts."""

    by_reference: ClassVar[bool] = False

    def agent(self, name: str, agents: catalog.Catalog, /) -> catalog.Agent | None:
        """Returns the agent of that name."""
        return agents.find(name) if name else None

    def runners_up(self, task: model.Task, agents: catalog.Catalog, /) -> Sequence[str]:
        """Returns those to whom routing would give the goal."""
        return router.runners_up(task.goal, agents, task.agent or "")

    def subagents(self, names: Collection[str], /) -> Collection[str]:
        """Returns all of them."""
        return names

    async def needless(
        self, _store: sqlite_store.Store, _services: attempt_services.AttemptServices, _view: run_view.RunView, /
    ) -> model.Outcome | None:
        """Returns None: work has to be done."""
        return None

    async def prepare(
        self, _store: sqlite_store.Store, services: attempt_services.AttemptServices, work: work_order.WorkOrder, /
    ) -> briefing.BriefedOrder:
        """Returns the order with what was gathered for it, if anything gathers here."""
        gathering = services.briefing
        return briefing.BriefedOrder(work, {}) if gathering is None else await gathering.brief(work)

    def brief(self, work: work_order.WorkOrder, /) -> prompt_builder.Prompt:
        """Returns goal, constraints, context and output of the order."""
        return _prompt(work)

    async def judge(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns a claimed success as its receipts judge it."""
        outcome = await claim_evidence.judge(services.verifier, store, claim)
        if _may_judge(claim.work, outcome):
            outcome = await _without_unasked_verdict(store, claim, outcome, reviewer_selection.names(services.agents()))
        if services.evidence is not None:
            outcome = await reworked_files.with_footprints(store, services.evidence.states_of, claim, outcome)
        outcome = await judged_files.with_reviews_again(store, services.evidence, claim, outcome)
        return outcome if services.disputes is None else await services.disputes.judge(claim, outcome)


@dataclass(frozen=True, slots=True)
class PersonDecision(Work):
    """A question that only a person answers: nothing is gathered for it, and the answer stands as it was given."""

    async def prepare(
        self, _store: sqlite_store.Store, _services: attempt_services.AttemptServices, work: work_order.WorkOrder, /
    ) -> briefing.BriefedOrder:
        """Returns the order as it is."""
        return briefing.BriefedOrder(work, {})

    async def judge(
        self, _store: sqlite_store.Store, _services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns what the person said."""
        return claim.outcome


@dataclass(frozen=True, slots=True)
class _Judging(Work):
    """A task that judges the work of others; its reviewer was chosen for what it judges, and nobody else will do."""

    def agent(self, name: str, agents: catalog.Catalog, /) -> catalog.Agent | None:
        """Returns the shipped reviewer of that name, whatever other layers call so; else the agent of that name."""
        return reviewer_selection.find(agents, name) if name else None

    def runners_up(self, _task: model.Task, _agents: catalog.Catalog, /) -> Sequence[str]:
        """Returns nobody."""
        return ()

    def subagents(self, _names: Collection[str], /) -> Collection[str]:
        """Returns none: a subagent of the same name that the host has installed may say anything."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class Review(_Judging):
    """A place in a round of the council: blind to what others wrote, shown the change itself, judged by its quotes."""

    by_reference: ClassVar[bool] = True

    place: review_tasks.ReviewAssignment

    async def needless(
        self, store: sqlite_store.Store, _services: attempt_services.AttemptServices, view: run_view.RunView, /
    ) -> model.Outcome | None:
        """Returns the outcome of an advocate that has nothing to argue against."""
        return await review_attempt.moot(store, self.place, view)

    async def prepare(
        self, store: sqlite_store.Store, _services: attempt_services.AttemptServices, work: work_order.WorkOrder, /
    ) -> briefing.BriefedOrder:
        """Returns the order with the change, and without anything that others wrote."""
        return briefing.BriefedOrder(await review_attempt.prepare(store, self.place, work), {})

    def brief(self, work: work_order.WorkOrder, /) -> prompt_builder.Prompt:
        """Returns the prompt without the task's place in the round, which says nothing to a reviewer."""
        if not work.material:
            return _prompt(work)
        inputs = {name: value for name, value in work.task.inputs.items() if name != review_tasks.INPUT}
        return _prompt(replace(work, task=work.task.model_copy(update={"inputs": inputs})))

    async def judge(
        self, store: sqlite_store.Store, _services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns a review with what its quotes prove; an answer that cannot be used has failed."""
        return await review_attempt.judge(store, self.place, claim.work, claim.outcome)


@dataclass(frozen=True, slots=True)
class PlanReview(_Judging):
    """A task of a plan that judges the work of others: shown their goals and their change, read as the council reads.

    Whatever whoever reports it calls its end, its answer decides: what it does not pass goes back or blocks.
    """

    by_reference: ClassVar[bool] = True

    task: model.Task

    async def prepare(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, work: work_order.WorkOrder, /
    ) -> briefing.BriefedOrder:
        """Returns the order with what it judges."""
        return await plan_review_attempt.prepare(store, services.evidence, work)

    async def judge(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns the outcome that its answer amounts to."""
        outcome = await plan_review_attempt.judge(store, services.evidence, claim)
        outcome = await _unless_blocked_before(store, claim, outcome)
        place = (claim.work.run_id, claim.work.workspace, claim.work.task)
        return await judged_files.with_footprints(store, services.evidence, place, claim.before, outcome)


@dataclass(frozen=True, slots=True)
class CouncilDecision(PlanReview):
    """The task that joins the verdicts of a plan's council: its agent argues only against what every seat passes."""

    async def needless(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, view: run_view.RunView, /
    ) -> model.Outcome | None:
        """Returns what the seats decide without anybody arguing."""
        outcome = await plan_council.needless(store, services.evidence, self.task, view)
        place = (view.run.id, view.run.workspace, self.task)
        none = outcome is None
        return None if none else await judged_files.with_footprints(store, services.evidence, place, {}, outcome)

    async def judge(
        self, store: sqlite_store.Store, services: attempt_services.AttemptServices, claim: claim_evidence.Claim, /
    ) -> model.Outcome:
        """Returns the outcome that is the council's decision."""
        outcome = await plan_council.judge(store, services.evidence, claim)
        place = (claim.work.run_id, claim.work.workspace, claim.work.task)
        return await judged_files.with_footprints(store, services.evidence, place, claim.before, outcome)


_OF_THE_SERVER: Final = frozenset({WorkerKind.API, WorkerKind.CLAUDE})

_NO_READERS: Final = (WorkerKind.COMMAND, WorkerKind.SCRIPTED)

WORK: Final = Work()
DECISION: Final = PersonDecision()


def kind_of(task: model.Task, worker: WorkerKind) -> TaskKind:
    """Returns what a task is that `worker` does."""
    if worker is WorkerKind.HUMAN:
        return DECISION
    place = review_tasks.assignment_of(task)
    if place is not None:
        return Review(place)
    if task.joins:
        return CouncilDecision(task)
    return PlanReview(task) if task.reviews else WORK


def brief(work: work_order.WorkOrder) -> prompt_builder.Prompt:
    """Returns the prompt of a prepared order, whatever kind its task is of."""
    return kind_of(work.task, work.worker).brief(work)


def _prompt(work: work_order.WorkOrder) -> prompt_builder.Prompt:
    """Returns the prompt of an order; its fences' nonce cannot be guessed without the run's id."""
    seed = f"{work.run_id}/{work.task.id}/{work.attempt}".encode("utf-8", "surrogatepass")
    prompt = prompt_builder.build(work, nonce=hashlib.sha256(seed).hexdigest()[:16])
    # The role text of a server's worker is its system prompt, but for one that nobody has approved.
    is_in_brief = work.worker in _OF_THE_SERVER and not work.is_role_instruction
    return prompt.with_role(work.agent_prompt, work.agent, is_instruction=False) if is_in_brief else prompt


def _may_judge(work: work_order.WorkOrder, outcome: model.Outcome) -> bool:
    """Returns whether accepted work may be a judgement: that of a model whose task has no command."""
    return outcome.state is AttemptState.SUCCEEDED and work.worker not in _NO_READERS and not work.task.command


async def _without_unasked_verdict(
    store: sqlite_store.Store, claim: claim_evidence.Claim, outcome: model.Outcome, reviewers: Collection[str]
) -> model.Outcome:
    """Returns accepted work as failed if it is a judgement that does not let through what it looked at.

    Such a task is no review in its plan, so it has nobody to send the work back to (docs/rules.md#severities). What a
    search finds where no work comes before it is its result: it was asked to find that.
    """
    task = claim.work.task
    asks_for = plan_advice.asks_for(task)
    is_other = review_rules.declares_change(task) or asks_for == "answer"
    if is_other and not review_rules.is_plain_review(task, reviewers):
        return outcome
    answer = answer_parser.answer_of(outcome) if claim.answer is None else claim.answer
    judgement, why = await computation.of_json(
        _heard, [answer, outcome.output, outcome.handoff.completed_work], task, is_account=asks_for == "account"
    )
    if not why:
        return outcome
    if asks_for == "judgement":
        return _refuted(outcome, judgement.report, answer, why)
    view = claim.view or await run_view.load(store, claim.work.run_id, records.ANYBODY)
    by_id: Mapping[str, model.Task] = {other.id: other for other in view.plan.tasks}
    if not review_rules.work_before(task, by_id, reviewers):
        return outcome
    return _refuted(outcome, judgement.report, answer, why)


def _heard(parts: Sequence[model.Json], task: model.Task, *, is_account: bool) -> tuple[plan_reviews.Judgement, str]:
    """Returns what an answer amounts to as a review's, and what it says against what it looked at, if it does.

    `parts` are the whole answer, and what of it may give a verdict by itself.
    """
    answer, *_ = parts
    judgement = plan_reviews.judge(task.agent or "reviewer", answer)
    if judgement.ruling == "block":
        return judgement, judgement.why
    text = answer if isinstance(answer, str) else ""
    own = reported_failures.own_object(text) if text else answer
    is_passed = judgement.report.verdict == "PASS" or spoken_verdicts.is_pass(text)
    field = "" if is_account or is_passed else contradictions.of_flags(own)
    texts: list[str] = [part for part in parts if isinstance(part, str)]
    verdicts = (spoken_verdicts.verdict(part) for part in texts)
    line = next((verdict for verdict in verdicts if verdict), field)
    line = line or ("" if is_account else spoken_verdicts.grave_finding(text))
    return judgement, f"it says {line!r}" if line else ""


def _refuted(outcome: model.Outcome, report: ReviewReport, answer: model.Json, why: str) -> model.Outcome:
    return outcome.model_copy(
        update={
            "state": AttemptState.FAILED,
            "summary": f"It blocks what it looked at: {why}.",
            "error": plan_reviews.feedback(report, answer),
            "error_kind": transitions.NEEDS_CHANGES,
            "retryable": False,
            "unverified": False,
            "receipts": (*outcome.receipts, model.Receipt(kind="words", ok=False, detail=why)),
        }
    )


async def _unless_blocked_before(
    store: sqlite_store.Store, claim: claim_evidence.Claim, outcome: model.Outcome
) -> model.Outcome:
    """Returns a PASS as the block that its review has given to the same change before, if it has."""
    work, changes = claim.work, [plan_review_attempt.exhibit_of(claim.before).diff]
    if outcome.state is not AttemptState.SUCCEEDED:
        return outcome
    view = claim.view or await run_view.load(store, work.run_id, records.ANYBODY)
    if plan_review_attempt.council_of(view.plan.tasks, work.task.id):
        return outcome  # what a seat says decides nothing by itself
    block = await plan_council.earlier_block(store, work.run_id, work.task, changes)
    return plan_council.blocked_again(outcome, block) if block else outcome
