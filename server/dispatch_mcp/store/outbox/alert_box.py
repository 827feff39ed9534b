"""Alerts as they are read: which one is to be told next, and what became of telling it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import short_ids
from dispatch_mcp.store import codec
from dispatch_mcp.store.outbox import alert_reasons
from dispatch_mcp.store.reader import Reader, Row
from dispatch_mcp.store.writer import Writer
from dispatch_mcp.text import short_forms

USEFUL_S: Final = 86_400.0
"""Seconds for which an alert is worth telling; after that it is left out."""

_SEEN = "SELECT last, tries, next_at, trouble FROM alert_target WHERE digest = ?"
_NEXT = """
SELECT alert.no, alert.run, alert.kind, alert.at, alert.body, coalesce(run.title, '')
FROM alert_target JOIN alert ON alert.no > alert_target.last LEFT JOIN run ON run.id = alert.run
WHERE alert_target.digest = ?1 AND alert_target.next_at <= ?2 AND alert.at >= ?3
  AND alert.kind IN (SELECT value FROM json_each(?4))
ORDER BY alert.no LIMIT 1
"""
_COUNT = """
SELECT count(*) FROM alert_target JOIN alert ON alert.no > alert_target.last
WHERE alert_target.digest = ?1 AND alert.at >= ?2 AND alert.kind IN (SELECT value FROM json_each(?3))
"""
_BEGIN = """
INSERT INTO alert_target (digest, last) VALUES (?, coalesce((SELECT max(no) FROM alert), 0))
ON CONFLICT (digest) DO NOTHING
"""
_DONE = "UPDATE alert_target SET last = ?2, tries = 0, next_at = 0.0, trouble = ?3 WHERE digest = ?1 AND last < ?2"
_FAILED = "UPDATE alert_target SET tries = ?2, next_at = ?3, trouble = ?4 WHERE digest = ?1"
_LATE = f"""
SELECT id FROM run WHERE finished_at IS NULL AND state <> 'paused' AND json_extract(limits, '$.minutes') IS NOT NULL
  AND (?1 - created_at) / 60.0 >= ?2 * json_extract(limits, '$.minutes')
  AND NOT EXISTS (SELECT 1 FROM event WHERE event.run = run.no AND event.kind = '{alert_reasons.NEAR}'
    AND json_extract(event.data, '$.limit') = 'minutes'
    AND json_extract(event.data, '$.ceiling') = json_extract(limits, '$.minutes'))
LIMIT 20
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person is to be told.

    `body` is what every way of telling may say; `run` and `title` hold words of a request and stay on this machine.
    `at` is in seconds since the epoch. The `id` is the same however often it is told.
    """

    no: int
    run: str
    kind: str
    at: float
    body: Mapping[str, model.Json]
    title: str = ""

    @property
    def number(self) -> str:
        """The digits of the run's id, without its words."""
        whole = short_forms.WHOLE.fullmatch(self.run)
        return whole["number"] if whole else self.run

    @property
    def id(self) -> str:
        """Its name for whoever is told, who may be told twice."""
        return f"{self.number}-{self.no}"

    @property
    def handle(self) -> str:
        """The run as a person names it."""
        return short_ids.short(self.run)


@dataclass(frozen=True, slots=True)
class TargetStanding:
    """How far one way of telling has come: tries of the next alert, when it is tried again, what went wrong last."""

    last: int
    tries: int
    next_at: float
    trouble: str


class AlertBox:
    """The alerts of a store, as one way of telling them sees them; each way is known by a digest."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, target: str) -> None:
        """Lets a way of telling begin with what comes from now on, if it is new here."""
        if await self.standing(target) is None:
            await self._writer.run(lambda conn: conn.execute(_BEGIN, (target,)).rowcount)

    async def standing(self, target: str) -> TargetStanding | None:
        """Returns how far a way of telling has come, or None for one that is new."""
        rows = await self._reader.rows(_SEEN, (target,))
        return _standing(rows[0]) if rows else None

    async def due(self, target: str, kinds: Collection[str], now: float) -> Alert | None:
        """Returns the alert that is to be told next, if it is time to."""
        rows = await self._reader.rows(_NEXT, (target, now, now - USEFUL_S, json.dumps(sorted(kinds))))
        return _alert(rows[0]) if rows else None

    async def waiting(self, target: str, kinds: Collection[str], now: float) -> int:
        """Returns how many alerts have not been told yet."""
        rows = await self._reader.rows(_COUNT, (target, now - USEFUL_S, json.dumps(sorted(kinds))))
        return int(rows[0][0] or 0)

    async def settle(self, target: str, alert: Alert, trouble: str = "") -> None:
        """Notes that an alert was told, or with a `trouble` that it never will be."""
        text = codec.clean(trouble)
        await self._writer.run(lambda conn: conn.execute(_DONE, (target, alert.no, text)).rowcount)

    async def postpone(self, target: str, tries: int, next_at: float, trouble: str) -> None:
        """Notes that telling has failed, and when it is tried again."""
        text = codec.clean(trouble)
        await self._writer.run(lambda conn: conn.execute(_FAILED, (target, tries, next_at, text)).rowcount)

    async def late_runs(self, share: float, now: float) -> list[str]:
        """Returns open runs that have used a share of their minutes, which nobody has said yet."""
        return [str(run_id) for (run_id,) in await self._reader.rows(_LATE, (now, share))]


def _standing(row: Row) -> TargetStanding:
    last, tries, next_at, trouble = row
    return TargetStanding(int(last or 0), int(tries or 0), float(next_at or 0), str(trouble))


def _alert(row: Row) -> Alert:
    no, run, kind, at, body, title = row
    return Alert(int(no or 0), str(run), str(kind), float(at or 0), codec.load_map(str(body)), str(title))
