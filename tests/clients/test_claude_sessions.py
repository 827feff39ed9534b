"""One process of the real Claude Code and several conversations: a run goes with the process and pushes nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import hooked_sessions
import pytest
from fake_provider import done, script
from hooked_sessions import OPTIONS, PREFIX, agent, briefs, calls, conversation, planned, started, trace

pytestmark = pytest.mark.anyio


def is_announced(provider: fake_provider.Provider, description: str) -> bool:
    """Returns whether the assistant was told of the end of a subagent in the background."""
    last = json.dumps(provider.requests()[-1]["body"]["messages"])
    return description in last.rpartition("<task-notification>")[2]


def turn(*steps: dict[str, Any]) -> str:
    return f"Go. {script(*steps, {'text': 'That is all.'})}"


async def test_a_background_subagent_reports_itself_after_its_conversation_was_cleared(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    wait = {"tool": "Bash", "input": {"command": "while [ ! -e go ]; do sleep 0.2; done"}}
    tasks = planned({"a": [], "b": []}, a=[wait, done()])
    with anyio.fail_after(200):
        async with claude_lab.conversation(env, workspace, *OPTIONS) as host:
            await host.says(turn(*started(tasks, request="Count"), agent("a")))
            await claude_lab.until(lambda: bool(briefs(provider)))
            await host.says("/clear")
            count = len(provider.requests())
            await host.says(turn({"text": "hello"}))
            fresh = "".join(json.dumps(entry["body"]) for entry in provider.requests()[count:])
            assert "dispatch: 1 open run here. 'Count'" in fresh
            assert "Stop hook feedback" not in fresh, "whoever clears a conversation is not pushed on"
            (workspace / "go").touch()
            await claude_lab.until(lambda: "a: unverified. Ready: Agent(" in conversation(provider))
            await host.says(turn(agent("b")))
            await claude_lab.until(lambda: is_announced(provider, "Do b"))
            assert await host.ends() == 0
    after = await trace(env, workspace)
    assert after["counts"] == {"unverified": 2}, conversation(provider)
    assert after["spend"]["cost_usd"] == pytest.approx(provider.booked(briefs(provider)), abs=1e-6)
    assert PREFIX + "report" not in calls(provider)
    assert not (Path(env["DISPATCH_MCP_HOME"]) / "hooks/hooks.log").exists()


async def test_what_a_cleared_conversation_had_begun_is_free_once_its_process_ends(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = planned({"a": [], "b": []}, a=[{"hang": True}])
    with anyio.fail_after(200):
        async with claude_lab.conversation(env, workspace, *OPTIONS) as host:
            await host.says(turn(*started(tasks), agent("a")))
            await claude_lab.until(lambda: bool(briefs(provider)))
            await host.says("/clear")
            assert (await trace(env, workspace))["counts"] == {"running": 2}
    await hooked_sessions.session(env, workspace, {"text": "hello"})
    assert (await trace(env, workspace))["counts"] == {"ready": 1, "running": 1}


async def test_an_orchestrator_that_is_stopped_after_a_wave_goes_on_with_the_next_one_when_it_is_resumed(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = planned({"a": [], "b": [], "c": ["a"], "d": ["b"]})
    waves = [{"tools": [agent(name, background=False) for name in wave]} for wave in ("ab", "cd")]
    before = await hooked_sessions.session(env, workspace, *started(tasks, request="Count"), waves[0])
    assert before["counts"] == {"running": 2, "unverified": 2}
    options = (*OPTIONS, "--continue")
    after = await hooked_sessions.session(env, workspace, waves[1], options=options)
    assert "SessionStart hook additional context: dispatch: 1 open run here. 'Count'" in conversation(provider)
    assert (after["state"], after["counts"]) == ("succeeded", {"unverified": 4})
    assert after["spend"]["cost_usd"] == pytest.approx(provider.booked(briefs(provider)), abs=1e-6)
    assert (calls(provider).count(PREFIX + "dispatch"), PREFIX + "report" in calls(provider)) == (1, False)
