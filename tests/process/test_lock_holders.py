"""Who holds a lock, in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_mcp.process import file_lock, lock_holders

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux says who holds a lock")

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `tmp_path / "lock"`; its last argument is a secret."""
    (tmp_path / "hold.py").write_text(HOLD)
    command = [sys.executable, str(tmp_path / "hold.py"), str(tmp_path / "lock"), "--token=hush"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_of_a_lock_is_named_by_its_number_and_program(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    pid = lock_holders.of(tmp_path / "lock")
    assert pid == other.pid
    words = lock_holders.describe(pid)
    assert words.startswith(f"process {other.pid} (")
    assert "hold.py" in words
    assert "hush" not in words
    assert "stopped" not in words


def test_a_stopped_holder_is_called_so(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, other.pid, os.WSTOPPED | os.WNOWAIT)
    assert lock_holders.is_stopped(other.pid)
    assert lock_holders.describe(lock_holders.of(tmp_path / "lock")).endswith("stopped)")
    os.kill(other.pid, signal.SIGCONT)


def test_nobody_holds_a_lock_that_is_free_or_not_there(tmp_path: Path) -> None:
    assert lock_holders.of(tmp_path / "none") == 0
    with file_lock.FileLock(tmp_path / "lock"):
        assert lock_holders.of(tmp_path / "lock") == os.getpid()
    assert lock_holders.of(tmp_path / "lock") == 0


def test_a_process_that_has_ended_is_not_described(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert lock_holders.describe(other.pid) == ""
    assert not lock_holders.is_stopped(other.pid)


def test_a_program_text_on_a_command_line_is_not_repeated() -> None:
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        assert "import" not in lock_holders.describe(process.pid)
        process.kill()
