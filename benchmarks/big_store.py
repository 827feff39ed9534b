"""What a large state costs: 100,000 events and a gigabyte in one home, met as a client meets it.

python benchmarks/big_store.py [--events N] [--megabytes N] [--home FOLDER]; exit code 1 when a bound is missed. The
home is filled by a real server: dry runs of 2,000 tasks make the events, with one that a host does in waves; results of
a megabyte that a host reports make the size. A home that is given is kept, and filled only as far as it has to be. Then
a server is started anew, and each call is timed by the clock and by the processor of its process; `prune` may take
longer than a second.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import raw_server

import waves

BOUND_S = 1.0
"""Seconds of processor that any call and the start of a server may take more than in an empty home."""

TRACE_S, LOOKS = 0.015, 40
"""Seconds of processor of the server that a look at a run of `TASKS` tasks may take, p95 of so many."""

TASKS, A_TIME = 2_000, 12
"""Tasks of a dry run; results of a report."""

RUNS = {
    f"{TASKS:,} simulated tasks": f"dry_run AND tasks = {TASKS}",
    f"{TASKS:,} tasks of a host": f"NOT dry_run AND tasks = {TASKS}",
    f"{A_TIME} results of a megabyte": f"tasks = {A_TIME}",
}
"""The runs that are looked at, and what they are in the store."""


def events(home: Path) -> int:
    with closing(sqlite3.connect(home / "state.db")) as database:
        return int(database.execute("SELECT count(*) FROM event").fetchone()[0])


def megabytes(home: Path) -> float:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6


def newest(home: Path, condition: str) -> str:
    """Returns the newest run of a kind, or an empty text."""
    runs = "SELECT run.id, run.no, dry_run, count(*) AS tasks FROM run JOIN task ON task.run = run.no GROUP BY run.no"
    with closing(sqlite3.connect(home / "state.db")) as database:
        row = database.execute(f"SELECT id FROM ({runs}) WHERE {condition} ORDER BY no DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def fill_events(wire: raw_server.Wire, number: int) -> str:
    """Carries out one more dry run of many tasks and returns its id."""
    tasks = [{"id": f"t{n}", "do": f"Write module {n} of part {number}", "agent": "Plan"} for n in range(TASKS)]
    plan_id = wire.call("plan_dag", tasks=tasks, max_parallel=64)["plan_id"]
    run_id = str(wire.call("dispatch", plan_id=plan_id, dry_run=True)["run_id"])
    while wire.call("get_trace", run_id=run_id, wait_s=20)["state"] == "running":
        pass
    return run_id


def fill_bytes(wire: raw_server.Wire, number: int) -> None:
    """Reports results of a megabyte each."""
    tasks = [{"id": f"t{n}", "do": f"Describe part {number}-{n}", "agent": "Plan"} for n in range(A_TIME)]
    plan_id = wire.call("plan_dag", tasks=tasks, max_parallel=A_TIME)["plan_id"]
    given = wire.call("dispatch", plan_id=plan_id, worker="host")
    text = "".join(f"Line {line} of part {number} is as it was before.\n" for line in range(24_000))[:1_000_000]
    results = [{**raw_server.done(one), "text": f"{one['task_id']} {text}"} for one in given["assignments"]]
    wire.call("report", run_id=given["run_id"], results=results)


def fill(env: Mapping[str, str], home: Path, workspace: Path, options: argparse.Namespace) -> None:
    with raw_server.Wire(env, workspace, era="legacy", fresh=True) as wire:
        wire.greet()
        wire.call("get_trace")
        number = 0
        while events(home) < options.events:
            fill_events(wire, number)
            number += 1
        if not all(newest(home, condition) for condition in RUNS.values()):
            waves.waves(wire, workspace, TASKS, 40, bare=True)
        fill_bytes(wire, time.time_ns())  # at least one large run is of this workspace
        while megabytes(home) < options.megabytes:
            fill_bytes(wire, number)
            number += 1
        wire.close(30)


class Clock:
    """Prints and keeps what each step took; late is what takes a second of processor more than in an empty home."""

    def __init__(self, empty: Mapping[str, float] | None = None) -> None:
        self.late: list[str] = []
        self.seconds: dict[str, float] = {}
        self._empty = empty

    @property
    def judges(self) -> bool:
        """Whether this is the large home, to be judged beside the empty one."""
        return self._empty is not None

    def step(self, name: str, pid: int, call: Callable[[], Any]) -> Any:
        cpu_s, began = waves.processor_s(pid), time.perf_counter()
        answer = call()
        self.note(name, time.perf_counter() - began, waves.processor_s(pid) - cpu_s)
        return answer

    def note(self, name: str, wall_s: float, cpu_s: float, *, bound: bool = True) -> None:
        self.seconds[name] = cpu_s
        if self._empty is None:
            return
        empty_s = self._empty.get(name, 0.0)
        late = bound and cpu_s - empty_s > BOUND_S
        self.late += [name] if late else []
        end = "  MISSED" if late else ""
        print(f"{name:28} {wall_s:7.3f} s, processor {cpu_s:6.3f} s, empty home {empty_s:6.3f} s{end}", flush=True)


def looks(wire: raw_server.Wire, kind: str, run_id: str) -> list[str]:
    """Prints what each view of a large run takes of the server's processor; returns which are too slow."""
    slow: list[str] = []
    print(f"get_trace of a run of {kind}, {LOOKS} times each, processor, bound {TRACE_S * 1000:.0f} ms")
    for view in ("summary", "cost", "timeline", "results", "blocked"):
        times: list[float] = []
        for _ in range(LOOKS):
            before = waves.processor_s(wire.process.pid)
            wire.call("get_trace", run_id=run_id, view=view)
            times.append(waves.processor_s(wire.process.pid) - before)
        times.sort()
        p95 = times[int(LOOKS * 0.95) - 1]
        slow += [f"{view} of {kind}"] if p95 > TRACE_S else []
        figures = f"best {times[0] * 1000:.1f}, median {statistics.median(times) * 1000:.1f}, p95 {p95 * 1000:.1f} ms"
        print(f"  {view:10} {figures}", flush=True)
    return slow


