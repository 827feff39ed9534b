"""The process that reads a workspace for its index, so that the server's own processor time stays the session's.

Started by `index_process` as `python -P -m dispatch_mcp.context.indexing.index_reader STATE WORKSPACE`. Each line on
stdin is a number: the workspace is looked at from then on, and the number is told when that look is over. Every line on
stdout is a JSON object: `files`, `rest` and, of a look that is over, `look`; or `fault`. When stdin ends, so does it,
in the middle of whatever it does: what it has kept stays, and the next one goes on from there.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.context import file_index

if sys.platform != "win32":
    import resource

NICENESS: Final = 10
"""Steps by which everybody else goes first."""
SHARE: Final = Path("/proc/self/autogroup")
"""Where a Linux that shares the processor out by sessions is told the same of this one; niceness counts within it."""
MEMORY_BYTES: Final = 1 << 30
"""Address space that it may have; a workspace at all bounds takes a third of it."""
IDLE_S: Final = 120.0
"""Seconds without a question after which it ends; the next question starts another one."""


def main() -> int:
    """Looks at the workspace as often as it is asked to; returns the exit code."""
    _make_room()
    state_dir, workspace = map(Path, sys.argv[1:3])
    looks = queue.SimpleQueue[int]()
    threading.Thread(target=_listen, args=(looks,), daemon=True).start()
    try:
        with file_index.FileIndex(state_dir, workspace) as index:
            while True:
                _look(index, _newest(looks))
    except queue.Empty:
        return 0
    except (errors.DispatchError, OSError, MemoryError) as trouble:
        _tell(fault=f"{trouble}" or "not enough memory")
        return 1


def _make_room() -> None:
    """Lets everybody else go first, and bounds the memory."""
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with suppress(OSError):
        SHARE.write_text(f"{NICENESS}")
    if sys.platform != "win32":
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _listen(looks: queue.SimpleQueue[int]) -> None:
    """Passes questions on; whoever asked is gone when there are no more, and nothing is left to do."""
    for line in sys.stdin:
        with suppress(ValueError):
            looks.put(int(line))
    os._exit(0)


def _newest(looks: queue.SimpleQueue[int]) -> int:
    """Waits for a question and returns the last one that was asked: one look answers all. Raises Empty."""
    number = looks.get(timeout=IDLE_S)
    with suppress(queue.Empty):
        while True:
            number = looks.get_nowait()
    return number


def _look(index: file_index.FileIndex, number: int) -> None:
    result = index.refresh(tell=lambda progress: _tell(**progress._asdict()))
    _tell(files=result.files, rest=result.rest, look=number)


def _tell(**fields: str | int) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
