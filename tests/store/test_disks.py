"""Disks that are full, read-only or gone, and a lock that is not let go, as a client of a real server meets them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import memory_client
import pytest
import raw_server

pytestmark = pytest.mark.promise("R8")

DIFF = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -0,0 +1 @@\n+x = 1\n"
TASKS = [{"id": "a", "do": "Write x"}, {"id": "b", "do": "Write y"}]
READS: list[tuple[str, dict[str, Any]]] = [
    ("route_task", {"task": "fix the login page"}),
    ("get_trace", {}),
    ("get_trace", {"view": "all"}),
]
READS_OF_A_RUN: list[tuple[str, dict[str, Any]]] = [
    ("get_trace", {"run_id": "latest"}),
    ("get_trace", {"run_id": "latest", "view": "results"}),
    ("message_agents", {"run_id": "latest", "action": "inbox"}),
]
WRITES: list[tuple[str, dict[str, Any]]] = [
    ("plan_dag", {"tasks": TASKS}),
    ("review_council", {"diff": DIFF}),
]
WRITES_OF_A_RUN: list[tuple[str, dict[str, Any]]] = [
    ("report", {"run_id": "latest", "results": [{"task_id": "a", "attempt": 1, "text": "Done."}]}),
    ("steer_run", {"run_id": "latest", "action": "pause"}),
    ("message_agents", {"run_id": "latest", "action": "send", "recipient": "a", "text": "Mind the gap."}),
]
HOLD = """
import sys
from pathlib import Path
from dispatch_mcp.store import owner_locks, writer
with owner_locks.Mutex(Path(sys.argv[1]) / owner_locks.LOCK):
    print("held", flush=True)
    sys.stdin.read()
"""
HOLD_AS_A_STRANGER = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN IMMEDIATE")
print("held", flush=True)
while True:
    time.sleep(600)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return memory_client.repository(tmp_path / "shop")


class SmallDisk:
    """A disk of three megabytes that can be filled, freed and made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "fill").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 1024):
                pass

    def free(self) -> None:
        (self.folder / "fill").unlink()

    def freeze(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=3000k,mode=700", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own needs Linux and the right to mount one")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def serving(home: Path, shop: Path, *, fresh: bool = False) -> Generator[raw_server.Wire]:
    """A server that must end in order when its client leaves; a `fresh` one where its start meets the trouble."""
    with raw_server.Wire(raw_server.environment(home, shop), shop, fresh=fresh) as wire:
        yield wire
        assert wire.close() == 0


def begin(home: Path, shop: Path) -> None:
    """Leaves a store with an open run behind."""
    with serving(home, shop) as wire:
        wire.call("dispatch", plan_id=wire.call("plan_dag", tasks=TASKS)["plan_id"])


def answers(wire: raw_server.Wire, calls: list[tuple[str, dict[str, Any]]]) -> None:
    for tool, arguments in calls:
        assert wire.call(tool, **arguments), tool


def refusals(wire: raw_server.Wire, calls: list[tuple[str, dict[str, Any]]], *words: str) -> None:
    for tool, arguments in calls:
        with pytest.raises(raw_server.Refused) as refusal:
            wire.call(tool, **arguments)
        assert all(word in str(refusal.value) for word in words), (tool, refusal.value)


def test_in_a_read_only_home_every_read_answers_and_every_write_says_why(disk: SmallDisk, shop: Path) -> None:
    begin(disk.folder, shop)
    disk.freeze()
    with serving(disk.folder, shop, fresh=True) as wire:
        for _ in range(2):
            answers(wire, READS + READS_OF_A_RUN)
            refusals(wire, WRITES + WRITES_OF_A_RUN, "can only be read", "Make that folder writable")


def test_a_home_that_cannot_be_made_is_read_as_empty(disk: SmallDisk, shop: Path) -> None:
    disk.freeze()
    with serving(disk.folder / "below", shop) as wire:
        answers(wire, READS)
        refusals(wire, [("plan_dag", {"tasks": TASKS})], "can only be read", "Make that folder writable")
        refusals(wire, [("review_council", {"diff": DIFF})], str(disk.folder))


@pytest.mark.parametrize("is_freed", [True, False])
def test_a_client_that_leaves_a_full_disk_leaves_no_server_behind(
    disk: SmallDisk, shop: Path, *, is_freed: bool
) -> None:
    with serving(disk.folder, shop) as wire:
        wire.call("dispatch", plan_id=wire.call("plan_dag", tasks=TASKS)["plan_id"])
        disk.fill()
        answers(wire, READS)
        refusals(wire, WRITES, "Free some space")
        if is_freed:
            disk.free()


def test_a_full_disk_at_the_start_lets_reads_answer_and_writes_work_again_once_there_is_space(
    disk: SmallDisk, shop: Path
) -> None:
    begin(disk.folder, shop)
    disk.fill()
    with serving(disk.folder, shop, fresh=True) as wire:
        answers(wire, READS + READS_OF_A_RUN)
        refusals(wire, WRITES + WRITES_OF_A_RUN, "Free some space")
        disk.free()
        answers(wire, WRITES_OF_A_RUN + WRITES + READS + READS_OF_A_RUN)


