"""How long to wait before another attempt, spread by a digest instead of chance."""

from __future__ import annotations

import hashlib

from dispatch_mcp.model import transitions


def backoff_s(policy: transitions.Policy, run_id: str, row: transitions.TaskRow) -> float:
    """Returns a delay in seconds that doubles with each failure, cut to 50-100 %."""
    full = min(policy.backoff_cap_s, policy.backoff_base_s * 2.0 ** (row.failures - 1))
    return full * (0.5 + _chance(run_id, row) / 2)


def hold_s(policy: transitions.Policy, run_id: str, row: transitions.TaskRow, asked: float | None) -> float:
    """Returns the seconds that a rate limit holds: what it asked for within bounds, else a delay that doubles.

    It is up to 10 % longer, so that not everybody comes back at once.
    """
    met = max(1, row.attempt - row.failures - row.crashes)
    if asked is None:
        asked = min(policy.hold_cap_s, policy.hold_base_s * 2.0 ** min(met - 1, 30))
    return min(max(asked, policy.backoff_base_s), policy.longest_hold_s) * (1 + _chance(run_id, row) / 10)


def _chance(run_id: str, row: transitions.TaskRow) -> float:
    """Returns a number from 0 to 1 that belongs to the attempt."""
    seed = hashlib.sha256(f"{run_id}/{row.id}/{row.attempt}".encode("utf-8", "surrogatepass")).digest()
    return seed[0] / 256
