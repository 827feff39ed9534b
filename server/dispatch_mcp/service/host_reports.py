"""What the host reports: read, judged, accepted exactly once, and answered with what is ready next."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import anyio

from dispatch_mcp import errors, model, next_steps
from dispatch_mcp.engine import claim_evidence, order_builder, review_attempt, run_view
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import (
    AttemptState,
    TaskState,
    WorkerKind,
    assignments,
    like_failures,
    problems,
    records,
    transitions,
)
from dispatch_mcp.planning import forecast
from dispatch_mcp.process import computation
from dispatch_mcp.review import answer_parser, review_tasks
from dispatch_mcp.routing import learning
from dispatch_mcp.runs import budget, handoff_parser, message_rules, receipts, report_reader
from dispatch_mcp.service import answers, host_assignments, messaging, route_memory
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.store.looks import host_begins
from dispatch_mcp.text import escape, json_types, redaction
from dispatch_mcp.text.reading import handoff_texts, reported_failures

MOST_REFUSALS = 5
"""Refusals that one error tells."""

REASONS_CHARS, WHY_CHARS = 220, 300
FIRST_RECEIPT_CHARS, RECEIPT_CHARS, ENTRY_CHARS = 280, 120, 460
"""Characters of the texts in the answer to one result: of what refutes it, of why it was not taken (that included), of
the most telling receipt, of each other one, of all together."""

ANSWER_CHARS, FRAME_CHARS, BESIDE_NOTES_CHARS = 900, 560, 300
"""Characters of the answer to one result, but for what it hands out next; those of it that stand beside results and
messages (ids, counts, what to do next, where messages stand whole); and those of one result beside messages."""

SUMMARY_CHARS = 1_200
"""Characters of an outcome's summary, about 300 tokens: dependants read it when there is no handoff."""

_STATES: Mapping[report_reader.End, AttemptState] = {
    "succeeded": AttemptState.SUCCEEDED,
    "failed": AttemptState.FAILED,
    "cancelled": AttemptState.CANCELLED,
}

EMPTY = "it is empty, with neither text nor handoff nor output"

Entry = report_reader.HostReport | report_reader.RefusedEntry


