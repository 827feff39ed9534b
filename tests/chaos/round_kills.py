"""A round of the council whose process dies at any commit, from the first answer to the verdict, and another one."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import anyio
import chaos_processes
import council_setup

from dispatch_mcp import model
from dispatch_mcp.engine import council_rounds
from dispatch_mcp.model import records
from dispatch_mcp.service import reviews

LINE = "x = eval(text)"
DIFF = f"diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n import os\n-x = 1\n+{LINE}\n"
ANSWERS = {"PASS": council_setup.PASS, "BLOCK": council_setup.fails(LINE), "INCONCLUSIVE": "I like it."}
STATES = {"PASS": "succeeded", "BLOCK": "needs_changes", "INCONCLUSIVE": "inconclusive"}
POINTS = ("before_apply", "before_commit", "after_commit", "before_answer")


async def serve(home: Path, outcome: str, worker: str) -> None:
    """Begins the round, or goes on with it, and answers for everybody until it is over."""
    everybody = {agent.name: ANSWERS[outcome] for agent in council_setup.shipped().agents}
    async with council_setup.opened(home, everybody) as room:
        with anyio.fail_after(120):
            started = await room.council.review(reviews.ReviewRequest(diff=DIFF, worker=worker))
            while worker == "host" and (out := (await room.app.dispatch(run_id=started.run_id)).assignments):
                results = [{"task_id": one.task_id, "attempt": one.attempt, "text": ANSWERS[outcome]} for one in out]
                await room.app.report(started.run_id, results)
            async for _ in room.app.engine.events(started.run_id):
                pass


async def look(home: Path) -> dict[str, Any]:
    """Returns how the runs stand and what was decided, without settling anything."""
    async with council_setup.sqlite_store.open_store(home) as store:
        runs = await store.runs(records.ANYBODY) or await store.runs(records.LOCAL)
        events = [event for run in runs for event in await council_rounds.events(store, run.id)]
        decided = [event.data["outcome"] for event in events if event.kind == council_rounds.DECIDED]
        return {"states": [run.state.value for run in runs], "decided": decided}


def suffer(outcome: str, worker: str, failpoint: str) -> dict[str, Any]:
    """Lets one process meet a failpoint somewhere in a round, looks at what it left, and lets another one finish."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "state"
        died = chaos_processes.reap(chaos_processes.fork(lambda: serve(home, outcome, worker), failpoint)) == -9
        left = anyio.run(look, home)
        ended = chaos_processes.reap(chaos_processes.fork(lambda: serve(home, outcome, worker)))
        after = anyio.run(look, home)
    faults = [f"left {state}" for state in left["states"] if state in model.RUN_FINAL and state != STATES[outcome]]
    faults += [] if ended == 0 else [f"the successor ended with {ended}"]
    faults += [] if set(after["states"]) == {STATES[outcome]} else [f"ended {after['states']}"]
    faults += [] if set(after["decided"]) == {outcome} else [f"decided {after['decided']}"]
    return {"point": f"{outcome} {worker} {failpoint}", "died": died, "faults": faults}


def rounds(outcomes: Sequence[str], points: Sequence[str], step: int, rng: random.Random) -> list[dict[str, Any]]:
    """Kills at every `step`-th hit of each point from a random one on, until a process lives through it."""
    results: list[dict[str, Any]] = []
    for outcome in outcomes:
        for worker in ("host", "api"):
            for point in points:
                nth, died = rng.randint(1, step), True
                while died:
                    results.append(suffer(outcome, worker, f"{point}:kill:{nth}"))
                    died, nth = results[-1]["died"], nth + step
    return results


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--points", nargs="*", default=POINTS)
    parser.add_argument("--outcomes", nargs="*", default=sorted(ANSWERS))
    asked = parser.parse_args()
    found = rounds(asked.outcomes, asked.points, asked.step, random.Random(asked.seed))
    faults = [f"{one['point']}: {fault}" for one in found for fault in one["faults"]]
    print(json.dumps({"rounds": len(found), "killed": sum(one["died"] for one in found), "faults": faults}))  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
