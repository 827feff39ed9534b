"""Processes that die while runs go on: hosts of workers, the process with the store, the Temporal server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import engine_labs
import pytest
from engine_conformance import new_run, reached, script, task

from dispatch_mcp import composition, configuration, model
from dispatch_mcp.cli.commands import doctor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, records, run_refs
from dispatch_mcp.service import dispatcher
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

PYTHON = ("python", "-S", "-c")
ALLOW = json.dumps([[*PYTHON, "**"]])
WAIT = "import os, sys, time\nopen(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\ntime.sleep(float(sys.argv[2]))"
"""Writes its process id into a file, then waits."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[engine_labs.Server]:
    state = tmp_path / "temporal"
    state.mkdir()
    with engine_labs.serving(engine_labs.DEV, state) as running:
        monkeypatch.setenv("TEMPORAL_ADDRESS", running.address)
        yield running


def environment(server: engine_labs.Server, home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DISPATCH_MCP_HOME": str(home),
        "DISPATCH_MCP_ENGINE": "temporal",
        "DISPATCH_MCP_ALLOW_COMMANDS": ALLOW,
        "TEMPORAL_ADDRESS": server.address,
        **more,
    }


@contextmanager
def process(env: Mapping[str, str], *arguments: str, cwd: Path) -> Generator[subprocess.Popen[bytes]]:
    """Yields a `dispatch-mcp` in a group of its own, which is killed at the end."""
    command = [sys.executable, "-m", "dispatch_mcp", *arguments]
    child = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@asynccontextmanager
async def control(home: Path, workspace: Path, **values: Any) -> AsyncGenerator[dispatcher.Dispatcher]:
    """Yields a dispatcher whose runs Temporal drives, and that does no work itself."""
    env = {"DISPATCH_MCP_ALLOW_COMMANDS": ALLOW}
    loaded = configuration.load(env, flags={"home": home, "workspace": workspace}, cwd=workspace).settings
    chosen = loaded.model_copy(update={"engine": "temporal", "temporal_slots": 0, **values})
    async with composition.open_dispatcher(chosen, chat=False) as app:
        yield app


async def new_commands(store: sqlite_store.Store, workspace: Path, *tasks: model.Task, run_id: str = "c" * 32) -> str:
    plan = model.Plan(id=f"plan-{run_id}", tasks=tasks, max_parallel=10, workspace=str(workspace))
    await store.save_plan(plan, records.LOCAL)
    new = records.NewRun(
        id=run_id, plan_id=plan.id, plan_version=1, worker=WorkerKind.COMMAND, workspace=str(workspace), fresh=True
    )
    await store.create_run(new)
    return run_id


async def over(engine: run_engine.RunEngine, run_id: str) -> RunState:
    with anyio.fail_after(300):
        async for _ in engine.events(run_id):
            pass
    return (await engine.status(run_id)).state


async def eventually(look: Callable[[], bool]) -> None:
    """Returns once a look at something outside of the process shows what is waited for."""
    with anyio.fail_after(120):
        while True:
            if await anyio.to_thread.run_sync(look):
                return
            await anyio.sleep(0.05)


async def lines(path: Path, count: int = 1) -> list[str]:
    """Returns the lines of a file once there are so many."""
    await eventually(lambda: path.exists() and path.read_text().count("\n") >= count)
    return (await anyio.Path(path).read_text()).split()


def command(task_id: str, *argv: str, **more: Any) -> model.Task:
    return model.Task(id=task_id, do=f"do {task_id}", worker=WorkerKind.COMMAND, command=(*PYTHON, *argv), **more)


def is_alive(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]