@dataclass(frozen=True, slots=True)
class Reporting:
    """Accepts what the host reports of one run after the other.

    `redact` takes secrets out of what it says, `price` is what its tokens cost, `learn` keeps what the ends teach.
    """

    store: sqlite_store.Store
    engine: run_engine.RunEngine
    contact: host_assignments.HostContact
    redact: Callable[[model.Outcome], model.Outcome]
    price: forecast.Price
    learn: Callable[[Sequence[learning.Lesson]], Awaitable[None]]

    async def accept(self, before: run_view.RunView, raw: Sequence[model.Json]) -> answers.ReportAnswer:
        """Returns what became of each entry, and what is ready next; `before` is the run as it was.

        Raises:
            InputError: no entry can be read.
        """
        entries = await computation.apart(report_reader.read, raw, before.rows)
        await self._release(before, entries)
        refuse_all(entries)
        run_id, received_at = before.run.id, self.contact.clock()
        reports = [entry for entry in entries if isinstance(entry, report_reader.HostReport)]
        outcomes = await self._outcomes(before, reports)
        refusals = [refusal(report, before.rows) for report in reports]
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
        late |= premature(reports, before.rows)
        results = report_results(reports, refusals, outcomes, advance.accepted, after.rows, reasons=late)
        handoffs = [(line.task_id, outcome) for line, outcome in zip(results, outcomes, strict=True) if line.accepted]
        names = after.rows.keys() if after.run.state in model.RUN_FINAL else {task_id for task_id, _ in handoffs}
        await self.learn(await computation.apart(route_memory.lessons_of_ends, after, names, self.contact.clock()))
        lines = with_refused_entries(results, entries, after.rows)
        room = room_beside(lines)
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
            results=tuple([fitted(line, *[BESIDE_NOTES_CHARS] * has_notes) for line in lines]),
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

    async def _release(self, view: run_view.RunView, entries: Sequence[Entry]) -> None:
        """Frees attempts for which nobody was called after all, so that whoever calls again can begin them."""
        for entry in entries:
            if not isinstance(entry, report_reader.RefusedEntry) or entry.kind != "unstarted":
                continue
            row, newest = view.rows.get(entry.task_id), view.attempts.get(entry.task_id)
            beat: Mapping[str, model.Json] = newest.beat if newest else {}
            if row and report_reader.is_out(row) and row.attempt == entry.attempt and host_begins.HOLDER in beat:
                rest = {name: value for name, value in beat.items() if name != host_begins.HOLDER}
                await self.store.beat(view.run.id, row.id, row.attempt, rest, after=beat)

    async def _outcomes(
        self, view: run_view.RunView, reports: Sequence[report_reader.HostReport]
    ) -> list[model.Outcome]:
        """Returns what reports say, without secrets, and priced if they name tokens but no dollars that can be."""
        outcomes = await computation.apart(lambda: [self._claim(view, report) for report in reports])
        for place, (report, outcome) in enumerate(zip(reports, outcomes, strict=True)):
            if _is_work(view.specs.get(report.task_id)) and is_unreadable(outcome):
                is_second = await self._was_asked_again(view.run.id, report)
                outcomes[place] = outcome if is_second else self.redact(again(report, outcome.error))
        return await computation.apart(
            lambda: [self._priced(view, report, outcome) for report, outcome in zip(reports, outcomes, strict=True)]
        )

    def _priced(
        self, view: run_view.RunView, report: report_reader.HostReport, outcome: model.Outcome
    ) -> model.Outcome:
        if budget.is_silent(outcome.usage):
            return outcome
        spec = view.specs.get(report.task_id)
        name = spec.model if spec else None
        usage, objection = report.usage.priced(name, self.price), report.usage.objection(name, self.price)
        doubts = [model.Receipt(kind="usage", ok=False, checked=False, detail=objection)] if objection else []
        return outcome.model_copy(update={"usage": usage, "receipts": (*outcome.receipts, *doubts)})

    def _claim(self, view: run_view.RunView, report: report_reader.HostReport) -> model.Outcome:
        """Returns what a report says, without secrets; of work, whose own answer counts more than the host's word.

        A reviewer's answer is all that it says, in whatever field.
        """
        outcome, spec = outcome_of(report, _subagents(view, report.task_id)), view.specs.get(report.task_id)
        if spec is not None and not _is_plain_work(spec):
            outcome = outcome.model_copy(update={"output": report.answer})
        if spec is None or _is_plain_work(spec):
            outcome = claimed_failure(report, outcome)
            why = doubt(report) if outcome.state is AttemptState.SUCCEEDED else ""
            outcome = again(report, why) if why else outcome
        is_claim = _is_work(spec) and outcome.state is AttemptState.SUCCEEDED and bool(outcome.error)
        if is_claim and self.contact.host.hooks == "full" and _is_unbriefed(view, report):
            outcome = unbriefed(report, outcome)
        return self.redact(outcome)

    async def _was_asked_again(self, run_id: str, report: report_reader.HostReport) -> bool:
        attempts = await self.store.attempts(run_id, report.task_id)
        return any(attempt.error_kind == transitions.UNUSABLE for attempt in attempts)

    async def _judged(
        self,
        view: run_view.RunView,
        reports: Sequence[report_reader.HostReport],
        outcomes: Sequence[model.Outcome],
        refusals: Sequence[str],
    ) -> list[model.Outcome]:
        """Returns what the reports claim as the server could prove it, side by side: whoever reports waits."""
        verdicts = list(outcomes)
        orders = order_builder.OrderBuilder(self.store, view.run, view.plan)
        wave = claim_evidence.Wave(self.store, view.run.id, [report.task_id for report in reports])

        async def judge(position: int) -> None:
            claim = self._claimed(view, orders, reports[position], outcomes[position])
            if claim is not None:
                verdict = await self.contact.host.driver.judge(claim._replace(wave=wave))
                is_nothing = _is_plain_work(claim.work.task) and says_nothing(reports[position], verdict)
                verdicts[position] = again(reports[position], EMPTY) if is_nothing else verdict

        async with anyio.create_task_group() as group:
            for position, why in enumerate(refusals):
                if not why:
                    group.start_soon(judge, position)
        return verdicts

    def _claimed(
        self,
        view: run_view.RunView,
        orders: order_builder.OrderBuilder,
        report: report_reader.HostReport,
        outcome: model.Outcome,
    ) -> claim_evidence.Claim | None:
        """Returns what a report claims, to be judged; None for what is no longer out, which stays as it is claimed."""
        row = view.task(report.task_id)
        if not report_reader.is_out(row) or row.attempt != report.attempt:
            return None
        newest = view.attempts.get(row.id) or records.NewestAttempt(row.id)
        whole = self.redact(outcome.model_copy(update={"output": report.answer}))
        order = orders.bare_order(records.start_of(row), newest)
        return claim_evidence.Claim(order, outcome, newest.beat, view, answer=answer_parser.answer_of(whole))

    async def _timeouts(self, view: run_view.RunView) -> dict[tuple[str, int], str]:
        """Returns which attempts missed their deadline, for whoever reports them nevertheless."""
        return timeouts(await self.store.attempts(view.run.id), view.deadline_s)

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


