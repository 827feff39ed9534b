"""The plugin in the real Claude Code: it starts from any folder and brings few words into a conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import pytest
from fake_provider import script

from dispatch_mcp.text import token_count

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_TOKENS = 600
"""What the plugin may add to a conversation that does not use it."""

PREFIX = "mcp__plugin_dispatch_dispatch__"
WITH_PLUGIN = (f"--plugin-dir={REPOSITORY}", "--allowedTools=mcp__plugin_dispatch_dispatch")

pytestmark = pytest.mark.anyio


def loaded(tool: str) -> dict[str, Any]:
    """Returns the step by which a model waits for a server and loads one of its tools."""
    return {"tool": "ToolSearch", "input": {"query": f"select:{PREFIX}{tool}"}}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": PREFIX + tool, "input": arguments}


@pytest.fixture(params=["an empty folder", "the home folder", "the root", "a large repository"])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """Returns a folder in which somebody starts a session."""
    return folders[request.param]


async def test_the_plugin_starts_from_any_folder(
    provider: fake_provider.Provider, folder: Path, tmp_path: Path
) -> None:
    env = claude_lab.variables(provider, tmp_path / "home") | {"DISPATCH_MCP_HOME": str(tmp_path / "state")}
    prompt = f"Go. {script(loaded('get_trace'), call('get_trace'), {'text': '{last}'})}"
    with anyio.fail_after(120):
        host = await claude_lab.run(env, folder, prompt, *WITH_PLUGIN)
    assert host.exit_code == 0, host.stderr
    assert "next" in json.loads(host.result["result"])


async def test_the_plugin_adds_no_agents_and_few_tokens(provider: fake_provider.Provider, tmp_path: Path) -> None:
    added = await parts(provider, tmp_path)
    tokens = {part: token_count.count(text) for part, text in added.items()}
    assert added["agents"] == ""
    assert sum(tokens.values()) <= MOST_TOKENS, tokens
    assert all(tokens[part] for part in ("instructions", "skill", "names")), tokens


async def test_hooks_add_nothing_and_the_plugin_is_valid_by_the_strict_rules(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    added = await parts(provider, tmp_path)
    assert added["hooks"] == ""
    env = claude_lab.variables(provider, tmp_path / "home")
    argv = [claude_lab.PROGRAM, "plugin", "validate", "--strict", str(REPOSITORY)]
    with anyio.fail_after(120):
        done = await anyio.run_process(argv, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


async def parts(provider: fake_provider.Provider, tmp_path: Path) -> dict[str, str]:
    """Returns what the plugin adds to a conversation, by part."""
    env = claude_lab.variables(provider, tmp_path / "home") | {"DISPATCH_MCP_HOME": str(tmp_path / "state")}
    prompt = f"Hello. {script(loaded('get_trace'), {'text': 'hello'})}"
    with anyio.fail_after(120):
        host = await claude_lab.run(env, tmp_path, prompt, *WITH_PLUGIN)
    assert host.exit_code == 0, host.stderr
    request = provider.requests()[-1]["body"]
    lines = [line for message in request["messages"] for line in text_of(message).splitlines()]
    begin = next((at for at, line in enumerate(lines) if line == "## plugin:dispatch:dispatch"), len(lines))
    ours = list(dict.fromkeys(line for line in lines if "dispatch" in line))
    return {
        "instructions": "\n".join(_section(lines[begin:])),
        "agents": "\n".join(line for line in ours if line.startswith("- dispatch:") and "(Tools:" in line),
        "skill": "\n".join(line for line in ours if line.startswith("- dispatch:")),
        "hooks": "\n".join(line for line in lines if "hook additional context" in line or "Stop hook feedback" in line),
        "names": "\n".join(line for line in ours if line.startswith(PREFIX)),
        "tools": "".join(
            json.dumps(tool)
            for tool in request["tools"]
            if tool["name"].startswith(PREFIX) and "get_trace" not in tool["name"]
        ),
    }


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(str(block.get("text", "")) for block in content)


def _section(lines: list[str]) -> list[str]:
    """Returns the lines of a section, up to the next one or the end of what Claude Code says of servers."""
    end = next(
        (at for at, line in enumerate(lines) if at and line.startswith(("## ", "# ", "<", "The following"))), len(lines)
    )
    return lines[:end]
