"""R4: many processes drive runs of their own through one store, all at once."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes

from dispatch_mcp.model import records
from dispatch_mcp.store import owner_locks, sqlite_store


def crowd(processes: int, tasks: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home, logs = Path(folder) / "home", Path(folder) / "logs"
        waiting, go = os.pipe()
        shape = (10, -(-tasks // processes // 10))

        def member(number: int) -> int:
            worker = chaos_processes.Worker(
                home, random.Random(seed + number), chaos_processes.Log(logs), shape=shape, work_s=0.0
            )

            async def serve() -> None:
                os.close(go)
                async with sqlite_store.open_store(home) as store:
                    os.read(waiting, 1)
                    name = await worker.served(lambda: worker.begin_run(store))
                    with owner_locks.OwnerLock(home) as lock:
                        epoch = await worker.served(lambda: store.adopt(name, lock.id))
                        await worker.drive(store, name, records.Owner(lock.id, epoch or 0))
                        worker.log.say("worst", worker.worst_s)

            return chaos_processes.fork(serve)

        members = [member(number) for number in range(processes)]
        time.sleep(1.0)  # all of them stand at the line
        began = time.perf_counter()
        os.close(go)
        statuses = [chaos_processes.reap(child) for child in members]
        seconds = time.perf_counter() - began
        os.close(waiting)
        said = list(chaos_processes.lines(logs))
        return {
            "processes": processes,
            "seconds": round(seconds, 2),
            "tasks_per_s": round(tasks / seconds),
            "worst_wait_s": round(max(float(line[1]) for line in said if line[0] == "worst"), 3),
            "busy": sum(line[0] == "busy" for line in said),
            "unnamed": sum(line == ["busy", "unnamed"] for line in said),
            "failed_processes": sum(map(bool, statuses)),
            **chaos_processes.verdict(home, logs),
        }


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=800)
    asked = parser.parse_args()
    found = crowd(asked.processes, asked.tasks, asked.seed)
    return chaos_processes.conclude(found, as_json=asked.json) or bool(found["busy"] + found["failed_processes"])


if __name__ == "__main__":
    sys.exit(main())
