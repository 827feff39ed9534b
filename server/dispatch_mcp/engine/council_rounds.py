"""Rounds of the council as runs: what one decides, and the verdict that its run ends with.

A round is over when everybody has answered or never will; its run ends only when what that decides is recorded. Until
then it counts as one that goes on, never as one that has passed, and whoever looks at it next records it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.engine import review_attempt, run_view
from dispatch_mcp.engine.earlier_runs import freed_work
from dispatch_mcp.model import RunState, records, transitions
from dispatch_mcp.process import computation
from dispatch_mcp.review import council_decision, findings, review_tasks, rounds
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)

DECIDED: Final = "council_decided"
WAIVED: Final = "finding_waived"

LOOK_S: Final = 0.7
"""Seconds that a look waits for the write lock to settle a round."""

MANY_EVENTS: Final = 500
"""Events of a run that are read at once."""

MAX_NAMED: Final = 50
"""Findings that the event of a decision names."""

_STATES: Final[Mapping[council_decision.Outcome, RunState]] = {
    "PASS": RunState.SUCCEEDED,
    "BLOCK": RunState.NEEDS_CHANGES,
    "INCONCLUSIVE": RunState.INCONCLUSIVE,
}


class Round(NamedTuple):
    """A run that is a round of the council, with everything about it that was known before anybody answered."""

    view: run_view.RunView
    manifest: review_tasks.Manifest

    @property
    def run(self) -> records.RunRecord:
        """The run of the round."""
        return self.view.run

    @property
    def is_over(self) -> bool:
        """Whether everybody has answered, or never will."""
        return self.run.state in model.RUN_FINAL

    @property
    def is_last(self) -> bool:
        """Whether the rules allow no further round after it."""
        return self.manifest.round >= self.manifest.rules.rounds


async def read(store: sqlite_store.Store, view: run_view.RunView) -> Round | None:
    """Returns the round that a run is; None for any other run. Raises UnknownHandle when its manifest is not there."""
    place = _assignment(view)
    return None if place is None else Round(view, await review_attempt.read_manifest(store, place.manifest))


def is_round(view: run_view.RunView) -> bool:
    """Returns whether a run is a round of the council."""
    return _assignment(view) is not None


def _assignment(view: run_view.RunView) -> review_tasks.ReviewAssignment | None:
    """Returns what the first reviewer of a round is asked; None for a run that is no round."""
    return review_tasks.assignment_of(view.plan.tasks[0]) if view.plan.tasks else None


async def load(store: sqlite_store.Store, run_id: str, principal: str) -> run_view.RunView:
    """Returns a run as it is once a round that everybody has answered is settled. Raises UnknownHandle."""
    view = await run_view.load(store, run_id, principal)
    if not needs_verdict(view):
        return view
    await settle(store, view)
    return await run_view.load(store, run_id, principal)


async def look(store: sqlite_store.Store, run_id: str, principal: str) -> run_view.RunView:
    """Returns a run for who only looks: a round that cannot be settled at once is left to the next who comes by."""
    with anyio.move_on_after(LOOK_S):
        try:
            return await load(store, run_id, principal)
        except (errors.StoreBusy, errors.StoreUnavailable) as trouble:
            log.warning("round %s was not settled: %s", run_id, trouble)
    return await run_view.load(store, run_id, principal)


def needs_verdict(view: run_view.RunView) -> bool:
    """Returns whether everybody of a round has answered and what it decides is not recorded."""
    if view.run.state in model.RUN_FINAL or any(task.state not in model.TASK_FINAL for task in view.tasks):
        return False
    return is_round(view)


async def settle(store: sqlite_store.Store, view: run_view.RunView) -> None:
    """Records what a round decides that everybody has answered, and so ends its run; doing it twice changes nothing.

    A round whose change or manifest is lost or damaged decides nothing: it is inconclusive.
    """
    try:
        council_round = await read(store, view)
        if council_round is None:
            return
        decision, absent = await decide(store, council_round)
    except (errors.UnknownHandle, errors.StoreDamaged, ValueError) as trouble:
        log.warning("round %s cannot be decided: %s", view.run.id, trouble)
        why = f"What was reviewed can no longer be read: {trouble}"
        await _record(store, view, RunState.INCONCLUSIVE, {"outcome": "INCONCLUSIVE", "blocks": True, "why": why})
        return
    await record(store, council_round, decision, absent)


async def record(
    store: sqlite_store.Store, council_round: Round, decision: council_decision.Decision, absent: tuple[str, ...]
) -> None:
    """Records a decision as the verdict of its run, unless the run has moved on since it was read."""
    await _record(store, council_round.view, _STATES[decision.outcome], _data(council_round.manifest, decision, absent))


async def _record(
    store: sqlite_store.Store, view: run_view.RunView, state: RunState, data: dict[str, model.Json]
) -> None:
    run = view.run
    last = [event.data for event in await events(store, run.id) if event.kind == DECIDED][-1:]
    if last == [data] and run.state is state:
        return
    verdict = records.RoundVerdict(state, run.revision)
    # The time of the last answer: that is when the round was over, whoever records what it decided.
    note = transitions.NewEvent(DECIDED, data=data)
    await store.advance(run.id, records.Step(now=run.updated_at, notes=[note], verdict=verdict))
    if state is RunState.SUCCEEDED:
        await freed_work.free_around(store, run.principal, run.workspace)


async def decide(store: sqlite_store.Store, council_round: Round) -> tuple[council_decision.Decision, tuple[str, ...]]:
    """Returns what a round that is over decides, with what people have waived since, and earlier findings now gone."""
    manifest = council_round.manifest
    where = await review_attempt.read_ground(store, manifest.diff)
    reports = await review_attempt.reports(store, council_round.view, where)
    size = sum(len(finding.quote) for finding in manifest.earlier)
    carry_over = await computation.of_text(size, rounds.carry, manifest.earlier, reports, where)
    size = sum(len(finding.quote) + len(finding.claim) for report in reports for finding in report.findings)
    decision = await computation.of_text(
        size,
        council_decision.decide,
        [*reports, *carry_over.reports],
        manifest.rules,
        waivers=await waivers(store, council_round),
        refutations=carry_over.refutations,
        unseen=[span.label for span in manifest.unseen],
    )
    return decision, carry_over.gone


def _data(
    manifest: review_tasks.Manifest, decision: council_decision.Decision, absent: tuple[str, ...]
) -> dict[str, model.Json]:
    """Returns what the event of a decision says."""
    return {
        "outcome": decision.outcome,
        "blocks": decision.blocks,
        "why": decision.why,
        "rules": decision.rules,
        "round": manifest.round,
        "open": [finding.id for finding in decision.of("open")][:MAX_NAMED],
        "waived": [finding.id for finding in decision.of("waived")],
        "refuted": [finding.id for finding in decision.of("refuted")],
        "gone": list(absent),
        "verdicts": {voice.reviewer: voice.verdict or "INCONCLUSIVE" for voice in decision.voices},
    }


async def events(store: sqlite_store.Store, run_id: str) -> list[model.Event]:
    """Returns all events of a run."""
    whole: list[model.Event] = []
    while True:
        page = await store.events(run_id, after=whole[-1].seq if whole else 0, limit=MANY_EVENTS)
        whole += page
        if len(page) < MANY_EVENTS:
            return whole


async def waivers(store: sqlite_store.Store, council_round: Round) -> list[findings.Waiver]:
    """Returns what people have let go in a round, and in those before it."""
    waiver_events = [event for event in await events(store, council_round.run.id) if event.kind == WAIVED]
    return [*council_round.manifest.waivers, *map(_waiver, waiver_events)]


def _waiver(event: model.Event) -> findings.Waiver:
    data: Mapping[str, model.Json] = event.data
    return findings.Waiver(
        finding=str(data.get("finding")), reason=str(data.get("reason")), by=str(data.get("by")), at=event.at
    )
