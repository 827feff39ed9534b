"""Handles that a person or a model may type: an id, or `latest` for the newest one of this workspace."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch_mcp import errors
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.store import sqlite_store

LATEST = "latest"
LOOKED_AT = 100
"""Runs or plans, newest first, among which the latest of a workspace is looked for."""


@dataclass(frozen=True, slots=True)
class Handles:
    """What the handles of one principal mean; `workspace` is an absolute path."""

    store: sqlite_store.Store
    principal: str
    workspace: str

    async def run_id(self, handle: str) -> str:
        """Returns the id of a run. Raises UnknownHandle when `latest` finds none in this workspace."""
        if handle != LATEST:
            return handle
        for run in await self.store.runs(self.principal, limit=LOOKED_AT):
            if run.workspace == self.workspace:
                return run.id
        raise _nothing("run", self.workspace)

    async def plan_id(self, handle: str) -> str:
        """Returns the id of a plan. Raises UnknownHandle when `latest` finds none in this workspace."""
        if handle != LATEST:
            return handle
        for plan in await self.store.plans(self.principal, limit=LOOKED_AT):
            if plan.workspace == self.workspace:
                return plan.id
        raise _nothing("plan", self.workspace)

    async def run(self, handle: str) -> run_view.RunView:
        """Returns the run that a handle means. Raises UnknownHandle."""
        return await council_rounds.load(self.store, await self.run_id(handle), self.principal)

    async def look(self, handle: str) -> run_view.RunView:
        """Returns the run that a handle means, for who only looks and waits for no lock. Raises UnknownHandle."""
        return await council_rounds.look(self.store, await self.run_id(handle), self.principal)


def _nothing(kind: str, workspace: str) -> errors.UnknownHandle:
    return errors.UnknownHandle(
        f"There is no {kind} of {workspace!r} yet, so none is the latest.", hint=NextStep(StepKind.MAKE_PLAN)
    )
