"""Takes the host's reports: each result is judged, accepted exactly once, and answered with what is ready next."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from dispatch_mcp import model, next_steps
from dispatch_mcp.engine import executor, order_builder, proof, run_view
from dispatch_mcp.model import assignments, records, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.process import computation
from dispatch_mcp.review import review_tasks
from dispatch_mcp.routing import learning
from dispatch_mcp.runs import budget, message_rules, report_reader
from dispatch_mcp.service import answers, host_assignments, host_reports, messaging, route_memory
from dispatch_mcp.store import sqlite_store


@dataclass(frozen=True, slots=True)
class Reporting:
    """Accepts what the host reports of one run after the other.

    `redact` takes secrets out of what it says, `price` is what its tokens cost, `learn` keeps what the ends teach.
    """

    store: sqlite_store.Store
    engine: executor.EmbeddedEngine
    contact: host_assignments.HostContact
    redact: Callable[[model.Outcome], model.Outcome]
    price: forecast.Price
    learn: Callable[[Sequence[learning.Lesson]], Awaitable[None]]

    async def accept(self, before: run_view.RunView, entries: Sequence[host_reports.Entry]) -> answers.ReportAnswer:
        """Returns what became of each report, and what is ready next; `before` is the run as it was."""
        run_id, received_at = before.run.id, self.contact.clock()
        reports = [entry for entry in entries if isinstance(entry, report_reader.Report)]
        outcomes = [await self._outcome(before, report) for report in reports]
        refusals = [host_reports.refusal(report, before.rows) for report in reports]
        outcomes = await self._judged(before, reports, outcomes, refusals)
        ends = [
            transitions.Finished(report.task_id, report.attempt, outcome)
            for report, outcome, why in zip(reports, outcomes, refusals, strict=True)
            if not why
        ]
        advance = await self.store.advance(run_id, self.contact.step(ends, received_at=received_at))
        # The results are on the disk: from here on a repeated report is answered as one that came too late.
        self.engine.poke(run_id)
        if advance.state not in model.RUN_FINAL:
            await self.engine.start(run_id)
        after, starts, ends_of = await self.contact.close_needless(run_id, {start.task_id for start in advance.starts})
        late = {} if all(advance.accepted) else await self._timeouts(after)
        late |= host_reports.premature(reports, before.rows)
        results = host_reports.report_results(reports, refusals, outcomes, advance.accepted, after.rows, reasons=late)
        handoffs = [(line.task_id, outcome) for line, outcome in zip(results, outcomes, strict=True) if line.accepted]
        names = after.rows.keys() if after.run.state in model.RUN_FINAL else {task_id for task_id, _ in handoffs}
        await self.learn(await computation.apart(route_memory.lessons_of_ends, after, names, self.contact.clock()))
        lines = host_reports.with_refused_entries(results, entries, after.rows)
        room = host_reports.room_beside(lines)
        handover = await self.contact.hand_over(after, starts, new=starts, room=room)
        unread = await self._unread(handover.mail.messages, room - handover.news.chars)
        has_notes = bool(handover.news.active or handover.news.late or _to_orchestrator(handover.mail.messages))
        requests = [
            message
            for task_id, outcome in dict(handoffs).items()
            for message in message_rules.messages_of(run_id, task_id, outcome.handoff, 0.0)
        ]
        handouts, briefs = answers.in_one_folder(handover.assignments)
        return answers.ReportAnswer(
            run_id=run_id,
            state=after.run.state,
            counts=after.run.counts,
            results=tuple(
                [host_reports.fitted(line, *[host_reports.BESIDE_NOTES_CHARS] * has_notes) for line in lines]
            ),
            assignments=handouts,
            briefs=briefs,
            messages=unread,
            pass_on=handover.news.pass_on,
            unread=handover.news.unread,
            notes_at=handover.news.notes_at or ("" if _is_whole(unread, handover.mail) else messaging.notes_at(run_id)),
            proposed_edits=messaging.proposals(after, requests),
            decision=_decision(after, dict(handoffs) | dict(ends_of)),
            next=_with_refusals(handover.next_step(), len(entries) - len(reports)),
        )

    async def _outcome(self, view: run_view.RunView, report: report_reader.Report) -> model.Outcome:
        """Returns what a report says, without secrets, and priced if it names tokens but no dollars."""
        spec = view.specs.get(report.task_id)
        raw = await computation.apart(host_reports.outcome_of, report, _subagents(view, report.task_id))
        is_work = spec is None or not spec.reviews
        if is_work and (spec is None or review_tasks.assignment_of(spec) is None):
            raw = await computation.apart(host_reports.claimed_failure, report, raw)
        outcome = await computation.apart(self.redact, raw)
        if is_work and host_reports.is_unreadable(outcome) and not await self._was_asked_again(view.run.id, report):
            outcome = self.redact(host_reports.again(report, outcome))
        if outcome.usage.cost_usd is not None or budget.is_silent(outcome.usage):
            return outcome
        usage = await anyio.to_thread.run_sync(report.usage.priced, spec.model if spec else None, self.price)
        return outcome.model_copy(update={"usage": usage})

    async def _was_asked_again(self, run_id: str, report: report_reader.Report) -> bool:
        attempts = await self.store.attempts(run_id, report.task_id)
        return any(attempt.error_kind == transitions.UNUSABLE for attempt in attempts)

    async def _judged(
        self,
        view: run_view.RunView,
        reports: Sequence[report_reader.Report],
        outcomes: Sequence[model.Outcome],
        refusals: Sequence[str],
    ) -> list[model.Outcome]:
        """Returns what the reports claim as the server could prove it, side by side: whoever reports waits."""
        verdicts = list(outcomes)
        orders = order_builder.OrderBuilder(self.store, view.run, view.plan)

        async def judge(position: int) -> None:
            verdicts[position] = await self._judge(view, orders, reports[position], outcomes[position])

        async with anyio.create_task_group() as group:
            for position, why in enumerate(refusals):
                if not why:
                    group.start_soon(judge, position)
        return verdicts

    async def _judge(
        self,
        view: run_view.RunView,
        orders: order_builder.OrderBuilder,
        report: report_reader.Report,
        outcome: model.Outcome,
    ) -> model.Outcome:
        """Returns what a report claims as the server could prove it; what is no longer out stays as it is claimed."""
        row = view.task(report.task_id)
        if not report_reader.is_out(row) or row.attempt != report.attempt:
            return outcome
        newest = view.attempts.get(row.id) or records.NewestAttempt(row.id)
        work = orders.bare_order(records.start_of(row), newest)
        return await self.contact.host.driver.judge(proof.Claim(work, outcome, newest.beat, view))

    async def _timeouts(self, view: run_view.RunView) -> dict[tuple[str, int], str]:
        """Returns which attempts missed their deadline, for whoever reports them nevertheless."""
        return host_reports.timeouts(await self.store.attempts(view.run.id), view.deadline_s)

    async def _unread(self, messages: Sequence[model.Message], room: int) -> tuple[model.Message, ...]:
        """Returns what the orchestrator has not read yet, as far as there is room for it, and marks that as read."""
        unread = tuple(messaging.cut(_to_orchestrator(messages), room))
        if unread:
            await self.store.mark_read([note.id for note in unread])
        return unread


def _decision(view: run_view.RunView, outcomes: Mapping[str, model.Outcome]) -> dict[str, str]:
    """Returns what a council of the run has just decided, and why; nothing without one."""
    for task in view.plan.tasks:
        if task.joins and task.id in outcomes and view.task(task.id).cause != transitions.MOVED:
            return transitions.council_decision(outcomes[task.id])
    return {}


def _to_orchestrator(messages: Sequence[model.Message]) -> list[model.Message]:
    return [note for note in messages if note.recipient == message_rules.ORCHESTRATOR and not note.read]


def _is_whole(unread: Sequence[model.Message], mail: records.Mail) -> bool:
    """Returns whether an answer holds all that the orchestrator has not read, and nothing of it is cut."""
    return [note.text for note in unread] == [note.text for note in _to_orchestrator(mail.messages)]


def _subagents(view: run_view.RunView, task_id: str) -> tuple[str, ...]:
    """Returns the names under which the host may have been told to call somebody for a task."""
    row, spec = view.rows.get(task_id), view.specs.get(task_id)
    if row is None or spec is None:
        return ()
    stand_ins = [name for stand_in in row.stand_ins for name in stand_in if name]
    return (*filter(None, (spec.agent,)), *stand_ins, *assignments.GENERALS)


def _with_refusals(step: next_steps.NextStep, refusals: int) -> next_steps.NextStep:
    """Returns the step; entries that could not be read come first, as the host still has what they were to say."""
    if not refusals:
        return step
    entries = "1 entry" if refusals == 1 else f"{refusals} entries"
    advice = f"{entries} could not be taken: correct what `why` says and report again."
    return dataclasses.replace(step, advice=next_steps.sentences(advice, step.advice))
