"""Sessions of the real Claude Code with our plugin: what its model does step by step, and what it was sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
from fake_provider import done, script

import dispatch_mcp

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "mcp__plugin_dispatch_dispatch__"
OPTIONS = (f"--plugin-dir={REPOSITORY}", "--allowedTools=mcp__plugin_dispatch_dispatch,Agent,Read,Write,Bash")
LAYERS = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c"], "f": ["d"]}


def loaded(*tools: str) -> dict[str, Any]:
    """Returns the step by which a model waits for our server and loads some of its tools."""
    return {"tool": "ToolSearch", "input": {"query": f"select:{','.join(PREFIX + tool for tool in tools)}"}}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": PREFIX + tool, "input": arguments}


def agent(task: str, attempt: int = 1, *, background: bool | None = None) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "description": f"Do {task}",
        "subagent_type": "general-purpose",
        "prompt": f"dispatch latest/{task}/{attempt}",
    }
    return {
        "tool": "Agent",
        "input": arguments if background is None else {**arguments, "run_in_background": background},
    }


def planned(tasks: Mapping[str, list[str]], **steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns tasks whose subagents say `steps`, or else hand over at once."""
    return [
        {"id": name, "do": f"Think about {name}. {script(*steps.get(name, [done(answer=name)]))}", "deps": deps}
        for name, deps in tasks.items()
    ]


def variables(provider: fake_provider.Provider, folder: Path) -> dict[str, str]:
    """Returns the environment of sessions with the provider and a state folder of their own."""
    return {
        **claude_lab.variables(provider, folder / "home"),
        "DISPATCH_MCP_HOME": str(folder / "s"),
        "DISPATCH_MCP_REVIEWS": "none",
        "DISPATCH_MCP_REVIEW_POLICY": "off",
        "PYTHONPATH": str(Path(dispatch_mcp.__file__).parents[1]),
    }


BEGIN = loaded("plan_dag", "dispatch", "get_trace", "report")


def started(tasks: list[dict[str, Any]], *, request: str = "", **options: Any) -> list[dict[str, Any]]:
    """Returns the steps by which a session loads our tools, plans these tasks and dispatches the plan."""
    return [BEGIN, call("plan_dag", tasks=tasks, request=request), call("dispatch", plan_id="latest", **options)]


async def session(
    env: dict[str, str], workspace: Path, *steps: dict[str, Any], options: tuple[str, ...] = OPTIONS
) -> dict[str, Any]:
    """Plays a session and returns where its run stands when it is over."""
    with anyio.fail_after(600):
        host = await claude_lab.run(env, workspace, f"Go. {script(*steps, {'text': 'That is all.'})}", *options)
    assert host.exit_code == 0, host.stderr
    log = Path(env["DISPATCH_MCP_HOME"]) / "hooks/hooks.log"
    assert not log.exists(), log.read_text()
    return await trace(env, workspace)


async def trace(env: dict[str, str], workspace: Path) -> dict[str, Any]:
    argv = [sys.executable, "-m", "dispatch_mcp", "trace", "latest", "--view=summary", "--json"]
    answer = await anyio.run_process(argv, env=env, cwd=workspace, check=False)
    assert answer.returncode == 0, answer.stderr.decode()
    return json.loads(answer.stdout)


def briefs(fake: fake_provider.Provider) -> list[dict[str, Any]]:
    """Returns the requests of subagents that do our work."""
    return [entry for entry in fake.requests() if "[dispatch " in first_text(entry)]


def conversation(fake: fake_provider.Provider) -> str:
    """Returns everything that the orchestrator's model was sent."""
    return "".join(json.dumps(entry["body"]) for entry in fake.requests() if "[dispatch " not in first_text(entry))


def first_text(entry: dict[str, Any]) -> str:
    return json.dumps([message for message in entry["body"]["messages"] if message["role"] == "user"][:1])


def calls(fake: fake_provider.Provider) -> list[str]:
    """Returns the tools that the orchestrator has called, in order."""
    contents = [
        entry["reply"]["content"] for entry in fake.requests() if "reply" in entry and entry not in briefs(fake)
    ]
    return [block["name"] for content in contents for block in content if block["type"] == "tool_use"]


def last_answer(fake: fake_provider.Provider) -> dict[str, Any]:
    """Returns the newest answer of our server that hands out assignments."""
    texts = [text for entry in fake.requests() for text in answers(entry) if text.startswith('{"')]
    return json.loads([text for text in texts if '"assignments":[{' in text][-1])


def answers(entry: dict[str, Any]) -> list[str]:
    """Returns what tools have answered in a conversation."""
    parts = [
        part
        for message in entry["body"]["messages"]
        if message["role"] == "user" and isinstance(message["content"], list)
        for part in message["content"]
        if part.get("type") == "tool_result"
    ]
    contents = [part["content"] for part in parts]
    return [content if isinstance(content, str) else content[0].get("text", "") for content in contents if content]
