"""What `install` wrote, read by the real clients in every folder: the server starts, and a first assignment comes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import claude_lab
import fake_provider
import npm_clients
import pytest
from fake_provider import script

pytestmark = pytest.mark.anyio

PAGES = Path(__file__).parents[2] / "docs/clients"
TASK = {"id": "a", "do": "Add a function that sums the prices of a cart"}


class Names(NamedTuple):
    """How a client's model calls our tools, and what it does before, as they are kept back until it looks for them."""

    prefix: str
    first: Sequence[dict[str, Any]] = ()


NAMES = {
    "claude-code": Names(
        "mcp__dispatch__",
        [{"tool": "ToolSearch", "input": {"query": "select:mcp__dispatch__plan_dag,mcp__dispatch__dispatch"}}],
    ),
    "codex": Names("", [{"tool": "tool_search", "input": {"query": "plan_dag dispatch"}}]),
    "opencode": Names("dispatch_"),
    "gemini": Names("mcp_dispatch_"),
}


def prompt_of(client: str) -> str:
    """Returns what a user says to a model that plans one task and has it handed out."""
    prefix, first = NAMES[client]
    plan = {"tool": f"{prefix}plan_dag", "input": {"tasks": [TASK]}}
    dispatch = {"tool": f"{prefix}dispatch", "input": {"plan_id": "latest", "worker": "host"}}
    return f"Go. {script(*first, plan, dispatch, {'text': '{last}'})}"


def install(client: str, env: dict[str, str], cwd: Path) -> None:
    """Registers the server as a user does."""
    command = [sys.executable, "-m", "dispatch_mcp", "install", client]
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def as_unattended(client: str, home: Path) -> None:
    """Adds to a client's settings what its page says is needed where nobody can be asked."""
    page = (PAGES / f"{client}.md").read_text("utf-8")
    if client == "codex":
        [lines] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
        file, table = home / ".codex/config.toml", lines.split("\n", 1)[0]
        text = file.read_text("utf-8")
        assert text.count(table) == 1
        file.write_text(text.replace(f"{table}\n", lines), encoding="utf-8")
    if client == "gemini":
        [fields] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
        file = home / ".gemini/settings.json"
        settings = json.loads(file.read_text("utf-8"))
        settings["mcpServers"]["dispatch"] |= json.loads(fields)
        file.write_text(json.dumps(settings), encoding="utf-8")


async def answers(client: str, home: Path, fake: fake_provider.Provider, folder: Path) -> str:
    """Returns all that a session in a folder showed."""
    if client == "claude-code":
        env = claude_lab.variables(fake, home)
        host = await claude_lab.run(env, folder, prompt_of(client), "--allowedTools=mcp__dispatch")
        assert host.exit_code == 0, host.stderr
        return str(host.rows)
    run = await npm_clients.run(client, home, folder, prompt_of(client))
    assert run.exit_code == 0, run.stderr[-2_000:]
    return run.text


def at_home_in(client: str, home: Path, fake: fake_provider.Provider) -> dict[str, str]:
    """Returns the environment of somebody who has a client and has set it up, without our server."""
    if client == "claude-code":
        return claude_lab.variables(fake, home)
    settings: dict[str, Callable[[fake_provider.Provider, Path], Path]] = {
        "codex": npm_clients.codex_settings,
        "opencode": npm_clients.opencode_settings,
        "gemini": npm_clients.gemini_settings,
    }
    settings[client](fake, home)
    return npm_clients.variables(home)


@pytest.mark.parametrize(
    "client",
    [
        "claude-code",
        pytest.param("codex", marks=pytest.mark.skipif(not npm_clients.CODEX, reason="Codex is not here")),
        pytest.param("opencode", marks=pytest.mark.skipif(not npm_clients.OPENCODE, reason="opencode is not here")),
        pytest.param("gemini", marks=pytest.mark.skipif(not npm_clients.GEMINI, reason="the Gemini CLI is not here")),
    ],
)
async def test_a_first_assignment_comes_in_every_folder(
    provider: fake_provider.Provider, home: Path, folders: dict[str, Path], tmp_path: Path, client: str
) -> None:
    install(client, at_home_in(client, home, provider), tmp_path)
    as_unattended(client, home)
    for name, folder in folders.items():
        with anyio.fail_after(300):
            text = await answers(client, home, provider, folder)
        assert TASK["do"] in text, name
        assert "assignments" in text, name
