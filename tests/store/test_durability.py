"""What holds a commit on the disk and others away from it, as SQLite and the kernel are asked for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.engine import store_waits
from dispatch_mcp.model import records
from dispatch_mcp.store import blobs, owner_locks, sqlite, sqlite_store

pytestmark = pytest.mark.anyio


@pytest.mark.promise("R1")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous", 2),  # FULL: a commit that was answered survives a power cut
        ("journal_mode", "wal"),
        ("foreign_keys", 1),
        ("wal_autocheckpoint", 0),  # the log is moved under the mutex only
    ],
)
async def test_the_connection_that_writes_is_set_to_lose_nothing(
    tmp_path: Path, setting: str, value: int | str
) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    with closing(sqlite.open_writer(tmp_path)) as conn:
        assert conn.execute(f"PRAGMA {setting}").fetchone() == (value,)


@pytest.mark.promise("R1")
def test_a_blob_is_on_the_disk_with_its_name_before_anybody_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync: Callable[[int], None] = os.fsync

    def recorded(fd: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    if not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc here to ask")
    monkeypatch.setattr(os, "fsync", recorded)
    (tmp_path / "blobs").mkdir()
    digest = blobs.FileBlobs(tmp_path).put(b"paid for")
    draft, folder = flushed
    assert draft.startswith(".")
    assert folder == digest[:2]


@pytest.mark.promise("R8")
async def test_a_store_that_is_newer_by_a_single_step_is_refused(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    store_setup.raw(tmp_path, f"PRAGMA user_version = {len(sqlite.migrations()) + 1}")
    with pytest.raises(errors.StoreTooNew, match="Upgrade"):
        async with sqlite_store.open_store(tmp_path):
            pass


@pytest.mark.promise("R8")
async def test_a_store_that_becomes_newer_while_it_is_open_is_written_no_more(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        store_setup.raw(tmp_path, f"PRAGMA user_version = {len(sqlite.migrations()) + 1}")
        with pytest.raises(errors.StoreTooNew):
            await store.create_run(store_setup.new_run())
        assert store_setup.raw(tmp_path, "SELECT count(*) FROM run") == [(0,)]
        store_setup.raw(tmp_path, f"PRAGMA user_version = {len(sqlite.migrations())}")


@pytest.mark.promise("R4")
async def test_nobody_writes_while_another_process_holds_the_mutex(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass  # made without haste
    async with sqlite_store.open_store(tmp_path, wait_s=1.0) as store:
        mutex = owner_locks.Mutex(tmp_path / "write.lock")
        with mutex, pytest.raises(errors.StoreBusy):
            await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store_waits.served(lambda: store.save_plan(store_setup.chain("a"), records.LOCAL), "a test")
        mutex.close()


def pages_in_log(home: Path, start: int) -> list[int]:
    """Returns the pages that the log holds behind `start`, as sqlite.org/fileformat2.html#walformat lays them out."""
    log = (home / f"{sqlite.FILE}-wal").read_bytes()
    frame = 24 + int.from_bytes(log[8:12])
    return [int.from_bytes(log[at : at + 4]) for at in range(start, len(log), frame)]


async def test_a_step_of_an_open_run_writes_nothing_but_what_it_moves(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b", "c")) as (store, owner):
        (a,) = (await store.advance("run", store_setup.step(owner))).starts
        (b,) = (await store.advance("run", store_setup.step(owner, store_setup.report(a)))).starts
        start = sqlite.wal_size(tmp_path)
        await store.advance("run", store_setup.step(owner, store_setup.report(b)))
        pages = pages_in_log(tmp_path, start)
        names = dict(store_setup.raw(tmp_path, "SELECT rootpage, name FROM sqlite_schema WHERE rootpage > 0"))
    moved = ["attempt", "event", "result", "run", "sqlite_autoindex_result_1", "task"]
    assert sorted(str(names.get(page)) for page in pages) == moved
