"""Which ready task begins next: the most urgent of a worker that has room, behind delays and rate limits."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.model.transitions import TaskRow

Urgency = tuple[float, int]
"""Minus the remaining path in minutes, then the rank of the priority: the smallest is the most urgent."""


class ReadyQueue:
    """The ready tasks of a run by position in its plan; `rows` stay the caller's and say what is true.

    Entries are never searched for and removed when a task is skipped, cancelled or edited away, for that costs more
    than it saves: an entry whose task is no longer ready is dropped when it comes to the front. So every method looks
    at the row before it believes the queue.
    """

    def __init__(self, rows: Sequence[TaskRow], urgencies: Sequence[Urgency]) -> None:
        self._rows = rows
        self._urgencies = urgencies
        self._heaps: dict[WorkerKind, list[tuple[Urgency, int]]] = {kind: [] for kind in WorkerKind}
        self._delayed: list[tuple[float, int]] = []
        self._throttled_until: dict[WorkerKind, float] = {}
        for position, row in enumerate(rows):
            if row.state is TaskState.READY:
                self.add(position)
                # A restored run has only its rows to know that a provider still holds it back.
                if row.cause == transitions.RATE_LIMIT:
                    self.throttle(row.worker, row.ready_at)

    def add(self, position: int) -> None:
        """Queues a ready task: at once, or behind its delay."""
        row = self._rows[position]
        if row.ready_at > 0.0:
            heapq.heappush(self._delayed, (row.ready_at, position))
        else:
            heapq.heappush(self._heaps[row.worker], (self._urgencies[position], position))

    def wake(self, now: float) -> None:
        """Queues the tasks whose delay is over."""
        while self._delayed and self._delayed[0][0] <= now:
            _, position = heapq.heappop(self._delayed)
            row = self._rows[position]
            # A task may have been reopened meanwhile and wait for a later time: then it stands here twice.
            if row.state is TaskState.READY and row.ready_at <= now:
                row.ready_at = 0.0
                self.add(position)

    def wakes_at(self) -> float | None:
        """Returns when the earliest delay is over, or None."""
        return self._delayed[0][0] if self._delayed else None

    def throttle(self, kind: WorkerKind, until: float) -> None:
        """Lets a worker begin nothing before `until`; an earlier time never shortens a later one."""
        self._throttled_until[kind] = max(until, self._throttled_until.get(kind, 0.0))

    def unthrottled(self, kinds: frozenset[WorkerKind], now: float) -> frozenset[WorkerKind]:
        """Returns the workers that no rate limit holds back now."""
        return kinds - {kind for kind, until in self._throttled_until.items() if until > now}

    def take(self, kinds: frozenset[WorkerKind], has_room: Callable[[WorkerKind], bool]) -> int | None:
        """Removes and returns the most urgent ready task of a worker that has room, or None."""
        heaps = [heap for kind in kinds if (heap := self._heaps[kind]) and has_room(kind) and self._drop_stale(heap)]
        if not heaps:
            return None
        _, position = heapq.heappop(min(heaps) if len(heaps) > 1 else heaps[0])
        return position

    def heads(self) -> Iterator[int]:
        """Yields the most urgent task of each worker that has any, without removing it."""
        for heap in self._heaps.values():
            if self._drop_stale(heap):
                yield heap[0][1]

    def _drop_stale(self, heap: list[tuple[Urgency, int]]) -> bool:
        """Drops what is no longer ready from the front; returns whether a ready task stands there now."""
        while heap and not self._may_begin(heap[0][1]):
            heapq.heappop(heap)
        return bool(heap)

    def _may_begin(self, position: int) -> bool:
        """Returns whether a task is ready and behind no delay: one that is stands among the delayed as well."""
        row = self._rows[position]
        return row.state is TaskState.READY and row.ready_at <= 0.0