async def test_work_of_a_host_that_is_killed_moves_to_another_and_no_program_of_it_stays(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    env = environment(server, home)
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    async with control(home, tmp_path) as app:
        with process(env, *host, cwd=tmp_path) as first:
            run_id = await new_commands(app.store, tmp_path, command("a", WAIT, str(mark), "3"))
            await app.engine.start(run_id)
            [pid] = await lines(mark)
            first.send_signal(signal.SIGKILL)
            first.wait()
            with process(env, *host, cwd=tmp_path):
                assert await over(app.engine, run_id) is RunState.SUCCEEDED
        lost, done = await app.store.attempts(run_id)
    assert not is_alive(pid)
    assert (lost.error_kind, done.state) == ("internal_error", AttemptState.SUCCEEDED)
    row = (await _rows(home, run_id))[0]
    assert (row.crashes, row.failures) == (1, 0)


async def _rows(home: Path, run_id: str) -> list[records.TaskRecord]:
    async with sqlite_store.open_store(home) as store:
        return await store.tasks(run_id)


async def test_cancelling_a_run_ends_the_programs_that_a_host_has_started(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    async with control(home, tmp_path) as app:
        with process(environment(server, home), *host, cwd=tmp_path):
            run_id = await new_commands(app.store, tmp_path, command("a", WAIT, str(mark), "600"))
            await app.engine.start(run_id)
            [pid] = await lines(mark)
            assert is_alive(pid)
            await app.engine.signal(run_id, records.Action("cancel", reason="enough"))
            assert await over(app.engine, run_id) is RunState.CANCELLED
            await eventually(lambda: not is_alive(pid))


async def test_a_killed_process_with_the_store_is_followed_by_the_next_one(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    env = environment(server, home, DISPATCH_MCP_TEMPORAL_SLOTS="4")
    async with sqlite_store.open_store(home) as store:
        tasks = [command("a", WAIT, str(mark), "0"), command("b", WAIT, str(mark), "4", deps=("a",))]
        run_id = await new_commands(store, tmp_path, *tasks)
    with process(env, "worker", "--quiet", cwd=tmp_path) as first:
        await lines(mark, 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
    async with control(home, tmp_path, temporal_slots=4) as app:
        assert await over(app.engine, run_id) is RunState.SUCCEEDED
        attempts = await app.store.attempts(run_id)
    assert [attempt.task_id for attempt in attempts if attempt.state is AttemptState.SUCCEEDED] == ["a", "b"]
    assert [attempt.task_id for attempt in attempts].count("a") == 1


async def test_a_temporal_server_that_is_killed_and_comes_back_loses_nothing(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    lab = engine_labs.Lab(engine_labs.DEV, server.address)
    tasks = [
        task(f"t{number}", [f"t{number - 3}"] if number >= 3 else [], inputs=script(sleep_s=0.1))
        for number in range(30)
    ]
    async with sqlite_store.open_store(tmp_path / "home") as store:
        async with lab.open(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}) as engine:
            run_id = await new_run(store, *tasks)
            await engine.start(run_id)
            await reached(engine, run_id, "attempt_finished", 5)
            server.kill()
            server.start()
            assert await over(engine, run_id) is RunState.SUCCEEDED
        accepted = [
            event for event in await store.events(run_id, limit=5_000) if event.data.get("state") == "succeeded"
        ]
    assert len([event for event in accepted if event.kind == "attempt_finished"]) == 30


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


async def test_changes_of_worktrees_are_merged_in_order_as_under_the_embedded_engine(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "list.txt").write_text("first\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "First")
    add = "import sys; open('list.txt', 'a').write(sys.argv[1] + '\\n')"
    own = {"files": ("list.txt",), "isolation": "worktree"}
    tasks = [command("a", add, "second", **own), command("b", add, "third", deps=("a",), **own)]
    async with control(tmp_path / "home", repo, temporal_slots=2) as app:
        run_id = await new_commands(app.store, repo, *tasks)
        await app.engine.start(run_id)
        assert await over(app.engine, run_id) is RunState.SUCCEEDED
    assert git(repo, "show", f"{run_refs.Refs(run_id).merged}:list.txt").split() == ["first", "second", "third"]
    assert git(repo, "status", "--porcelain") == ""


async def test_a_server_that_nobody_reaches_is_named_and_runs_are_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_labs.program("temporal")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    async with control(tmp_path / "home", tmp_path) as app:
        run_id = await new_commands(app.store, tmp_path, command("a", "pass"))
        await app.engine.start(run_id)
        assert (await app.engine.status(run_id)).state is RunState.RUNNING


def test_doctor_says_whether_the_server_answers_and_who_asks_for_work(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    setup = configuration.load({}, flags={"home": tmp_path, "workspace": tmp_path, "engine": "temporal"}, cwd=tmp_path)
    [fact] = [fact for fact in doctor.examine(setup) if fact.what == "temporal"]
    assert fact.mark == "✓"
    assert server.address in fact.detail
    assert "0 for claude" in fact.detail
    server.kill()
    [fact] = [fact for fact in doctor.examine(setup) if fact.what == "temporal"]
    assert (fact.mark, server.address in fact.detail, "TEMPORAL_ADDRESS" in fact.fix) == ("✗", True, True)
    server.start()
