"""R2: a process dies, or is refused by the disk, at each named place; others go on from what it left."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes

from dispatch_mcp.store import failpoints


def suffer(name: str, action: str, rng: random.Random) -> dict[str, Any]:
    """Lets one process meet a failpoint in mid run, then another one finish."""
    with tempfile.TemporaryDirectory() as folder:
        home, logs = Path(folder) / "home", Path(folder) / "logs"
        often = ("begin", "apply", "commit", "answer")
        nth = rng.randint(1, 12) if name.endswith(often) else 1
        worker = chaos_processes.Worker(home, rng, chaos_processes.Log(logs), endless=False, wanted=100)
        status = chaos_processes.reap(chaos_processes.fork(worker.serve, f"{name}:{action}:{nth}"))
        chaos_processes.finish(home, logs, 100)
        return {"point": f"{name}:{action}:{nth}", "died": status == -9, **chaos_processes.verdict(home, logs)}


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    found = [
        suffer(name, action, random.Random(rng.getrandbits(64)))
        for name in failpoints.NAMES
        for action in ("kill", "raise")
        for _ in range(asked.seeds)
    ]
    words = ("attempted", "acknowledged", "ok", "lost", "unexpected", "duplicated", "recovered", "unfinished")
    total: dict[str, Any] = {word: sum(one[word] for one in found) for word in words}
    total["faults"] = [f"{one['point']}: {fault}" for one in found for fault in one["faults"]]
    total["not_reached"] = [one["point"] for one in found if ":kill:" in one["point"] and not one["died"]]
    return chaos_processes.conclude({"seed": asked.seed, "points": len(found), **total}, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
