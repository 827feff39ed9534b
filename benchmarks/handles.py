"""How soon a handle comes, by the size of the workspace: `plan_dag`, `dispatch` and `review_council` over a raw pipe.

python benchmarks/handles.py [--rounds N] [--sizes 0,1000,20000] [--large]; exit code 1 when a bound is missed. The
first rounds fall into the time in which a large workspace is read. Beside each tool stands its ratio to a list of the
tools, which falls on the same moments of the machine. `--large` adds 100,000 files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

P99_S, COLD_S, END_S = 0.5, 5.0, 1.0
"""Seconds: a handle of a warm process, the first assignment of a cold one, the end once the client has left."""
LARGE = 100_000
FUNCTION = '''def moor_{at}(vessel, tide):
    """Returns where vessel {at} is moored."""
    return vessel * {at} + tide
'''
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
NOTHING: Mapping[str, Any] = {}
TASKS = [
    {"id": "a", "do": "Mend where moor_7 puts a vessel at low tide", "files": ["berth.py"]},
    {"id": "b", "do": "Describe how vessels are moored", "files": ["docs/mooring.md"]},
    {"id": "c", "do": "Log every vessel that is moored", "files": ["log.py"]},
]


@dataclass
class Server:
    """A server over a pipe, and how long each of its answers took, in seconds by name."""

    process: subprocess.Popen[bytes]
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    number: int = 0

    def ask(self, method: str, params: Mapping[str, Any] = NOTHING, *, label: str = "") -> Any:
        self.number += 1
        assert self.process.stdin
        assert self.process.stdout
        body = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": {**params, "_meta": META}}
        began = time.perf_counter()
        self.process.stdin.write(json.dumps(body).encode() + b"\n")
        self.process.stdin.flush()
        while (message := json.loads(self.process.stdout.readline())).get("id") != self.number:
            pass
        self.times.setdefault(label or method, []).append(time.perf_counter() - began)
        return message["result"]

    def call(self, tool: str, **arguments: Any) -> Any:
        result = self.ask("tools/call", {"name": tool, "arguments": arguments}, label=tool)
        assert not result.get("isError"), result
        return result["structuredContent"]

    def leave(self) -> float:
        """Closes stdin and returns the seconds until the process has ended."""
        assert self.process.stdin
        began = time.perf_counter()
        self.process.stdin.close()
        self.process.wait(60)
        return time.perf_counter() - began


def started(workspace: Path, home: Path, *, named: bool) -> Server:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DISPATCH_MCP_", "CLAUDE"))}
    env["DISPATCH_MCP_HOME"] = str(home)
    if named:
        env["DISPATCH_MCP_WORKSPACE"] = str(workspace)
    command = [sys.executable, "-m", "dispatch_mcp", "serve"]
    process = subprocess.Popen(
        command, cwd=workspace, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return Server(process)


def grown(root: Path, files: int) -> Path:
    """Returns a workspace of so many files below `root`."""
    workspace = root / f"files{files}"
    workspace.mkdir()
    for at in range(files):
        path = workspace / f"quay{at // 200}" / f"berth{at}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(FUNCTION.format(at=at * 4 + turn) for turn in range(4)), encoding="utf-8")
    return workspace


def diff(number: int) -> str:
    return f"--- a/berth{number}.py\n+++ b/berth{number}.py\n@@ -1 +1,2 @@\n tide = 1\n+vessel = {number}\n"


def measured(workspace: Path, home: Path, rounds: int, *, named: bool) -> tuple[dict[str, list[float]], float, float]:
    """Returns the times of each tool, the seconds from a cold start to the first assignment, and those of the end."""
    began = time.perf_counter()
    server = started(workspace, home, named=named)
    server.ask("tools/list")
    plan = server.call("plan_dag", tasks=TASKS)["plan_id"]
    assert server.call("dispatch", plan_id=plan, worker="host")["assignments"]
    cold = time.perf_counter() - began
    server.call("review_council", diff=diff(0))
    server.times.clear()
    for at in range(1, rounds + 1):
        server.ask("tools/list")
        plan = server.call("plan_dag", tasks=TASKS)["plan_id"]
        server.call("dispatch", plan_id=plan, worker="host", fresh=True, request_key=f"round-{at}")
        server.call("review_council", diff=diff(at))
    return server.times, cold, server.leave()


def told(label: str, times: Mapping[str, list[float]], cold: float, end: float) -> list[str]:
    """Prints what was measured in one workspace; returns which bounds were missed."""
    base = statistics.median(times["tools/list"])
    missed = [f"{label}: first assignment after {cold:.1f} s"] * (cold > COLD_S)
    missed += [f"{label}: ended after {end:.1f} s"] * (end > END_S)
    print(
        f"{label}: cold to the first assignment {cold:.2f} s (at most {COLD_S:g}), end {end:.2f} s (at most {END_S:g})"
    )
    for name, values in times.items():
        ordered = sorted(values)
        p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
        print(f"  {name:15} p50 {p50 * 1000:6.1f} ms, p99 {p99 * 1000:6.1f} ms, {p50 / base:5.1f} x a list")
        missed += [f"{label}: {name} p99 {p99 * 1000:.0f} ms"] * (p99 > P99_S)
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--sizes", default="0,1000,20000")
    options.add_argument("--large", action="store_true")
    asked = options.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",") if size] + [LARGE] * asked.large
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        places = [("the root", Path("/"), False), ("your home", Path.home(), False)]
        places += [(f"{size:,} files", grown(root, size), True) for size in sizes]
        for at, (label, workspace, named) in enumerate(places):
            missed += told(label, *measured(workspace, root / f"home{at}", asked.rounds, named=named))
    for miss in missed:
        print(f"missed: {miss}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
