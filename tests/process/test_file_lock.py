"""One file lock for the state file, the owners and the index."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_mcp.process import file_lock

HOLDER = """
import sys
from pathlib import Path
from dispatch_mcp.process import file_lock
with file_lock.FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.lock"


@pytest.fixture
def descriptors(path: Path) -> Iterator[tuple[int, int]]:
    """Returns one file, opened twice as two processes would."""
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2))
    yield first, second
    os.close(first)
    os.close(second)


def test_only_one_holds_a_lock_at_a_time(descriptors: tuple[int, int]) -> None:
    first, second = descriptors
    assert file_lock.lock(first, wait=False)
    assert not file_lock.lock(second, wait=False)
    file_lock.unlock(first)
    assert file_lock.lock(second, wait=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has one kind of lock")
def test_who_only_looks_shares_the_lock_with_others_who_look(descriptors: tuple[int, int]) -> None:
    first, second = descriptors
    assert file_lock.lock(first, wait=False, shared=True)
    assert file_lock.lock(second, wait=False, shared=True)
    assert not file_lock.lock(second, wait=False)


def test_a_block_may_be_entered_again_from_inside_and_frees_the_lock_at_its_end(
    path: Path, descriptors: tuple[int, int]
) -> None:
    lock, (other, _) = file_lock.FileLock(path), descriptors
    with lock:
        with lock:
            assert not file_lock.lock(other, wait=False)
        assert not file_lock.lock(other, wait=False)
    assert file_lock.lock(other, wait=False)


def test_an_error_inside_the_block_frees_the_lock(path: Path, descriptors: tuple[int, int]) -> None:
    with pytest.raises(KeyError), file_lock.FileLock(path):
        raise KeyError
    assert file_lock.lock(descriptors[0], wait=False)


def test_nobody_but_the_user_may_read_the_lock_file(path: Path) -> None:
    with file_lock.FileLock(path):
        assert path.stat().st_mode & 0o077 == 0


def test_who_waits_enters_when_the_holder_leaves(path: Path) -> None:
    order: list[str] = []

    def follow() -> None:
        with file_lock.FileLock(path):
            order.append("second")

    with file_lock.FileLock(path):
        second = threading.Thread(target=follow)
        second.start()
        order.append("first")
    second.join(120)
    assert order == ["first", "second"]


def test_the_kernel_frees_the_lock_of_a_process_that_was_killed(path: Path, descriptors: tuple[int, int]) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    assert not file_lock.lock(descriptors[0], wait=False)
    holder.kill()
    holder.wait(120)
    holder.stdin.close()
    holder.stdout.close()
    assert file_lock.lock(descriptors[0], wait=False)
