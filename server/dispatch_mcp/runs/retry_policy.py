"""When another attempt of a task may begin: delays that grow, and holds of rate limits.

Delays are spread by a digest of run, task and attempt instead of by chance: two runs that failed together do not come
back together, and the same history still gives the same times, so that a run restored from its rows decides alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dispatch_mcp.model import transitions
from dispatch_mcp.model.transitions import TaskRow

_DOUBLINGS = 30
"""Above this many, a doubled delay is beyond every ceiling; without it 2.0 ** n overflows at n = 1,024."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how late work is tried again; times in seconds.

    A rate limit that does not say for how long holds for `hold_base_s`, doubling up to `hold_cap_s`; one that does is
    obeyed up to `longest_hold_s`. A task that met `max_crashes` is not begun again: its owner died while it ran, or an
    exception of ours ended its attempt. Hosts that were lost are counted apart, up to `max_host_losses`.
    """

    # Chosen, not fitted. A second lets a flaky command's cause pass; a minute is as long as a person waits before
    # looking; providers reset their limits per minute, so 15 s and its doublings meet one within two tries; some ask
    # for hours (a day's quota), and 6 h is the longest that a run may sleep before its owner should be told.
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 60.0
    hold_base_s: float = 15.0
    hold_cap_s: float = 900.0
    longest_hold_s: float = 6 * 3600.0
    # Locks are freed and disks are tidied up by programs within seconds, and three tries are all there are.
    fault_base_s: float = 2.0
    # Once may be the machine and twice an accident; work that takes its server with it three times does so each time.
    max_crashes: int = 3
    # A fleet loses hosts for its own reasons, preempted ones above all, and every one of them with all that it does.
    max_host_losses: int = 10

    def backoff_s(self, run_id: str, row: TaskRow) -> float:
        """Returns a delay in seconds that doubles with each failure, cut to 50-100 %."""
        return self._delay_s(run_id, row, self.backoff_base_s, row.failures)

    def is_given_up(self, row: TaskRow, cause: str) -> bool:
        """Returns whether a task has met too many of what `cause` counts as, a lost host or a crash."""
        if cause == transitions.HOST_LOST:
            return row.host_losses >= self.max_host_losses
        return row.crashes >= self.max_crashes

    def fault_s(self, run_id: str, row: TaskRow, cause: str) -> float:
        """Returns the same for each crash or lost host: what is short of something has that long to recover."""
        times = row.host_losses if cause == transitions.HOST_LOST else row.crashes
        return self._delay_s(run_id, row, self.fault_base_s, times)

    def _delay_s(self, run_id: str, row: TaskRow, base_s: float, times: int) -> float:
        doublings = min(times - 1, _DOUBLINGS)
        return min(self.backoff_cap_s, base_s * 2.0**doublings) * (0.5 + _spread(run_id, row) / 2)

    def hold_s(self, run_id: str, row: TaskRow, requested_s: float | None) -> float:
        """Returns the seconds that a rate limit holds: what it asked for within bounds, else a delay that doubles.

        It is up to 10 % longer, so that not everybody comes back at once, and never shorter than what was asked for:
        whoever comes back too early is often punished with a longer limit.
        """
        if requested_s is None:
            # What is neither a failure nor a crash, nor was judged by a review, and had an agent and a host, has met a
            # rate limit: so many times.
            other_ends = row.failures + row.crashes + row.host_losses + row.rounds + row.false_starts
            limits_met = max(1, row.attempt - other_ends)
            requested_s = min(self.hold_cap_s, self.hold_base_s * 2.0 ** min(limits_met - 1, _DOUBLINGS))
        return min(max(requested_s, self.backoff_base_s), self.longest_hold_s) * (1 + _spread(run_id, row) / 10)


def _spread(run_id: str, row: TaskRow) -> float:
    """Returns a number from 0 up to 1 that belongs to the attempt."""
    seed = hashlib.sha256(f"{run_id}/{row.id}/{row.attempt}".encode("utf-8", "surrogatepass")).digest()
    return seed[0] / 256
