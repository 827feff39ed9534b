"""What a hook costs from the start of its process, beside the interpreter's own start, in one run.

python benchmarks/hooks.py [--rounds N]; exit code 1 when a bound is missed. All kinds take turns, so that whatever else
the machine does falls on each of them; bytecode is compiled before the first counted start.
"""

from __future__ import annotations

import argparse
import compileall
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

import anyio

import dispatch_mcp
from dispatch_mcp import composition, configuration

IDLE_P50_S, IDLE_P95_S, ACTING_S = 0.060, 0.120, 0.250


@dataclass
class Kind:
    """One event in a folder: what it is called, the bound of its median in seconds, and what its starts took."""

    label: str
    name: str
    event: Mapping[str, Any]
    bound_s: float
    home: Path
    folder: Path
    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    def start(self) -> None:
        """Starts the hook once and keeps what it took."""
        argv = (
            [sys.executable, "-m", "dispatch_mcp", "hook", self.name] if self.name else [sys.executable, "-c", "pass"]
        )
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(dispatch_mcp.__file__).parents[1]),
            "DISPATCH_MCP_HOME": str(self.home),
            "CLAUDE_PROJECT_DIR": str(self.folder),
        }
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, env=env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert process.stdin
        with process.stdin:
            process.stdin.write(json.dumps(self.event).encode())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, self.label
        self.wall.append(time.perf_counter() - begin)
        self.cpu.append(usage.ru_utime + usage.ru_stime)


async def handed(home: Path, folder: Path) -> str:
    """Returns the name of an attempt of a new run that is out with the host of that folder."""
    env = {"DISPATCH_MCP_HOME": str(home), "DISPATCH_MCP_REVIEWS": "none"}
    settings = configuration.load(env, cwd=folder).settings
    async with composition.open_dispatcher(settings, drives=False) as app:
        app.hooks = "full"
        plan = await app.plans.plan([{"id": name, "do": f"Count the {name}"} for name in ("apples", "pears")])
        progress = await app.dispatch(plan_id=plan.plan.id, worker="host")
        return progress.assignments[0].call.prompt


def kinds(root: Path) -> list[Kind]:
    """Returns what is measured: nothing is ours, a look answers, everything is loaded as there is no server."""
    home, here, elsewhere = root / "home", root / "here", root / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    name = anyio.run(handed, home, here)
    transcript = root / "s" / "subagents" / "agent-a.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text(json.dumps({"type": "user", "message": {"content": "Find the bug"}}) + "\n")
    base = {"session_id": "s", "cwd": str(here), "transcript_path": str(root / "s.jsonl")}
    own = {**base, "tool_name": "Agent", "tool_input": {"prompt": name}, "tool_use_id": "t"}
    bad = {**own, "tool_input": {"prompt": f"{name[:-1]}7"}}
    foreign = {**base, "agent_transcript_path": str(transcript)}
    start = {**base, "source": "startup"}
    return [
        Kind("python -c pass", "", {}, 1, home, here),
        Kind("idle: no store", "SessionStart", start, IDLE_P50_S, root / "none", elsewhere),
        Kind("idle: no run open here", "SessionStart", start | {"cwd": str(elsewhere)}, IDLE_P50_S, home, elsewhere),
        Kind(
            "idle: another subagent's call",
            "PreToolUse",
            {**own, "tool_input": {"prompt": "x"}},
            IDLE_P50_S,
            home,
            here,
        ),
        Kind("a look: start of a session", "SessionStart", start, ACTING_S, home, here),
        Kind("a look: another subagent's end", "SubagentStop", foreign, ACTING_S, home, here),
        Kind("a look: end of a turn", "Stop", base, ACTING_S, home, here),
        Kind("a look: a refusal", "PreToolUse", bad, ACTING_S, home, here),
        Kind("everything: a brief", "PreToolUse", own, 9, home, here),
    ]


def report(rows: list[Kind]) -> bool:
    """Prints what each kind took, and returns whether the bounds hold; judged is the time of the processor."""
    own = statistics.median(rows[0].cpu)
    holds = True
    for kind in rows:
        wall, cpu = sorted(kind.wall), sorted(kind.cpu)
        p95 = cpu[int(len(cpu) * 0.95)]
        ok = statistics.median(cpu) <= kind.bound_s and (kind.bound_s != IDLE_P50_S or p95 <= IDLE_P95_S)
        holds = holds and ok
        sys.stdout.write(
            f"{kind.label:32} processor p50 {statistics.median(cpu) * 1e3:6.1f} p95 {p95 * 1e3:6.1f} ms "
            f"({statistics.median(cpu) / own:5.1f} x python), wall p50 {statistics.median(wall) * 1e3:6.1f} "
            f"p95 {wall[int(len(wall) * 0.95)] * 1e3:6.1f} ms{'' if ok else '  MISSED'}\n"
        )
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    compileall.compile_dir(str(Path(dispatch_mcp.__file__).parent), quiet=2)
    with tempfile.TemporaryDirectory(prefix="hooks-") as folder:
        rows = kinds(Path(folder).resolve())
        for _ in range(rounds + 1):
            for kind in rows:
                kind.start()
        for kind in rows:  # the first start of each warms the disk
            del kind.wall[0], kind.cpu[0]
        return 0 if report(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
