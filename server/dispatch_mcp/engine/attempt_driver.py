"""The one driver of an attempt: prepare, carry out, judge.

Whoever carries attempts out goes through it. The server's own workers take all three steps here, in one go. What the
host carries out is prepared when it is handed out and judged when it is reported, often by another process: what the
judgement needs from before the work is kept in the attempt's heartbeat.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.engine import (
    activation,
    attempt_services,
    briefing,
    claim_evidence,
    paid_answers,
    plan_review_attempt,
    review_attempt,
    run_view,
    store_waits,
    task_kinds,
    task_runner,
)
from dispatch_mcp.engine.earlier_runs import reworked_files
from dispatch_mcp.model import (
    AttemptState,
    TaskState,
    WorkerKind,
    failures,
    ports,
    records,
    transitions,
    work_order,
)
from dispatch_mcp.review import review_tasks
from dispatch_mcp.runs import message_rules
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """An order that can be carried out, and the heartbeat with which its attempt begins."""

    work: work_order.WorkOrder
    beat: Mapping[str, model.Json]


@dataclass(frozen=True, slots=True)
class AttemptDriver:
    """Takes attempts from their orders to their judged outcomes."""

    store: sqlite_store.Store
    services: attempt_services.AttemptServices = attempt_services.BARE
    answers: paid_answers.PaidAnswers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", paid_answers.PaidAnswers(self.store.blobs))

    @property
    def at_once(self) -> AttemptDriver:
        """The same for whoever waits for a handle: what takes longer to gather follows."""
        gathering = self.services.briefing
        return self if gathering is None else self._with(gathering.at_once)

    @property
    def for_reader(self) -> AttemptDriver:
        """The same for a brief that somebody reads now."""
        gathering = self.services.briefing
        return self if gathering is None else self._with(gathering.for_reader)

    def _with(self, gathering: briefing.Briefing) -> AttemptDriver:
        return replace(self, services=replace(self.services, briefing=gathering))

    async def prepare(self, work: work_order.WorkOrder, *, begun: bool = False) -> Prepared:
        """Returns the order with what its worker shall read, and what must be known from before the work.

        An attempt that has `begun` is only briefed again: how the workspace was before it can no longer be seen.

        Raises:
            DispatchError: what its task is about cannot be read.
        """
        beat = dict[str, model.Json]() if begun else await self._look(work)
        order = await _kind(work).prepare(self.store, self.services, work)
        if order.facts:
            beat[briefing.FACTS] = dict(order.facts)
        if not begun:
            await self.store.note(work.run_id, order.notes)
        return Prepared(order.work, {**beat, **order.beat})

    async def _look(self, work: work_order.WorkOrder) -> dict[str, model.Json]:
        """Returns what must be known from before the work, as details of its attempt's beat."""
        beat, disputes = dict(await claim_evidence.before(self.services.verifier, work)), self.services.disputes
        if _kind(work) is not task_kinds.WORK or work.worker is WorkerKind.SCRIPTED:
            return beat
        if self.services.evidence is not None:
            beat |= await reworked_files.before(self.store, self.services.evidence.states_of, work)
        return beat if disputes is None else {**beat, **(await disputes.before(work))}

    async def judge(self, claim: claim_evidence.Claim) -> model.Outcome:
        """Returns a claimed outcome as the server could prove it, with its artifacts kept."""
        if activation.is_missing(claim.outcome):
            return activation.with_stand_in(claim.work, claim.outcome, self.services.agents())
        verdict = await self._with_reviewer(claim.work, await _kind(claim.work).judge(self.store, self.services, claim))
        archive = self.services.archive
        return verdict if archive is None else await archive.keep(claim.work.workspace, verdict)

    async def _with_reviewer(self, work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        """Returns what a simulated reviewer says of work that was done as no verdict; any other outcome as it is."""
        is_verdict = bool(work.task.reviews) and outcome.state is AttemptState.SUCCEEDED
        if not is_verdict or all(receipt.kind != plan_review_attempt.SIMULATED for receipt in outcome.receipts):
            return outcome
        is_simulation = await plan_review_attempt.is_simulation(self.store, work.run_id, work.task, work.worker)
        return outcome if is_simulation else review_attempt.inconclusive(outcome, plan_review_attempt.NOBODY)

    async def run(
        self, ctx: task_runner.LocalContext, work: work_order.WorkOrder, workers: ports.Workers
    ) -> model.Outcome:
        """Returns how an attempt of one of the server's workers ended, in the place that its order asks for.

        An exception of ours ends it as a failure that counts as a crash. What a model had answered before is kept, and
        the next attempt goes on from there.
        """
        attempt = _ServerAttempt(self, ctx, workers)
        try:
            outcome = await self._placed(attempt, work)
        except errors.Fenced:
            raise
        except Exception as crash:
            log.exception("attempt %d of %s/%s failed for a fault of ours", work.attempt, work.run_id, work.task.id)
            outcome = task_runner.fault(crash, attempt.spent)
        await attempt.close(outcome)
        return outcome

    async def _placed(self, attempt: _ServerAttempt, work: work_order.WorkOrder) -> model.Outcome:
        workspaces = self.services.workspaces
        if workspaces is None:
            return await attempt.judge(work, await attempt.carry_out(attempt.own, work))
        return await workspaces.within(attempt.own, work, attempt.carry_out, attempt.judge)

    async def mail(self, work: work_order.WorkOrder) -> Sequence[model.Message]:
        """Returns what has come for a task at work since it was briefed or asked last; nothing for a review."""
        if not message_rules.reads_messages(work.task):
            return ()
        try:
            unread = message_rules.unread_by(await self.store.mail(work.run_id), work.task)
            await self.deliver(work, unread, "turn")
        except errors.StoreError as trouble:
            log.warning("messages for %s/%s wait: %s", work.run_id, work.task.id, trouble)
            return ()
        return unread

    async def deliver(
        self, work: work_order.WorkOrder, messages: Sequence[model.Message], means: records.Means = "brief"
    ) -> None:
        """Records that messages have come to the attempt of an order."""
        number, reader = work.attempt, work.task.id
        deliveries = [records.Delivery(message.id, reader, means, number) for message in messages]
        await self.store.deliver(work.run_id, deliveries)

    async def leave(self, work: work_order.WorkOrder) -> None:
        """Tidies up once the outcome is known; what cannot be tidied up changes nothing of it."""
        if self.services.workspaces is None:
            return
        try:
            await self.services.workspaces.leave(work)
        except Exception:
            log.exception("what attempt %d of %s/%s has left lies there", work.attempt, work.run_id, work.task.id)

    async def close_needless(self, view: run_view.RunView, now: float) -> Mapping[str, model.Outcome]:
        """Ends those tasks out with the host that turn out to need nobody, and returns how, by task."""
        ends: list[transitions.Finished] = []
        for row in view.tasks:
            if row.worker is WorkerKind.HOST and row.state is TaskState.RUNNING:
                kind = task_kinds.kind_of(view.spec(row.id), row.worker)
                outcome = await kind.needless(self.store, self.services, view)
                if outcome is not None:
                    ends.append(transitions.Finished(row.id, row.attempt, outcome))
        if ends:
            await self.store.advance(view.run.id, records.Step(now=now, finished=ends))
        return {end.task_id: end.outcome for end in ends}


@dataclass(slots=True)
class _ServerAttempt:
    """An attempt that this process carries out itself.

    `before` is how its place was when it began, `claim` what its worker claims, `answer` the detail that names what a
    model has answered, in this attempt or an earlier one.
    """

    driver: AttemptDriver
    own: task_runner.LocalContext
    workers: ports.Workers
    before: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])
    claim: model.Outcome | None = None
    answer: Mapping[str, model.Json] | None = None

    @property
    def spent(self) -> model.Usage:
        """What the attempt has used so far, as far as anybody knows."""
        return self.own.spent if self.claim is None else self.claim.usage

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns what the worker claims, or has claimed; a failure when what it should work on cannot be read."""
        self.claim = await self._earlier(ctx, work)
        if self.claim is not None:
            return self.claim
        waiter = f"attempt {work.attempt} of {work.run_id}/{work.task.id}"
        try:
            ready = await store_waits.served(lambda: self._ready(work), waiter)
        except errors.StoreError:
            raise
        except errors.DispatchError as trouble:
            return task_runner.failure("no_material", f"What is to be reviewed could not be read: {trouble}")
        if isinstance(ready, model.Outcome):
            return ready
        self.before, order = ready.beat, ready.work
        # On its way to the disk before the worker begins: who takes over from a dead process judges by it.
        ctx.beat(**ready.beat)
        if order.messages:
            await store_waits.served(lambda: self.driver.deliver(order, order.messages), waiter)
        self.claim = await task_runner.run_task(ctx, order, self.workers)
        if paid_answers.is_paid(work, self.claim):
            await self._keep(work, self.claim)
        return self.claim

    async def _ready(self, work: work_order.WorkOrder) -> Prepared | model.Outcome:
        """Returns the prepared order, or the outcome of a task that turns out to need nobody."""
        if work.task.reviews or review_tasks.assignment_of(work.task):
            view = await run_view.load(self.driver.store, work.run_id, records.ANYBODY)
            needless = await _kind(work).needless(self.driver.store, self.driver.services, view)
            if needless is not None:
                return needless
        if activation.is_without_role(work):
            return task_runner.failure(transitions.NO_AGENT, work.no_role)
        return await self.driver.prepare(work)

    async def _earlier(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome | None:
        """Returns what a model has answered to an earlier attempt of just this order, and nobody could accept."""
        detail = paid_answers.detail_of(work)
        outcome = None if detail is None else await self.driver.answers.read(detail)
        if outcome is None:
            return None
        log.info("%s/%s goes on from the answer of attempt %s", work.run_id, work.task.id, (detail or {})["attempt"])
        self.before, self.answer = work.last_beat, detail
        ctx.beat(**paid_answers.legacy(work), **paid_answers.look(work))
        return outcome

    async def _keep(self, work: work_order.WorkOrder, claim: model.Outcome) -> None:
        """Keeps an answer, as what comes next may fail; one that cannot be kept is still judged and accepted."""
        try:
            self.answer = await self.driver.answers.keep(work, claim)
        except Exception:
            log.exception("the answer to %s/%s is not kept", work.run_id, work.task.id)
            return
        self.own.beat(**{ports.ANSWER: dict(self.answer)})
        await self.own.settled()

    async def close(self, outcome: model.Outcome) -> None:
        """Leaves the next attempt the answer if that still holds, else has it ask for another one."""
        if self.answer is None:
            return
        is_good = failures.keeps_answer(outcome.error_kind)
        if not is_good:
            self.driver.answers.forget(self.answer)
        if outcome.state is AttemptState.SUCCEEDED:
            return
        self.own.beat(**{ports.ANSWER: paid_answers.booked(self.answer) if is_good else {}})
        await self.own.settled()

    async def judge(self, work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        """Returns the claim as the server could prove it."""
        verdict = await self.driver.judge(claim_evidence.Claim(work, outcome, self.before))
        losses = [receipt.detail for receipt in verdict.receipts if receipt.kind == "loss"]
        if losses:
            self.own.beat(**{ports.LOSS: losses[0]})
            await self.own.settled()
        return verdict


def _kind(work: work_order.WorkOrder) -> task_kinds.TaskKind:
    return task_kinds.kind_of(work.task, work.worker)
