"""Changes of files that an earlier review has blocked, by work that nothing reviews: its run does not end well.

What counts is how the files were before the task's first attempt and are after its last, whatever the task declares and
whoever does it. What a task of another run declares that is at work is its change, for a task that declares other
files. What other tasks of the run declare is told beside it: a review that passes those settles this too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.engine import claim_evidence, run_view
from dispatch_mcp.engine.earlier_runs import blocked_work
from dispatch_mcp.model import AttemptState, ports, problems, records, short_ids, work_order
from dispatch_mcp.process import file_identity
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import file_states, json_types, path_globs

MOST_RUNS: Final = 100
"""Runs of which it is remembered what is blocked for them."""

MOST_FILES: Final = 500
"""Blocked files that are looked at around one attempt."""


@dataclass(frozen=True, slots=True)
class DisputedChanges:
    """Looks at blocked files around attempts; what is blocked for a run is read when its first one begins."""

    store: sqlite_store.Store
    states_of: ports.StatesOf
    blocks: dict[str, Sequence[blocked_work.Block]] = field(default_factory=dict[str, Sequence[blocked_work.Block]])

    async def before(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        """Returns how the files are that are blocked, as details of the attempt's beat; nothing where none is."""
        earlier = work.last_beat.get(ports.BLOCKED)
        if earlier:
            return {ports.BLOCKED: earlier}
        blocks = self.blocks.get(work.run_id)
        if blocks is not None and not blocks:
            return {}
        run = await self.store.run(work.run_id, principal=records.ANYBODY)
        blocks = await self._remembered(run) if blocks is None else blocks
        if not blocks:
            return {}
        root, places = run.workspace, [place for block in blocks for place in block.places]
        paths = await anyio.to_thread.run_sync(_relative, root, places)
        states = await self._states(work.workspace, paths)
        return {ports.BLOCKED: dict(states)} if states else {}

    async def _remembered(self, run: records.RunRecord) -> Sequence[blocked_work.Block]:
        blocks = await blocked_work.open_blocks(self.store, run.principal, run.workspace)
        while len(self.blocks) >= MOST_RUNS:
            self.blocks.pop(next(iter(self.blocks)))
        self.blocks[run.id] = blocks
        return blocks

    async def _states(self, workspace: str, paths: Collection[str]) -> Mapping[str, str]:
        return await anyio.to_thread.run_sync(self.states_of, workspace, sorted(paths)[:MOST_FILES])

    async def judge(self, claim: claim_evidence.Claim, outcome: model.Outcome) -> model.Outcome:
        """Returns accepted work with the review that has blocked what it changed, if that is blocked still."""
        before, work = claim.before.get(ports.BLOCKED), claim.work
        if outcome.state is not AttemptState.SUCCEEDED or not json_types.is_object(before):
            return outcome
        view = claim.view or await run_view.load(self.store, work.run_id, records.ANYBODY)
        if any(work.task.id in task.reviews for task in view.plan.tasks):
            return outcome
        now = await self._states(work.workspace, [*before])
        paths = [path for path, state in now.items() if file_states.differ(str(before[path]), state)]
        own = await self._without_rivals(paths, claim, view) if work.task.files and not work.base else paths
        block = await self._block_of(own, view) if own else None
        if block is None:
            return outcome
        name = f"`{block.review}` of run {short_ids.short(block.run_id)}"
        detail = f"changed {problems.in_backticks(own)}, of which {name} has blocked a change; nothing here reviews it"
        receipt = model.Receipt(kind="touched", ok=False, checked=False, detail=detail, suspects=tuple(own))
        return outcome.model_copy(
            update={"disputes": (name, *_beside(own, view, work)), "receipts": (*outcome.receipts, receipt)}
        )

    async def _without_rivals(
        self, paths: Sequence[str], claim: claim_evidence.Claim, view: run_view.RunView
    ) -> list[str]:
        """Returns the paths that no task of another run declares which is, or was meanwhile, at work."""
        wave = claim.wave or claim_evidence.Wave(self.store, view.run.id, (claim.work.task.id,))
        entries = [
            path_globs.normalise(entry, rival.workspace or view.run.workspace)
            for rival in (await wave.rivals(claim.work.task.id) if paths else ())
            for entry in rival.files
        ]
        return [path for path in paths if not any(path_globs.touch(entry, path) for entry in entries)]

    async def _block_of(self, paths: Sequence[str], view: run_view.RunView) -> blocked_work.Block | None:
        """Returns the newest block of one of these paths that no review has lifted since."""
        run = view.run
        places = await anyio.to_thread.run_sync(
            lambda: [file_identity.common_place(Path(run.workspace), path) for path in paths]
        )
        return await blocked_work.block_of(self.store, run.principal, run.workspace, places)


def _relative(root: str, places: Collection[str]) -> list[str]:
    """Returns those of real paths that lie in a workspace, relative to it."""
    top = file_identity.common_place(Path(root), "").rstrip("/")
    return [place.removeprefix(f"{top}/") for place in places if place.startswith(f"{top}/")]


def _beside(paths: Collection[str], view: run_view.RunView, work: work_order.WorkOrder) -> list[str]:
    """Returns the other tasks of a run that declare the paths and have begun, if together they declare all of them."""
    owners = [view.active.owner(path, but=work.task.id) for path in paths] if not work.base else [""]
    return sorted({*owners}) if all(owners) else []
