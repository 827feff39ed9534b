"""How past routes went: what was asked, who did it and how it ended, for each principal."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatch_mcp.routing import learning
from dispatch_mcp.store import codec
from dispatch_mcp.store.reader import Reader, Row

_COLUMNS = "text, agent, outcome, weight, run, task, at, no"
_INSERT = "INSERT INTO route (principal, text, agent, outcome, weight, run, task, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_COUNTS = "(outcome <> 'accepted' OR weight >= 1.0)"
"""Earlier versions kept a result that nobody had proved as one that was accepted, with less weight: it says nothing."""

_SELECT = f"""
SELECT {_COLUMNS} FROM (
  SELECT {_COLUMNS} FROM route WHERE principal = ? AND no > ? AND {_COUNTS} ORDER BY no DESC LIMIT ?)
ORDER BY no
"""  # noqa: S608  # constants
_OUTCOMES: Mapping[str, learning.Outcome] = {
    "accepted": "accepted",
    "failed": "failed",
    "corrected": "corrected",
    "rerouted": "rerouted",
}
_OF_RUN = "SELECT task, outcome FROM route WHERE principal = ? AND run = ?"
_FORGET = "DELETE FROM route WHERE principal = ?"
_NEW = f"""
SELECT total.many, total.newest, {_COLUMNS}
FROM (SELECT count(*) AS many, coalesce(max(no), 0) AS newest FROM route WHERE principal = ?1 AND {_COUNTS}) AS total
LEFT JOIN (
  SELECT {_COLUMNS} FROM route WHERE principal = ?1 AND no > ?2 AND {_COUNTS} ORDER BY no DESC LIMIT ?3) ON true
ORDER BY no
"""  # noqa: S608  # constants


class LessonCount(NamedTuple):
    """How many lessons a principal has, and the number of the newest; 0 when there is none."""

    lessons: int
    newest: int


def learn(conn: sqlite3.Connection, principal: str, lessons: Sequence[learning.Lesson]) -> None:
    """Adds lessons; their texts are cut to 1,000 characters. What a run has taught of a task is taught once."""
    clean = codec.clean
    fresh = _fresh(conn, principal, lessons)
    conn.executemany(
        _INSERT,
        [
            (
                clean(principal),
                clean(lesson.text)[: learning.MAX_TEXT],
                clean(lesson.agent),
                lesson.outcome,
                lesson.weight,
                clean(lesson.run_id),
                clean(lesson.task_id),
                lesson.at,
            )
            for lesson in fresh
        ],
    )


def _fresh(conn: sqlite3.Connection, principal: str, lessons: Sequence[learning.Lesson]) -> list[learning.Lesson]:
    """Returns the lessons that are not there yet."""
    runs = {codec.clean(lesson.run_id) for lesson in lessons if lesson.run_id}
    present = {
        (run_id, *rest)
        for run_id in runs
        for rest in conn.execute(_OF_RUN, (codec.clean(principal), run_id)).fetchall()
    }
    fresh: list[learning.Lesson] = []
    for lesson in lessons:
        key = (codec.clean(lesson.run_id), codec.clean(lesson.task_id), lesson.outcome)
        if key not in present:
            fresh.append(lesson)
        if lesson.run_id:
            present.add(key)
    return fresh


def forget(conn: sqlite3.Connection, principal: str) -> int:
    """Deletes all lessons of a principal and returns how many there were."""
    return conn.execute(_FORGET, (codec.clean(principal),)).rowcount


async def learned(reader: Reader, principal: str, limit: int, after: int) -> list[learning.Lesson]:
    """Returns the newest lessons behind number `after`, the newest last."""
    rows = await reader.rows(_SELECT, (codec.clean(principal), after, limit))
    return list(map(_lesson, rows))


def _lesson(row: Row) -> learning.Lesson:
    text, agent, outcome, weight, run_id, task_id, at, number = row
    return learning.Lesson(
        text=str(text),
        agent=str(agent),
        outcome=_OUTCOMES[str(outcome)],
        weight=float(weight or 0),
        run_id=str(run_id),
        task_id=str(task_id),
        at=float(at or 0),
        no=int(number or 0),
    )


async def new_lessons(
    reader: Reader, principal: str, limit: int, after: int
) -> tuple[LessonCount, list[learning.Lesson]]:
    """Returns the count of all lessons, and the newest `limit` of them behind number `after`, the newest last."""
    rows = await reader.rows(_NEW, (codec.clean(principal), after, limit))
    many, newest = rows[0][:2]
    return LessonCount(int(many or 0), int(newest or 0)), [_lesson(row[2:]) for row in rows if row[-1] is not None]
