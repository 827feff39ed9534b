"""Handles that a person or a model may type: an id, or `latest` for the newest one of this workspace."""

from __future__ import annotations

from dispatch_mcp import errors
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.store import sqlite_store

LATEST = "latest"
LOOKED_AT = 100


async def run_id(store: sqlite_store.Store, given: str, principal: str, workspace: str) -> str:
    """Returns the id of a run. Raises UnknownHandle when `latest` finds none in this workspace."""
    if given != LATEST:
        return given
    for run in await store.runs(principal, limit=LOOKED_AT):
        if run.workspace == workspace:
            return run.id
    raise _nothing("run", workspace)


async def plan_id(store: sqlite_store.Store, given: str, principal: str, workspace: str) -> str:
    """Returns the id of a plan. Raises UnknownHandle when `latest` finds none in this workspace."""
    if given != LATEST:
        return given
    for plan in await store.plans(principal, limit=LOOKED_AT):
        if plan.workspace == workspace:
            return plan.id
    raise _nothing("plan", workspace)


def _nothing(what: str, workspace: str) -> errors.UnknownHandle:
    return errors.UnknownHandle(
        f"There is no {what} of {workspace!r} yet, so none is the latest.", hint=NextStep(StepKind.MAKE_PLAN)
    )
