"""The attempts of a run: one by one, and what they come to, added up where they lie."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import bounds, ports, records, transitions
from dispatch_mcp.store import codec, table_rows
from dispatch_mcp.store.reader import Reader

_COLUMNS: Final = f"""
task.id, attempt.attempt, attempt.state, attempt.worker, started_at, ended_at, lease_until,
  {table_rows.USAGE_COLUMNS}, error, error_kind, beat
"""
_OF_RUN: Final = """
FROM run JOIN task ON task.run = run.no JOIN attempt ON attempt.task = task.no WHERE run.id = ?1
"""
_ATTEMPTS: Final = f"SELECT {_COLUMNS} {_OF_RUN} ORDER BY started_at, task.no, attempt.attempt"
_ATTEMPTS_OF: Final = f"""
SELECT {_COLUMNS} FROM json_each(?2) AS wanted
JOIN task ON task.run = (SELECT no FROM run WHERE id = ?1) AND task.id = wanted.value
JOIN attempt ON attempt.task = task.no ORDER BY started_at, task.no, attempt.attempt
"""  # noqa: S608  # constants
_USAGE: Final = """
  CAST(total(input_tokens) AS INTEGER), CAST(total(output_tokens) AS INTEGER),
  CAST(total(cache_read_tokens) AS INTEGER), CAST(total(cache_write_tokens) AS INTEGER),
  CASE WHEN sum(cost_usd IS NULL AND input_tokens + output_tokens + cache_read_tokens + cache_write_tokens > 0) > 0
    THEN NULL ELSE sum(cost_usd) END,
  total(seconds)
"""
_COUNTING: Final = f"CAST(total(error_kind <> '{transitions.NO_AGENT}') AS INTEGER)"
_USAGE_AND_COUNT: Final = f"SELECT {_USAGE}, {_COUNTING} {_OF_RUN}"
_NAMED_FILES: Final = "json_extract(nullif(beat, ''), '$.context.named_files')"
_BEYOND: Final = " OR ".join([f"{name} NOT BETWEEN 0 AND {most}" for name, most in bounds.USAGE.items()])
_SUMS: Final = f"""
SELECT {_USAGE}, {_COUNTING},
  CAST(total(iif({_NAMED_FILES} > 0, json_extract(beat, '$.context.tokens'), 0)) AS INTEGER),
  CAST(total({_NAMED_FILES}) AS INTEGER),
  coalesce(max(beat LIKE '%"{ports.LOSS}"%' OR beat LIKE '%"{ports.WRITTEN_OVER}"%' OR {_BEYOND}), 0)
{_OF_RUN}
"""
# What was stored before there were bounds counts as the bound.
_TOKENS: Final = " + ".join(
    [f"coalesce(min(max({name}, 0), {bounds.USAGE[name]}), 0)" for name in bounds.USAGE if name.endswith("tokens")]
)
_COSTS: Final = f"""
SELECT task.id, count(*), sum({_TOKENS}) AS tokens,
  sum(min(max(cost_usd, 0.0), {bounds.USAGE["cost_usd"]})) AS dollars,
  sum(max(0.0, coalesce(ended_at, ?2) - started_at)) AS seconds
{_OF_RUN} AND cause <> 'removed' GROUP BY task.id
ORDER BY coalesce(dollars, 0.0) DESC, tokens DESC, seconds DESC, position LIMIT ?3 OFFSET ?4
"""
_SPANS: Final = f"""
SELECT started_at, ended_at {_OF_RUN} AND ended_at IS NOT NULL AND attempt.worker <> 'human'
"""


class AttemptSums(NamedTuple):
    """What the attempts of a run come to: what they used, and how many of them count against a ceiling.

    `pack_tokens` is the tokens of the packs of tasks that named files, `named_files` those of these files, each whole.
    `has_notes` is whether single attempts may have to be told of: figures that nobody can have used, or a loss.
    """

    usage: model.Usage
    counting: int
    pack_tokens: int
    named_files: int
    has_notes: bool


class TaskCost(NamedTuple):
    """What the attempts of a task have used; no dollars where no price is known."""

    task_id: str
    attempts: int
    tokens: int
    dollars: float | None
    seconds: float


Span = tuple[float, float]
"""When an attempt began and ended, in seconds since the epoch."""


async def attempts(reader: Reader, run_id: str, task_ids: Iterable[str] | None = None) -> list[records.AttemptRecord]:
    """Returns attempts in the order they began, those of some tasks or all."""
    cells = (codec.clean(run_id),)
    if task_ids is None:
        return await reader.read(_ATTEMPTS, cells, lambda rows: [_attempt(run_id, row) for row in rows])
    cells = (*cells, json.dumps([*map(codec.clean, task_ids)]))
    return await reader.read(_ATTEMPTS_OF, cells, lambda rows: [_attempt(run_id, row) for row in rows])


def _attempt(run_id: str, row: tuple[model.Json, ...]) -> records.AttemptRecord:
    task_id, number, state, worker, started_at, ended_at, lease_until, *figures, error, error_kind, beat = row
    return records.AttemptRecord(
        run_id,
        task_id,
        number,
        table_rows.ATTEMPT_STATES[state],
        table_rows.KINDS[worker],
        started_at,
        ended_at,
        lease_until,
        table_rows.usage_of(figures),
        table_rows.figures_beyond(figures),
        error,
        error_kind,
        codec.load_map(beat),
    )


async def usage_and_count(reader: Reader, run_id: str) -> tuple[model.Usage, int]:
    """Returns what the attempts of a run used, and how many of them count against a ceiling."""
    *figures, counting = (await reader.rows(_USAGE_AND_COUNT, (codec.clean(run_id),)))[0]
    return table_rows.usage_of(figures), _whole(counting)


async def sums(reader: Reader, run_id: str) -> AttemptSums:
    """Returns what the attempts of a run come to."""
    *figures, counting, pack_tokens, named_files, has_notes = (await reader.rows(_SUMS, (codec.clean(run_id),)))[0]
    usage = table_rows.usage_of(figures)
    return AttemptSums(usage, _whole(counting), _whole(pack_tokens), _whole(named_files), bool(has_notes))


def _whole(cell: model.Json) -> int:
    return int(cell)


async def costs(reader: Reader, run_id: str, now: float, limit: int, skip: int) -> list[TaskCost]:
    """Returns what tasks have used until now, the dearest first, behind those that are skipped."""
    rows = await reader.rows(_COSTS, (codec.clean(run_id), now, limit, skip))
    return [_cost(row) for row in rows]


def _cost(row: tuple[model.Json, ...]) -> TaskCost:
    task_id, attempts, tokens, dollars, seconds = row
    return TaskCost(task_id, attempts, tokens, None if dollars is None else round(dollars, 6), round(seconds, 3))


async def spans(reader: Reader, run_id: str) -> list[Span]:
    """Returns when attempts began and ended, in any order: those that are over and that no person made."""
    return _spans(await reader.rows(_SPANS, (codec.clean(run_id),)))


def _spans(rows: Sequence[tuple[model.Json, ...]]) -> list[Span]:
    return [(start, end) for start, end in rows]
