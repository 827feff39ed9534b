"""What the real Claude Code does when hooks may do less, and when the plugin is taken away."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path

import anyio
import anyio.to_thread
import claude_lab
import fake_provider
import pytest
from hooked_sessions import (
    OPTIONS,
    PREFIX,
    REPOSITORY,
    agent,
    briefs,
    calls,
    conversation,
    last_answer,
    planned,
    session,
    started,
    trace,
)

pytestmark = pytest.mark.anyio


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


def trusted(env: dict[str, str], workspace: Path) -> None:
    """Makes Claude Code ask nothing when it starts in a terminal."""
    path = Path(env["CLAUDE_CONFIG_DIR"]) / ".claude.json"
    known = json.loads(path.read_text())
    keys = {"approved": [fake_provider.KEY], "rejected": []}
    known |= {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": keys}
    known["projects"] = {str(workspace): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}}
    path.write_text(json.dumps(known))


def shown(env: dict[str, str], workspace: Path, words: str) -> str:
    """Returns what Claude Code shows in a terminal until these words are among it, or nothing comes any more."""
    own, terminal = pty.openpty()
    termios.tcsetwinsize(own, (40, 160))
    argv = [claude_lab.PROGRAM, "--model=sonnet"]
    own_env = {**env, "TERM": "xterm-256color"}
    with subprocess.Popen(
        argv, env=own_env, cwd=workspace, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        text = ""
        while words not in text and select.select([own], [], [], 30)[0]:
            text += CONTROLS.sub(" ", os.read(own, 65_536).decode("utf-8", "replace"))
        process.kill()
    os.close(own)
    return text


CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


async def test_the_status_line_stands_below_the_prompt_of_a_terminal(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = planned({"a": [], "b": []})
    steps = started(tasks, request="Count apples", limits={"dollars": 5})
    await session(env, workspace, *steps, {"tools": [agent("a", background=False)]})
    argv = [sys.executable, "-m", "dispatch_mcp", "install", "claude-code", "--status-line"]
    await anyio.run_process(argv, env=env, cwd=workspace)
    trusted(env, workspace)
    spent = provider.booked(briefs(provider))
    words = f"Count apples · 1/2 done · 1 running · ${spent:.2f} of $5.00"
    text = await anyio.to_thread.run_sync(shown, env, workspace, words)
    assert words in text
    argv = [sys.executable, "-m", "dispatch_mcp", "uninstall", "claude-code"]
    await anyio.run_process(argv, env=env, cwd=workspace)
    assert "statusline" not in (Path(env["CLAUDE_CONFIG_DIR"]) / "settings.json").read_text()