def _is_work(spec: model.Task | None) -> bool:
    return spec is None or not spec.reviews


def _is_plain_work(spec: model.Task) -> bool:
    """Returns whether a task is no review, neither of a plan's work nor of a change."""
    return not (spec.reviews or review_tasks.assignment_of(spec))


def _is_unbriefed(view: run_view.RunView, report: report_reader.HostReport) -> bool:
    """Returns whether an attempt was handed out as a name that nobody has begun."""
    newest = view.attempts.get(report.task_id)
    beat: Mapping[str, model.Json] = newest.beat if newest else {}
    return host_begins.CALL in beat and host_begins.HOLDER not in beat


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
    advice = f"{entries} could not be taken: do what `why` says and report again."
    return dataclasses.replace(step, advice=next_steps.sentences(advice, step.advice))


def refuse_all(entries: Sequence[Entry]) -> None:
    """Raises InputError if no entry of a report can be taken."""
    refusals = [entry for entry in entries if isinstance(entry, report_reader.RefusedEntry)]
    if refusals and len(refusals) == len(entries):
        more = f" ({len(refusals) - MOST_REFUSALS} more)" if len(refusals) > MOST_REFUSALS else ""
        is_form_wrong = any(entry.kind == "wrong" for entry in refusals)
        raise errors.InputError(
            " ".join(entry.why for entry in refusals[:MOST_REFUSALS]) + more,
            hint="An entry is {task_id, attempt, status, text or handoff, error, usage}." if is_form_wrong else "",
        )


def outcome_of(report: report_reader.HostReport, subagents: Collection[str] = ()) -> model.Outcome:
    """Returns the outcome that a report claims; unproven success is marked unverified.

    `subagents` are the names under which somebody may have been called for it: a host that has none of them says so.
    """
    if report_reader.is_unstarted(report, subagents):
        return model.Outcome(
            state=AttemptState.FAILED,
            error=report.error or report.text,
            error_kind=transitions.NO_AGENT,
            usage=report.usage.usage,
        )
    state = _STATES[report.status]
    handoff, problem = _handoff(report)
    claim = model.Receipt(kind="claim", ok=state is AttemptState.SUCCEEDED, detail="reported by the host")
    return model.Outcome(
        state=state,
        summary=redaction.beginning(handoff.completed_work or report.text or report.error, SUMMARY_CHARS),
        handoff=handoff,
        output=report.output if report.output is not None else (report.text or None),
        error=report.error or problem if state is AttemptState.FAILED else problem,
        error_kind=transitions.BY_WORKER if state is AttemptState.FAILED else "",
        retryable=report.retryable,
        unverified=state is AttemptState.SUCCEEDED,
        usage=report.usage.usage,
        receipts=(claim,),
    )


