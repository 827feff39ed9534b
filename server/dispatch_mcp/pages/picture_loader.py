"""Reads from the store what the page of a run is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.engine import council_rounds, plan_review_attempt, review_attempt, run_view
from dispatch_mcp.model import records
from dispatch_mcp.pages import placeless_text, run_picture
from dispatch_mcp.process import computation
from dispatch_mcp.review import answer_parser, council_decision, plan_reviews
from dispatch_mcp.service import handles, traces
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff

MOST_FINDINGS: Final = 200
"""Findings of a run that are shown in their lines."""

MOST_REVIEWS: Final = 60
"""Reviews of a plan whose findings are looked up."""

MOST_RESULTS: Final = 500
"""Results that are read at once."""

MOST_EVENTS: Final = 5_000
"""Events that are read at once."""

_CHANGES_ALL: Final = frozenset({"run_cancelled", "plan_edited", "run_finished", "task_skipped", "task_retried"})
"""Events after which tasks may be others than before that have no event of their own."""

_ENDS: Final = ("attempt_finished", "task_replayed")

Review = tuple[run_picture.CouncilPicture, tuple[run_picture.FindingPicture, ...]]


async def read(settings: configuration.Settings, handle: str) -> run_picture.RunPicture:
    """Returns the picture of a run of this machine's user; starts nothing. Raises UnknownHandle."""
    async with sqlite_store.open_store(settings.home, begins=False) as store:
        own = handles.Handles(store, records.LOCAL, str(settings.workspace))
        view = await own.look(handle)
        return await load(store, view.run.id, records.LOCAL)


async def load(store: sqlite_store.Store, run_id: str, principal: str, after: int = 0) -> run_picture.RunPicture:
    """Returns the picture of a run, with the events after `after` and the results that they brought.

    The log is read before the run: what is committed between is in the tasks already, and its events come to whoever
    asks for what came after those of the picture. The other way round they would come without what they changed.

    Raises:
        UnknownHandle: this principal has no such run.
    """
    log = await _events(store, run_id, after)
    view = await council_rounds.look(store, run_id, principal)
    picture = await _picture(store, view, log, after)
    folders = placeless_text.places(view.run.workspace)
    placeless: run_picture.RunPicture = await computation.apart(placeless_text.placeless, picture, folders)
    return placeless


async def _picture(
    store: sqlite_store.Store, view: run_view.RunView, log: Sequence[model.Event], after: int
) -> run_picture.RunPicture:
    """Returns the picture of a run as it is in `view`, with these events."""
    run = view.run
    tasks = await computation.apart(run_picture.tasks, view)
    place = {task.id: number for number, task in enumerate(tasks)}
    rows = await store.attempts(run.id)
    reviews = await _reviews(store, view, rows)
    head = await traces.summary(store, view)
    picture = run_picture.RunPicture(
        run=head.model_copy(update={"tasks": (), "workspace": "", "notes_at": "", "poll_after_s": 0.0}),
        began=run.created_at,
        over_at=run.finished_at,
        now=view.now,
        revision=run.revision,
        after=after,
        worker=run.worker.value,
        max_parallel=view.plan.max_parallel,
        waves=1 + max((task.wave for task in tasks), default=-1),
        extra_edges=run_picture.extra_edges(view, place),
        tasks=tasks,
        attempts=await computation.apart(run_picture.attempts, rows, place, run.created_at),
        events=await computation.apart(run_picture.events, log, view, place),
        results=await _results(store, view, log if after else None),
        councils=tuple(council for council, _ in reviews),
        findings=tuple(finding for _, group in reviews for finding in group)[:MOST_FINDINGS],
        messages=run_picture.messages(await store.mail(run.id), run.created_at),
    )
    if not after or any(event.kind in _CHANGES_ALL for event in log):
        return picture
    return run_picture.since(picture, {event.task_id for event in log})


async def _events(store: sqlite_store.Store, run_id: str, after: int) -> list[model.Event]:
    """Returns all events after one."""
    log: list[model.Event] = []
    while True:
        page = await store.events(run_id, after=log[-1].seq if log else after, limit=MOST_EVENTS)
        log += page
        if len(page) < MOST_EVENTS:
            return log


