"""Looks that many want at the same time: they share one, which began after all of them had asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")


@dataclass(slots=True)
class _Group(Generic[T]):
    """Those who asked for the same before the look began that answers them."""

    outcome: list[T] = field(default_factory=list[T])


@dataclass(slots=True)
class SharedLooks(Generic[T]):
    """Shares looks at things by name. Who asks while a look is under way waits for the next, which may be shared too.

    Only callers of one event loop share it. A look that fails or is cancelled is made again by whoever waits next.
    """

    _groups: dict[str, _Group[T]] = field(default_factory=dict[str, _Group[T]])
    _turns: dict[str, tuple[anyio.Lock, int]] = field(default_factory=dict[str, tuple[anyio.Lock, int]])

    async def get(self, name: str, look: Callable[[], Awaitable[T]]) -> T:
        """Returns what a look at the thing of this name shows that begins from now on."""
        group = self._groups.setdefault(name, _Group())
        lock, waiters = self._turns.get(name) or (anyio.Lock(), 0)
        self._turns[name] = lock, waiters + 1
        try:
            async with lock:
                if not group.outcome:
                    await anyio.lowlevel.checkpoint()  # those who ask in the same moment shall share it
                    if self._groups.get(name) is group:
                        del self._groups[name]  # who comes from now on may not be answered by this look
                    group.outcome.append(await look())
                return group.outcome[0]
        finally:
            self._leave(name, group)

    def _leave(self, name: str, group: _Group[T]) -> None:
        lock, waiters = self._turns[name]
        if waiters > 1:
            self._turns[name] = lock, waiters - 1
            return
        del self._turns[name]
        if self._groups.get(name) is group:
            del self._groups[name]
