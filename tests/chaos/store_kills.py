"""R1: two processes at a time drive runs through one store and are killed at random, again and again."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import chaos_processes


def main() -> int:
    parser = chaos_processes.parser(__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--tasks", type=int, default=600, help="at least so many tasks are done in the end")
    parser.add_argument("--mean-life-ms", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, logs = Path(folder) / "home", Path(folder) / "logs"
        began = time.perf_counter()
        kills = rage(home, logs, asked.kills, random.Random(asked.seed), asked.mean_life_ms / 1000)
        chaos_processes.finish(home, logs, asked.tasks)
        seconds = time.perf_counter() - began
        found = {
            "seed": asked.seed,
            "kills": kills,
            "seconds": round(seconds, 2),
            **chaos_processes.verdict(home, logs),
        }
        return chaos_processes.conclude(found, as_json=asked.json)


def rage(home: Path, logs: Path, kills: int, rng: random.Random, mean_life_s: float) -> int:
    """Kills until it has killed so many that were alive."""

    def start() -> tuple[float, int]:
        worker = chaos_processes.Worker(
            home, random.Random(rng.getrandbits(64)), chaos_processes.Log(logs), failing=0.003
        )
        return time.monotonic() + rng.expovariate(1 / mean_life_s), chaos_processes.fork(worker.serve)

    done = 0
    alive = [start(), start()]
    while done < kills:
        alive.sort()
        when, child = alive.pop(0)
        time.sleep(max(0.0, when - time.monotonic()))
        done += chaos_processes.kill(child)
        alive.append(start())
    for _, child in alive:
        done += chaos_processes.kill(child)
    return done


if __name__ == "__main__":
    sys.exit(main())
