"""What working side by side has brought: efficiency, failures, and the time saved against one after the other.

Defined in docs/reference/figures.md. They are measured, never estimated: time in which people decide, and attempts that
have not ended, count for nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records
from dispatch_mcp.store.attempts import attempt_rows


class RunFigures(NamedTuple):
    """Seconds and shares of one run; a share of which nothing can be said is None.

    `work_s` is the time of all attempts together, `busy_s` the time in which at least one was at work, `most` how many
    were at once. `efficiency` is the share of `busy_s` times `most` that was work.
    """

    work_s: float
    busy_s: float
    most: int
    efficiency: float | None
    failure_rate: float | None

    @property
    def saved_s(self) -> float:
        """Seconds that the same attempts would have taken longer one after the other."""
        return self.work_s - self.busy_s

    def shown(self) -> dict[str, float]:
        """Returns the figures by name, rounded, without those of which nothing can be said."""
        shares = {"parallel_efficiency": self.efficiency, "failure_rate": self.failure_rate}
        seconds = {"work_s": self.work_s, "busy_s": self.busy_s, "saved_s": self.saved_s}
        if not self.most:
            return {}
        return {
            **{name: round(value, 3) for name, value in seconds.items()},
            "most_at_once": self.most,
            **{name: round(share, 3) for name, share in shares.items() if share is not None},
        }


def spans(attempts: Iterable[records.AttemptRecord]) -> list[attempt_rows.Span]:
    """Returns when those attempts began and ended that are over and that no person made."""
    return [
        (attempt.started_at, attempt.ended_at)
        for attempt in attempts
        if attempt.ended_at is not None and attempt.worker is not WorkerKind.HUMAN
    ]


def figures(tasks: Iterable[TaskState], spans: Iterable[attempt_rows.Span]) -> RunFigures:
    """Returns the figures of a run, of the states of its tasks and of the spans of its attempts in any order."""
    spans = sorted([(start, max(start, end)) for start, end in spans])
    work_s = sum(end - start for start, end in spans)
    busy_s, most = _busy(spans)
    states = list(tasks)
    failures = states.count(TaskState.FAILED)
    ends = failures + sum(state in model.TASK_DONE for state in states)
    efficiency = min(1.0, work_s / (busy_s * most)) if busy_s > 0 else None
    return RunFigures(work_s, busy_s, most, efficiency, failures / ends if ends else None)


def _busy(spans: Sequence[tuple[float, float]]) -> tuple[float, int]:
    """Returns for how long any of these spans, sorted, lasted, and how many did at once."""
    busy_s, until, most = 0.0, float("-inf"), 0
    ends: list[float] = []
    for start, end in spans:
        while ends and ends[0] <= start:
            heapq.heappop(ends)
        heapq.heappush(ends, end)
        most = max(most, len(ends))
        busy_s += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy_s, most
