"""Work in a workspace that a review has blocked: it stays so in every later plan, whatever became of the run.

A review that passes the same files later ends that, and so does a person who lets such a review go. What else changes
in the workspace is not concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


async def touched(
    store: sqlite_store.Store, principal: str, workspace: str, tasks: Iterable[model.Task]
) -> dict[str, Block]:
    """Returns which tasks of a workspace declare files of work that is blocked, by id, each with the newest block."""
    declarations = [(task.id, workspace, task.files) for task in tasks if task.files]
    run_ids = await store.objected_runs(principal) if declarations else []
    blocks: dict[str, Block] = {}
    if not run_ids:
        return blocks
    own_places = await _places(declarations)
    for run_id in run_ids:
        for block in await _blocks(store, principal, run_id):
            names = [name for name, places in own_places.items() if name not in blocks and _meet(places, block.places)]
            blocks.update(dict.fromkeys(names, block) if names and not await _is_over(store, principal, block) else {})
    return blocks


async def _blocks(store: sqlite_store.Store, principal: str, run_id: str) -> list[Block]:
    """Returns what the reviews of a run block."""
    run = await store.run(run_id, principal=principal)
    plan = await store.plan(run.plan_id, run.plan_version, principal=principal)
    rows = {task.id: records.row_of(task) for task in await store.tasks(run_id)}
    reviews = [task for task in _deciding(plan.tasks) if task.id in rows and _is_blocking(rows[task.id])]
    places = await _places(_declarations(plan, reviews))
    return [Block(run_id, review.id, places.get(review.id, ())) for review in reviews]


async def _is_over(store: sqlite_store.Store, principal: str, block: Block) -> bool:
    """Returns whether later runs have had all of the blocked files passed by a review, or let go by a person."""
    rest, page = set(block.places), await store.runs(principal, limit=_PAGE)
    while page:
        for run in page:
            if not rest or run.id == block.run_id:
                return not rest
            rest -= await _settled(store, principal, run, rest)
        page = await store.runs(principal, limit=_PAGE, after=page[-1].id)
    return not rest


async def _settled(
    store: sqlite_store.Store, principal: str, run: records.RunRecord, places: Iterable[str]
) -> set[str]:
    """Returns the places about which the reviews of a run have decided for good."""
    plan = await store.plan(run.plan_id, run.plan_version, principal=principal)
    reviews = _deciding(plan.tasks)
    if run.dry_run or not reviews:
        return set()
    rows = {task.id: task for task in await store.tasks(run.id)}
    passes = [review for review in reviews if review.id in rows and _has_passed(rows[review.id])]
    passed_places = [place for own in (await _places(_declarations(plan, passes))).values() for place in own]
    return {place for place in places if _meet([place], passed_places)}


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
