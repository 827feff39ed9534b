"""Reviews as attempts: what a reviewer is shown, whether its answer can be used, and when nobody has to argue."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, short_ids, transitions, work_order
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import computation
from dispatch_mcp.review import answer_parser, council_decision, findings, quotes, review_tasks
from dispatch_mcp.review.findings import ReviewReport
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import json_types, unified_diff

T = TypeVar("T")

ASK_AGAIN = "Answer again in the form that was asked for."
BEAT: Final = "review"
"""The detail of a beat that says what the reviewer of an attempt was shown, where that is not fixed for the run."""

TAKEN_BACK = "It said FAIL and then PASS, and nothing was changed between the two: that is no verdict."
NOT_NEEDED = "not needed: the reviewers do not all pass the change"


async def read_text(store: sqlite_store.Store, digest: str) -> str:
    """Returns a stored text. Raises UnknownHandle."""
    return (await anyio.to_thread.run_sync(store.blobs.get, digest)).decode("utf-8", "surrogatepass")


async def store_text(store: sqlite_store.Store, content: str) -> str:
    """Stores a text and returns its digest."""
    return await anyio.to_thread.run_sync(store.blobs.put, content.encode("utf-8", "surrogatepass"))


async def read_manifest(store: sqlite_store.Store, digest: str) -> review_tasks.Manifest:
    """Returns a stored manifest. Raises UnknownHandle."""
    return await _once(_newest_manifest, await read_text(store, digest))


async def read_ground(store: sqlite_store.Store, digest: str) -> quotes.Ground:
    """Returns the lines of a stored change, in which quotes are looked up. Raises UnknownHandle."""
    return await _once(_newest_ground, await read_text(store, digest))


_one_at_a_time = threading.Lock()
"""Lets the seats of one round, which all ask for the same, wait for whoever reads it first."""


async def _once(parse: Callable[[str], T], text: str) -> T:
    """Returns what a text says, from `parse`, which remembers it; a long one in a thread."""
    if len(text) <= computation.AT_ONCE_CHARS:
        return parse(text)

    def in_turn() -> T:
        with _one_at_a_time:
            return parse(text)

    return await computation.apart(in_turn)


@functools.lru_cache(1)
def _newest_manifest(text: str) -> review_tasks.Manifest:
    return review_tasks.Manifest.model_validate_json(text)


@functools.lru_cache(1)
def _newest_ground(text: str) -> quotes.Ground:
    return quotes.ground(unified_diff.parse(text))


async def prepare(
    store: sqlite_store.Store, place: review_tasks.ReviewAssignment, work: work_order.WorkOrder
) -> work_order.WorkOrder:
    """Returns a reviewer's order with what it is shown, and without anything that others wrote."""
    manifest = await read_manifest(store, place.manifest)
    diff = await read_text(store, place.diff)
    return replace(
        work,
        material=await computation.of_text(len(diff), review_tasks.material, place, manifest, diff),
        answer_form=review_tasks.form(place),
        schema=review_tasks.schema(place),
        schema_form=review_tasks.schema_form(place),
        upstream=(),
        messages=(),
        news=(),
    )


async def judge(
    store: sqlite_store.Store, place: review_tasks.ReviewAssignment, work: work_order.WorkOrder, outcome: model.Outcome
) -> model.Outcome:
    """Returns a review's outcome with what the server checked of it; an answer that cannot be used has failed."""
    if outcome.state is not AttemptState.SUCCEEDED or is_moot(outcome):
        return outcome
    manifest = await read_manifest(store, place.manifest)
    where = await read_ground(store, manifest.diff)
    report = await computation.apart(_checked, place, outcome, where)
    problem = problem_of(report, where)
    if problem:
        return unusable(outcome, problem, report.verdict)
    is_taken_back = await takes_back(store, work, report, {})
    return inconclusive(outcome, TAKEN_BACK) if is_taken_back else with_receipt(outcome, report)


async def takes_back(
    store: sqlite_store.Store, work: work_order.WorkOrder, report: ReviewReport, beat: Mapping[str, model.Json]
) -> bool:
    """Returns whether a PASS takes back a FAIL of an earlier attempt with this beat, which was shown the same change.

    Such a FAIL could not be used as it was; that it was asked for again has mended nothing.
    """
    if report.verdict != "PASS":
        return False
    return any(
        attempt.error_kind == transitions.UNPROVEN_FAIL and _digest(attempt.beat) == _digest(beat)
        for attempt in await store.attempts(work.run_id, work.task.id)
        if attempt.attempt < work.attempt
    )


def _digest(beat: Mapping[str, model.Json]) -> model.Json:
    detail = beat.get(BEAT)
    return detail.get("diff") if json_types.is_object(detail) else None


def problem_of(report: ReviewReport, where: quotes.Ground | None) -> str:
    """Returns why an answer cannot be used, or an empty string: it can, also where it only proves a finding.

    `where` is the change that its reviewer was shown; None where nobody knows it.
    """
    problem = report.problem or _unproven(report) or reading_gap(report, where)
    return "" if _proves_something(report) else problem


def with_receipt(outcome: model.Outcome, report: ReviewReport) -> model.Outcome:
    """Returns the outcome of an answer that can be used, with what the server checked of it."""
    anchors = sum(finding.anchored for finding in report.findings)
    detail = f"verdict {report.verdict or 'missing'}; {anchors} of {len(report.findings)} quotes are in the change"
    receipt = model.Receipt(kind="words", ok=True, detail=detail)
    return outcome.model_copy(update={"unverified": False, "receipts": (*outcome.receipts, receipt), "error": ""})


