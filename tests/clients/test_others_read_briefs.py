"""Long briefs where the real Codex, opencode and Gemini CLI let a session read them, without asking anybody."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import fake_provider
import memory_client
import npm_clients
import pytest
from mcp import Client

pytestmark = pytest.mark.anyio

Start = Callable[[fake_provider.Provider, Path, list[str], dict[str, str], str], Awaitable[npm_clients.Run]]
CLIENTS = [
    pytest.param(npm_clients.codex, marks=pytest.mark.skipif(not npm_clients.CODEX, reason="Codex is not here")),
    pytest.param(
        npm_clients.opencode, marks=pytest.mark.skipif(not npm_clients.OPENCODE, reason="opencode is not here")
    ),
    pytest.param(
        npm_clients.gemini, marks=pytest.mark.skipif(not npm_clients.GEMINI, reason="the Gemini CLI is not here")
    ),
]


async def told(home: Path, workspace: Path) -> str:
    """Returns the prompt of an assignment whose brief is too long for it."""
    memory_client.repository(workspace)
    step = "    total = total + 1\n" * 20
    (workspace / "totals.py").write_text("\n\n".join(f"def total_{at}(total):\n{step}" for at in range(60)))
    async with Client(memory_client.make_server(memory_client.settings(home, workspace))) as client:
        desk = memory_client.Desk(client)
        goal = f"Mend {', '.join(f'total_{at}' for at in range(30))}"
        run = await desk.call(
            "dispatch", plan_id=await desk.planned({"id": "t", "do": goal, "files": ["totals.py"]}), worker="host"
        )
    return run["assignments"][0]["call"]["prompt"]


def as_resource(prompt: str) -> dict[str, object]:
    """Returns the call by which a model reads the resource that its prompt names."""
    address = re.search(r"the MCP resource (\S+) of the server (\S+?);", prompt)
    assert address is not None
    assert address[2] == npm_clients.SERVER
    return {"tool": "read_mcp_resource", "input": {"server": address[2], "uri": address[1]}}


def as_view(prompt: str) -> dict[str, object]:
    """Returns the call by which the Gemini CLI's model reads its brief with the tool that its prompt names."""
    question = re.search(r"the trace tool of that server, with (\{.*\}):", prompt)
    assert question is not None
    return {"tool": f"mcp_{npm_clients.SERVER}_get_trace", "input": json.loads(question[1])}


@pytest.mark.parametrize("start", CLIENTS)
async def test_a_session_reads_its_brief_in_the_first_way_that_it_has_of_those_it_was_told(
    provider: fake_provider.Provider, tmp_path: Path, start: Start
) -> None:
    state = tmp_path / "state"
    prompt = await told(state, tmp_path / "workspace")
    read = as_resource(prompt) if start is not npm_clients.gemini else as_view(prompt)
    provider.rules({"match": {"user": "MEND IT"}, "steps": [read, {"text": "READ {last}"}]})
    command = [sys.executable, "-m", "dispatch_mcp", "serve"]
    with anyio.fail_after(300):
        run = await start(provider, tmp_path, command, {"DISPATCH_MCP_HOME": str(state)}, "MEND IT")
    assert run.exit_code == 0, run.stderr[-2_000:]
    assert "## GOAL" in run.text
    assert "def total_7(total)" in run.text
