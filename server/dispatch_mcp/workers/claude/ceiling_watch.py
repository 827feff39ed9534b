"""Reads along while Claude Code works: what it has spent, and whether it has to stop.

Claude Code looks at its own bill after an answer and knows no ceiling of tokens. So an attempt is stopped from here:
between two turns when another request like the dearest so far would go over, and within an answer once it has gone
over. Either way the last request is all that can lie above the ceiling.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.planning import forecast
from dispatch_mcp.process import supervisor
from dispatch_mcp.workers import answer_room, usage_meter
from dispatch_mcp.workers.claude import stream_rows

LOOK_S: Final = 0.1
LOOK_BYTES: Final = 256 << 10
"""What one look reads at most, so that no look holds up anybody else for long."""


@dataclass(slots=True)
class CeilingWatch:
    """Watches the stream that a process writes to `path`; `tell` hears what it has used whenever that changes.

    Of the stream only `readable` bytes can be read before the process ends. `stopper` is the ceiling at which it was
    stopped, empty for none.
    """

    path: Path
    ceiling: model.TaskLimits
    price: forecast.Price
    tell: Callable[[model.Usage], None]
    readable: int = 1 << 40
    stopper: str = ""
    _reader: stream_rows.StreamReader = field(default_factory=stream_rows.StreamReader)
    _at: int = 0
    _usage: model.Usage = field(default_factory=model.Usage)

    async def over(self, start: Callable[[], Awaitable[supervisor.ChildResult]]) -> supervisor.ChildResult | None:
        """Returns how the process that `start` runs has ended, None if it was stopped at its ceiling.

        Raises:
            WorkerError: it could not be started.
        """
        child: supervisor.ChildResult | None = None
        trouble: errors.WorkerError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_in_time, group.cancel_scope)
            try:
                child = await start()
            except errors.WorkerError as error:
                trouble = error
            group.cancel_scope.cancel()
        if trouble is not None:
            raise trouble
        return child

    async def _stop_in_time(self, scope: anyio.CancelScope) -> None:
        while not self.look():  # noqa: ASYNC110 - it is another process that writes
            await anyio.sleep(LOOK_S)
        scope.cancel()

    def look(self) -> str:
        """Reads on, and returns the ceiling that ends the attempt now, or an empty string."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                data = file.read(LOOK_BYTES)
        except OSError:
            return ""
        if data:
            self._at += len(data)
            self._reader.feed(data)
            self._count()
        elif self._at >= self.readable:
            # Blind from here on, it could go over unseen; its next attempt goes on in the same session.
            self.stopper = next((name for name in ("dollars", "tokens") if getattr(self.ceiling, name) is not None), "")
        return self.stopper

    def _count(self) -> None:
        usage = self._reader.transcript().usage(self.price)
        if usage != self._usage:
            self._usage = usage
            self.tell(usage)
        if not self._reader.result:
            self.stopper = self._met(usage)

    def _met(self, usage: model.Usage) -> str:
        """Returns the ceiling that the attempt has met, or that its next request is bound to go over."""
        ahead = self._next_request() if self._reader.is_between_turns else usage_meter.NOTHING
        whole = usage_meter.total(usage, ahead)
        if self.ceiling.tokens is not None and whole.tokens > self.ceiling.tokens:
            return "tokens"
        is_over = self.ceiling.dollars is not None and (whole.cost_usd or 0.0) > self.ceiling.dollars
        return "dollars" if is_over else ""

    def _next_request(self) -> model.Usage:
        """Returns what the next request costs if it is like the dearest so far, and at least.

        It repeats all that the last one read and wrote, at best from the cache.
        """
        name, last = self._reader.requests[self._reader.current]
        least = model.Usage(cache_read_tokens=last.tokens, output_tokens=answer_room.LEAST_TOKENS)
        requests = [(name, least), *self._reader.requests.values()]
        dollars = max(self.price(name, request) or 0.0 for name, request in requests)
        tokens = max(request.tokens for _, request in requests)
        return model.Usage(input_tokens=tokens, cost_usd=dollars)
