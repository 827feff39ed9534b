"""Named places at which a test may kill the process or make it fail.

`DISPATCH_MCP_FAILPOINT=name:kill`, `name:raise` or `name:kill:N` for the N-th time the place is reached.
"""

from __future__ import annotations

import errno
import os
import signal

NAMES = (
    "before_migrate",
    "after_migrate",
    "before_begin",
    "after_begin",
    "before_apply",
    "after_apply",
    "before_commit",
    "after_commit",
    "before_answer",
    "after_answer",
    "before_checkpoint",
    "after_checkpoint",
    "before_blob",
    "after_blob",
)

_name, _, _rest = os.environ.get("DISPATCH_MCP_FAILPOINT", "").partition(":")
_action, _, _nth = _rest.partition(":")
_left = [int(_nth) if _nth.isdigit() else 1]


def hit(name: str) -> None:
    """Does nothing, unless this process was started with a failpoint of this name.

    Raises:
        OSError: the failpoint's action is `raise`.
    """
    if name != _name:
        return
    _left[0] -= 1
    if _left[0] != 0:
        return
    if _action == "kill":
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    raise OSError(errno.EIO, f"failpoint {name}")
