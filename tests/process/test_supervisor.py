from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import rogue_processes
from rogue_processes import python

from dispatch_mcp import errors
from dispatch_mcp.process import supervisor

pytestmark = pytest.mark.anyio

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
NOISE = (100 if FULL else 20) * 1_000_000
R10_S = 1.0 if FULL else 120.0


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


async def run(
    argv: list[str], folder: Path, *, timeout_s: float | None = None, grace_s: float = 0.2, cap: int = 1 << 20
) -> supervisor.ChildResult:
    return await supervisor.run_child(
        argv,
        cwd=folder,
        env={"PATH": os.defpath},
        folder=folder / "child",
        timeout_s=timeout_s,
        grace_s=grace_s,
        output_cap=cap,
    )


@pytest.fixture
def started_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that plays the server, with a forking child under it; its parameter is the deadline, 0 for none."""
    argv = rogue_processes.server(
        tmp_path, getattr(request, "param", 0), python(rogue_processes.FORKING, tmp_path / "pids")
    )
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


async def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        result = await run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), tmp_path)
    assert (result.exit_code, result.signal, result.timed_out) == (3, None, False)
    assert (result.stdout, result.stderr, result.truncated) == (b"out\n", b"err\n", False)


async def test_a_signal_is_reported_by_number(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        result = await run(python("import os; os.kill(os.getpid(), 9)"), tmp_path)
    assert (result.exit_code, result.signal) == (None, signal.SIGKILL)


async def test_standard_input_is_empty_and_no_descriptor_leaks_in(tmp_path: Path) -> None:
    program = """
import os, sys
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print(repr(sys.stdin.read()), [fd for fd in range(64) if is_open(fd)])
"""
    with anyio.fail_after(120):
        result = await run(python(program), tmp_path)
    assert result.stdout == b"'' [0, 1, 2]\n"


async def test_signals_have_their_default_effect_in_the_program(tmp_path: Path) -> None:
    program = """
import _signal as s
print(s.getsignal(s.SIGTERM) == s.SIG_DFL, s.pthread_sigmask(s.SIG_BLOCK, []))
"""
    with anyio.fail_after(120):
        result = await run(python(program), tmp_path)
    assert result.stdout == b"True set()\n"


async def test_the_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        result = await run(["/usr/bin/env"], tmp_path)
    assert result.stdout.decode() == f"PATH={os.defpath}\n"


async def test_bytes_of_every_value_survive(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        result = await run(python("import sys; sys.stdout.buffer.write(bytes(range(256)))"), tmp_path)
    assert result.stdout == bytes(range(256))


@pytest.mark.parametrize("program", ["/no/such/program", __file__], ids=["missing", "not executable"])
async def test_a_program_that_cannot_start_is_a_worker_error(tmp_path: Path, program: str) -> None:
    with anyio.fail_after(120), pytest.raises(errors.WorkerError, match="could not be started"):
        await run([program], tmp_path)


async def test_a_missing_directory_is_a_worker_error(tmp_path: Path) -> None:
    with anyio.fail_after(120), pytest.raises(errors.WorkerError):
        await supervisor.run_child(
            ["/bin/true"], cwd=tmp_path / "nowhere", env={}, folder=tmp_path / "child", timeout_s=None
        )


async def test_a_folder_that_cannot_be_made_is_a_worker_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with anyio.fail_after(120), pytest.raises(errors.WorkerError, match="cannot be written"):
        await supervisor.run_child(["/bin/true"], cwd=tmp_path, env={}, folder=tmp_path / "file" / "x", timeout_s=None)


@pytest.mark.promise("S14")
async def test_what_it_writes_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with anyio.fail_after(120):
            await supervisor.run_child(["/bin/true"], cwd=tmp_path, env={}, folder=tmp_path / "a" / "b", timeout_s=None)
    finally:
        os.umask(before)
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert {path.name for path in made} == {"a", "b", "pid", "stdout", "stderr", "exit"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700, 0o600}


@pytest.mark.promise("R10")
async def test_a_hung_program_that_ignores_term_is_dead_when_the_call_returns(tmp_path: Path) -> None:
    pids: list[int] = []
    for timeout_s in rogue_processes.DEADLINES_S:
        with anyio.fail_after(timeout_s + 120):
            result = await run(python(rogue_processes.FORKING, tmp_path / "pids"), tmp_path, timeout_s=timeout_s)
        assert result.timed_out
        assert result.signal == signal.SIGKILL
        if pids := rogue_processes.read_pids(tmp_path / "pids"):
            break
    assert pids
    assert rogue_processes.survivors(pids) == []


async def test_a_program_that_heeds_term_ends_by_itself(tmp_path: Path) -> None:
    program = """
