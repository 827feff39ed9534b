"""Rounds of the council as the store has them: what they were asked, what they decided, what people let go since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.engine import review_attempt, run_view
from dispatch_mcp.model import records, transitions
from dispatch_mcp.review import council_decision, findings, quotes, review_tasks, reviewer_calibration, rounds
from dispatch_mcp.service import handles, review_answers
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff

KEY = "council:"
"""What the request key of every round begins with."""

DECIDED = "council_decided"
WAIVED = "finding_waived"
HISTORY = 60
"""Runs among which a round of the same change is looked for."""

CALIBRATED = 20
"""Rounds that calibration looks back; each is decided again from its reports."""

MANY_EVENTS = 500
"""Events of a run that are read at once."""


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
    """Returns the round that a run is; None for any other run."""
    places = review_tasks.places(view.plan.tasks) if view.run.request_key.startswith(KEY) else {}
    for place in places.values():
        return Round(view, await review_attempt.read_manifest(store, place.manifest))
    return None


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one principal."""

    store: sqlite_store.Store
    handles: handles.Handles
    clock: Callable[[], float]

    async def find(self, handle: str) -> Round | None:
        """Returns a round; None for a run that is none. Raises UnknownHandle."""
        return await read(self.store, await self.handles.run(handle))

    async def get(self, handle: str) -> Round:
        """Returns a round. Raises InputError for a run that is none."""
        view = await self.handles.run(handle)
        council_round = await read(self.store, view)
        if council_round is None:
            raise review_attempt.unknown_round(view.run.id)
        return council_round

    async def decision(self, council_round: Round) -> council_decision.Decision | None:
        """Returns what a round decided, recording it the first time; None while somebody is still asked."""
        if not council_round.is_over:
            return None
        decision, absent = await decide(self.store, council_round)
        data = _record(council_round.manifest, decision, absent)
        last = [event.data for event in await events(self.store, council_round.run.id) if event.kind == DECIDED][-1:]
        if last != [data]:
            await self.note(council_round.run.id, transitions.NewEvent(DECIDED, data=data))
        return decision

    async def waive(self, council_round: Round, finding: str, reason: str, by: str) -> None:
        """Records that a person lets a finding go."""
        data: dict[str, model.Json] = {"finding": finding, "reason": reason, "by": by}
        await self.note(council_round.run.id, transitions.NewEvent(WAIVED, data=data))

    async def note(self, run_id: str, note: transitions.NewEvent) -> None:
        """Records an event of a run."""
        await self.store.advance(run_id, records.Step(now=self.clock(), notes=[note]))

    async def is_inconclusive(self, record: records.RunRecord) -> bool:
        """Returns whether a round is over and could not say anything."""
        if record.state not in model.RUN_FINAL:
            return False
        decision = await self.decision(await self.get(record.id))
        return decision is None or decision.outcome == "INCONCLUSIVE"


async def decide(store: sqlite_store.Store, council_round: Round) -> tuple[council_decision.Decision, tuple[str, ...]]:
    """Returns what a round that is over decides, with what people have waived since, and earlier findings now gone."""
    manifest = council_round.manifest
    reports = await review_attempt.reports(store, council_round.view)
    where = quotes.ground(unified_diff.parse(await review_attempt.read_text(store, manifest.diff)))
    carry_over = rounds.carry(manifest.earlier, reports, where)
    decision = council_decision.decide(
        [*reports, *carry_over.reports],
        manifest.rules,
        waivers=await waivers(store, council_round),
        refutations=carry_over.refutations,
        unseen=[span.label for span in manifest.unseen],
    )
    return decision, carry_over.gone


def _record(
    manifest: review_tasks.Manifest, decision: council_decision.Decision, absent: tuple[str, ...]
) -> dict[str, model.Json]:
    """Returns what the event of a decision says."""
    return {
        "outcome": decision.outcome,
        "blocks": decision.blocks,
        "why": decision.why,
        "rules": decision.rules,
        "round": manifest.round,
        "open": [finding.id for finding in decision.of("open")][: review_answers.MAX_LISTED],
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


async def calibration(store: sqlite_store.Store, principal: str) -> list[reviewer_calibration.Record]:
    """Returns how reviewers have done in the last rounds of a principal."""
    by_run: dict[str, tuple[review_tasks.Manifest, reviewer_calibration.Round]] = {}
    for record in await store.runs(principal, limit=HISTORY):
        if not record.request_key.startswith(KEY) or record.state not in model.RUN_FINAL or record.dry_run:
            continue
        if len(by_run) >= CALIBRATED:
            break
        past = await read(store, await run_view.load(store, record.id, principal))
        if past is None:
            continue
        reports = tuple(await review_attempt.reports(store, past.view))
        decision, _ = await decide(store, past)
        by_run[record.id] = (past.manifest, reviewer_calibration.Round(reports=reports, decision=decision))
    later = {manifest.after: past.reports for manifest, past in by_run.values() if manifest.after}
    rulings = {
        run_id: tuple(ruling for report in later.get(run_id, ()) for ruling in report.rulings) for run_id in by_run
    }
    return reviewer_calibration.calibrate(
        past.model_copy(update={"later": rulings[run_id]}) for run_id, (_, past) in by_run.items()
    )
