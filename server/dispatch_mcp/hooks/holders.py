"""Which session of the host has begun an attempt, and whether that session still lives.

Only the standard library is imported: hooks look at holders before anything else is loaded.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from dispatch_mcp.text import json_types


class Session(NamedTuple):
    """A session of the host; `pid` is its process, 0 if unknown."""

    id: str
    pid: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether its process lives; yes where that cannot be told."""
        if self.pid <= 0 or os.name != "posix":
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):  # of another user, or no number of a process: nobody can tell
            return True
        return True

    def is_same(self, other: Session) -> bool:
        """Whether both are of one process: a conversation that is cleared has another id, and its subagents go on."""
        return self.id == other.id or 0 < self.pid == other.pid

    def holds(self, call_id: str) -> dict[str, json_types.Json]:
        """Returns what is kept of it with an attempt that it has begun with one of its calls."""
        return {"id": self.id, "pid": self.pid, "call": call_id}


class Holder(NamedTuple):
    """Which session has begun an attempt, with which of its calls."""

    session: Session
    call_id: str
