"""Work that changed files on which a review had blocked a change: it is in no dispute once a review has passed them.

Its run has ended `needs_changes`, and nothing in it can be done again, as its work was accepted. So it ends well as
soon as the files are free: when a round of the council passes them, or when somebody goes on with the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.engine.earlier_runs import blocked_work
from dispatch_mcp.model import records, transitions
from dispatch_mcp.process import file_identity
from dispatch_mcp.store import sqlite_store

_MOST_RUNS: Final = 100
"""The newest runs that are looked at when a round has passed something."""


async def free_around(store: sqlite_store.Store, principal: str, workspace: str) -> None:
    """Ends well the runs in and around a workspace whose work changed blocked files that are free now."""
    runs = await store.runs(principal, limit=_MOST_RUNS)
    kin = await blocked_work.around(workspace, {run.workspace for run in runs})
    for run in runs:
        if run.state is model.RunState.NEEDS_CHANGES and run.workspace in kin:
            await free(store, run)


async def free(store: sqlite_store.Store, run: records.RunRecord) -> bool:
    """Returns whether some work of a run is in no dispute any more, after saying so in the run."""
    task_ids = [task.id for task in await store.tasks(run.id) if task.cause.startswith(transitions.DISPUTED)]
    outcomes = await store.outcomes(run.id, task_ids) if task_ids else {}
    actions: list[records.Action] = []
    for task_id, outcome in outcomes.items():
        looks = [receipt for receipt in outcome.receipts if receipt.kind == "touched" and not receipt.checked]
        places = await _places(run.workspace, [path for receipt in looks for path in receipt.suspects])
        if places and await blocked_work.block_of(store, run.principal, run.workspace, places) is None:
            actions.append(records.Action("free", task_id))
    if actions:
        await store.advance(run.id, records.Step(now=store.now(), actions=actions))
    return bool(actions)


async def _places(workspace: str, paths: list[str]) -> list[str]:
    return await anyio.to_thread.run_sync(lambda: [file_identity.common_place(Path(workspace), path) for path in paths])