def test_a_store_is_made_once_a_full_disk_has_space(disk: SmallDisk, shop: Path) -> None:
    disk.fill()
    with serving(disk.folder / "home", shop) as wire:
        answers(wire, READS)
        refusals(wire, WRITES, str(disk.folder))
        disk.free()
        answers(wire, WRITES + READS)


@pytest.mark.promise("R22")
@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
@pytest.mark.parametrize("fate", ["removed", "replaced"])
def test_nothing_is_acknowledged_into_a_home_that_is_gone(tmp_path: Path, shop: Path, fate: str) -> None:
    home = tmp_path / "home"
    begin(home, shop)
    log = tmp_path / "log"
    with raw_server.Wire(raw_server.environment(home, shop), shop, log=log) as wire:
        answers(wire, READS_OF_A_RUN)
        shutil.move(home, tmp_path / "old")
        if fate == "replaced":
            begin(home, shop)
        refusals(wire, WRITES[:1], fate, "call again")
        plan_id = wire.call("plan_dag", tasks=TASKS)["plan_id"]
        run_id = wire.call("dispatch", plan_id=plan_id)["run_id"]
        wire.kill()
    with serving(home, shop) as later:
        assert later.call("get_trace", run_id=run_id)["counts"] == {"running": 2}
    assert "Traceback" not in log.read_text()


@pytest.mark.promise("R22")
@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be emptied there")
def test_nothing_is_acknowledged_into_a_database_that_was_emptied_meanwhile(tmp_path: Path, shop: Path) -> None:
    home = tmp_path / "home"
    begin(home, shop)
    log = tmp_path / "log"
    with raw_server.Wire(raw_server.environment(home, shop), shop, log=log) as wire:
        answers(wire, READS_OF_A_RUN)
        os.truncate(home / "state.db", 0)
        refusals(wire, WRITES + READS[1:], "is empty", "another folder")
        wire.kill()
    assert "Traceback" not in log.read_text()


def test_an_empty_state_file_beside_a_record_is_damage(tmp_path: Path, shop: Path) -> None:
    begin(tmp_path, shop)
    (tmp_path / "state.db").write_bytes(b"")
    with serving(tmp_path, shop) as wire:
        refusals(wire, READS[1:] + WRITES + READS_OF_A_RUN, "is empty", "another folder")
    assert (tmp_path / "state.db").read_bytes() == b""


@pytest.fixture
def stopped(tmp_path: Path, shop: Path) -> Iterator[subprocess.Popen[str]]:
    """A stopped process that keeps the write lock of a store in `tmp_path / "home"`."""
    if sys.platform == "win32":
        pytest.skip("nothing is stopped there")
    begin(tmp_path / "home", shop)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "home")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGSTOP)
        yield process
        process.kill()


@pytest.mark.long
def test_reads_answer_and_writes_name_the_stopped_process_that_keeps_the_lock(
    tmp_path: Path, shop: Path, stopped: subprocess.Popen[str]
) -> None:
    with serving(tmp_path / "home", shop) as wire:
        answers(wire, READS + READS_OF_A_RUN)
        refusals(wire, [WRITES[0]], f"process {stopped.pid}", "10 s", "Nothing was written")
        answers(wire, READS)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is stopped there")
@pytest.mark.parametrize("has_written", [True, False])
def test_a_lock_of_a_foreign_program_is_not_laid_to_the_server_that_waits_for_it(
    tmp_path: Path, shop: Path, *, has_written: bool
) -> None:
    home = tmp_path / "home"
    begin(home, shop)
    with serving(home, shop) as wire:
        answers(wire, [WRITES[0]] if has_written else READS)
        command = [sys.executable, "-c", HOLD_AS_A_STRANGER, str(home / "state.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stranger:
            assert stranger.stdout is not None
            assert stranger.stdout.readline() == "held\n"
            os.kill(stranger.pid, signal.SIGSTOP)
            with pytest.raises(raw_server.Refused) as refusal:
                wire.call("plan_dag", tasks=TASKS)
            stranger.kill()
        assert "Another program" in str(refusal.value)
        assert f"lsof {home / 'state.db'}" in str(refusal.value)
        assert str(wire.process.pid) not in str(refusal.value).replace(str(home), "")
        assert "end it" not in str(refusal.value)
        answers(wire, [WRITES[0]])


@pytest.mark.parametrize("command", [["status", "latest"], ["doctor"]])
def test_commands_that_look_wait_for_no_lock(
    tmp_path: Path, shop: Path, stopped: subprocess.Popen[str], command: list[str]
) -> None:
    look = subprocess.run(
        [sys.executable, "-m", "dispatch_mcp", *command],
        env=raw_server.environment(tmp_path / "home", shop),
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if command == ["doctor"]:
        assert f"process {stopped.pid}" in look.stdout
    else:
        assert (look.returncode, look.stderr) == (0, "")
        assert "running" in look.stdout
