"""Work that other runs of the same plan have finished, so that it is replayed instead of repeated.

A run never replays itself: who lists the same work twice wants it twice. Unverified work stays unverified when it is
replayed, and simulated work is replayed only by simulations. Work that a review objects to is never replayed, nor is
work that a review was asked about and has not passed, unless the same review is asked again. Work whose files are no
longer as it left them is done again (`standing_work`), and so is work whose stored result is lost or damaged.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import ports, transitions
from dispatch_mcp.store import blobs, standing_work, table_rows

_RUNS = "SELECT no, revision, plan_version FROM run WHERE plan_id = ? AND principal = ? AND dry_run = ? AND no <> ?"
_RESULTS = """
SELECT result.no, key, digest, result.unverified
FROM task JOIN result ON result.task = task.no AND result.digest = task.result
WHERE task.run = ? ORDER BY result.unverified, task.no
"""
_SOURCES = """
SELECT task.id, coalesce(result.no, replay.source)
FROM task LEFT JOIN result ON result.task = task.no AND result.digest = task.result
  LEFT JOIN replay ON replay.task = task.no
WHERE task.run = ? AND task.result <> ''
"""
_SENT_BACK = """
SELECT replay.source FROM task JOIN replay ON replay.task = task.no WHERE task.run = ? AND task.rounds > 0
"""
"""What was taken over and then done again, because a review objected to it."""

Known = Mapping[str, Sequence[tuple[transitions.EarlierResult, int]]]
"""Accepted work and the numbers of its results, by work key; what is to be taken over rather stands first."""

ReadPlan = Callable[[int], model.Plan]
"""Returns a version of the plan."""


class WorkSearch:
    """One step's look into the history; `numbers` has the numbers of the results that it returned, by key.

    The history is read when the first task is about to begin: most steps begin none.
    """

    def __init__(self, read: Callable[[], tuple[Known, standing_work.StandingCheck]]) -> None:
        self._read = read
        self._history: tuple[Known, standing_work.StandingCheck] | None = None
        self.numbers: dict[str, int] = {}

    def find(self, key: str) -> transitions.EarlierResult | None:
        """Returns finished work that stands; else the first that does not, with why; None where there is none."""
        matches, standing = self._history = self._history or self._read()
        stale: transitions.EarlierResult | None = None
        for earlier, number in matches.get(key, ()):
            if standing.is_lost(number):
                continue
            gap = standing.gap(number)
            if not gap:
                self.numbers[key] = number
                return earlier
            stale = stale or earlier._replace(gap=gap)
        return stale


NOTHING: Final = WorkSearch(lambda: ({}, standing_work.StandingCheck(ports.no_states, "", lambda _number: {}, ())))
"""The look of a run that takes nothing over."""


class _Result(NamedTuple):
    """One accepted result that is still that of its task."""

    number: int
    key: str
    digest: str
    unverified: int


class _Work(NamedTuple):
    """What one run has finished, and what its reviews say of results, also of those that it has replayed itself.

    `objections` are the numbers of those that a review objects to, `open_reviews` the reviews that were asked about a
    result and have not passed it.
    """

    results: list[_Result]
    objections: set[int]
    open_reviews: dict[int, set[str]]


class WorkHistory:
    """What the other runs of a run's plan have finished. Kept in memory: an index by key would cost every write."""

    def __init__(self, row: table_rows.RunRow, home: Path, states_of: ports.StatesOf) -> None:
        self._scope = (row.plan_id, row.principal, row.dry_run, row.no)
        self._workspace = row.workspace
        self._blobs = blobs.FileBlobs(home)
        self._states_of = states_of
        self._footprints: dict[int, Mapping[str, model.Footprint]] = {}
        self._seen: dict[int, int] = {}
        self._runs: dict[int, _Work] = {}
        self._by_key: Known = {}

    def search(self, conn: sqlite3.Connection, read_plan: ReadPlan) -> WorkSearch:
        """Returns one step's look at everything that is committed now."""

        def read() -> tuple[Known, standing_work.StandingCheck]:
            by_key = self._committed(conn, read_plan)
            numbers = (number for results in by_key.values() for _, number in results)
            footprints = functools.partial(self._footprints_of, conn)
            return by_key, standing_work.StandingCheck(self._states_of, self._workspace, footprints, numbers)

        return WorkSearch(read)

    def _footprints_of(self, conn: sqlite3.Connection, number: int) -> Mapping[str, model.Footprint]:
        if number not in self._footprints:
            self._footprints[number] = standing_work.footprints_of(conn, self._blobs, number)
        return self._footprints[number]

    def _committed(self, conn: sqlite3.Connection, read_plan: ReadPlan) -> Known:
        changes = 0
        runs = conn.execute(_RUNS, self._scope).fetchall()
        if not self._seen.keys() <= {number for number, _, _ in runs}:  # pruned: what they have made is gone
            self._seen, self._runs, self._footprints, changes = {}, {}, {}, 1
        for number, revision, version in runs:
            # A run of the same revision has accepted nothing since, and no review of it has said anything.
            if self._seen.get(number) != revision:
                self._seen[number] = revision
                self._runs[number] = _work_of(conn, number, lambda version=version: read_plan(version))
                changes += 1
        if changes:
            self._by_key = _replayable(self._runs[number] for number in sorted(self._runs))
        return self._by_key


def _replayable(runs: Iterable[_Work]) -> Known:
    """Returns what may be replayed of the work of runs, by key.

    What came first stays, so that a run replays the same whenever it asks; proof beats a claim.
    """
    runs = list(runs)
    objections = {number for run in runs for number in run.objections}
    reviews: dict[int, set[str]] = {}
    for run in runs:
        for number, names in run.open_reviews.items():
            reviews.setdefault(number, set()).update(names)
    by_key: dict[str, list[tuple[transitions.EarlierResult, int]]] = {}
    results = (result for run in runs for result in run.results if result.number not in objections)
    for result in sorted(results, key=lambda result: result.unverified):
        open_reviews = tuple(sorted(reviews.get(result.number, ())))
        earlier = transitions.EarlierResult(result.digest, bool(result.unverified), open_reviews)
        by_key.setdefault(result.key, []).append((earlier, result.number))
    return by_key


def _work_of(conn: sqlite3.Connection, number: int, read_plan: Callable[[], model.Plan]) -> _Work:
    """Returns what a run has finished; its plan is read only where a review may have something against it."""
    results = [_Result(*cells) for cells in conn.execute(_RESULTS, (number,))]
    rows = [table_rows.task_row(cells) for cells in conn.execute(table_rows.SELECT_TASKS, (number,))]
    work = _Work(results, {source for (source,) in conn.execute(_SENT_BACK, (number,))}, {})
    open_ids = {row.id for row in rows if transitions.is_awaited(row)}
    refused_ids = {
        row.id for row in rows if row.cause == transitions.NEEDS_CHANGES or row.cause.startswith(transitions.DISPUTED)
    }
    if not open_ids and not refused_ids:
        return work
    numbers: dict[str, set[int]] = {}
    for task_id, source in conn.execute(_SOURCES, (number,)):
        numbers.setdefault(task_id, set()).add(source)
    for task_id in refused_ids:
        work.objections.update(numbers.get(task_id, ()))
    for review in (task for task in read_plan().tasks if task.reviews and task.id in open_ids):
        for source in (source for subject in review.reviews for source in numbers.get(subject, ())):
            work.open_reviews.setdefault(source, set()).add(review.id)
    return work
