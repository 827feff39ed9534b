"""What a run would bring into the checkout that it was planned for, and bringing it there. Takes over no run."""

from __future__ import annotations

import os

from dispatch_mcp import configuration
from dispatch_mcp.git import branch_apply
from dispatch_mcp.model import merge_offer, records
from dispatch_mcp.process import child_environment
from dispatch_mcp.service import checkouts, handles, route_memory
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import redaction


async def offer(settings: configuration.Settings, run_id: str, expect: str = "") -> merge_offer.Offer:
    """Returns what a run would bring into the checkout it was planned for; with `expect`, brings it there.

    Raises:
        DispatchError: there is nothing to apply, or it was refused; nothing was touched.
    """
    async with sqlite_store.open_store(settings.home, begins=False) as store:
        own = handles.Handles(store, records.LOCAL, str(settings.workspace))
        record = await store.run(await own.run_id(run_id), principal=records.LOCAL)
        applier = branch_apply.BranchApply(checkouts.git(settings))
        if expect:
            result = await applier.apply(record.workspace, record.id, expect)
            await _memory(settings, store).learn_from_applying(record.id)
        else:
            result = await applier.look(record.workspace, record.id)
    return result.model_copy(update={"run_state": record.state.value})


def _memory(settings: configuration.Settings, store: sqlite_store.Store) -> route_memory.Memory:
    redactor = redaction.Redactor(child_environment.secret_values(os.environ))
    return route_memory.Memory(store, records.LOCAL, on=settings.learn, redact=redactor.redact)
