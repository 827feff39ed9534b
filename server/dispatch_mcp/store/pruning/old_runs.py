"""Whole runs that can go: which ones, and their removal, which is recorded in the same transaction.

Rows are numbered upwards, and processes keep numbers in memory, so the runs that hold the highest ones stay. So do the
runs of a plan that has an open one, and those that share results with a run that stays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

Connection = sqlite3.Connection
"""What a look at a store is given."""

NEWEST: Final = "the newest one of all always stays"
OPEN_PLAN: Final = "another run of its plan is open"
TAKEN_OVER: Final = "another run that stays shares results with it"

LONG_ENOUGH: Final = 20_000
"""Rows after which a transaction ends, so that others who want to write wait a fraction of a second."""

_OLD = """
SELECT no, id, plan_id, workspace, principal, title, state, max(finished_at, updated_at),
  no IN (SELECT max(no) FROM run)
    OR no IN (SELECT run FROM task WHERE no = (SELECT max(no) FROM task))
    OR no IN (SELECT task.run FROM result JOIN task ON task.no = result.task
      WHERE result.no = (SELECT max(no) FROM result))
    OR no IN (SELECT run FROM message WHERE id = (SELECT max(id) FROM message)),
  EXISTS (SELECT 1 FROM run AS sibling WHERE sibling.plan_id = run.plan_id AND sibling.finished_at IS NULL)
FROM run WHERE finished_at IS NOT NULL AND max(finished_at, updated_at) < ?
"""
_OF_PLAN = f"{_OLD} AND plan_id = ? ORDER BY no"  # a constant
_OF_ALL = f"{_OLD} ORDER BY no"  # a constant
_TAKEN = """
SELECT DISTINCT taker.run, maker.run FROM replay
JOIN task AS taker ON taker.no = replay.task
JOIN result ON result.no = replay.source
JOIN task AS maker ON maker.no = result.task
WHERE taker.run <> maker.run
"""
_RUNS_OF_PLAN = "(SELECT no FROM run WHERE plan_id = ?1)"
_TAKEN_OF_PLAN = f"{_TAKEN} AND taker.run IN {_RUNS_OF_PLAN} UNION {_TAKEN} AND maker.run IN {_RUNS_OF_PLAN}"
_RECORD = """
INSERT INTO pruned_run (id, principal, title, state, workspace, tasks, events, created_at, finished_at, pruned_at)
SELECT id, principal, title, state, workspace, (SELECT count(*) FROM task WHERE task.run = run.no), events, created_at,
  finished_at, ? FROM run WHERE no = ?
"""
_DELETE = (
    "DELETE FROM alert WHERE run = (SELECT id FROM run WHERE no = ?)",
    "DELETE FROM message WHERE run = ?",
    "DELETE FROM event WHERE run = ?",
    "DELETE FROM common_look WHERE run = ?",
    "DELETE FROM attempt WHERE task IN (SELECT no FROM task WHERE run = ?)",
    "DELETE FROM result WHERE task IN (SELECT no FROM task WHERE run = ?)",
    "DELETE FROM task WHERE run = ?",
    "DELETE FROM run WHERE no = ?",
)
_DELETE_REPLAYS = "DELETE FROM replay WHERE task IN (SELECT no FROM task WHERE run = ?)"
_UNUSED_PLANS = """
SELECT id FROM plan GROUP BY id
HAVING max(created_at) < ? AND NOT EXISTS (SELECT 1 FROM run WHERE run.plan_id = plan.id)
"""
_DELETE_PLAN = """
DELETE FROM plan WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM run WHERE run.plan_id = ?1)
  AND NOT EXISTS (SELECT 1 FROM plan AS newer WHERE newer.id = ?1 AND newer.created_at >= ?2)
