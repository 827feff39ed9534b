"""Runs that mean something for later ones: a review has blocked work there, or a person has not let it go on."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dispatch_mcp.store import codec
from dispatch_mcp.store.reader import Reader

_OBJECTED = """
SELECT id FROM run WHERE principal = ?1 AND dry_run = 0 AND state <> 'succeeded'
  AND workspace IN (SELECT value FROM json_each(?2)) AND EXISTS (
  SELECT 1 FROM task WHERE task.run = run.no AND task.state NOT IN ('succeeded', 'unverified')
    AND (task.rounds > 0 OR task.cause IN ('needs_changes', 'inconclusive')))
ORDER BY no DESC LIMIT 50
"""
# Runs with a decision that a person has refused or still has to make, and later ones in which somebody was asked too.
_GATED = """
WITH own AS (
  SELECT no, id, state, finished_at FROM run
  WHERE principal = ?1 AND dry_run = 0 AND workspace IN (SELECT value FROM json_each(?2)))
SELECT id FROM own WHERE no >= (
    SELECT min(no) FROM own WHERE state <> 'succeeded' AND EXISTS (
      SELECT 1 FROM task WHERE task.run = own.no AND task.worker = 'human' AND (
        task.cause IN ('rejected', 'unanswered')
        OR (own.finished_at IS NULL AND task.state IN ('blocked', 'ready', 'running')))))
  AND EXISTS (SELECT 1 FROM task WHERE task.run = own.no AND task.worker = 'human')
ORDER BY no DESC LIMIT 200
"""
_LEFT = "SELECT DISTINCT workspace FROM run WHERE principal = ? AND dry_run = 0 AND state <> 'succeeded'"


async def objected_workspaces(reader: Reader, principal: str) -> list[str]:
    """Returns the workspaces of runs that have not ended well."""
    return [str(row[0]) for row in await reader.rows(_LEFT, (codec.clean(principal),))]


async def objected_runs(reader: Reader, principal: str, workspaces: Iterable[str]) -> list[str]:
    """Returns the newest runs in some workspaces in which a review has blocked work, latest first."""
    keys = codec.clean(principal), json.dumps([codec.clean(workspace) for workspace in workspaces])
    return [str(row[0]) for row in await reader.rows(_OBJECTED, keys)]


async def gated_runs(reader: Reader, principal: str, workspaces: Iterable[str]) -> list[str]:
    """Returns the newest runs in some workspaces that ask a person, from the first on that was not let go on."""
    keys = codec.clean(principal), json.dumps([codec.clean(workspace) for workspace in workspaces])
    return [str(row[0]) for row in await reader.rows(_GATED, keys)]
