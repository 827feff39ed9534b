"""A plan written by the real Claude Code, from a shell: it is checked like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import pytest

pytestmark = pytest.mark.anyio

REQUEST = "Find out why the login fails, then fix it"
GOOD = {"tasks": [{"id": "a", "do": "Find out why the login fails"}, {"id": "b", "do": "Fix it", "deps": ["a"]}]}
BAD = {"tasks": [{"id": "a", "do": "Find out why the login fails", "deps": ["nobody"]}]}
LEAD = "You are the main planner"


def shell(env: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatch_mcp", *argv], env=env, capture_output=True, text=True, check=False, timeout=200
    )


@pytest.fixture
def env(provider: fake_provider.Provider, tmp_path: Path) -> dict[str, str]:
    workspace = tmp_path / "shop"
    workspace.mkdir()
    (workspace / "app.py").write_text("def login(): ...\n")
    return {
        **claude_lab.variables(provider, tmp_path / "home"),
        "DISPATCH_MCP_HOME": str(tmp_path / "state"),
        "DISPATCH_MCP_WORKSPACE": str(workspace),
        "DISPATCH_MCP_CLAUDE_PROGRAM": claude_lab.PROGRAM,
        "DISPATCH_MCP_REVIEW_POLICY": "off",
        "DISPATCH_MCP_PASS_ENV": json.dumps(sorted(claude_lab.QUIET)),
    }


def answers(plan: dict[str, Any], **match: str) -> dict[str, Any]:
    return {"match": {"system": LEAD, **match}, "steps": [fake_provider.done(answer=json.dumps(plan))]}


async def test_claude_writes_the_plan_of_a_request_and_corrects_it_once(
    provider: fake_provider.Provider, env: dict[str, str]
) -> None:
    provider.rules(answers(GOOD, user="not in the plan"), answers(BAD))
    written = await anyio.to_thread.run_sync(shell, env, "plan", "--request", REQUEST, "--with", "claude", "--json")
    assert written.returncode == 0, written.stdout[-2000:] + written.stderr[-2000:]
    plan = json.loads(written.stdout)
    assert plan["waves"] == [["a"], ["b"]]
    assert any(REQUEST in json.dumps(request["body"]["messages"]) for request in provider.requests())


async def test_an_answer_without_tasks_is_no_plan(provider: fake_provider.Provider, env: dict[str, str]) -> None:
    provider.rules({"match": {"system": LEAD}, "steps": [fake_provider.done(answer="I would rather not.")]})
    written = await anyio.to_thread.run_sync(shell, env, "plan", "--request", REQUEST, "--with", "claude")
    assert written.returncode == 1
    assert "holds no tasks" in written.stderr