def claimed_failure(report: report_reader.HostReport, outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome of work whose own answer reports a failure as that failure; any other as it is.

    What the assistant calls the end of its subagent is not believed against what that has said for machines to read.
    """
    if outcome.state is not AttemptState.SUCCEEDED:
        return outcome
    in_fields = reported_failures.of_value(dict(report.handoff or {})) or reported_failures.of_value(report.output)
    beside = reported_failures.of_value({"error": report.error})
    sign = in_fields or beside or reported_failures.of_text(report.text)
    if not sign:
        return outcome
    error = f"{reported_failures.LEAD}{sign}."
    is_repeated = not report.text or repr(report.text.strip()) in sign
    begin = "" if is_repeated else f" The answer began:\n{report.text[: report_reader.KEPT_CHARS]}"
    return outcome.model_copy(
        update={
            "state": AttemptState.FAILED,
            "error": f"{error}{begin}",
            "error_kind": transitions.BY_WORKER,
            "summary": error,
            "retryable": True,
            "unverified": False,
        }
    )


def doubt(report: report_reader.HostReport) -> str:
    """Returns why the handoff of a claimed success does not say that the work is done, or an empty string."""
    if report.status != "succeeded":
        return ""
    handoff = report.handoff if report.handoff is not None else reported_failures.last_object(report.text)
    is_handoff = report.handoff is not None or handoff_parser.parse_handoff(handoff).handoff is not None
    return reported_failures.doubt(dict(handoff) if json_types.is_object(handoff) else None) if is_handoff else ""


def says_nothing(report: report_reader.HostReport, verdict: model.Outcome) -> bool:
    """Returns whether a success is claimed without a word, and nothing shows that there is anything to it."""
    has_words = bool(report.text.strip()) or report.handoff is not None or report.output is not None
    is_open = verdict.state is AttemptState.SUCCEEDED and verdict.unverified
    return is_open and not has_words and not any(receipt.kind == "diff" and receipt.ok for receipt in verdict.receipts)


def is_unreadable(outcome: model.Outcome) -> bool:
    """Returns whether a claimed success tried to hand over and nobody could read it."""
    return outcome.state is AttemptState.SUCCEEDED and outcome.error.startswith(handoff_texts.BROKEN)


def again(report: report_reader.HostReport, why: str) -> model.Outcome:
    """Returns the outcome that has an answer asked for once more that cannot be used; what was said goes along."""
    error = f"The handoff cannot be used: {why}. The work may be done already: look, do not repeat it."
    return _unusable(report, error, report.usage.usage)


def unbriefed(report: report_reader.HostReport, outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome of an attempt that was called by its name, which nobody has turned into its brief."""
    error = (
        f"Nobody has begun attempt {report.attempt} by its name, so its subagent never had its brief, and what it says "
        "is no handoff."
    )
    return _unusable(report, error, outcome.usage)


def _unusable(report: report_reader.HostReport, error: str, usage: model.Usage) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED,
        error=f"{error} The answer began:\n{report.text[: report_reader.KEPT_CHARS]}" if report.text else error,
        error_kind=transitions.UNUSABLE,
        summary=error,
        retryable=True,
        usage=usage,
    )


def refusal(report: report_reader.HostReport, tasks: Mapping[str, records.TaskRecord]) -> str:
    """Returns why a report cannot be taken at all, or an empty string."""
    task = tasks.get(report.task_id)
    if task is None:
        nearest = problems.nearest(report.task_id, list(tasks))
        return "the run has no such task" + (f"; did you mean {nearest!r}?" if nearest else "")
    if task.worker is not WorkerKind.HOST:
        return f"the {task.worker.value} worker does this task; its result is not yours to report"
    return ""


def report_results(
    reports: Sequence[report_reader.HostReport],
    refusals: Sequence[str],
    outcomes: Sequence[model.Outcome],
    acceptances: Sequence[bool],
    tasks: Mapping[str, records.TaskRecord],
    *,
    reasons: Mapping[tuple[str, int], str] = MappingProxyType({}),
) -> list[answers.Accepted]:
    """Returns what became of each report, in order; `acceptances` are of those that were not refused.

    `reasons` say of attempts, by task and number, why what is said of them comes too late.
    """
    rest = iter(acceptances)
    out: list[answers.Accepted] = []
    for report, why, outcome in zip(reports, refusals, outcomes, strict=True):
        is_accepted = not why and next(rest)
        task = tasks.get(report.task_id)
        out.append(
            answers.Accepted(
                task_id=report.task_id,
                attempt=report.attempt,
                accepted=is_accepted,
                state=task.state.value if task else "",
                why=why or (_final(_reasons(outcome), task) if is_accepted else _fenced(report, task, reasons)),
                receipts=receipts.beside_reasons(outcome) if is_accepted else (),
                proposed_edits=outcome.handoff.proposed_edits if is_accepted else (),
            )
        )
    short = like_failures.references({line.task_id: line.why for line in out if line.accepted})
    return [line.model_copy(update={"why": short.get(line.task_id, line.why)}) for line in out]


