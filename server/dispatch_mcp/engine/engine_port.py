"""What an engine is: everything the dispatcher may ask of whatever drives runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from dispatch_mcp import model
from dispatch_mcp.model import records


class Engine(Protocol):
    """Drives runs that the store holds. Every engine passes tests/engine/conformance.py."""

    async def start(self, run_id: str) -> None:
        """Begins or continues to drive a run; calling it again changes nothing."""
        ...

    async def signal(self, run_id: str, action: records.Action) -> records.Advance:
        """Applies a steering action and returns where the run stands."""
        ...

    async def status(self, run_id: str) -> records.RunRecord:
        """Returns the run. Raises UnknownHandle."""
        ...

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[model.Event]:
        """Yields the run's events after `after`, and new ones as they come, until the run is over."""
        ...
