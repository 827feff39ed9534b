"""The versions of plans that were read last: a version never changes, and reading a large one takes long."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.store import codec

MOST_PLANS: Final = 32
"""How many versions are kept: more than one server has runs of at a time."""

MOST_CHARS: Final = 8_000_000
"""Characters of their documents, all together; in memory a plan takes some ten times as much."""

Key = tuple[str, int]
"""The id of a plan, as the store has it, and a version."""


class Shelf:
    """Plans by id and version, for the threads that read and the one that writes."""

    def __init__(self, most_plans: int = MOST_PLANS, most_chars: int = MOST_CHARS) -> None:
        self._most_plans = most_plans
        self._most_chars = most_chars
        self._plans: OrderedDict[Key, tuple[model.Plan, int]] = OrderedDict()
        self._chars = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> model.Plan | None:
        """Returns a plan that is kept."""
        with self._lock:
            entry = self._plans.get(key)
            if entry is None:
                return None
            self._plans.move_to_end(key)
            return entry[0]

    def newest(self, plan_id: str) -> model.Plan | None:
        """Returns the newest version of a plan that is kept; the store may have a newer one."""
        with self._lock:
            versions = [plan for (id_, _), (plan, _) in self._plans.items() if id_ == plan_id]
        return max(versions, key=lambda plan: plan.version, default=None)

    def put(self, key: Key, document: str) -> model.Plan:
        """Returns the plan of a document and keeps it, in place of those that were used longest ago."""
        plan = codec.load(model.Plan, document)
        with self._lock:
            if key not in self._plans:
                self._plans[key] = (plan, len(document))
                self._chars += len(document)
            while len(self._plans) > self._most_plans or (self._chars > self._most_chars and len(self._plans) > 1):
                self._chars -= self._plans.popitem(last=False)[1][1]
        return plan
