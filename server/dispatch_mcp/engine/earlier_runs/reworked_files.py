"""What a command makes of files that finished work has left: who formats them goes on from there and undoes nothing.

A command is done anew in every run, so nobody recognises its work by files; but the work before it is recognised by
what has become of it. A command that puts a file back to what it was before that work does undo it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.engine import claim_evidence
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import file_states, json_types

MOST_FILES: Final = 256
"""Files of earlier work that are looked at around one command."""


async def before(
    store: sqlite_store.Store, states_of: ports.StatesOf, work: work_order.WorkOrder
) -> Mapping[str, model.Json]:
    """Returns how the files are that the run's finished work has left, as details of a command's beat."""
    if work.worker is not WorkerKind.COMMAND or work.base:
        return {}
    earlier = work.last_beat.get(ports.REWORKED)
    if earlier:
        return {ports.REWORKED: earlier}
    paths = sorted(await store.origins(work.run_id))[:MOST_FILES]
    if not paths:
        return {}
    return {ports.REWORKED: dict(await anyio.to_thread.run_sync(states_of, work.workspace, paths))}


async def with_footprints(
    store: sqlite_store.Store, states_of: ports.StatesOf, claim: claim_evidence.Claim, outcome: model.Outcome
) -> model.Outcome:
    """Returns an accepted command with what it has made of such files, but for those that it has put back."""
    states = claim.before.get(ports.REWORKED)
    if outcome.state is not AttemptState.SUCCEEDED or not json_types.is_object(states):
        return outcome
    now = await anyio.to_thread.run_sync(states_of, claim.work.workspace, [*states])
    steps = {
        path: model.Footprint(str(states[path]), state)
        for path, state in now.items()
        if file_states.differ(str(states[path]), state)
    }
    if not steps:
        return outcome
    origins = await store.origins(claim.work.run_id)
    own = {
        path: step
        for path, step in steps.items()
        if not any(file_states.same(origin, step.after) for origin in origins.get(path, ()))
    }
    return outcome.model_copy(update={"footprints": {**own, **outcome.footprints}})
