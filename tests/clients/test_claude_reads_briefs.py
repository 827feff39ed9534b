"""Long briefs where the real Claude Code lets a subagent read them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import anyio
import claude_lab
import fake_provider
import memory_client
import pytest
from fake_provider import script
from mcp import Client

pytestmark = pytest.mark.anyio


async def test_a_subagent_reads_its_brief_where_it_was_told_without_any_permission(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    workspace = memory_client.repository(tmp_path / "workspace")
    step = "    total = total + 1\n" * 20
    (workspace / "totals.py").write_text("\n\n".join(f"def total_{at}(total):\n{step}" for at in range(60)))
    home = tmp_path / "state"
    async with Client(memory_client.make_server(memory_client.settings(home, workspace))) as client:
        desk = memory_client.Desk(client)
        goal = f"Mend {', '.join(f'total_{at}' for at in range(30))}"  # so many that the brief is a long one
        plan_id = await desk.planned({"id": "t", "do": goal, "files": ["totals.py"]})
        run = await desk.call("dispatch", plan_id=plan_id, worker="host")
    told = run["assignments"][0]["call"]["prompt"]
    address = re.search(r"the MCP resource (\S+) of the server (\S+?);", told)
    assert address is not None
    file = next(line for line in told.split("\n") if "the file " in line).partition("the file ")[2]
    reads = {"tool": "ReadMcpResourceTool", "input": {"uri": address[1], "server": address[2]}}
    elsewhere = {"tool": "Read", "input": {"file_path": file}}
    provider.rules({"match": {"user": "SUBTASK"}, "steps": [reads, {"text": "READ {last}"}]})
    agent = {"subagent_type": "general-purpose", "description": "Mend it now", "prompt": "SUBTASK"}
    steps = [{"tool": "Agent", "input": {**agent, "run_in_background": False}}, elsewhere, {"text": "{last}"}]
    server = {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-m", "dispatch_mcp", "serve"],
        "env": {"DISPATCH_MCP_HOME": str(home)},
    }
    config = json.dumps({"mcpServers": {address[2]: server}})
    with anyio.fail_after(120):
        host = await claude_lab.run(
            claude_lab.variables(provider, tmp_path / "home"),
            workspace,
            f"Go. {script(*steps)}",
            *("--strict-mcp-config", f"--mcp-config={config}", "--allowedTools=mcp__dispatch__report"),
        )
    answers = json.dumps([entry["body"]["messages"] for entry in provider.requests()])
    assert "## GOAL" in answers
    assert "def total_7(total)" in answers
    assert [denial["tool_name"] for denial in host.result["permission_denials"]] == ["Read"]
