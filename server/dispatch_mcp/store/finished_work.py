"""Work that other runs of the same plan have finished, so that it is replayed instead of repeated.

A run never replays itself: who lists the same work twice wants it twice. Unverified work stays unverified when it is
replayed, and simulated work is replayed only by simulations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from dispatch_mcp.model import transitions
from dispatch_mcp.store import table_rows

_RUNS = "SELECT no, revision FROM run WHERE plan_id = ? AND principal = ? AND dry_run = ? AND no <> ?"
_RESULTS = """
SELECT key, digest, result.unverified, result.no
FROM task JOIN result ON result.task = task.no AND result.digest = task.result
WHERE task.run = ? ORDER BY result.unverified, task.no
"""

Known = dict[str, tuple[transitions.EarlierResult, int]]
"""Accepted work and the numbers of its results, by work key."""


class Search:
    """One step's look into the history; `found` has the numbers of the results that it returned, by key.

    The history is read when the first task is about to begin: most steps begin none.
    """

    def __init__(self, read: Callable[[], Known]) -> None:
        self._read = read
        self._known: Known | None = None
        self.found: dict[str, int] = {}

    def find(self, key: str) -> transitions.EarlierResult | None:
        """Returns finished work, or None."""
        if self._known is None:
            self._known = self._read()
        match = self._known.get(key)
        if match is None:
            return None
        self.found[key] = match[1]
        return match[0]


class History:
    """What the other runs of a run's plan have finished. Kept in memory: an index by key would cost every write."""

    def __init__(self, row: table_rows.RunRow) -> None:
        self._scope = (row.plan_id, row.principal, row.dry_run, row.no)
        self._seen: dict[int, int] = {}
        self._known: Known = {}

    def known(self, conn: sqlite3.Connection) -> Known:
        """Returns everything that is committed now."""
        for number, revision in conn.execute(_RUNS, self._scope).fetchall():
            # A run of the same revision has accepted nothing since. What a review sends back later stays known here:
            # whoever takes it over has it reviewed anew.
            if self._seen.get(number) != revision:
                self._seen[number] = revision
                for key, digest, unverified, result in conn.execute(_RESULTS, (number,)):
                    there = self._known.get(key)
                    # Whatever came first stays, so that a run replays the same whenever it asks; proof beats a claim.
                    if there is None or there[0].unverified > unverified:
                        self._known[key] = (transitions.EarlierResult(digest, bool(unverified)), result)
        return self._known