def fitted(line: answers.Accepted, chars: int = ENTRY_CHARS) -> answers.Accepted:
    """Returns the line of a report in few characters; whoever did the work is told everything, and so is the trace."""
    why = escape.one_line(line.why, limit=min(WHY_CHARS, chars * 2 // 3))
    limits = (min(FIRST_RECEIPT_CHARS, chars // 2), *[RECEIPT_CHARS] * len(line.receipts))
    short = [receipts.cut(receipt, limit) for receipt, limit in zip(line.receipts, limits, strict=False)]
    room = chars - len(line.task_id) - len(why)
    visible: list[model.Receipt] = []
    for receipt in short:
        room -= len(receipt.model_dump_json(exclude_defaults=True)) + 1
        if room < 0:
            break
        visible.append(receipt)
    more = len(short) - len(visible)
    return line.model_copy(update={"why": why, "receipts": tuple(visible), "more_receipts": more})


def room_beside(lines: Sequence[answers.Accepted]) -> int:
    """Returns the characters that the answer to these results has left for messages."""
    short = [fitted(line, BESIDE_NOTES_CHARS) for line in lines]
    size = sum(len(line.model_dump_json(exclude_defaults=True)) + 1 for line in short)
    return min(messaging.NOTES_CHARS, max(0, ANSWER_CHARS * len(lines) - FRAME_CHARS - size))


def with_refused_entries(
    lines: Sequence[answers.Accepted], entries: Sequence[Entry], tasks: Mapping[str, records.TaskRecord]
) -> tuple[answers.Accepted, ...]:
    """Returns the lines of all reports with those of the entries that could not be read, in the entries' order."""
    rest = iter(lines)
    return tuple(
        [
            _refused_line(entry, tasks) if isinstance(entry, report_reader.RefusedEntry) else next(rest)
            for entry in entries
        ]
    )


def _refused_line(entry: report_reader.RefusedEntry, tasks: Mapping[str, records.TaskRecord]) -> answers.Accepted:
    task = tasks.get(entry.task_id)
    state = task.state.value if task else ""
    return answers.Accepted(task_id=entry.task_id, attempt=entry.attempt, accepted=False, state=state, why=entry.why)


def _reasons(outcome: model.Outcome) -> str:
    """Returns why work that was taken did not count as done, or was sent back; nothing for what succeeded."""
    if outcome.error_kind == transitions.NO_AGENT or outcome.summary.startswith(reported_failures.LEAD):
        return outcome.summary
    if outcome.error_kind in (transitions.NEEDS_CHANGES, *transitions.UNUSABLES, transitions.MOVED):
        return outcome.summary if outcome.sends_back else outcome.error
    return receipts.reasons(outcome, REASONS_CHARS)


def _final(why: str, task: records.TaskRecord | None) -> str:
    """Returns the reason without a request to answer again where nobody is asked any more."""
    is_over = task is not None and task.state in model.TASK_FINAL
    return why.removesuffix(review_attempt.ASK_AGAIN).rstrip() if is_over else why


def _fenced(
    report: report_reader.HostReport, task: records.TaskRecord | None, reasons: Mapping[tuple[str, int], str]
) -> str:
    reason = reasons.get((report.task_id, report.attempt))
    if task is not None and reason and task.attempt >= report.attempt:
        return f"{reason}; {_since(task)}"
    if task is None or task.attempt == report.attempt:
        return "this attempt is over already; its result was kept once"
    if task.attempt < report.attempt:
        newest = f"the newest is {task.attempt}" if task.attempt else "the task has not begun"
        return f"there has been no attempt {report.attempt}; {newest}"
    return f"attempt {report.attempt} was replaced; the newest is {task.attempt}"


def _since(task: records.TaskRecord) -> str:
    """Returns what became of a task after an attempt of it that came to nothing."""
    match task.state:
        case TaskState.RUNNING:
            return f"attempt {task.attempt} is out"
        case TaskState.READY | TaskState.BLOCKED:
            return f"attempt {task.attempt + 1} comes next"
        case _:
            return f"the task is {task.state.value} after attempt {task.attempt}"


def premature(
    reports: Iterable[report_reader.HostReport], before: Mapping[str, records.TaskRecord]
) -> dict[tuple[str, int], str]:
    """Returns of those reports that came before their attempt had begun, by task and number, that they did."""
    return {
        (report.task_id, report.attempt): f"attempt {report.attempt} had not begun when this came, so nothing was kept"
        for report in reports
        if report.task_id in before and before[report.task_id].attempt < report.attempt
    }


def timeouts(
    attempts: Iterable[records.AttemptRecord], seconds: Callable[[str], float | None]
) -> dict[tuple[str, int], str]:
    """Returns of those attempts that missed their deadline, by task and number, after how many `seconds` they did."""
    return {
        (attempt.task_id, attempt.attempt): f"timed out after {seconds(attempt.task_id) or 0.0:g} s"
        for attempt in attempts
        if attempt.state is AttemptState.TIMED_OUT and attempt.worker is WorkerKind.HOST
    }


def _handoff(report: report_reader.HostReport) -> tuple[model.Handoff, str]:
    """Returns the handoff and what was wrong with it."""
    if report.handoff is not None:
        handoff, problem = handoff_parser.parse_handoff(report.handoff)
    else:
        handoff, problem = handoff_parser.parse_answer(report.text)
    if handoff is None:
        return model.Handoff(completed_work=redaction.beginning(report.text, 2_000)), problem
    return handoff, ""
