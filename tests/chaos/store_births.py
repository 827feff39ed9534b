"""R9: many processes open a store that does not exist yet, and some of them die while they make it."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes

from dispatch_mcp.store import owner_locks, sqlite, sqlite_store

HELD_S = 1.2 * sqlite_store.BIRTH_S
"""Seconds that somebody keeps the write lock of a store that comes late: whoever opens it goes on without one."""


def birth(processes: int, rng: random.Random, *, late: bool) -> dict[str, Any]:
    """Returns what became of a store that many processes made at once.

    Whoever opens a store that comes late goes on before it is there, and may die of making it afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, logs = Path(folder) / "home", Path(folder) / "logs"
        waiting, go = os.pipe()

        def member(failpoint: str) -> int:
            async def serve() -> None:
                log = chaos_processes.Log(logs)
                os.close(go)
                os.read(waiting, 1)
                log.say("opening")
                async with sqlite_store.open_store(home):
                    log.say("opened")

            return chaos_processes.fork(serve, failpoint)

        doomed = ["before_migrate:kill", "after_migrate:kill"][: rng.randint(0, 2)]
        members = [member(failpoint) for failpoint in [*doomed, *[""] * (processes - len(doomed))]]
        with _held(home) if late else contextlib.nullcontext():
            os.close(go)
            time.sleep(HELD_S if late else 0.0)
        statuses = [chaos_processes.reap(child) for child in members]
        os.close(waiting)
        chaos_processes.finish(home, logs, 10)
        found = chaos_processes.verdict(home, logs)
        killed, refused = statuses.count(-9), sum(status not in (0, -9) for status in statuses)
        opened = sum(line[0] == "opened" for line in chaos_processes.lines(logs))
        assert processes - killed - refused <= opened <= processes - refused
        return {**found, "killed": killed, "refused": refused}


@contextlib.contextmanager
def _held(home: Path) -> Generator[None]:
    """Holds the write lock of a store that is not there yet."""
    sqlite.prepare_home(home)
    with contextlib.closing(owner_locks.Mutex(home / owner_locks.LOCK)) as mutex, mutex:
        yield


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=8)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    found = [birth(asked.processes, rng, late=number % 5 == 1) for number in range(asked.rounds)]
    words = ("killed", "refused", "lost", "unexpected", "duplicated", "unfinished")
    total: dict[str, Any] = {word: sum(one[word] for one in found) for word in words}
    total["faults"] = [fault for one in found for fault in one["faults"]]
    return chaos_processes.conclude({"seed": asked.seed, **total}, as_json=asked.json) or bool(total["refused"])


if __name__ == "__main__":
    sys.exit(main())
