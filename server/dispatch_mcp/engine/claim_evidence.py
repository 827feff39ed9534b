"""Asks the witness: before an attempt begins, and before a claim that it succeeded is believed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio

from dispatch_mcp import model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, ports, records, work_order
from dispatch_mcp.planning import acceptance
from dispatch_mcp.runs import receipts
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Wave:
    """Tasks of a run whose claims are judged together: what their witness asks the store for is read once for all."""

    store: sqlite_store.Store
    run_id: str
    task_ids: Collection[str]
    _rivals: Mapping[str, Sequence[ports.Rival]] | None = None
    _looks: dict[bool, Mapping[str, model.Json]] = field(default_factory=dict[bool, Mapping[str, model.Json]])
    _reading: anyio.Lock = field(default_factory=anyio.Lock)

    async def rivals(self, task_id: str) -> Sequence[ports.Rival]:
        """Returns the tasks of other runs that were at work in the workspace beside one of the tasks."""
        async with self._reading:
            if self._rivals is None:
                self._rivals = await self.store.rivals(self.run_id, self.task_ids)
        return self._rivals.get(task_id, ())

    async def first_look(self, *, in_copy: bool) -> Mapping[str, model.Json]:
        """Returns what the run's first attempt left that had looked at a place of this kind."""
        async with self._reading:
            if in_copy not in self._looks:
                self._looks[in_copy] = await self.store.first_look(self.run_id, in_copy=in_copy)
        return self._looks[in_copy]


class Claim(NamedTuple):
    """What came back from an attempt, to be judged.

    `before` is what the attempt left when it began; `view` is the run as it is now, read when it is missing and needed.
    `wave` is what is read once for all claims that are judged together. `answer` is all that was answered, where the
    outcome holds only a part of that.
    """

    work: work_order.WorkOrder
    outcome: model.Outcome
    before: Mapping[str, model.Json] = {}
    view: run_view.RunView | None = None
    wave: Wave | None = None
    answer: model.Json = None


async def before(verifier: ports.Verifier | None, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
    """Returns what must be known from before the attempt; nothing for a task that declares nothing."""
    if verifier is None or not asks_for_proof(work.task):
        return {}
    try:
        return await verifier.before(work)
    except Exception:
        log.exception("the workspace could not be looked at before %s/%s", work.run_id, work.task.id)
        return {}


async def judge(verifier: ports.Verifier | None, store: sqlite_store.Store, claim: Claim) -> model.Outcome:
    """Returns a claimed success as its receipts judge it; any other outcome as it is. Writes nothing."""
    work, outcome, before = claim.work, claim.outcome, claim.before
    claims = outcome.handoff.files_modified
    is_empty = not asks_for_proof(work.task) and not claims
    if verifier is None or outcome.state is not AttemptState.SUCCEEDED or is_empty:
        return outcome
    try:
        around = await _surroundings(store, claim) if before else ports.Surroundings(claims=claims)
        evidence = await verifier.receipts(work, before, around)
    except Exception as crash:
        log.exception("receipts of %s/%s could not be collected", work.run_id, work.task.id)
        criteria = acceptance.criteria_of(work.task, work.workspace)
        whys = tuple(receipts.unproven(criterion, f"not checked: {crash!r}") for criterion in criteria)
        evidence = ports.Evidence(whys)
    edits = receipts.of_edits(work.last_error, work.task.acceptance)
    verdict = receipts.judge(outcome, (*evidence.receipts, *edits))
    return verdict.model_copy(update={"footprints": dict(evidence.footprints)}) if evidence.footprints else verdict


def asks_for_proof(task: model.Task) -> bool:
    """Returns whether there is anything to look at."""
    return bool(task.acceptance or task.files)


async def _surroundings(store: sqlite_store.Store, claim: Claim) -> ports.Surroundings:
    """Returns what the witness has to know of the rest of the run."""
    work = claim.work
    view = claim.view or await run_view.load(store, work.run_id, records.ANYBODY)
    wave = claim.wave or Wave(store, work.run_id, (work.task.id,))

    async def first_look() -> Mapping[str, model.Json]:
        return await wave.first_look(in_copy=bool(work.base))

    async def rivals() -> Sequence[ports.Rival]:
        return () if work.base else await wave.rivals(work.task.id)

    return ports.Surroundings(
        claims=claim.outcome.handoff.files_modified,
        active=view.active,
        declarations=view.declarations,
        first_look=first_look,
        rivals=rivals,
    )