import _signal as s, os, time
s.signal(s.SIGTERM, lambda *_: os._exit(7))
print("up", flush=True)
time.sleep(900)
"""
    ends: list[object] = []
    for timeout_s in rogue_processes.DEADLINES_S:
        with anyio.fail_after(timeout_s + 120):
            result = await run(python(program), tmp_path, timeout_s=timeout_s, grace_s=60)
        assert result.timed_out
        ends.append((result.exit_code, result.signal, result.stdout))
        if result.stdout:
            break
    assert ends[-1] == (7, None, b"up\n")


@pytest.mark.promise("R10")
async def test_what_a_program_leaves_running_dies_when_it_ends(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        result = await run(python(rogue_processes.FORKING, tmp_path / "pids", 0), tmp_path)
    assert result.exit_code == 0
    assert rogue_processes.survivors(rogue_processes.read_pids(tmp_path / "pids")) == []


@pytest.mark.promise("R10")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_survives_the_server(
    tmp_path: Path, started_server: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    with anyio.fail_after(120):
        pids = await rogue_processes.pids_in(tmp_path / "pids", rogue_processes.FORKED)
    assert rogue_processes.survivors(pids) == pids
    started_server.send_signal(number)
    with anyio.fail_after(R10_S):
        await rogue_processes.all_dead(pids)
    with anyio.fail_after(120):
        await rogue_processes.until((tmp_path / "child" / "exit").exists)
    assert json.loads((tmp_path / "child" / "exit").read_text())["cause"] == "gone"


@pytest.mark.promise("R10")
@pytest.mark.parametrize("started_server", [0.1], indirect=True)
async def test_a_stopped_server_cannot_keep_a_child_beyond_its_deadline(
    tmp_path: Path, started_server: subprocess.Popen[bytes]
) -> None:
    with anyio.fail_after(120):
        pid = await rogue_processes.noted_pid(tmp_path / "child")
        started_server.send_signal(signal.SIGSTOP)
        await rogue_processes.all_dead([pid])


@pytest.mark.promise("R10")
async def test_noise_is_capped_and_costs_the_server_little_memory(tmp_path: Path) -> None:
    argv = rogue_processes.server(tmp_path, 60, python(rogue_processes.SHOUTING, NOISE))
    with anyio.fail_after(120):
        await anyio.run_process(argv, stdout=None, stderr=None)
    report = json.loads((tmp_path / "report").read_text())
    assert report["grown"] < 50_000_000
    assert report["truncated"]
    assert (1 << 20) <= report["kept"] < (1 << 20) + 100
    assert report["start"].startswith("the start\n")
    assert report["end"].endswith("the end\n")


@pytest.mark.parametrize(("size", "cut"), [(0, False), (1, False), (1999, False), (2000, False), (2001, True)])
async def test_the_cap_cuts_the_middle_and_says_how_much(tmp_path: Path, size: int, *, cut: bool) -> None:
    text = "".join(str(n % 10) for n in range(size))
    with anyio.fail_after(120):
        result = await run(python(f"print(end={text!r})"), tmp_path, cap=2000)
    assert result.truncated is cut
    if cut:
        assert result.stdout == f"{text[:1000]}\n[... {size - 2000} bytes left out ...]\n{text[-1000:]}".encode()
    else:
        assert result.stdout.decode() == text


async def test_the_start_of_the_output_can_be_read_while_the_program_runs(tmp_path: Path) -> None:
    ended = anyio.Event()

    async def attempt() -> None:
        await run(python("import time; print('first', flush=True); time.sleep(900)"), tmp_path)
        ended.set()

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(attempt)
            path = tmp_path / "child" / "stdout"
            await rogue_processes.until(lambda: path.exists() and path.read_bytes() == b"first\n")
            assert not ended.is_set()
            group.cancel_scope.cancel()


@needs_proc
@pytest.mark.promise("R10")
async def test_a_killed_watchdog_takes_its_program_along_and_is_an_error(tmp_path: Path) -> None:
    async def kill_watchdog() -> None:
        pid = await rogue_processes.noted_pid(tmp_path / "child")
        pids.append(pid)
        os.kill(int(rogue_processes.stat_fields(pid)[1]), signal.SIGKILL)

    pids: list[int] = []
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(kill_watchdog)
            with pytest.raises(errors.WorkerError, match="was killed before it could report"):
                await run(["/bin/sleep", "900"], tmp_path)
        await rogue_processes.all_dead(pids)


@pytest.mark.parametrize("steps", range(6))
async def test_cancelling_at_any_step_leaves_nothing(tmp_path: Path, steps: int) -> None:
    task = asyncio.ensure_future(run(["/bin/sleep", "900"], tmp_path))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with anyio.fail_after(120), pytest.raises(asyncio.CancelledError):
        await task
    if steps:
        assert (tmp_path / "child" / "exit").exists()
        pid = await rogue_processes.noted_pid(tmp_path / "child")
        assert rogue_processes.survivors([pid]) == []


async def test_many_children_at_once_leave_no_descriptor_behind(tmp_path: Path) -> None:
    async def attempt(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        await run(["/bin/echo", str(number)], tmp_path / str(number))

    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(attempt, number)
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
    assert [(tmp_path / str(n) / "child" / "stdout").read_text() for n in range(12)] == [f"{n}\n" for n in range(12)]


@needs_proc
def test_a_left_over_group_is_killed_only_if_it_is_the_same_process(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "900"], start_new_session=True) as process:
        started = rogue_processes.stat_fields(process.pid)[19].decode()
        (tmp_path / "pid").write_text(json.dumps({"pid": process.pid, "started": started + "1"}))
        assert not supervisor.kill_left_over(tmp_path)
        assert process.poll() is None
        (tmp_path / "pid").write_text(json.dumps({"pid": process.pid, "started": started}))
        assert supervisor.kill_left_over(tmp_path)
        assert process.wait(120) == -signal.SIGKILL


@pytest.mark.parametrize("note", [None, "", "[]", "{}", '{"pid": "x", "started": "1"}', '{"pid": 1}'])
def test_a_damaged_note_of_a_pid_kills_nothing(tmp_path: Path, note: str | None) -> None:
    if note is not None:
        (tmp_path / "pid").write_text(note)
    assert not supervisor.kill_left_over(tmp_path)