def calls(clock: Clock, env: Mapping[str, str], home: Path, workspace: Path) -> None:
    began = time.perf_counter()
    with raw_server.Wire(env, workspace, era="legacy", fresh=True) as wire:
        pid = wire.process.pid
        wire.greet()
        clock.note("start to the first answer", time.perf_counter() - began, waves.processor_s(pid))
        clock.step("first get_trace (overview)", pid, lambda: wire.call("get_trace"))
        clock.step("get_trace again", pid, lambda: wire.call("get_trace"))
        runs = clock.step("get_trace of all runs", pid, lambda: wire.call("get_trace", view="all")).get("runs")
        run_id = next((run["run_id"] for run in runs if run.get("simulated")), runs[-1]["run_id"]) if runs else "latest"
        for view in ("summary", "results", "timeline", "all") if runs else ():
            clock.step(f"get_trace {view}", pid, lambda view=view: wire.call("get_trace", run_id=run_id, view=view))
        for kind, condition in RUNS.items() if clock.judges else ():
            clock.late += looks(wire, kind, newest(home, condition))
        tasks = [{"id": f"t{n}", "do": f"Describe part {time.time()}-{n}", "agent": "Plan"} for n in range(40)]
        plan_id = clock.step("plan_dag, 40 tasks", pid, lambda: wire.call("plan_dag", tasks=tasks, max_parallel=40))
        given = clock.step("dispatch", pid, lambda: wire.call("dispatch", plan_id=plan_id["plan_id"], worker="host"))
        results = [raw_server.done(one) for one in given["assignments"]]
        clock.step(
            f"report of {len(results)} results",
            pid,
            lambda: wire.call("report", run_id=given["run_id"], results=results),
        )
        began = time.perf_counter()
        wire.close(20)
        clock.note("client leaves to exit", time.perf_counter() - began, 0.0)


def commands(clock: Clock, env: Mapping[str, str], workspace: Path) -> None:
    for words, bound in ((["status"], True), (["doctor"], True), (["prune", "--older", "1h"], False)):
        began, before = time.perf_counter(), waves.children_s()
        done = subprocess.run(
            [sys.executable, "-m", "dispatch_mcp", *words],
            env=dict(env),
            cwd=workspace,
            capture_output=True,
            check=False,
        )
        if words[0] == "prune" and done.returncode:
            print(f"prune: {done.stderr.decode()[:200]}")
            continue
        clock.note(" ".join(words), time.perf_counter() - began, waves.children_s() - before, bound=bound)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--home", type=Path, help="a home that is kept (default: one for this time)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        workspace = waves.repository(Path(place) / "shop")
        home = options.home or Path(place) / "state"
        env = raw_server.environment(home, workspace)
        began = time.perf_counter()
        fill(env, home, workspace, options)
        print(f"{events(home):,} events, {megabytes(home):,.0f} MB, filled in {time.perf_counter() - began:.0f} s")
        empty, bare = Clock(), raw_server.environment(Path(place) / "empty", workspace)
        calls(empty, bare, Path(place) / "empty", workspace)
        commands(empty, bare, workspace)
        clock = Clock(empty.seconds)
        calls(clock, env, home, workspace)
        commands(clock, env, workspace)
    print(f"missed: {', '.join(clock.late)}" if clock.late else "every bound is held")
    return int(bool(clock.late))


if __name__ == "__main__":
    sys.exit(main())
