"""The rounds of the council that a principal has: found by their handles, decided, waived, and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatch_mcp import model
from dispatch_mcp.engine import council_rounds, review_attempt, run_view
from dispatch_mcp.model import records, transitions
from dispatch_mcp.review import council_decision, review_tasks, reviewer_calibration
from dispatch_mcp.service import handles
from dispatch_mcp.store import sqlite_store

KEY = "council:"
"""What the request key of every round begins with."""

HISTORY = 60
"""Runs among which a round of the same change is looked for."""

CALIBRATED = 20
"""Rounds that calibration looks back; each is decided again from its reports."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one principal."""

    store: sqlite_store.Store
    handles: handles.Handles
    clock: Callable[[], float]

    async def find(self, handle: str) -> council_rounds.Round | None:
        """Returns a round; None for a run that is none. Raises UnknownHandle."""
        return await council_rounds.read(self.store, await self.handles.run(handle))

    async def get(self, handle: str) -> council_rounds.Round:
        """Returns a round. Raises InputError for a run that is none."""
        view = await self.handles.run(handle)
        council_round = await council_rounds.read(self.store, view)
        if council_round is None:
            raise review_attempt.unknown_round(view.run.id)
        return council_round

    async def decision(self, council_round: council_rounds.Round) -> council_decision.Decision | None:
        """Returns what a round decided, recording it where that has changed; None while somebody is still asked."""
        if not council_round.is_over:
            return None
        decision, absent = await council_rounds.decide(self.store, council_round)
        await council_rounds.record(self.store, council_round, decision, absent)
        return decision

    async def waive(self, council_round: council_rounds.Round, finding: str, reason: str, by: str) -> None:
        """Records that a person lets a finding go."""
        data: dict[str, model.Json] = {"finding": finding, "reason": reason, "by": by}
        await self.note(council_round.run.id, transitions.NewEvent(council_rounds.WAIVED, data=data))

    async def note(self, run_id: str, note: transitions.NewEvent) -> None:
        """Records an event of a run."""
        await self.store.advance(run_id, records.Step(now=self.clock(), notes=[note]))

    async def is_inconclusive(self, record: records.RunRecord) -> bool:
        """Returns whether a round is over and could not say anything."""
        if record.state not in model.RUN_FINAL:
            return False
        decision = await self.decision(await self.get(record.id))
        return decision is None or decision.outcome == "INCONCLUSIVE"


async def calibration(store: sqlite_store.Store, principal: str) -> list[reviewer_calibration.Record]:
    """Returns how reviewers have done in the last rounds of a principal."""
    by_run: dict[str, tuple[review_tasks.Manifest, reviewer_calibration.PastRound]] = {}
    for record in await store.runs(principal, limit=HISTORY):
        if not record.request_key.startswith(KEY) or record.state not in model.RUN_FINAL or record.dry_run:
            continue
        if len(by_run) >= CALIBRATED:
            break
        past = await council_rounds.read(store, await run_view.load(store, record.id, principal))
        if past is None:
            continue
        reports = tuple(await review_attempt.reports(store, past.view))
        decision, _ = await council_rounds.decide(store, past)
        by_run[record.id] = (past.manifest, reviewer_calibration.PastRound(reports=reports, decision=decision))
    later = {manifest.after: past.reports for manifest, past in by_run.values() if manifest.after}
    rulings = {
        run_id: tuple(ruling for report in later.get(run_id, ()) for ruling in report.rulings) for run_id in by_run
    }
    return reviewer_calibration.calibrate(
        past.model_copy(update={"later": rulings[run_id]}) for run_id, (_, past) in by_run.items()
    )
