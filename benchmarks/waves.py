"""A host that works in waves: a large run in one workspace, reported 40 results at a time, through a real server.

python benchmarks/waves.py [--tasks N] [--wave N] [--bare]; exit code 1 when a bound is missed. Each task declares a
file, and the host writes and commits it, so every result is proven; with `--bare` tasks declare nothing. The workspace
is a git repository. Printed beside the time of the clock is the processor time of the server without its children.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import raw_server

REPORT_S = 0.4
"""Seconds that the answer to a wave of results may take; the median counts."""

ALL_S = 30.0
"""Seconds for 2,000 tasks in waves of 40, without what the host does."""


@dataclass(frozen=True)
class Times:
    """Seconds by the clock and of the server's processor, one pair for each call."""

    wall_s: list[float]
    cpu_s: list[float]

    def lines(self, what: str) -> str:
        wall, cpu = self.wall_s, self.cpu_s
        return (
            f"{what}: best {min(wall):.3f} s, median {statistics.median(wall):.3f} s, all {sum(wall):.1f} s; "
            f"processor median {statistics.median(cpu):.3f} s, all {sum(cpu):.1f} s"
        )


def repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("# A shop\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def work(workspace: Path, assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Does an assignment as a subagent would, and returns what it reports."""
    name = f"{assignment['task_id']}.py"
    (workspace / name).write_text(f"value = {name!r}\n")
    handoff = {"completed_work": f"Wrote {name}.", "files_modified": [name], "decisions_made": ["as said"]}
    return {"task_id": assignment["task_id"], "attempt": assignment["attempt"], "handoff": handoff}


def processor_s(pid: int) -> float:
    """Returns the seconds of processor of a process that runs, by the clock that Linux keeps of it."""
    return time.clock_gettime(~pid << 3 | 2)


def children_s() -> float:
    """Returns the seconds of processor of all processes that have ended below this one."""
    spent = os.times()
    return spent.children_user + spent.children_system


def measured(wire: raw_server.Wire, times: Times, tool: str, **arguments: Any) -> dict[str, Any]:
    cpu_s, began = processor_s(wire.process.pid), time.perf_counter()
    answer = wire.call(tool, **arguments)
    times.wall_s.append(time.perf_counter() - began)
    times.cpu_s.append(processor_s(wire.process.pid) - cpu_s)
    return answer


def git(workspace: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=workspace, check=True)


def waves(wire: raw_server.Wire, workspace: Path, tasks: int, wave: int, *, bare: bool = False) -> tuple[Times, Times]:
    """Returns what planning and starting took, and what each report did; `bare` tasks declare no files."""
    files = [[] if bare else [f"t{n}.py"] for n in range(tasks)]
    plan = [{"id": f"t{n}", "do": f"Write module {n} of the shop", "files": files[n]} for n in range(tasks)]
    start, reports = Times([], []), Times([], [])
    plan_id = measured(wire, start, "plan_dag", tasks=plan, max_parallel=wave)["plan_id"]
    answer = measured(wire, start, "dispatch", plan_id=plan_id, worker="host")
    run_id, assignments = answer["run_id"], answer["assignments"]
    while assignments:
        results: Sequence[dict[str, Any]] = [work(workspace, assignment) for assignment in assignments]
        answer = measured(wire, reports, "report", run_id=run_id, results=results)
        git(workspace, "add", ".")
        git(workspace, "commit", "-q", "-m", "A wave")
        assignments = answer.get("assignments") or ()
    assert answer["state"] == "succeeded", answer["counts"]
    return start, reports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--wave", type=int, default=40)
    parser.add_argument("--bare", action="store_true", help="tasks that declare no files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = repository(Path(folder) / "shop")
        env = raw_server.environment(Path(folder) / "state", workspace)
        with raw_server.Wire(env, workspace, era="legacy", fresh=True) as wire:
            wire.greet()
            wire.call("get_trace")
            start, reports = waves(wire, workspace, options.tasks, options.wave, bare=options.bare)
            wire.close(20)
    print(start.lines(f"planning and starting {options.tasks} tasks"))
    print(reports.lines(f"{len(reports.wall_s)} reports of {options.wave} results"))
    slow = statistics.median(reports.wall_s) > REPORT_S
    late = sum(start.wall_s) + sum(reports.wall_s) > ALL_S * max(1.0, options.tasks / 2_000)
    if slow or late:
        print(f"missed: a report {REPORT_S:g} s in the median, 2,000 tasks {ALL_S:g} s in all")
    return int(slow or late)


if __name__ == "__main__":
    sys.exit(main())
