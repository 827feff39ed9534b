"""What the real Claude Code does when hooks may do less, and when the plugin is taken away."""

from __future__ import annotations

from pathlib import Path

import anyio
import claude_lab
import fake_provider
import pytest
from hooked_sessions import (
    OPTIONS,
    PREFIX,
    REPOSITORY,
    briefs,
    calls,
    conversation,
    last_answer,
    planned,
    session,
    started,
    trace,
)

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


async def test_hooks_that_only_report_take_results_and_leave_briefs_and_stops_to_the_assistant(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    env["DISPATCH_MCP_HOOKS"] = "report"
    await session(env, workspace, *started(planned({"a": [], "b": []})))
    handouts = last_answer(provider)["assignments"]
    assert all("## GOAL" in handout["call"]["prompt"] for handout in handouts)
    first = {"tool": "Agent", "input": {**handouts[0]["call"], "run_in_background": False}}
    after = await session(env, workspace, first, options=(*OPTIONS, "--continue"))
    assert after["counts"] == {"running": 1, "unverified": 1}
    assert after["spend"]["cost_usd"] == pytest.approx(provider.booked(briefs(provider)), abs=1e-6)
    assert PREFIX + "report" not in calls(provider)
    assert "Stop hook feedback" not in conversation(provider)


async def plugin(env: dict[str, str], workspace: Path, *arguments: str) -> None:
    with anyio.fail_after(120):
        await anyio.run_process([claude_lab.PROGRAM, "plugin", *arguments], env=env, cwd=workspace)


async def test_one_command_takes_hooks_and_server_away_and_another_brings_them_back(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    options = OPTIONS[1:]
    await plugin(env, workspace, "marketplace", "add", str(REPOSITORY))
    await plugin(env, workspace, "install", "dispatch@dispatch-mcp")
    await session(env, workspace, *started(planned({"a": []}), request="Count"), options=options)
    for change, is_here in (("disable", False), ("enable", True), ("uninstall", False)):
        await plugin(env, workspace, change, "dispatch@dispatch-mcp")
        provider.reset()
        await session(env, workspace, {"text": "hello"}, options=options)
        texts = conversation(provider)
        assert ("dispatch: 1 open run here. 'Count'" in texts) is is_here, change
        assert ("plugin:dispatch" in texts or PREFIX in texts) is is_here, change
    assert (await trace(env, workspace))["counts"] == {"running": 1}, "the run is still there"
