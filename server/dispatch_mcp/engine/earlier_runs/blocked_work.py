"""Work in a workspace that a review has blocked: it stays so in every later plan, whatever became of the run.

A review that passes all of the same files later ends that, and so does a person who lets such a review go. One file of
a blocked folder that is passed leaves the rest blocked. What else changes in the workspace is not concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.process import safe_paths
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import path_globs

_BLOCKS: Final = frozenset({transitions.NEEDS_CHANGES, transitions.INCONCLUSIVE})
_PAGE: Final = 100


class Block(NamedTuple):
    """A review that has blocked work, and the real paths of what that work was declared to change."""

    run_id: str
    review: str
    places: tuple[str, ...]


class _Reviewed(NamedTuple):
    """A run as its reviews left it: its plan, the reviews whose word counts, and their rows by id."""

    plan: model.Plan
    reviews: Sequence[model.Task]
    rows: Mapping[str, records.TaskRecord]


@dataclass(frozen=True, slots=True)
class _Past:
    """The runs in and around a workspace, each read once however many blocks are looked into."""

    store: sqlite_store.Store
    principal: str
    workspace: str
    runs: list[records.RunRecord] = field(default_factory=list[records.RunRecord])
    reviewed_runs: dict[str, _Reviewed] = field(default_factory=dict[str, _Reviewed])
    passes: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    async def reviewed(self, run: records.RunRecord) -> _Reviewed:
        """Returns a run as its reviews left it."""
        if run.id not in self.reviewed_runs:
            plan = await self.store.plan(run.plan_id, run.plan_version, principal=self.principal)
            reviews = _deciding(plan.tasks)
            rows = {task.id: task for task in await self.store.tasks(run.id)} if reviews else {}
            self.reviewed_runs[run.id] = _Reviewed(plan, [task for task in reviews if task.id in rows], rows)
        return self.reviewed_runs[run.id]

    async def blocks(self, run_id: str) -> list[Block]:
        """Returns what the reviews of a run block."""
        run = await self.reviewed(await self.store.run(run_id, principal=self.principal))
        reviews = [task for task in run.reviews if _is_blocking(records.row_of(run.rows[task.id]))]
        places = await _places(_declarations(run.plan, reviews))
        return [Block(run_id, review.id, places.get(review.id, ())) for review in reviews]

    async def is_over(self, block: Block) -> bool:
        """Returns whether later runs have had all of the blocked files passed by a review, or let go by a person."""
        rest = set(block.places)
        for run in await self._later(block.run_id):
            if not rest:
                break
            passed_places = await self._passed(run)
            rest = {place for place in rest if not _is_covered(place, passed_places)}
        return not rest

    async def _later(self, run_id: str) -> list[records.RunRecord]:
        """Returns the runs in and around the workspace that began after another, latest first."""
        at, is_end = 0, False
        while not is_end:
            if at == len(self.runs):
                page = await self.store.runs(self.principal, limit=_PAGE, after=self.runs[-1].id if self.runs else "")
                self.runs.extend(page)
            is_end = at == len(self.runs) or self.runs[at].id == run_id
            at += not is_end
        return [run for run in self.runs[:at] if path_globs.touch(run.workspace, self.workspace)]

    async def _passed(self, run: records.RunRecord) -> tuple[str, ...]:
        """Returns the places about which the reviews of a run have decided for good."""
        if run.dry_run:
            return ()
        if run.id not in self.passes:
            plan, reviews, rows = await self.reviewed(run)
            places = await _places(_declarations(plan, [task for task in reviews if _has_passed(rows[task.id])]))
            self.passes[run.id] = tuple(place for own in places.values() for place in own)
        return self.passes[run.id]


async def touched(
    store: sqlite_store.Store, principal: str, workspace: str, tasks: Iterable[model.Task]
) -> dict[str, Block]:
    """Returns which tasks of a workspace declare files of work that is blocked, by id, each with the newest block."""
    declarations = [(task.id, workspace, task.files) for task in tasks if task.files]
    run_ids = await store.objected_runs(principal, workspace) if declarations else []
    blocks: dict[str, Block] = {}
    if not run_ids:
        return blocks
    own_places, past = await _places(declarations), _Past(store, principal, workspace)
    for run_id in run_ids:
        for block in await past.blocks(run_id):
            names = [name for name, places in own_places.items() if name not in blocks and _meet(places, block.places)]
            blocks.update(dict.fromkeys(names, block) if names and not await past.is_over(block) else {})
    return blocks


def _deciding(tasks: Sequence[model.Task]) -> list[model.Task]:
    """Returns the reviews whose word counts: councils in place of their seats."""
    seats = {seat for task in tasks for seat in task.joins}
    return [task for task in tasks if task.reviews and task.id not in seats]


def _is_blocking(row: transitions.TaskRow) -> bool:
    return (row.rounds > 0 or row.cause in _BLOCKS) and transitions.stands_against(row)


def _has_passed(task: records.TaskRecord) -> bool:
    is_let_go = task.state is model.TaskState.SKIPPED and task.cause == transitions.BY_USER
    return is_let_go or task.state is model.TaskState.SUCCEEDED


def _declarations(plan: model.Plan, reviews: Iterable[model.Task]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Returns reviews with the workspace and the files of the work that they judge."""
    files = {task.id: task.files for task in plan.tasks}
    return [
        (review.id, plan.workspace, tuple(path for subject in review.reviews for path in files.get(subject, ())))
        for review in reviews
    ]


async def _places(declarations: Sequence[tuple[str, str, Sequence[str]]]) -> Mapping[str, tuple[str, ...]]:
    """Returns the real paths of files of workspaces, by name."""

    def real() -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(safe_paths.real_place(Path(workspace), path_globs.normalise(path, workspace)) for path in files)
            for name, workspace, files in declarations
        }

    return await anyio.to_thread.run_sync(real)


def _meet(first: Sequence[str], second: Sequence[str]) -> bool:
    return any(path_globs.touch(one_path, other_path) for one_path in first for other_path in second)


def _is_covered(place: str, passed_places: Iterable[str]) -> bool:
    """Returns whether all of a place is passed: a pattern covers itself only, as nobody knows what else it may name."""
    return any(place == other or path_globs.contains(other, place) for other in passed_places)
