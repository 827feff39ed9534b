"""What happens to the calls of a transaction that is lost as a whole."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import blobs, codec, owner_locks, sqlite, sqlite_store

pytestmark = pytest.mark.anyio


def break_off(conn: sqlite3.Connection) -> None:
    """What SQLite does by itself on some errors: the transaction is gone, whoever is in it."""
    conn.execute("ROLLBACK")
    raise OSError(errno.EIO, "the disk is gone")


def spoil_the_commit(conn: sqlite3.Connection) -> None:
    """Leaves a reference that leads nowhere for the COMMIT to find."""
    conn.execute("PRAGMA defer_foreign_keys = ON")
    conn.execute("INSERT INTO replay (task, source) VALUES (1, 999)")


@pytest.mark.promise("R8")
@pytest.mark.parametrize(
    ("spoil", "kind"), [(break_off, errors.StoreUnavailable), (spoil_the_commit, errors.StoreError)]
)
async def test_all_calls_of_a_lost_transaction_fail_and_what_was_in_memory_is_forgotten(
    tmp_path: Path, spoil: Callable[[sqlite3.Connection], None], kind: type[errors.StoreError]
) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        said: list[errors.StoreError] = []

        async def fails(call: Callable[[], object]) -> None:
            with pytest.raises(kind) as caught:
                await call()  # pyright: ignore[reportGeneralTypeIssues]
            said.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(fails, lambda: store.advance("run", store_setup.step(owner, store_setup.report(start))))
            group.start_soon(fails, lambda: store._writer.run(spoil))  # pyright: ignore[reportPrivateUsage]
            await anyio.lowlevel.checkpoint()
        assert len(said) == 2
        assert all(error.hint for error in said)
        assert [task.state.value for task in await store.tasks("run")] == ["running", "blocked"]
        assert (await store.advance("run", store_setup.step(owner, store_setup.report(start)))).accepted == (True,)
    assert store_setup.faults(tmp_path) == []


async def test_a_run_that_cannot_be_read_is_not_kept_in_memory(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (_, owner):
        store_setup.raw(tmp_path, "UPDATE run SET revision = revision + 1")
        store_setup.raw(tmp_path, "DROP TRIGGER plan_is_immutable")
        [(document,)] = store_setup.raw(tmp_path, "SELECT document FROM plan")
        store_setup.raw(tmp_path, "UPDATE plan SET document = '{}'")
        async with sqlite_store.open_store(tmp_path) as other:
            for call in (other.release(owner.id), other.advance("run", store_setup.step(owner))):
                with pytest.raises(ValueError, match="tasks"):
                    await call
            store_setup.raw(tmp_path, "UPDATE plan SET document = ?", [document])
            assert len((await other.advance("run", store_setup.step(owner))).starts) == 1
    assert store_setup.faults(tmp_path) == []


async def test_only_the_latest_runs_stay_in_memory(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        for number in range(40):
            await store.create_run(store_setup.new_run(f"r{number}", fresh=True))
        for number in range(40):
            epoch = await store.adopt(f"r{number}", owner.id) or 0
            last = await store_setup.drive(store, f"r{number}", records.Owner(owner.id, epoch))
            assert last.state is model.RunState.SUCCEEDED
        assert len(store._runs._live) <= 32  # pyright: ignore[reportPrivateUsage]
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R8")
def test_a_blob_that_cannot_be_kept_says_why(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    store = blobs.FileBlobs(tmp_path)
    for call in (lambda: store.put(b"x"), lambda: store.get("a" * 64)):
        with pytest.raises(errors.StoreUnavailable) as caught:
            call()
        assert caught.value.hint


def test_a_home_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.StoreUnavailable, match="cannot be used"):
        sqlite.prepare_home(tmp_path / "file" / "home")


def test_nobody_holds_a_lock_that_does_not_exist(tmp_path: Path) -> None:
    assert owner_locks.holder(tmp_path / "write.lock") == 0
    assert "another process has it" in str(owner_locks.kept_too_long(tmp_path / "write.lock", 1.0))


def test_a_map_comes_back_as_it_was_written() -> None:
    for data in ({}, {"a": "b"}, {"a": 1}, {"a": "ä\ud800", "b": [None]}):
        assert codec.load_map(codec.dump_map(data)) == data


def test_statements_are_split_where_sqlite_would() -> None:
    script = "-- one;\nCREATE TABLE a (x);\nCREATE TRIGGER t BEFORE UPDATE ON a\nBEGIN\n  SELECT 1;\nEND;\n"
    assert len(list(sqlite.statements(script))) == 2
    assert len(sqlite.migrations()) >= 1
