"""The server below the real Claude Code: what its model would do with our tools, scripted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import pytest
from fake_provider import script

pytestmark = pytest.mark.anyio


def call(name: str, **given: Any) -> dict[str, Any]:
    return {"tool": f"mcp__dispatch__{name}", "input": given}


async def test_a_session_plans_dispatches_and_reports(provider: fake_provider.Provider, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    env = claude_lab.variables(provider, tmp_path / "home")
    server = {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-m", "dispatch_mcp", "serve"],
        "env": {"DISPATCH_MCP_HOME": str(tmp_path / "state"), "DISPATCH_MCP_REVIEW_POLICY": "off"},
        "alwaysLoad": True,
    }
    handoff = {"completed_work": "Written and read again."}
    steps = [
        call("plan_dag", tasks=[{"id": "write", "do": "Write the notes"}]),
        call("dispatch", plan_id="latest"),
        call("report", run_id="latest", results=[{"task_id": "write", "attempt": 1, "handoff": handoff}]),
        {"text": "{last}"},
    ]
    with anyio.fail_after(120):
        host = await claude_lab.session(env, workspace, server, f"Go. {script(*steps)}")
    assert host.exit_code == 0, host.stderr
    assert [one["status"] for one in host.servers] == ["connected"]
    dispatched, reported = results(provider)[-2:]
    assert dispatched["worker"] == "host"
    assert "its own subagents" in dispatched["why_worker"]
    assert dispatched["assignments"][0]["task_id"] == "write"
    assert reported["state"] == "succeeded"
    assert reported["results"][0]["accepted"]


def results(fake: fake_provider.Provider) -> list[dict[str, Any]]:
    """Returns what the model was answered, call by call."""
    contents: list[Any] = [message["content"] for message in fake.requests()[-1]["body"]["messages"]]
    lists: list[list[dict[str, Any]]] = [content for content in contents if isinstance(content, list)]
    blocks = [block for content in lists for block in content if block.get("type") == "tool_result"]
    texts: list[str] = [
        block["content"] if isinstance(block["content"], str) else "".join(part["text"] for part in block["content"])
        for block in blocks
    ]
    return [json.loads(text) for text in texts]
