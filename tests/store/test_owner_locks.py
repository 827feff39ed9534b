"""Locks that end with their process: who is alive, whose files are swept, who may write."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from dispatch_mcp.store import owner_locks

HOLD = """
import sys
from pathlib import Path
from dispatch_mcp.store import owner_locks
lock = owner_locks.OwnerLock(Path(sys.argv[1]))
print(lock.id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that owns something, and its owner's id."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def files(home: Path) -> set[str]:
    return {path.stem for path in (home / "owners").glob("*.lock")}


def test_every_owner_has_a_name_of_its_own_and_lives_while_it_holds_its_lock(tmp_path: Path) -> None:
    with ExitStack() as stack:
        locks = [stack.enter_context(owner_locks.OwnerLock(tmp_path)) for _ in range(5)]
        assert files(tmp_path) == {lock.id for lock in locks}
        assert all(owner_locks.is_alive(tmp_path, lock.id) for lock in locks)
        locks[0].close()
        locks[0].close()
        assert not owner_locks.is_alive(tmp_path, locks[0].id)
    assert files(tmp_path) == set()


def test_nobody_is_alive_who_never_was(tmp_path: Path) -> None:
    assert not owner_locks.is_alive(tmp_path, "f" * 32)
    assert owner_locks.stale_owners(tmp_path) == []
    assert owner_locks.sweep_owners(tmp_path) == 0


def test_an_owner_of_another_process_is_alive_until_that_process_is_killed(
    tmp_path: Path, other: tuple[subprocess.Popen[str], str]
) -> None:
    process, owner_id = other
    assert owner_locks.is_alive(tmp_path, owner_id)
    assert owner_locks.sweep_owners(tmp_path) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    assert not owner_locks.is_alive(tmp_path, owner_id)
    assert [path.stem for path in owner_locks.stale_owners(tmp_path)] == [owner_id]
    assert owner_locks.sweep_owners(tmp_path) == 1
    assert files(tmp_path) == set()


def test_a_sweep_takes_the_files_of_the_dead_and_leaves_those_of_the_living(tmp_path: Path) -> None:
    with owner_locks.OwnerLock(tmp_path) as lock:
        for name in ("a" * 32, "b" * 32):
            (tmp_path / "owners" / f"{name}.lock").touch()
        assert owner_locks.sweep_owners(tmp_path) == 2
        assert files(tmp_path) == {lock.id}
        assert owner_locks.is_alive(tmp_path, lock.id)


def test_those_who_look_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    lock = owner_locks.OwnerLock(tmp_path)
    path = tmp_path / "owners" / f"{lock.id}.lock"
    lock.close()
    path.touch()
    answers: list[bool] = []

    def look() -> None:
        answers.extend(owner_locks.is_alive(tmp_path, lock.id) for _ in range(200))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [False] * 800


def test_owners_that_are_born_while_others_sweep_are_all_alive(tmp_path: Path) -> None:
    born: list[owner_locks.OwnerLock] = []
    stop = threading.Event()
    (tmp_path / "owners").mkdir()

    def sweep() -> None:
        while not stop.is_set():
            owner_locks.sweep_owners(tmp_path)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        born += [owner_locks.OwnerLock(tmp_path) for _ in range(200)]
        assert all(owner_locks.is_alive(tmp_path, lock.id) for lock in born)
    finally:
        stop.set()
        sweeper.join(120)
        for lock in born:
            lock.close()
    assert files(tmp_path) == set()


def test_one_at_a_time_holds_the_mutex_and_leaves_its_name(tmp_path: Path) -> None:
    path = tmp_path / "write.lock"
    inside, most = [0], [0]

    def enter() -> None:
        mutex = owner_locks.Mutex(path)
        for _ in range(100):
            with mutex:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1
        mutex.close()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1]
    assert owner_locks.holder(path) == os.getpid()


def test_a_mutex_that_was_taken_is_entered_at_once_and_is_free_afterwards(tmp_path: Path) -> None:
    mine, other = (owner_locks.Mutex(tmp_path / "write.lock") for _ in range(2))
    for _ in range(2):
        assert mine.take(0)
        assert mine.take(0)
        with mine:
            assert not other.take(0)
        assert other.take(0)
        assert not mine.take(0)
        other.close()
    assert mine.take(0)
    mine.close()
    with other:
        assert not mine.take(0)
    mine.close()
    other.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_lock_files_are_for_their_user_only(tmp_path: Path) -> None:
    with owner_locks.OwnerLock(tmp_path) as lock, owner_locks.Mutex(tmp_path / "write.lock"):
        for path in (tmp_path / "owners" / f"{lock.id}.lock", tmp_path / "write.lock"):
            assert path.stat().st_mode & 0o077 == 0
        assert (tmp_path / "owners").stat().st_mode & 0o077 == 0


def taken(home: Path) -> int:
    """Returns how many bytes of the disk the files of all owners take."""
    return sum(path.stat().st_blocks * 512 for path in (home / "owners").glob("*.lock"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="bytes are written instead, which a disk may compress")
def test_who_drives_runs_has_a_reserve_on_the_disk_that_is_given_for_what_has_to_be_written(tmp_path: Path) -> None:
    with closing(owner_locks.Ownership(tmp_path)) as owner:
        assert owner.has_room()
        assert not (tmp_path / "owners").exists()
        lock_id = owner.id
        assert taken(tmp_path) >= owner_locks.RESERVE_BYTES
        owner.make_room()
        given = owner_locks.RESERVE_BYTES - taken(tmp_path)
        assert (given, owner.has_room()) == (owner_locks.PART_BYTES, False)
        assert owner_locks.is_alive(tmp_path, lock_id)
        assert owner.find_room()
        assert (owner.has_room(), taken(tmp_path) >= owner_locks.RESERVE_BYTES) == (True, True)
    assert taken(tmp_path) == 0
    owner.make_room()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="bytes are written instead, which a disk may compress")
def test_what_fills_the_disk_may_take_a_part_of_the_reserve_and_leaves_the_others(tmp_path: Path) -> None:
    with owner_locks.OwnerLock(tmp_path) as lock:
        lock.take_reserve()
        left = [taken(tmp_path)]
        for now in (0.0, owner_locks.PART_S / 2, *(owner_locks.PART_S * at for at in range(1, 6))):
            lock.give_reserve(now)
            left.append(taken(tmp_path))
        part = owner_locks.PART_BYTES
        assert [(before - after) // part for before, after in itertools.pairwise(left)] == [1, 0, 1, 1, 1, 0, 0]
        assert (left[-1], lock.take_reserve()) == (0, True)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="bytes are written instead, which a disk may compress")
def test_as_much_as_was_asked_for_stays_in_the_reserve(tmp_path: Path) -> None:
    with owner_locks.OwnerLock(tmp_path) as lock:
        lock.take_reserve()
        given = [lock.give_reserve(owner_locks.PART_S * at, owner_locks.LAST_BYTES) for at in range(4)]
        assert (given, taken(tmp_path)) == ([True, True, False, False], owner_locks.LAST_BYTES)
        assert lock.give_reserve(owner_locks.PART_S * 4)


def test_who_may_not_have_a_reserve_begins_nothing_and_drives_all_the_same(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from dispatch_mcp.store import owner_locks
owner = owner_locks.Ownership(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (owner_locks.RESERVE_BYTES // 2, resource.RLIM_INFINITY))
print(len(owner.id), owner.has_room(), owner.find_room())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(owner.find_room(), owner.has_room())
"""
    call = [sys.executable, "-c", code, str(tmp_path)]
    answer = subprocess.run(call, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["32 False False", "True True"]