async def _results(
    store: sqlite_store.Store, view: run_view.RunView, log: Sequence[model.Event] | None
) -> dict[str, run_picture.ResultPicture]:
    """Returns the results of a run, or only those that these events brought."""
    new = None if log is None else {event.task_id for event in log if event.kind in _ENDS}
    names = [task.id for task in view.tasks if task.result and (new is None or task.id in new)]
    chars = run_picture.share(len(view.tasks))
    results: dict[str, run_picture.ResultPicture] = {}
    for start in range(0, len(names), MOST_RESULTS):
        outcomes = await store.outcomes(view.run.id, names[start : start + MOST_RESULTS], with_output=False)
        results |= await computation.apart(_pictures, outcomes, chars)
    return results


def _pictures(outcomes: Mapping[str, model.Outcome], chars: int) -> dict[str, run_picture.ResultPicture]:
    return {name: run_picture.result(outcome, chars) for name, outcome in outcomes.items()}


async def _reviews(
    store: sqlite_store.Store, view: run_view.RunView, rows: Sequence[records.AttemptRecord]
) -> list[Review]:
    """Returns what reviews have come to; those whose change can no longer be read are left out."""
    try:
        council_round = await council_rounds.read(store, view)
        if council_round is not None:
            return [await _of_round(store, council_round)]
    except (errors.UnknownHandle, errors.StoreDamaged, ValueError):
        return []
    reviews = [task for task in view.plan.tasks if task.reviews and task.id in view.rows][:MOST_REVIEWS]
    outcomes = await store.outcomes(view.run.id, [task.id for task in reviews if view.rows[task.id].result])
    last = {attempt.task_id: attempt for attempt in rows}
    return [await _of_review(store, view, task, outcomes.get(task.id), last.get(task.id)) for task in reviews]


async def _of_round(store: sqlite_store.Store, council_round: council_rounds.Round) -> Review:
    """Returns what a round of the council has come to."""
    if not council_round.is_over:
        return run_picture.CouncilPicture(why="Reviewers are still at work."), ()
    decision, _ = await council_rounds.decide(store, council_round)
    change = unified_diff.parse(await review_attempt.read_text(store, council_round.manifest.diff))
    council = run_picture.CouncilPicture(
        outcome=decision.outcome,
        why=decision.why,
        verdicts={voice.reviewer: voice.verdict or "INCONCLUSIVE" for voice in decision.voices},
    )
    return council, _in_lines(decision.findings, change)


def _in_lines(
    findings: Iterable[council_decision.MergedFinding], change: unified_diff.Diff, task_id: str = ""
) -> tuple[run_picture.FindingPicture, ...]:
    return tuple(run_picture.finding(item, change, task_id) for item in findings)[:MOST_FINDINGS]


async def _of_review(
    store: sqlite_store.Store,
    view: run_view.RunView,
    task: model.Task,
    outcome: model.Outcome | None,
    attempt: records.AttemptRecord | None,
) -> Review:
    """Returns what a review of a plan, or the council that joins several, has come to."""
    row = view.rows[task.id]
    if outcome is None or task.joins:
        why = outcome.summary if outcome else attempt.error if attempt else ""
        return run_picture.CouncilPicture(task=task.id, outcome=_word(row), why=why[: run_picture.MOST_CHARS]), ()
    name = view.agent_of(row) or task.id
    beat: Mapping[str, model.Json] = attempt.beat if attempt else {}
    digest = plan_review_attempt.exhibit_of(beat).diff
    text = await review_attempt.read_text(store, digest) if digest else ""
    ground = await plan_review_attempt.ground(store, beat)
    report = plan_reviews.report(name, answer_parser.answer_of(outcome), ground)
    findings = council_decision.merge([report], (), ())
    council = run_picture.CouncilPicture(
        task=task.id, outcome=report.verdict or _word(row), why=outcome.summary[: run_picture.MOST_CHARS]
    )
    return council, _in_lines(findings, unified_diff.parse(text), task.id)


_WORDS: Final[Mapping[str, str]] = {"succeeded": "PASS", "unverified": "PASS", "failed": "BLOCK"}


def _word(row: records.TaskRecord) -> str:
    """Returns how a review stands; empty while it is still asked, or was let go."""
    return "BLOCK" if row.rounds and row.state.value == "blocked" else _WORDS.get(row.state.value, "")
