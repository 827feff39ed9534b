"""Handles that a person or a model may type: the beginning of an id, or `latest` for the newest of this workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from dispatch_mcp import errors, model
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.model import records, short_ids, transitions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.store import queries, sqlite_store

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
        """Returns the id of a run, or the handle itself if it begins none.

        Raises:
            UnknownHandle: it begins several, or it is `latest` and there is none in this workspace.
        """
        if handle != LATEST:
            return await self._whole("run", handle)
        for most in (1, LOOKED_AT):  # mostly it is the newest of all, and the tasks of each are counted
            for run in await self.store.runs(self.principal, limit=most):
                if run.workspace == self.workspace:
                    return run.id
        plan = await self._newest_plan()
        raise _nothing("run", self.workspace, NextStep(StepKind.BEGIN_RUN, plan=plan.id if plan else ""))

    async def plan_id(self, handle: str) -> str:
        """Returns the id of a plan as `run_id` does that of a run. Raises UnknownHandle."""
        if handle != LATEST:
            return await self._whole("plan", handle)
        plan = await self._newest_plan()
        if plan is None:
            raise _nothing("plan", self.workspace, NextStep(StepKind.MAKE_PLAN))
        return plan.id

    async def _newest_plan(self) -> model.Plan | None:
        """Returns the newest plan of this workspace, None if it has none."""
        plans = await self.store.plans(self.principal, limit=LOOKED_AT)
        return next((plan for plan in plans if plan.workspace == self.workspace), None)

    async def run(self, handle: str) -> run_view.RunView:
        """Returns the run that a handle means. Raises UnknownHandle."""
        return await council_rounds.load(self.store, await self.run_id(handle), self.principal)

    async def look(self, handle: str) -> run_view.RunView:
        """Returns the run that a handle means, for who only looks and waits for no lock. Raises UnknownHandle."""
        return await council_rounds.look(self.store, await self.run_id(handle), self.principal)

    async def named(self, frame: model.Plan, tasks: Sequence[model.Task]) -> model.Plan:
        """Returns a first version with a title, and its words before the number of its id; later ones as they are."""
        if frame.version > 1:
            return frame
        title = short_ids.first_words(frame.title)
        title = title or frame.model_copy(update={"title": "", "tasks": tuple(tasks)}).heading
        return frame.model_copy(update={"title": title, "id": await self.new_plan_id(title, frame.id)})

    async def new_plan_id(self, title: str, number: str) -> str:
        """Returns an id with that number for a plan of that title; no other one has its short form."""
        whole = self.compose(title, number)
        for variant in short_ids.variants(whole):
            if not await self.store.ids("plan", short_ids.short(variant), self.principal):
                return variant
        return whole

    def compose(self, title: str, number: str) -> str:
        """Returns an id of the words of a title, or of the workspace where it has no plain ones, and a number."""
        return short_ids.compose(title, number, PurePath(self.workspace).name)

    async def _whole(self, kind: queries.Named, handle: str) -> str:
        if not handle or short_ids.is_whole(handle):
            return handle
        ids = await self.store.ids(kind, handle, self.principal)
        if handle in ids or not ids:
            return handle
        if len(ids) > 1:
            names = ", ".join(map(short_ids.short, ids))
            more = ", and others" if len(ids) == queries.MOST_IDS else ""
            raise errors.UnknownHandle(
                f"{handle!r} is the beginning of several {kind}s: {names}{more}.", hint="Give more of the one you mean."
            )
        return ids[0]

    async def objections(self, plan_id: str) -> list[transitions.TaskRow]:
        """Returns the reviews that have not passed in the newest run of a plan that is over, whatever began since.

        So are other tasks whose answer was a verdict that blocks.
        """
        runs = await self.store.runs(self.principal, limit=LOOKED_AT)
        newest_run = next((run for run in runs if run.plan_id == plan_id and run.state in model.RUN_FINAL), None)
        if newest_run is None:
            return []
        plan = await self.store.plan(plan_id, newest_run.plan_version, principal=self.principal)
        reviews = {task.id for task in plan.tasks if task.reviews}
        rows = map(records.row_of, await self.store.tasks(newest_run.id))
        return [
            row
            for row in rows
            if transitions.is_verdict(row)
            or (row.id in reviews and (transitions.stands_against(row) or transitions.is_asked(row)))
        ]


def _nothing(kind: str, workspace: str, step: NextStep) -> errors.UnknownHandle:
    return errors.UnknownHandle(f"There is no {kind} of {workspace!r} yet, so none is the latest.", hint=step)
