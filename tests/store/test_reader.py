"""Reads wait for no lock, and find what there is where nothing can be written."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import anyio
import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.engine import store_waits
from dispatch_mcp.model import records
from dispatch_mcp.store import codec, owner_locks, reader, sqlite, sqlite_store

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R8")]


async def finished(home: Path) -> None:
    async with store_setup.running(home, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)


def sqlite_threads() -> set[threading.Thread]:
    """The threads that keep a process alive until their connection is closed."""
    return {thread for thread in threading.enumerate() if not thread.daemon and "AnyIO" not in thread.name}


async def states(store: sqlite_store.Store) -> list[str]:
    return [run.state.value for run in await store.runs(records.LOCAL)]


async def test_reads_do_not_wait_while_another_keeps_the_write_lock(tmp_path: Path) -> None:
    await finished(tmp_path)
    with owner_locks.Mutex(tmp_path / owner_locks.LOCK), anyio.fail_after(120):
        async with sqlite_store.open_store(tmp_path, wait_s=60) as store:
            assert await states(store) == ["succeeded"]
            assert await store.outcome("run", "a") is not None


async def test_a_store_that_cannot_be_made_yet_is_read_as_empty_and_then_as_it_is(tmp_path: Path) -> None:
    with owner_locks.Mutex(tmp_path / owner_locks.LOCK):
        async with sqlite_store.open_store(tmp_path, wait_s=0.1) as store:
            assert await states(store) == []
            with pytest.raises(errors.StoreBusy):
                await store.save_plan(store_setup.chain("a"), records.LOCAL)
    late = sqlite_store.open_store(tmp_path, wait_s=0.1)
    with owner_locks.Mutex(tmp_path / owner_locks.LOCK):
        store = await late.__aenter__()
    assert await states(store) == []
    await store_waits.served(lambda: store.save_plan(store_setup.chain("a"), records.LOCAL), "a test")
    assert [plan.id for plan in await store.plans(records.LOCAL)] == ["plan"]
    await late.__aexit__(None, None, None)


async def test_a_store_of_an_older_schema_is_read_while_it_cannot_be_migrated(tmp_path: Path) -> None:
    older(tmp_path)
    with owner_locks.Mutex(tmp_path / owner_locks.LOCK):
        async with sqlite_store.open_store(tmp_path, wait_s=0.1) as store:
            assert [plan.id for plan in await store.plans("me")] == ["p"]
            assert await states(store) == []
            assert store_setup.raw(tmp_path, "PRAGMA user_version") == [(1,)]
    async with sqlite_store.open_store(tmp_path) as store:
        assert [plan.id for plan in await store.plans("me")] == ["p"]
        assert store_setup.raw(tmp_path, "PRAGMA user_version") == [(len(sqlite.migrations()),)]


def older(home: Path) -> None:
    """Leaves a store as the first schema had it."""
    sqlite.prepare_home(home)
    for statement in sqlite.statements(sqlite.migrations()[0]):
        store_setup.raw(home, statement)
    store_setup.raw(home, f"PRAGMA application_id = {sqlite.APPLICATION_ID}")
    store_setup.raw(home, "PRAGMA user_version = 1")
    plan = codec.dump(store_setup.chain("a", plan_id="p"))
    store_setup.raw(home, "INSERT INTO plan VALUES ('p', 1, 'me', ?, 0.0)", (plan,))


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
async def test_reads_of_a_store_that_was_removed_or_replaced_say_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await finished(home)
    async with sqlite_store.open_store(home) as store:
        assert await states(store) == ["succeeded"]
        home.rename(tmp_path / "old")
        for _ in range(2):
            with pytest.raises(errors.StoreMoved, match="removed"):
                await states(store)
        await finished(home)
        with pytest.raises(errors.StoreMoved, match="replaced"):
            await states(store)
    async with sqlite_store.open_store(home) as store:
        assert await states(store) == ["succeeded"]


async def test_many_reads_at_once_share_the_connection_that_becomes_possible(tmp_path: Path) -> None:
    before = sqlite_threads()
    early = reader.Reader(tmp_path)
    assert not await early.open()
    await finished(tmp_path)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(early.rows, "SELECT id FROM run")
    await early.close()
    with pytest.raises(errors.StoreUnavailable):
        await early.rows("SELECT 1")
    for thread in sqlite_threads() - before:
        thread.join(120)  # closing does not wait for its very end
    assert sqlite_threads() <= before


async def test_a_closed_reader_reads_nothing(tmp_path: Path) -> None:
    await finished(tmp_path)
    closed = reader.Reader(tmp_path)
    assert await closed.open()
    await closed.close()
    with pytest.raises(errors.StoreUnavailable, match="closed"):
        await closed.rows("SELECT 1")
