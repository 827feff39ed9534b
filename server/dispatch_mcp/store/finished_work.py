"""Work that other runs of the same plan have finished, so that it is replayed instead of repeated.

A run never replays itself: who lists the same work twice wants it twice. Unverified work stays unverified when it is
replayed, and simulated work is replayed only by simulations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from dispatch_mcp.model import transitions
from dispatch_mcp.store import table_rows

_RUNS = "SELECT no, revision FROM run WHERE plan_id = ? AND principal = ? AND dry_run = ? AND no <> ?"
_RESULTS = """
SELECT key, digest, result.unverified, result.task FROM task JOIN result ON result.task = task.no
WHERE task.run = ? ORDER BY result.unverified, task.no
"""

Results = dict[str, tuple[transitions.Known, int]]
"""Accepted work and the numbers of the tasks that made it, by work key."""


class Search:
    """One step's look into the history; `sources` has the tasks that made what it returned, by key."""

    def __init__(self, results: Mapping[str, tuple[transitions.Known, int]]) -> None:
        self._results = results
        self.sources: dict[str, int] = {}

    def find(self, key: str) -> transitions.Known | None:
        """Returns finished work, or None."""
        result = self._results.get(key)
        if result is None:
            return None
        work, self.sources[key] = result
        return work


class History:
    """What the other runs of a run's plan have finished. Kept in memory: an index by key would cost every write."""

    def __init__(self, row: table_rows.RunRow) -> None:
        self._scope = (row.plan_id, row.principal, row.dry_run, row.no)
        self._revisions: dict[int, int] = {}
        self._results: Results = {}

    def search(self, conn: sqlite3.Connection) -> Search:
        """Returns a search that knows everything that is committed now."""
        for number, revision in conn.execute(_RUNS, self._scope).fetchall():
            # A run whose revision is the same has accepted nothing since; results are never changed or removed.
            if self._revisions.get(number) != revision:
                self._revisions[number] = revision
                self._take_in(conn, number)
        return Search(self._results)

    def _take_in(self, conn: sqlite3.Connection, run_no: int) -> None:
        for key, digest, unverified, task in conn.execute(_RESULTS, (run_no,)):
            earlier = self._results.get(key)
            # The first one stays, so that a run replays the same whenever it asks; only proof is better than a claim.
            if earlier is None or earlier[0].unverified > unverified:
                self._results[key] = (transitions.Known(digest, bool(unverified)), task)