def unusable(outcome: model.Outcome, problem: str, verdict: findings.Verdict | None = None) -> model.Outcome:
    """Returns the outcome of an answer that cannot be used as the failure that has it asked for again.

    `verdict` is what it says all the same.
    """
    return outcome.model_copy(
        update={
            "state": AttemptState.FAILED,
            "error": f"The review cannot be used: {problem}. {ASK_AGAIN}",
            "error_kind": transitions.UNPROVEN_FAIL if verdict == "FAIL" else transitions.UNUSABLE,
            "retryable": True,
            "unverified": False,
        }
    )


def inconclusive(outcome: model.Outcome, why: str) -> model.Outcome:
    """Returns the outcome of an answer that can be no verdict, and asking again brings none."""
    return unusable(outcome, "").model_copy(update={"summary": why, "error": why, "retryable": False})


def _unproven(report: ReviewReport) -> str:
    """Returns why a FAIL proves nothing, or an empty string: its reviewer is asked once more."""
    if report.verdict != "FAIL" or any(finding.anchored for finding in report.findings):
        return ""
    if not report.findings:
        return "it says FAIL without a finding"
    return f"it says FAIL, but {report.findings[0].quote.strip()[:80]!r} is not in the change"


def reading_gap(report: ReviewReport, where: quotes.Ground | None) -> str:
    """Returns why a PASS is of nothing that was shown, or an empty string: it names a file of the change."""
    if report.verdict != "PASS" or where is None or not where.files:
        return ""
    names = [*report.files, *(finding.file for finding in report.findings)]
    if any(where.path(name) for name in names):
        return ""
    naming = f", but {', '.join(repr(name[:80]) for name in names[:3])}" if names else ""
    return f"it says PASS and names no file of the change that it has read{naming}"


def _proves_something(report: ReviewReport) -> bool:
    return any(finding.anchored and finding.severity in findings.BLOCKING for finding in report.findings)


def report_of(place: review_tasks.ReviewAssignment, outcome: model.Outcome) -> ReviewReport:
    """Returns the report that an outcome is, with findings not yet checked."""
    return answer_parser.report(place.reviewer, answer_parser.answer_of(outcome), role=place.role, part=place.part)


def _checked(place: review_tasks.ReviewAssignment, outcome: model.Outcome, where: quotes.Ground) -> ReviewReport:
    return quotes.check(report_of(place, outcome), where)


def is_moot(outcome: model.Outcome) -> bool:
    """Returns whether an outcome says that nobody had to argue."""
    return outcome.summary == NOT_NEEDED


async def moot(
    store: sqlite_store.Store, place: review_tasks.ReviewAssignment, view: run_view.RunView
) -> model.Outcome | None:
    """Returns the outcome of an advocate that has nothing to argue against; None for any review that has to be done."""
    if place.role != "advocate":
        return None
    if council_decision.is_unanimous(await reports(store, view)):
        return None
    return model.Outcome(
        state=AttemptState.SUCCEEDED,
        summary=NOT_NEEDED,
        handoff=model.Handoff(completed_work=NOT_NEEDED),
        receipts=(model.Receipt(kind="words", ok=True, detail=NOT_NEEDED),),
    )


async def reports(
    store: sqlite_store.Store, view: run_view.RunView, where: quotes.Ground | None = None
) -> list[ReviewReport]:
    """Returns a report for each task of a round that is over, checked against the change; nothing for the others.

    `where` are the lines of that change, for who has them; without it they are read where a quote has to be looked up.
    """
    places = review_tasks.places(view.plan.tasks)
    outcomes = await store.outcomes(view.run.id, [task.id for task in view.tasks if task.result])
    errors_of = {attempt.task_id: attempt.error for attempt in await store.attempts(view.run.id)}
    answers = {row.id: outcomes[row.id] for row in view.tasks if row.state in model.TASK_DONE and row.id in outcomes}
    if where is None and (place := next((places[name] for name in answers if _speaks(places, answers, name)), None)):
        manifest = await read_manifest(store, place.manifest)
        where = await read_ground(store, manifest.diff)
    chars = sum(_size(outcome) for outcome in answers.values())
    return await computation.of_text(chars, _reports, view, answers, errors_of, where)


def _size(outcome: model.Outcome) -> int:
    """Returns how many characters an answer has; of one that is no text, that it is long."""
    output = outcome.output
    return len(output) if isinstance(output, str) else 0 if output is None else computation.AT_ONCE_CHARS + 1


def _speaks(
    places: Mapping[str, review_tasks.ReviewAssignment], answers: Mapping[str, model.Outcome], name: str
) -> bool:
    """Returns whether a task is a review that somebody had to do, and has answered."""
    return name in places and name in answers and not is_moot(answers[name])


def _reports(
    view: run_view.RunView,
    answers: Mapping[str, model.Outcome],
    errors_of: Mapping[str, str],
    where: quotes.Ground | None,
) -> list[ReviewReport]:
    """Returns what `reports` does; `answers` are the outcomes of tasks that are done."""
    places = review_tasks.places(view.plan.tasks)
    by_task: list[ReviewReport] = []
    for row in view.tasks:
        place = places.get(row.id)
        if place is None or row.state not in model.TASK_FINAL:
            continue
        if row.id in answers:
            if where is not None and _speaks(places, answers, row.id):
                by_task.append(_checked(place, answers[row.id], where))
        elif not (place.role == "advocate" and row.state is TaskState.SKIPPED):
            why = errors_of.get(row.id) or row.cause or row.state.value
            by_task.append(ReviewReport(reviewer=place.reviewer, role=place.role, part=place.part, problem=why))
    return by_task


def canonical_json(value: model.Json) -> str:
    """Returns a JSON value as text that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def unknown_round(run_id: str) -> errors.InputError:
    """Returns the error for a run that is no round of a council."""
    return errors.InputError(f"Run {short_ids.short(run_id)} is no review.", hint=NextStep(StepKind.START_REVIEW))
