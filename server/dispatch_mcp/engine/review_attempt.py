"""Reviews as attempts: what a reviewer is shown, whether its answer can be used, and when nobody has to argue."""

from __future__ import annotations

import json
from dataclasses import replace

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, records, transitions, work_order
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.review import answer_parser, council_decision, findings, quotes, review_tasks
from dispatch_mcp.review.findings import ReviewReport
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff

NOT_NEEDED = "not needed: the reviewers do not all pass the change"
_DONE = (TaskState.SUCCEEDED, TaskState.UNVERIFIED)


async def text(store: sqlite_store.Store, digest: str) -> str:
    """Returns a stored text. Raises UnknownHandle."""
    return (await anyio.to_thread.run_sync(store.blobs.get, digest)).decode("utf-8", "surrogatepass")


async def stored(store: sqlite_store.Store, told: str) -> str:
    """Stores a text and returns its digest."""
    return await anyio.to_thread.run_sync(store.blobs.put, told.encode("utf-8", "surrogatepass"))


async def manifest(store: sqlite_store.Store, digest: str) -> review_tasks.Manifest:
    """Returns a stored manifest. Raises UnknownHandle."""
    return review_tasks.Manifest.model_validate_json(await text(store, digest))


async def prepared(
    store: sqlite_store.Store, assigned: review_tasks.Assigned, work: work_order.WorkOrder
) -> work_order.WorkOrder:
    """Returns a reviewer's order with what it is shown, and without anything that others wrote."""
    known = await manifest(store, assigned.manifest)
    shown = await text(store, assigned.diff)
    return replace(
        work,
        material=review_tasks.material(assigned, known, shown),
        answer_form=review_tasks.form(assigned),
        upstream=(),
        messages=(),
    )


async def judged(store: sqlite_store.Store, assigned: review_tasks.Assigned, outcome: model.Outcome) -> model.Outcome:
    """Returns a review's outcome with what the server checked of it; an answer that cannot be used has failed."""
    if outcome.state is not AttemptState.SUCCEEDED or is_moot(outcome):
        return outcome
    known = await manifest(store, assigned.manifest)
    where = quotes.ground(unified_diff.parse(await text(store, known.diff)))
    report = quotes.check(report_of(assigned, outcome), where)
    problem = report.problem or _unproven(report)
    if problem and not _proves_something(report):
        return outcome.model_copy(
            update={
                "state": AttemptState.FAILED,
                "error": f"The review cannot be used: {problem}. Answer again in the form that was asked for.",
                "error_kind": transitions.UNUSABLE,
                "retryable": True,
                "unverified": False,
            }
        )
    found = sum(one.anchored for one in report.findings)
    said = f"verdict {report.verdict or 'missing'}; {found} of {len(report.findings)} quotes are in the change"
    receipt = model.Receipt(kind="words", ok=True, detail=said)
    return outcome.model_copy(update={"unverified": False, "receipts": (*outcome.receipts, receipt), "error": ""})


def _unproven(report: ReviewReport) -> str:
    """Returns why a FAIL proves nothing, or an empty string: its reviewer is asked once more."""
    if report.verdict != "FAIL" or _proves_something(report):
        return ""
    claimed = [one for one in report.findings if one.called in findings.BLOCKING]
    if not claimed:
        return "it says FAIL without a critical or high finding"
    return f"it says FAIL, but {claimed[0].quote.strip()[:80]!r} is not in the change"


def _proves_something(report: ReviewReport) -> bool:
    return any(one.anchored and one.severity in findings.BLOCKING for one in report.findings)


def report_of(assigned: review_tasks.Assigned, outcome: model.Outcome) -> ReviewReport:
    """Returns the report that an outcome is, with findings not yet checked."""
    return answer_parser.report(
        assigned.reviewer, answer_parser.answer_of(outcome), role=assigned.role, part=assigned.part
    )


def is_moot(outcome: model.Outcome) -> bool:
    """Returns whether an outcome says that nobody had to argue."""
    return outcome.summary == NOT_NEEDED


async def moot(
    store: sqlite_store.Store, run_id: str, assigned: review_tasks.Assigned, view: run_view.RunView | None = None
) -> model.Outcome | None:
    """Returns the outcome of an advocate that has nothing to argue against; None for any review that has to be done."""
    if assigned.role != "advocate":
        return None
    view = view or await run_view.load(store, run_id, records.ANYBODY)
    if council_decision.is_unanimous(await reports(store, view)):
        return None
    return model.Outcome(
        state=AttemptState.SUCCEEDED,
        summary=NOT_NEEDED,
        handoff=model.Handoff(completed_work=NOT_NEEDED),
        receipts=(model.Receipt(kind="words", ok=True, detail=NOT_NEEDED),),
    )


async def reports(store: sqlite_store.Store, loaded: run_view.RunView) -> list[ReviewReport]:
    """Returns a report for each task of a round that is over, checked against the change; nothing for the others."""
    places = review_tasks.places(loaded.plan.tasks)
    outcomes = await store.outcomes(loaded.run.id, [task.id for task in loaded.tasks if task.result])
    errors_of = {tried.task_id: tried.error for tried in await store.attempts(loaded.run.id)}
    where: quotes.Ground | None = None
    found: list[ReviewReport] = []
    for row in loaded.tasks:
        assigned = places.get(row.id)
        if assigned is None or row.state not in model.TASK_FINAL:
            continue
        outcome = outcomes.get(row.id)
        if outcome is not None and row.state in _DONE:
            if is_moot(outcome):
                continue
            if where is None:
                known = await manifest(store, assigned.manifest)
                where = quotes.ground(unified_diff.parse(await text(store, known.diff)))
            found.append(quotes.check(report_of(assigned, outcome), where))
        elif not (assigned.role == "advocate" and row.state is TaskState.SKIPPED):
            why = errors_of.get(row.id) or row.cause or row.state.value
            found.append(ReviewReport(reviewer=assigned.reviewer, role=assigned.role, part=assigned.part, problem=why))
    return found


def told(value: model.Json) -> str:
    """Returns a JSON value as text that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def unknown_round(run_id: str) -> errors.InputError:
    """Returns the error for a run that is no round of a council."""
    return errors.InputError(f"Run {run_id} is no review.", hint=NextStep(StepKind.START_REVIEW))
