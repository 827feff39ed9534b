"""Removes what is old and over: runs with all that was kept for them, files that nobody names, indexes out of use.

Never what is open, and never work that stands nowhere but in the refs or worktrees of a run: that run stays whole. What
was gone is on record in the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread

from dispatch_mcp import configuration, model
from dispatch_mcp.context.indexing import index_files
from dispatch_mcp.engine.earlier_runs import blocked_work, person_decisions
from dispatch_mcp.git import cleanup, worktree_leftovers
from dispatch_mcp.model import run_refs, short_ids
from dispatch_mcp.service import checkouts
from dispatch_mcp.store import health, sqlite_store, whereabouts
from dispatch_mcp.store.pruning import compaction, old_files, old_runs

T = TypeVar("T")

YOUNGEST_S: Final = 86_400.0
"""Seconds in which a file that nobody names may belong to something that is just being made."""


class PrunedRun(model.Value):
    """A run that went, or stays for the reason `why`; `ended_at` is in seconds since the epoch."""

    run: short_ids.Handle
    title: str = ""
    state: str = ""
    ended_at: float = 0.0
    why: str = ""


class RemovedShare(model.Value):
    """How many things of one kind went, and their size in bytes where that is known."""

    kind: str
    count: int
    size: int | None = None


class Pruned(model.Value):
    """What went, or would go with `dry_run`; `stays` are old runs that do not, each with its reason.

    `before` is in seconds since the epoch: everything was over, or out of use, by then.
    """

    before: float
    dry_run: bool
    runs: tuple[PrunedRun, ...] = ()
    shares: tuple[RemovedShare, ...] = ()
    stays: tuple[PrunedRun, ...] = ()


_BLOCKED: Final = "a review of it blocks files that nobody has passed since"
_REFUSED: Final = "a person has not let work of it go on, and nobody has approved that since"


@dataclass(slots=True)
class _StoreShare:
    """What of the store goes: `old` runs, of which some are `going`, and why the others stay, by id.

    `needs` are those of the reasons that only repositories and reviews know.
    """

    old: list[old_runs.OldRun] = field(default_factory=list[old_runs.OldRun])
    going: list[old_runs.OldRun] = field(default_factory=list[old_runs.OldRun])
    plans: list[str] = field(default_factory=list[str])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, str] = field(default_factory=dict[str, str])

    def stays(self) -> list[old_runs.OldRun]:
        """Returns the old runs that stay, with the reason of each."""
        going = {run.id for run in self.going}
        return [run._replace(why=self.reasons.get(run.id, "")) for run in self.old if run.id not in going]


@dataclass(frozen=True, slots=True)
class _Pruner:
    """One look at a state directory: what was over `before` then; `now` and `before` in seconds since the epoch."""

    settings: configuration.Settings
    now: float
    before: float
    dry_run: bool

    @property
    def home(self) -> Path:
        return self.settings.home

    async def prune(self) -> Pruned:
        """Removes what can go, or says what would."""
        state, shares = _StoreShare(), list[RemovedShare]()
        if (self.home / whereabouts.FILE).exists():
            async with sqlite_store.open_store(self.home):  # brings an older schema up to date
                pass
            state = await self._chosen(shares)
            if not self.dry_run:
                state.going = await self._removed(state)
            shares += await anyio.to_thread.run_sync(self._swept, state)
        shares += await anyio.to_thread.run_sync(self._without_store)
        if not self.dry_run and state.going:
            shares.append(RemovedShare(kind="empty part of the store", count=1, size=await self._compact()))
        return Pruned(
            before=self.before,
            dry_run=self.dry_run,
            runs=tuple(map(_pruned, state.going)),
            shares=tuple(share for share in shares if share.count and share.size != 0),
            stays=tuple(map(_pruned, state.stays())),
        )

    async def _chosen(self, shares: list[RemovedShare]) -> _StoreShare:
        """Returns what of the store can go, after the worktrees and refs of old runs went that are safe elsewhere."""
        old = await self._look(lambda conn: old_runs.old_runs(conn, self.before))
        leftovers, unreadable = await self._leftovers(old)
        shares.append(RemovedShare(kind="worktree", count=leftovers[1]))
        shares.append(RemovedShare(kind="ref", count=sum(work.removed for work in leftovers[0].works)))
        objections = await self._objections(old)
        needs = {run.id: why for run in old if (why := _need(run, leftovers[0], unreadable, objections))}
        choice = await self._look(lambda conn: old_runs.choice(conn, self.before, needs))
        return _StoreShare(old, choice.going, choice.plans, choice.why, needs)

    async def _objections(self, old: Sequence[old_runs.OldRun]) -> Mapping[str, str]:
        """Returns which runs still hold work back in the workspaces of old runs, and how."""
        places = sorted({(run.principal, run.workspace) for run in old if run.workspace})
        async with sqlite_store.open_store(self.home) as store:
            blocks = [block for place in places for block in await blocked_work.open_blocks(store, *place)]
            refusals = {run_id for place in places for run_id in await person_decisions.refused_runs(store, *place)}
        return dict.fromkeys(refusals, _REFUSED) | {block.run_id: _BLOCKED for block in blocks}

    async def _leftovers(
        self, old: Sequence[old_runs.OldRun]
    ) -> tuple[tuple[worktree_leftovers.Leftovers, int], Mapping[str, str]]:
        """Returns what runs hold outside of the store, how many worktrees went, and what cannot be read and why."""
        ids, pruned_ids = await self._look(old_runs.run_ids), await self._look(old_runs.pruned_ids)
        old_ids = frozenset(run.id for run in old)
        young = frozenset(ids - old_ids)
        cleaner = cleanup.Cleaner(checkouts.git(self.settings, os.environ), self.home, young, old_ids | pruned_ids)
        workspaces = sorted({run.workspace for run in old if run.workspace})
        before = sum(tree.left for tree in cleanup.trees(self.home, young))
        leftovers = await (cleaner.look if self.dry_run else cleaner.prune)(*workspaces)
        after = sum(tree.left for tree in leftovers.trees)
        return (leftovers, before - after), await cleaner.unreadable(workspaces)

    async def _removed(self, state: _StoreShare) -> list[old_runs.OldRun]:
        """Removes runs and plans from the store, a plan after the other, and returns the runs that went."""
        plans = list(dict.fromkeys([*(run.plan_id for run in state.going), *state.plans]))
        runs_out: list[old_runs.OldRun] = []
        async with sqlite_store.open_store(self.home) as store:
            while plans:
                count, runs = await store.prune_plans(plans, self.before, frozenset(state.needs))
                runs_out += runs
                plans = plans[count:]
        return runs_out

    def _swept(self, state: _StoreShare) -> list[RemovedShare]:
        """Removes files that belonged to what went."""
        with health.reading(self.home) as conn:
            earlier = set[str]() if self.dry_run else old_runs.pruned_ids(conn)
            oldest = min(self.before, self.now - YOUNGEST_S, old_runs.oldest_begin(conn, state.needs))
            leaving = {*(run.no for run in state.going), *state.plans} if self.dry_run else ()
            blobs = old_files.sweep_blobs(conn, self.home, oldest, leaving=leaving, dry_run=self.dry_run)
        folders = old_files.sweep_run_folders(
            self.home, earlier | {run.id for run in state.going}, dry_run=self.dry_run
        )
        drafts = old_files.sweep_drafts(self.home, self.now - YOUNGEST_S, dry_run=self.dry_run)
        return [
            RemovedShare(kind="plan", count=len(state.plans)),
            _share("blob", blobs),
            _share("run folder", folders),
            _share("unfinished file", drafts),
        ]

    def _without_store(self) -> list[RemovedShare]:
        indexes = index_files.unused(index_files.index_files(self.home), self.before)
        if not self.dry_run:
            indexes = index_files.remove(indexes)
        events = old_files.sweep_hand_ins(self.home, self.before, dry_run=self.dry_run)
        return [
            RemovedShare(kind="index file", count=len(indexes), size=sum(index.size for index in indexes)),
            _share("hook event", events),
        ]

    async def _compact(self) -> int:
        return await anyio.to_thread.run_sync(compaction.compact, self.home)

    async def _look(self, read: Callable[[old_runs.Connection], T]) -> T:
        return await anyio.to_thread.run_sync(health.look, self.home, read)


async def prune(settings: configuration.Settings, older_s: float, *, dry_run: bool = False) -> Pruned:
    """Removes what has been over, or out of use, for `older_s` seconds; with `dry_run` only says what would go.

    Raises:
        StoreError: the store cannot be read or written; what went by then is on record.
    """
    now = time.time()
    return await _Pruner(settings, now, now - older_s, dry_run).prune()


def _need(
    run: old_runs.OldRun,
    leftovers: worktree_leftovers.Leftovers,
    unreadable: Mapping[str, str],
    objections: Mapping[str, str],
) -> str:
    """Returns why a run has to stay because of what it holds in repositories or holds back, or an empty text."""
    name = run_refs.safe_part(run.id)
    if run.id in objections:
        return objections[run.id]
    if run.workspace in unreadable:
        return f"the repository of {run.workspace} cannot be read: {unreadable[run.workspace]}"
    if any(work.run == name and work.is_needed for work in leftovers.works):
        return "it holds changes that are not in any branch"
    if trees := [tree for tree in leftovers.trees if tree.run == name and tree.note]:
        return f"its worktree stays: {trees[0].note}"
    return ""


def _pruned(run: old_runs.OldRun) -> PrunedRun:
    return PrunedRun(run=run.id, title=run.title, state=run.state, ended_at=run.ended_at, why=run.why)


def _share(kind: str, share: old_files.Freed) -> RemovedShare:
    return RemovedShare(kind=kind, count=share.number, size=share.size)
