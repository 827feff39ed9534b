"""R9: many processes open a store that does not exist yet, and some of them die while they make it."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes

from dispatch_mcp.store import sqlite_store


def birth(processes: int, rng: random.Random) -> dict[str, Any]:
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
        os.close(go)
        statuses = [chaos_processes.reap(child) for child in members]
        os.close(waiting)
        chaos_processes.finish(home, logs, 10)
        found = chaos_processes.verdict(home, logs)
        opened = sum(line[0] == "opened" for line in chaos_processes.lines(logs))
        return {**found, "killed": statuses.count(-9), "refused": processes - statuses.count(-9) - opened}


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=8)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    found = [birth(asked.processes, rng) for _ in range(asked.rounds)]
    words = ("killed", "refused", "lost", "unexpected", "duplicated", "unfinished")
    total: dict[str, Any] = {word: sum(one[word] for one in found) for word in words}
    total["faults"] = [fault for one in found for fault in one["faults"]]
    return chaos_processes.conclude({"seed": asked.seed, **total}, as_json=asked.json) or bool(total["refused"])


if __name__ == "__main__":
    sys.exit(main())
