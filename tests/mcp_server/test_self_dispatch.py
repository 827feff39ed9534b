"""A worker that dispatches to a worker that dispatches …: it stops at the depth limit and within what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from claude_double import Double, result

GREEDY = """
env = {**os.environ, "DISPATCH_MCP_HOME": str(here / ("home" + os.environ["DISPATCH_MCP_DEPTH"])),
       "DISPATCH_MCP_CLAUDE_PROGRAM": __file__, "DISPATCH_MCP_REVIEW_POLICY": "off"}
argv = [PYTHON, "-m", "dispatch_mcp", "run", str(here / "plan.json"), "--worker", "claude", "--quiet"]
done = subprocess.run(argv, env=env, capture_output=True, text=True)
(here / ("said" + os.environ["DISPATCH_MCP_DEPTH"])).write_text(done.stderr)
"""


@pytest.mark.promise("S18")
def test_a_worker_that_dispatches_itself_stops_at_the_limit_with_less_money_each_time(tmp_path: Path) -> None:
    claude = Double(tmp_path / "bin")
    python = GREEDY.replace("PYTHON", repr(sys.executable))
    claude.plays({"python": f"{python}\nprint(json.dumps({result(total_cost_usd=0.01)!r}))"})
    tasks = [{"id": "ask", "do": "Do it by asking others", "max_attempts": 1}]
    (claude.folder / "plan.json").write_text(json.dumps({"tasks": tasks}))
    env = {
        **os.environ,
        "DISPATCH_MCP_CLAUDE_PROGRAM": str(claude.program),
        "DISPATCH_MCP_MAX_DOLLARS": "4",
        "DISPATCH_MCP_TASK_TIMEOUT_S": "100",
    }
    argv = [sys.executable, "-m", "dispatch_mcp", "run", str(claude.folder / "plan.json"), "--worker", "claude"]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    calls = [call["env"] for call in claude.calls]
    assert [call["DISPATCH_MCP_DEPTH"] for call in calls] == ["1", "2"]
    assert "at depth 2; the limit is 2" in (claude.folder / "said2").read_text()
    first, second = (float(call["DISPATCH_MCP_MAX_DOLLARS"]) for call in calls)
    assert second <= first <= 4.0
