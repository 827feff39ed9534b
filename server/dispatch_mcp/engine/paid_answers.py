"""What models have answered, kept before anything is done with it: nobody pays again for what fails after it.

Between an answer and its acceptance lies work of ours: receipts, git, archives. When that fails or the server dies in
it, the next attempt takes the answer from here and goes on with ours, without asking anybody.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.engine import briefing, store_waits
from dispatch_mcp.model import AttemptState, ports, transitions, work_order
from dispatch_mcp.text import json_types

log = logging.getLogger(__name__)

_BOOKED = "booked"
"""Whether an attempt has reported what the answer cost."""

_COUNTS_ONCE = (briefing.FACTS, ports.SPENT)
"""What an earlier attempt has left and nobody leaves again: what it was given to read, and what it used."""


def is_paid(work: work_order.WorkOrder, outcome: model.Outcome) -> bool:
    """Returns whether an outcome is the answer of a model."""
    return outcome.state is AttemptState.SUCCEEDED and work.worker in transitions.MODEL_WORKERS


@dataclass(frozen=True, slots=True)
class PaidAnswers:
    """The answers that a process has: as blobs, or in memory as long as these cannot be written."""

    blobs: ports.Blobs
    _unkept: dict[str, bytes] = field(default_factory=dict[str, bytes])

    async def keep(self, work: work_order.WorkOrder, outcome: model.Outcome) -> dict[str, model.Json]:
        """Stores an answer and returns the detail of a beat that names it.

        One that cannot be stored is kept in memory, and the log says so: it is lost with this process alone.
        """
        data = outcome.model_dump_json(exclude_defaults=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        waiter = f"the answer to {work.run_id}/{work.task.id}"
        write = functools.partial(self.blobs.put, data)
        try:
            await store_waits.served(lambda: anyio.to_thread.run_sync(write), waiter)
        except errors.StoreError as trouble:
            log.warning("%s is kept in memory only: %s", waiter, trouble)
            self._unkept[digest] = data
        return {"outcome": digest, "attempt": work.attempt, "key": work.key, "directory": _place(work), _BOOKED: False}

    async def read(self, detail: Mapping[str, model.Json]) -> model.Outcome | None:
        """Returns the answer that a detail names, as it has still to be paid for; None when it is nowhere any more."""
        digest = str(detail.get("outcome"))
        try:
            data = self._unkept.get(digest) or await anyio.to_thread.run_sync(self.blobs.get, digest)
            outcome = model.Outcome.model_validate_json(data)
        except (errors.UnknownHandle, errors.StoreDamaged, ValueError):
            return None
        if detail.get(_BOOKED) is not True:
            return outcome
        cost = None if outcome.usage.cost_usd is None else 0.0
        return outcome.model_copy(update={"usage": model.Usage(cost_usd=cost)})

    def forget(self, detail: Mapping[str, model.Json]) -> None:
        """Drops an answer that nobody needs any more from memory."""
        self._unkept.pop(str(detail.get("outcome")), None)


def booked(detail: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the detail of an answer whose cost an attempt has reported."""
    return {**detail, _BOOKED: True}


def legacy(work: work_order.WorkOrder) -> dict[str, model.Json]:
    """Returns what earlier attempts have left that the next one after this one needs too, if this one leaves no word.

    How the place was before is not among it, unless the attempt goes on from an answer: it may work in another one.
    """
    return {name: value for name, value in work.last_beat.items() if name not in (*_COUNTS_ONCE, ports.LOOK)}


def look(work: work_order.WorkOrder) -> dict[str, model.Json]:
    """Returns how the place was before an earlier attempt, as that has left it."""
    return {name: value for name, value in work.last_beat.items() if name == ports.LOOK}


def detail_of(work: work_order.WorkOrder) -> Mapping[str, model.Json] | None:
    """Returns what an earlier attempt has left of an answer to just this order, in this place; None without one.

    What reviews have sent back was accepted, and was not enough.
    """
    detail = work.last_beat.get(ports.ANSWER)
    if not json_types.is_object(detail) or not work.key or detail.get("key") != work.key:
        return None
    attempt = detail.get("attempt")
    is_late = isinstance(attempt, int) and work.sent_back < attempt < work.attempt
    return detail if is_late and detail.get("directory") == _place(work) else None


def _place(work: work_order.WorkOrder) -> str:
    """Returns the folder that holds what the answer speaks of: nothing, if the answer is all there is."""
    return work.cwd if work.isolation == "own" else ""
