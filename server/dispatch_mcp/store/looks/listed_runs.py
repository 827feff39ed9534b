"""The list of runs as a look at the store: what `dispatch-mcp status` shows, without anything that could change it.

The statements are those of the reads that a server makes; here they need no more than SQLite.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.store import owner_locks, sqlite
from dispatch_mcp.store.looks import open_runs

PAGE: Final = 50
MOST_OWNERLESS: Final = 1_000
"""Runs without an owner of which a list of runs says so, the oldest first."""

SERVER_KINDS: Final = ("api", "claude", "command", "scripted")
"""The workers of the server, as rows name them."""

FINAL: Final = frozenset({"succeeded", "unverified", "failed", "skipped", "cancelled"})
"""The states of tasks that are over, as rows name them."""

COUNTS: Final = (
    "(SELECT json_group_object(state, n) FROM "
    "(SELECT state, count(*) AS n FROM task WHERE task.run = run.no AND cause <> 'removed' GROUP BY state))"
)
OPEN_WORK: Final = """
SELECT run.id, task.worker, task.state, count(*) FROM json_each(?) AS wanted
JOIN run ON run.id = wanted.value JOIN task ON task.run = run.no
WHERE task.state IN ('ready', 'running') AND cause <> 'removed' GROUP BY run.id, task.worker, task.state
"""
ADOPTABLE: Final = """
SELECT id, owner FROM run
WHERE finished_at IS NULL AND server_driven AND (
  EXISTS (SELECT 1 FROM task WHERE task.run = run.no AND task.state IN ('ready', 'running')
    AND task.worker NOT IN ('host', 'human'))
  OR NOT EXISTS (SELECT 1 FROM task WHERE task.run = run.no AND task.state IN ('blocked', 'ready', 'running')))
AND NOT EXISTS (SELECT 1 FROM task WHERE task.run = run.no AND task.state IN ('blocked', 'ready', 'running')
  AND task.worker NOT IN ('host', 'human') AND task.worker NOT IN (SELECT value FROM json_each(?)))
ORDER BY no
"""
CONTEXT: Final = """
SELECT CAST(total(json_extract(beat, '$.context.tokens')) AS INTEGER),
  CAST(total(json_extract(beat, '$.context.named_files')) AS INTEGER)
FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no
WHERE principal = ? AND beat LIKE '%"context"%' AND json_extract(beat, '$.context.named_files') > 0
"""
_RUNS: Final = f"""
SELECT id, title, state, workspace, created_at, paused, {COUNTS} FROM run
WHERE principal = '{open_runs.PRINCIPAL}' AND (? OR finished_at IS NULL) ORDER BY no DESC LIMIT {PAGE}
"""  # noqa: S608  # constants
_MOST_NAMES: Final = 100
_NAMES: Final = f"""
SELECT id FROM run WHERE principal = '{open_runs.PRINCIPAL}' ORDER BY no DESC LIMIT {_MOST_NAMES}
"""  # noqa: S608  # constants
_PLAN_NAMES: Final = f"""
SELECT id FROM plan WHERE principal = '{open_runs.PRINCIPAL}' GROUP BY id ORDER BY max(rowid) DESC LIMIT {_MOST_NAMES}
"""  # noqa: S608  # constants
_TASK_NAMES: Final = """
SELECT task.id FROM task JOIN run ON task.run = run.no WHERE run.id = ? AND cause <> 'removed' ORDER BY position
"""

Work = tuple[tuple[tuple[str, str], int], ...]
"""How many tasks are ready or at work, by who does them and by state."""


class ListedRun(NamedTuple):
    """A run in the list: `ends` of its `tasks` are over; `work` is what is open, nobody moves one that is ownerless."""

    id: str
    title: str
    state: str
    workspace: str
    created_at: float
    ends: int
    tasks: int
    work: Work
    is_ownerless: bool


class RunList(NamedTuple):
    """The runs, the id of the newest of all, and what packs and the files that tasks named came to.

    `newest` may be over, and so not among the runs; it is empty where there is none.
    """

    runs: tuple[ListedRun, ...]
    newest: str
    tokens: int
    whole: int


def read(conn: sqlite3.Connection, home: Path, *, every: bool) -> RunList | None:
    """Returns the open runs, with `every` all of them; None for a store of another schema than ours."""
    if sqlite.version(conn) != sqlite.newest():
        return None
    rows = conn.execute(_RUNS, (every,)).fetchall()
    ownerless = _ownerless(conn, home)
    work: dict[str, Work] = {}
    for run, worker, state, count in conn.execute(OPEN_WORK, (json.dumps([row[0] for row in rows]),)):
        work[run] = (*work.get(run, ()), ((worker, state), count))
    runs: list[ListedRun] = []
    for run, title, state, workspace, created_at, is_paused, text in rows:
        counts: dict[str, int] = json.loads(text)
        ends = sum(count for name, count in counts.items() if name in FINAL)
        is_alone = run in ownerless and not is_paused
        tasks = sum(counts.values())
        runs.append(ListedRun(run, title, state, workspace, created_at, ends, tasks, work.get(run, ()), is_alone))
    tokens, whole = conn.execute(CONTEXT, (open_runs.PRINCIPAL,)).fetchone()
    newest = conn.execute(_NAMES).fetchone()
    return RunList(tuple(runs), newest[0] if newest else "", tokens, whole)


def _ownerless(conn: sqlite3.Connection, home: Path) -> frozenset[str]:
    """Returns the runs with work for the server that nobody alive drives."""
    rows = conn.execute(ADOPTABLE, (json.dumps(SERVER_KINDS),)).fetchall()
    alive = {owner for owner in {owner for _, owner in rows} if owner and owner_locks.is_alive(home, owner)}
    return frozenset([run for run, owner in rows if owner not in alive][:MOST_OWNERLESS])


def names(conn: sqlite3.Connection) -> list[str]:
    """Returns the ids of the newest runs, the newest first."""
    return [run for (run,) in conn.execute(_NAMES)]


def plan_names(conn: sqlite3.Connection) -> list[str]:
    """Returns the ids of the newest plans, the newest first."""
    return [plan for (plan,) in conn.execute(_PLAN_NAMES)]


def task_names(conn: sqlite3.Connection, words: Sequence[str]) -> list[str]:
    """Returns the tasks of the run that one of these words begins; of the newest where none does."""
    newest = names(conn)
    matches = [run for word in words for run in newest if run.startswith(word)]
    return [task for run in (matches or newest)[:1] for (task,) in conn.execute(_TASK_NAMES, (run,))]


def saving(tokens: int, whole: int) -> dict[str, float]:
    """Returns what packs saved against sending the files that their tasks name, whole; nothing if they name none.

    Where they bring more than those files, nothing was saved: then it says how many tokens more.
    """
    if not whole:
        return {}
    comparison = {"saved": round(1 - tokens / whole, 3)} if tokens <= whole else {"tokens_more": tokens - whole}
    return {"sent": tokens, "named_files": whole, **comparison}
