"""What the host reports about its assignments: read, turned into outcomes, and answered one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from dispatch_mcp import errors, model
from dispatch_mcp.engine import review_attempt
from dispatch_mcp.model import (
    AttemptState,
    TaskState,
    WorkerKind,
    like_failures,
    problems,
    records,
    reported_failures,
    transitions,
)
from dispatch_mcp.runs import handoff_parser, receipts, report_reader
from dispatch_mcp.service import answers, messaging
from dispatch_mcp.text import escape

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

Entry = report_reader.Report | report_reader.RefusedEntry


def read_entries(raw: Sequence[model.Json], tasks: Mapping[str, records.TaskRecord]) -> list[Entry]:
    """Returns what each entry of a report says, in their order, or why it cannot be taken.

    Raises:
        InputError: none can be taken.
    """
    entries = report_reader.read(raw, tasks)
    refusals = [entry.why for entry in entries if isinstance(entry, report_reader.RefusedEntry)]
    if refusals and len(refusals) == len(entries):
        more = f" ({len(refusals) - MOST_REFUSALS} more)" if len(refusals) > MOST_REFUSALS else ""
        raise errors.InputError(
            " ".join(refusals[:MOST_REFUSALS]) + more,
            hint="An entry is {task_id, attempt, status, text or handoff, error, usage}.",
        )
    return entries


def outcome_of(report: report_reader.Report, subagents: Collection[str] = ()) -> model.Outcome:
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
        summary=(handoff.completed_work or report.text or report.error)[:SUMMARY_CHARS],
        handoff=handoff,
        output=report.output if report.output is not None else (report.text or None),
        error=report.error or problem if state is AttemptState.FAILED else problem,
        error_kind=transitions.BY_WORKER if state is AttemptState.FAILED else "",
        retryable=report.retryable,
        unverified=state is AttemptState.SUCCEEDED,
        usage=report.usage.usage,
        receipts=(claim,),
    )


def claimed_failure(report: report_reader.Report, outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome of work whose own answer reports a failure as that failure; any other as it is.

    What the assistant calls the end of its subagent is not believed against what that has said for machines to read.
    """
    if outcome.state is not AttemptState.SUCCEEDED:
        return outcome
    in_fields = reported_failures.of_value(dict(report.handoff or {})) or reported_failures.of_value(report.output)
    sign = in_fields or reported_failures.of_text(report.text)
    if not sign:
        return outcome
    error = f"{reported_failures.LEAD}{sign}."
    begin = f" The answer began:\n{report.text[: report_reader.KEPT_CHARS]}" if report.text else ""
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


def is_unreadable(outcome: model.Outcome) -> bool:
    """Returns whether a claimed success tried to hand over and nobody could read it."""
    return outcome.state is AttemptState.SUCCEEDED and outcome.error.startswith(handoff_parser.BROKEN)


def again(report: report_reader.Report, outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome that has an unreadable answer asked for once more; what was said goes along."""
    error = f"The handoff cannot be used: {outcome.error}. The work may be done already: look, do not repeat it."
    return model.Outcome(
        state=AttemptState.FAILED,
        error=f"{error} The answer began:\n{report.text[: report_reader.KEPT_CHARS]}",
        error_kind=transitions.UNUSABLE,
        summary=error,
        retryable=True,
        usage=report.usage.usage,
    )


def refusal(report: report_reader.Report, tasks: Mapping[str, records.TaskRecord]) -> str:
    """Returns why a report cannot be taken at all, or an empty string."""
    task = tasks.get(report.task_id)
    if task is None:
        nearest = problems.nearest(report.task_id, list(tasks))
        return "the run has no such task" + (f"; did you mean {nearest!r}?" if nearest else "")
    if task.worker is not WorkerKind.HOST:
        return f"the {task.worker.value} worker does this task; its result is not yours to report"
    return ""


def report_results(
    reports: Sequence[report_reader.Report],
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
    if outcome.error_kind in (transitions.NEEDS_CHANGES, transitions.UNUSABLE, transitions.MOVED):
        return outcome.summary if outcome.sends_back else outcome.error
    return receipts.reasons(outcome, REASONS_CHARS)


def _final(why: str, task: records.TaskRecord | None) -> str:
    """Returns the reason without a request to answer again where nobody is asked any more."""
    is_over = task is not None and task.state in model.TASK_FINAL
    return why.removesuffix(review_attempt.ASK_AGAIN).rstrip() if is_over else why


def _fenced(
    report: report_reader.Report, task: records.TaskRecord | None, reasons: Mapping[tuple[str, int], str]
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
    reports: Iterable[report_reader.Report], before: Mapping[str, records.TaskRecord]
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


def _handoff(report: report_reader.Report) -> tuple[model.Handoff, str]:
    """Returns the handoff and what was wrong with it."""
    if report.handoff is not None:
        handoff, problem = handoff_parser.parse_handoff(report.handoff)
    else:
        handoff, problem = handoff_parser.parse_answer(report.text)
    if handoff is None:
        return model.Handoff(completed_work=report.text[:2000]), problem
    return handoff, ""