"""


class OldRun(NamedTuple):
    """A run that has been over for long; `why` says why it stays, and is empty for one that can go."""

    no: int
    id: str
    plan_id: str
    workspace: str
    principal: str
    title: str
    state: str
    ended_at: float
    why: str = ""


def old_runs(conn: sqlite3.Connection, before: float, keep: Collection[str] = ()) -> list[OldRun]:
    """Returns the runs that were over before a time, in seconds since the epoch; those of `keep` stay."""
    return _judged(conn.execute(_OF_ALL, (before,)), keep, conn.execute(_TAKEN))


def _judged(
    cells: Iterable[tuple[object, ...]], keep: Collection[str], pairs: Iterable[tuple[int, int]]
) -> list[OldRun]:
    """Returns old runs with the reasons why they stay; `pairs` are runs that share results, by number."""
    runs: list[OldRun] = []
    for *columns, is_newest, has_open_sibling in cells:
        why = NEWEST if is_newest else OPEN_PLAN if has_open_sibling else ""
        runs.append(OldRun._make([*columns, why]))
    leaving = {run.no for run in runs if not run.why and run.id not in keep}
    sharers = bound_to_stay(pairs, leaving)
    return [run._replace(why=TAKEN_OVER) if run.no in sharers else run for run in runs if run.id not in keep]


def bound_to_stay(pairs: Iterable[tuple[int, int]], leaving: set[int]) -> set[int]:
    """Returns which of the runs that would leave share results with runs that stay.

    A result is needed by who has taken it over; whoever has taken it over may hold what a review has against it.
    """
    neighbours: dict[int, set[int]] = {}
    for taker, maker in pairs:
        neighbours.setdefault(taker, set()).add(maker)
        neighbours.setdefault(maker, set()).add(taker)
    waiting, stays = [run for run in neighbours if run not in leaving], set[int]()
    while waiting:
        more = (neighbours[waiting.pop()] & leaving) - stays
        stays |= more
        waiting += more
    return stays


def prune_plan(
    conn: sqlite3.Connection, plan_id: str, before: float, keep: Collection[str], now: float
) -> list[OldRun]:
    """Removes the old runs of a plan that can go and returns them; the plan goes with its last run."""
    rows = _judged(conn.execute(_OF_PLAN, (before, plan_id)), keep, conn.execute(_TAKEN_OF_PLAN, (plan_id,)))
    runs = [run for run in rows if not run.why]
    for run in runs:
        conn.execute(_RECORD, (now, run.no))
        conn.execute(_DELETE_REPLAYS, (run.no,))
    for run in runs:
        for statement in _DELETE:
            conn.execute(statement, (run.no,))
    conn.execute(_DELETE_PLAN, (plan_id, before))
    return runs


def emptied_plans(conn: sqlite3.Connection, runs: Sequence[OldRun], before: float) -> list[str]:
    """Returns the plans that would go with these runs."""
    numbers = {run.plan_id: 0 for run in runs}
    for run in runs:
        numbers[run.plan_id] += 1
    return [plan_id for plan_id, number in numbers.items() if _rest(conn, plan_id, before) == (number, 0)]


def _rest(conn: sqlite3.Connection, plan_id: str, before: float) -> tuple[int, int]:
    """Returns how many runs a plan has, and how many versions that are not old."""
    [(runs, versions)] = conn.execute(
        "SELECT (SELECT count(*) FROM run WHERE plan_id = ?1), "
        "(SELECT count(*) FROM plan WHERE id = ?1 AND created_at >= ?2)",
        (plan_id, before),
    )
    return runs, versions


def unused_plans(conn: sqlite3.Connection, before: float) -> list[str]:
    """Returns plans that no run has, and whose newest version is older than a time."""
    return [str(row[0]) for row in conn.execute(_UNUSED_PLANS, (before,))]


def prune_plans(
    conn: sqlite3.Connection, plan_ids: Sequence[str], before: float, keep: Collection[str], now: float
) -> tuple[int, list[OldRun]]:
    """Prunes plans one after the other until a transaction is long enough; returns how many, and the runs that went."""
    runs: list[OldRun] = []
    changes = conn.total_changes
    for number, plan_id in enumerate(plan_ids, 1):
        runs += prune_plan(conn, plan_id, before, keep, now)
        if conn.total_changes - changes >= LONG_ENOUGH:
            return number, runs
    return len(plan_ids), runs


def oldest_begin(conn: sqlite3.Connection, keep: Collection[str]) -> float:
    """Returns when the oldest run began that is open or among `keep`; infinity when there is none."""
    rows = conn.execute("SELECT id, created_at, finished_at IS NULL FROM run")
    return min((begin_at for run, begin_at, is_open in rows if is_open or run in keep), default=float("inf"))


class Choice(NamedTuple):
    """Of the old runs those that go, with the plans that do, and of each that stays why, by id."""

    going: list[OldRun]
    plans: list[str]
    why: Mapping[str, str]


def choice(conn: sqlite3.Connection, before: float, keep: Mapping[str, str]) -> Choice:
    """Returns what was over before a time and can go; `keep` says why runs stay that the store would let go."""
    runs = old_runs(conn, before, keep.keys())
    going = [run for run in runs if not run.why]
    plans = [*emptied_plans(conn, going, before), *unused_plans(conn, before)]
    return Choice(going, plans, {**{run.id: run.why for run in runs if run.why}, **keep})


def run_ids(conn: sqlite3.Connection) -> set[str]:
    """Returns the ids of all runs."""
    return {str(row[0]) for row in conn.execute("SELECT id FROM run")}


def pruned_ids(conn: sqlite3.Connection) -> set[str]:
    """Returns the ids of all runs that were ever removed."""
    return {str(row[0]) for row in conn.execute("SELECT id FROM pruned_run")}
