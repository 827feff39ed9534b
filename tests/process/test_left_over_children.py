"""What the next server finds of a child whose server was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.process import supervisor, watchdog

pytestmark = pytest.mark.anyio

END: dict[str, Any] = {
    "exit_code": 0,
    "signal": None,
    "cause": "gone",
    "truncated": False,
    "seconds": 1.5,
    "errno": 0,
}


def leave(folder: Path, pid: int = 999_999_999, started: str = "0", **end: Any) -> Path:
    """Makes the folder as a watchdog leaves it; without `end` the watchdog was killed too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pid").write_text(json.dumps({"pid": pid, "started": started}))
    (folder / "stdout").write_bytes(b"what it said")
    (folder / "stderr").write_bytes(b"and complained")
    if end:
        (folder / "exit").write_text(json.dumps(END | end))
    return folder


async def test_a_folder_in_which_nothing_began_has_left_nothing(tmp_path: Path) -> None:
    assert await supervisor.result_left_over(tmp_path / "never") is None
    (tmp_path / "stdin").write_text("only what it would have read")
    assert await supervisor.result_left_over(tmp_path) is None


async def test_a_child_that_ended_by_itself_is_told_with_its_output(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        child = await supervisor.result_left_over(leave(tmp_path, exit_code=3))
    assert child is not None
    assert (child.exit_code, child.signal, child.timed_out, child.seconds) == (3, None, False, 1.5)
    assert (child.stdout, child.stderr) == (b"what it said", b"and complained")


@pytest.mark.parametrize(("cause", "timed_out"), [("deadline", True), ("gone", False), ("stop", False), ("", False)])
async def test_only_the_deadline_is_a_timeout(tmp_path: Path, cause: str, *, timed_out: bool) -> None:
    with anyio.fail_after(120):
        child = await supervisor.result_left_over(leave(tmp_path, exit_code=None, signal=15, cause=cause))
    assert child is not None
    assert (child.timed_out, child.signal) == (timed_out, 15)


async def test_without_the_word_of_its_watchdog_a_child_counts_as_killed(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        child = await supervisor.result_left_over(leave(tmp_path), wait_s=0.0)
    assert child is not None
    assert (child.exit_code, child.signal, child.truncated) == (None, signal.SIGKILL, True)
    assert child.stdout == b"what it said"


@given(st.binary(max_size=60))
async def test_a_damaged_end_counts_as_a_kill_too(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = leave(tmp_path_factory.mktemp("left"), exit_code=0)
    (folder / "exit").write_bytes(data)
    with anyio.fail_after(120):
        child = await supervisor.result_left_over(folder)
    assert child is not None
    assert child.signal == signal.SIGKILL


@pytest.fixture
def sleeper() -> Generator[subprocess.Popen[bytes]]:
    """A program that leads a group of its own."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


async def test_what_still_runs_is_killed_when_its_watchdog_is_gone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    leave(tmp_path, sleeper.pid, watchdog.start_time(sleeper.pid))
    with anyio.fail_after(120):
        await supervisor.result_left_over(tmp_path, wait_s=0.0)
    assert sleeper.wait(timeout=120) == -signal.SIGKILL


async def test_a_stranger_with_the_same_number_lives_on(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    leave(tmp_path, sleeper.pid, "another start")
    with anyio.fail_after(120):
        await supervisor.result_left_over(tmp_path, wait_s=0.0)
    assert sleeper.poll() is None


async def test_a_late_word_of_the_watchdog_is_waited_for(tmp_path: Path) -> None:
    leave(tmp_path)

    async def end_late() -> None:
        await anyio.wait_all_tasks_blocked()
        (tmp_path / "exit.part").write_text(json.dumps(END | {"exit_code": 7}))
        (tmp_path / "exit.part").rename(tmp_path / "exit")

    ends: list[int | None] = []
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(end_late)
            child = await supervisor.result_left_over(tmp_path, wait_s=100.0)
            ends.append(child.exit_code if child else None)
    assert ends == [7]


def tapped(folder: Path, data: bytes, cap: int, chunk: int) -> bytes:
    source, sink = os.pipe()
    tap = watchdog.Tap(source, str(folder / "out"), cap)
    for start in range(0, len(data), chunk):
        os.write(sink, data[start : start + chunk])
        tap.pump()
    os.close(sink)
    tap.close()
    os.close(source)
    return (folder / "out").read_bytes()


@given(st.binary(max_size=400), st.integers(min_value=2, max_value=300), st.integers(min_value=1, max_value=64))
def test_a_tap_keeps_the_beginning_and_the_end_and_counts_what_it_lost(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cap: int, chunk: int
) -> None:
    output = tapped(tmp_path_factory.mktemp("tap"), data, cap, chunk)
    if len(data) <= cap:
        assert output == data
        return
    head, tail = data[: cap // 2], data[-(cap - cap // 2) :]
    assert output == head + b"\n[... %d bytes left out ...]\n" % (len(data) - cap) + tail
