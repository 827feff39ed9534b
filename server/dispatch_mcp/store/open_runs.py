"""A look at the open runs of a folder with the standard library alone, for programs that must start fast.

It reads the store as it lies there and changes nothing, not even the files that SQLite keeps beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

FILE: Final = "state.db"
"""The store's database in its state directory."""

WAIT_S: Final = 0.2
"""Seconds that a look waits for SQLite; a store that answers later counts as one without open runs."""

_SELECT: Final = """
SELECT run.id, run.workspace, run.limits, run.paused, run.state,
  (SELECT coalesce(nullif(json_extract(document, '$.title'), ''), json_extract(document, '$.request'))
   FROM plan WHERE plan.id = run.plan_id AND version = run.plan_version),
  count(task.no),
  coalesce(sum(task.state IN ('succeeded', 'unverified', 'skipped')), 0),
  coalesce(sum(task.state = 'running'), 0),
  coalesce(sum(task.state = 'running' AND task.worker = 'human'), 0),
  (SELECT total(cost_usd) FROM attempt JOIN task AS work ON work.no = attempt.task WHERE work.run = run.no),
  run.created_at
FROM run JOIN task ON task.run = run.no WHERE run.finished_at IS NULL GROUP BY run.no ORDER BY run.no DESC
"""
_SELECT_PLACES: Final = "SELECT workspace FROM run WHERE finished_at IS NULL"


class OpenRun(NamedTuple):
    """A run that is not over: `ends` of its `tasks` are done, and as many decisions wait for `people`.

    `dollars` are spent, `limits` are its ceilings as JSON.
    """

    id: str
    workspace: str
    limits: str
    is_paused: int
    state: str
    title: str | None
    tasks: int
    ends: int
    running: int
    people: int
    dollars: float
    created_at: float


def places(*paths: str | None) -> frozenset[str]:
    """Returns the folders that these paths name, each as it is written and as it is on the disk."""
    names = [path for path in paths if path and "\0" not in path]
    return frozenset(form(name) for name in names for form in (os.path.normpath, os.path.realpath))


def is_within(workspace: str, folders: Collection[str]) -> bool:
    """Returns whether one of these folders is a run's workspace, or lies in it."""
    return any(folder == workspace or folder.startswith(workspace.rstrip(os.sep) + os.sep) for folder in folders)


def is_there(home: str) -> bool:
    """Returns whether a state directory has a store."""
    return os.path.isfile(os.path.join(home, FILE))


def has_any(home: str, folders: Collection[str]) -> bool:
    """Returns whether any run of these folders is open."""
    return any(is_within(workspace, folders) for (workspace,) in _rows(home, _SELECT_PLACES))


def of(home: str, folders: Collection[str]) -> list[OpenRun]:
    """Returns the open runs of these folders, the newest first; none if the store cannot be read."""
    return [run for row in _rows(home, _SELECT) if is_within((run := OpenRun(*row)).workspace, folders)]


def _rows(home: str, statement: str) -> Sequence[tuple[Any, ...]]:
    if not is_there(home):
        return ()
    import sqlite3

    file = os.path.join(home, FILE)

    # Without a log beside it nobody has the file open, and all of it is in the one file: SQLite then needs no others.
    mode = "mode=ro" if os.path.exists(f"{file}-wal") else "immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{_quoted(file)}?{mode}", uri=True, timeout=WAIT_S)) as conn:
            return conn.execute(statement).fetchall()
    except (sqlite3.Error, OSError):
        return ()


def _quoted(path: str) -> str:
    """Returns a path as SQLite reads it in a URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
