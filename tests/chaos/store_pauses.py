"""R3: processes that answer for the host are stopped for longer than their leases and then go on as if nothing was."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import sqlite_store

LEASE_S = 0.08


class Host(chaos_processes.Worker):
    """Takes assignments of any run, works on them for a while and reports them."""

    async def serve(self) -> None:
        async with sqlite_store.open_store(self.home) as store:
            while await self._contact(store):
                pass

    async def _contact(self, store: sqlite_store.Store) -> bool:
        open_runs = await store.runs(records.LOCAL, open_only=True, limit=10)
        if not open_runs and not self.endless:
            return False
        if len(open_runs) < 2 and self.endless:
            await self.begin_run(store, "host")
        for record in self.rng.sample(open_runs, len(open_runs))[:2]:
            await self._take(store, record.id)
        return True

    async def _take(self, store: sqlite_store.Store, run_id: str) -> None:
        step = records.Step(now=time.time(), start=transitions.HOST_WORKERS, free=3, lease_s=LEASE_S)
        starts = (await self.advance(store, run_id, step)).starts
        if starts:
            await anyio.sleep(self.rng.uniform(0.005, 0.04))
        done = model.Outcome(state=model.AttemptState.SUCCEEDED, summary=str(os.getpid()))
        finished = [transitions.Finished(start.task_id, start.attempt, done) for start in starts]
        await self.advance(store, run_id, records.Step(now=time.time(), finished=finished))


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--pauses", type=int, default=20)
    parser.add_argument("--zombies", type=int, default=10, help="go on until so many came back too late")
    parser.add_argument("--processes", type=int, default=3)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        home, logs = Path(folder) / "home", Path(folder) / "logs"

        def host(*, endless: bool) -> int:
            made = Host(home, random.Random(rng.getrandbits(64)), chaos_processes.Log(logs), endless=endless)
            return chaos_processes.fork(made.serve)

        hosts = [host(endless=True) for _ in range(asked.processes)]
        pauses = 0
        while pauses < asked.pauses or zombies(logs) < asked.zombies:
            time.sleep(rng.uniform(0.01, 0.05))
            chosen = rng.choice(hosts)
            os.kill(chosen, signal.SIGSTOP)
            time.sleep(LEASE_S * rng.uniform(1.2, 2.0))
            os.kill(chosen, signal.SIGCONT)
            pauses += 1
        for one in hosts:
            chaos_processes.kill(one)
        if chaos_processes.reap(host(endless=False)):
            return 1
        return chaos_processes.conclude(
            {"seed": asked.seed, "pauses": pauses, **chaos_processes.verdict(home, logs)}, as_json=asked.json
        )


def zombies(logs: Path) -> int:
    return sum(line[0] == "fence" for line in chaos_processes.lines(logs))


if __name__ == "__main__":
    sys.exit(main())
