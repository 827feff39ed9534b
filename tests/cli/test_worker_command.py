"""`dispatch-mcp worker` as people start it: a process that goes on with what others have left."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import command_runs
import pulse_waits
import pytest
import rogue_processes
from claude_double import Double

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.service import dispatcher, traces

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def chat(project: Path) -> AsyncGenerator[dispatcher.Dispatcher]:
    """A chat that records runs and ends before anything of them is done."""
    settings = configuration.load(os.environ, cwd=project).settings
    async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
        yield app


async def left(project: Path, *tasks: dict[str, Any], worker: str = "scripted") -> str:
    """Returns a run that nobody carries on."""
    async with chat(project) as app:
        plan = await app.plans.plan(list(tasks))
        return (await app.dispatch(plan_id=plan.plan.id, worker=worker)).run_id


async def record(project: Path, run_id: str) -> records.RunRecord:
    async with chat(project) as app:
        return await app.store.run(run_id, principal=records.LOCAL)


def started(*argv: str) -> command_runs.OwnProcess:
    return command_runs.OwnProcess("worker", *argv)


async def ended(process: command_runs.OwnProcess) -> tuple[str, str]:
    with anyio.fail_after(120):
        return await anyio.to_thread.run_sync(process.communicate)


def scripted(name: str, **script: Any) -> dict[str, Any]:
    return {"id": name, "do": "Work", "worker": "scripted", "inputs": {"script": script}}


async def test_a_run_that_a_chat_has_left_is_brought_to_its_end(tmp_path: Path) -> None:
    run_id = await left(tmp_path, scripted("one"), {**scripted("two", sleep_s=0.1), "deps": ["one"]})
    assert (await record(tmp_path, run_id)).state == "running"
    with started("--idle", "1", "--json") as process:
        out, err = await ended(process)
    assert (process.returncode, json.loads(out)) == (0, {"runs": {run_id: "succeeded"}})
    assert f"run {short_ids.short(run_id)}: going on with it" in err
    assert (await record(tmp_path, run_id)).state == "succeeded"


async def test_who_leaves_as_soon_as_nothing_is_to_be_done_has_looked_for_work_before(tmp_path: Path) -> None:
    run_id = await left(tmp_path, scripted("one"))
    with started("--idle", "0", "--json") as process:
        out, _ = await ended(process)
    assert (process.returncode, json.loads(out)) == (0, {"runs": {run_id: "succeeded"}})


async def test_a_run_of_commands_that_was_killed_says_that_nobody_carries_it_on_and_a_worker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's default worker, `api`, is not here; its only task is a command."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDECODE"):
        monkeypatch.delenv(name, raising=False)
    wait = [sys.executable, "-c", "import pathlib, time; time.sleep(0 if pathlib.Path('go').exists() else 900)"]
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([wait]))
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    document = tmp_path / "plan.json"
    document.write_text(json.dumps({"tasks": [{"id": "one", "do": "Build", "command": wait}]}))
    monkeypatch.chdir(tmp_path)
    with command_runs.OwnProcess("run", str(document)) as runner:
        async with chat(tmp_path) as app:

            async def at_work() -> list[records.RunRecord]:
                return [run for run in await app.store.runs(records.LOCAL) if run.counts.get("running")]

            [run] = await pulse_waits.until(app.engine, at_work)
        runner.kill()
    run_id = run.id
    settings = configuration.load(os.environ, cwd=tmp_path).settings
    trace = await traces.read(settings, run_id, "summary")
    with anyio.fail_after(120):  # what ends the command's family holds the run a moment longer
        while trace.next is None or "NOBODY" not in tool_wording.words(trace.next):
            await anyio.sleep(0.05)
            trace = await traces.read(settings, run_id, "summary")
    assert trace.next is not None
    assert "No process is at work on 'one': `dispatch-mcp worker --idle 60` goes on" in shell_wording.words(trace.next)
    assert "NOBODY CARRIES ON 'one'" in tool_wording.words(trace.next)
    assert "`dispatch-mcp worker`" in tool_wording.words(trace.next)
    assert "Working" not in shell_wording.words(trace.next) + tool_wording.words(trace.next)
    [line] = (await traces.read(settings, "", "summary")).runs
    assert line.ownerless
    (tmp_path / "go").touch()
    with started("--idle", "1", "--json") as process:
        out, _ = await ended(process)
    assert json.loads(out) == {"runs": {run_id: "succeeded"}}
    assert capsys.readouterr().err == ""


async def test_a_run_that_ends_with_claims_is_told_with_how_much_is_proven(tmp_path: Path) -> None:
    claim = {"id": "two", "do": "Look", "command": ["git", "--version"], "acceptance": ["command: make test"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["git", "--version"]]))
        run_id = await left(tmp_path, scripted("one"), claim)
        with started("--idle", "1") as process:
            _, err = await ended(process)
    assert f"run {short_ids.short(run_id)}: 0 of 2 proven, succeeded" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_cleanly_with_its_children_and_lets_its_runs_go(tmp_path: Path, number: signal.Signals) -> None:
    claude = Double(tmp_path / "bin")
    claude.plays({"sleep_s": 900})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPATCH_MCP_CLAUDE_PROGRAM", str(claude.program))
        run_id = await left(tmp_path, {"id": "one", "do": "Work"}, worker="claude")
        with started() as process:
            with anyio.fail_after(120):
                await rogue_processes.until(lambda: bool(claude.calls))
            process.send_signal(number)
            await ended(process)
    assert process.returncode == 0
    assert rogue_processes.survivors(call["pid"] for call in claude.calls) == []
    kept = await record(tmp_path, run_id)
    assert (kept.state, kept.owner) == ("running", "")


async def test_a_run_whose_worker_is_not_here_is_left_to_somebody_who_has_it(tmp_path: Path) -> None:
    claude = Double(tmp_path / "bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPATCH_MCP_CLAUDE_PROGRAM", str(claude.program))
        run_id = await left(tmp_path, {"id": "one", "do": "Work"}, worker="claude")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPATCH_MCP_CLAUDE_PROGRAM", "no-such-program")
        with started("--idle", "1", "--quiet") as process:
            assert (await ended(process))[1] == ""
    kept = await record(tmp_path, run_id)
    assert (process.returncode, kept.state, kept.owner) == (0, "running", "")
    assert kept.counts == {"ready": 1}


def test_a_wait_that_is_no_wait_is_refused() -> None:
    with started("--idle", "-1") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "--idle is -1.0" in err
