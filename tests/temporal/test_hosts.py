"""Processes that die while runs go on: hosts of workers, the process with the store, the Temporal server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import anyio.to_thread
import engine_labs
import host_labs
import pulse_waits
import pytest
from engine_conformance import new_run, reached, script, task

from dispatch_mcp import configuration, model
from dispatch_mcp.cli.commands import doctor
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, ports, records, run_refs
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

WAIT = "import os, sys, time\nopen(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\ntime.sleep(float(sys.argv[2]))"
"""Writes its process id into a file, then waits."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[engine_labs.Server]:
    state = tmp_path / "temporal"
    state.mkdir()
    with engine_labs.serving(engine_labs.DEV, state) as running:
        monkeypatch.setenv("TEMPORAL_ADDRESS", running.address)
        yield running


async def lines(path: Path, count: int = 1) -> list[str]:
    """Returns the lines of a file once there are so many."""
    await host_labs.eventually(lambda: path.exists() and path.read_text().count("\n") >= count)
    return (await anyio.Path(path).read_text()).split()


def is_alive(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]


async def test_work_of_a_host_that_is_killed_moves_to_another_and_no_program_of_it_stays(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    env = host_labs.environment(server, home)
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    async with host_labs.control(home, tmp_path) as app:
        with host_labs.process(env, *host, cwd=tmp_path) as first:
            run_id = await host_labs.new_commands(app.store, tmp_path, host_labs.command("a", WAIT, str(mark), "3"))
            await app.engine.start(run_id)
            [pid] = await lines(mark)
            first.send_signal(signal.SIGKILL)
            first.wait()
            with host_labs.process(env, *host, cwd=tmp_path):
                assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
        lost, done = await app.store.attempts(run_id)
    assert not is_alive(pid)
    assert (lost.error_kind, done.state) == ("host_lost", AttemptState.SUCCEEDED)
    row = (await _rows(home, run_id))[0]
    assert (row.host_losses, row.crashes, row.failures) == (1, 0, 0)


async def test_two_hosts_together_begin_no_more_a_second_than_their_queue_may(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    env = host_labs.environment(server, home, DISPATCH_MCP_TEMPORAL_PER_SECOND="1")
    stamp = "import sys, time\nopen(sys.argv[1], 'a').write(f'{time.time()}\\n')"
    tasks = [host_labs.command(f"t{number}", stamp, str(mark)) for number in range(12)]
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "12")
    async with host_labs.control(home, tmp_path) as app:
        with host_labs.process(env, *host, cwd=tmp_path), host_labs.process(env, *host, cwd=tmp_path):
            run_id = await host_labs.new_commands(app.store, tmp_path, *tasks, max_parallel=12)
            await app.engine.start(run_id)
            assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
    times = sorted(map(float, await lines(mark, 12)))
    assert times[-1] - times[0] >= 5, "a burst of a few may come at once"


async def test_the_session_of_a_host_that_is_killed_reaches_the_next_attempt(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    script = [sys.executable, str(Path(__file__).with_name("beating_host.py")), server.address, str(home)]
    task = model.Task(id="a", do="Do it", worker=WorkerKind.CLAUDE)
    async with host_labs.control(home, tmp_path) as app:
        async with await anyio.open_process(script) as host:
            run_id = await new_run(app.store, task)
            await app.engine.start(run_id)
            await pulse_waits.until(app.engine, lambda: app.store.last_beat(run_id, "a"))
            host.kill()
            await host.wait()
        await reached(app.engine, run_id, "attempt_started", 2)
        lost, _ = await app.store.attempts(run_id)
        beat = await app.store.last_beat(run_id, "a")
    assert (lost.error_kind, lost.beat[ports.SESSION]) == ("host_lost", "session-of-a")
    assert beat[ports.SESSION] == "session-of-a"


async def _rows(home: Path, run_id: str) -> list[records.TaskRecord]:
    async with sqlite_store.open_store(home) as store:
        return await store.tasks(run_id)


async def test_cancelling_a_run_ends_the_programs_that_a_host_has_started(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    async with host_labs.control(home, tmp_path) as app:
        with host_labs.process(host_labs.environment(server, home), *host, cwd=tmp_path):
            run_id = await host_labs.new_commands(app.store, tmp_path, host_labs.command("a", WAIT, str(mark), "600"))
            await app.engine.start(run_id)
            [pid] = await lines(mark)
            assert is_alive(pid)
            await app.engine.signal(run_id, records.Action("cancel", reason="enough"))
            assert await host_labs.over(app.engine, run_id) is RunState.CANCELLED
            await host_labs.eventually(lambda: not is_alive(pid))


async def test_a_killed_process_with_the_store_is_followed_by_the_next_one(
    server: engine_labs.Server, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    env = host_labs.environment(server, home, DISPATCH_MCP_TEMPORAL_SLOTS="4")
    async with sqlite_store.open_store(home) as store:
        tasks = [
            host_labs.command("a", WAIT, str(mark), "0"),
            host_labs.command("b", WAIT, str(mark), "4", deps=("a",)),
        ]
        run_id = await host_labs.new_commands(store, tmp_path, *tasks)
    with host_labs.process(env, "worker", "--quiet", cwd=tmp_path) as first:
        await lines(mark, 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
    async with host_labs.control(home, tmp_path, temporal_slots=4) as app:
        assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
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
            assert await host_labs.over(engine, run_id) is RunState.SUCCEEDED
        accepted = [
            event for event in await store.events(run_id, limit=5_000) if event.data.get("state") == "succeeded"
        ]
    assert len([event for event in accepted if event.kind == "attempt_finished"]) == 30


async def test_a_server_that_has_forgotten_everything_gets_it_told_again_once_it_lets_us_in(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not request.config.getoption("--scale"):
        pytest.skip("Temporal's library is patient for a minute: --scale")
    mark, log, fault = tmp_path / "mark", tmp_path / "log", "takes no work for the moment"
    host = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "4")
    old = engine_labs.Server(engine_labs.DEV, tmp_path, namespace="agents.a1b2c")
    old.start()
    new = engine_labs.Server(engine_labs.DEV, tmp_path / "new", port=old.port)
    new.state.mkdir()
    monkeypatch.setenv("TEMPORAL_ADDRESS", old.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", old.namespace)
    env = host_labs.environment(old, tmp_path / "home")
    try:
        async with host_labs.control(tmp_path / "home", tmp_path) as app:
            with host_labs.process(env, *host, cwd=tmp_path, log=log):
                command = host_labs.command("a", WAIT, str(mark), "1")
                run_id = await host_labs.new_commands(app.store, tmp_path, command)
                await app.engine.start(run_id)
                await lines(mark)
                old.kill()
                new.start()
                await host_labs.eventually(lambda: fault in log.read_text() and fault in caplog.text)
                make = ("operator", "namespace", "create", "--address", new.address, "-n", old.namespace)
                await anyio.run_process([engine_labs.program("temporal"), *make])
                assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
    finally:
        old.kill()
        new.kill()


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
    tasks = [host_labs.command("a", add, "second", **own), host_labs.command("b", add, "third", deps=("a",), **own)]
    async with host_labs.control(tmp_path / "home", repo, temporal_slots=2) as app:
        run_id = await host_labs.new_commands(app.store, repo, *tasks)
        await app.engine.start(run_id)
        assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
    assert git(repo, "show", f"{run_refs.Refs(run_id).merged}:list.txt").split() == ["first", "second", "third"]
    assert git(repo, "status", "--porcelain") == ""


async def test_a_server_that_nobody_reaches_is_named_and_runs_are_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_labs.program("temporal")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    async with host_labs.control(tmp_path / "home", tmp_path) as app:
        run_id = await host_labs.new_commands(app.store, tmp_path, host_labs.command("a", "pass"))
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
