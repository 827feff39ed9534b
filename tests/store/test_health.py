"""What a check-up says, and that it only looks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.model import records
from dispatch_mcp.store import health, owner_locks, sqlite, sqlite_store

pytestmark = pytest.mark.anyio


def by_name(home: Path) -> dict[str, health.Fact]:
    return {fact.name: fact for fact in health.facts(home)}


def listing(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    facts = by_name(tmp_path / "none")
    assert facts["store"].detail == "There is no store yet; the first use makes it."
    assert facts[health.FOLDER].detail.endswith("(will be made on first use)")
    assert not (tmp_path / "none").exists()
    assert health.open_runs(tmp_path / "none") == frozenset()


async def test_a_check_up_changes_no_file(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
    before = listing(tmp_path)
    facts = by_name(tmp_path)
    after = {name: data for name, data in listing(tmp_path).items() if name in before}
    assert after == before
    assert {name: fact.status for name, fact in facts.items() if name != "sqlite"} == dict.fromkeys(
        (health.FOLDER, "schema", "integrity", "size", "owners"), "ok"
    )


async def test_open_runs_are_those_that_are_not_over(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.create_run(store_setup.new_run("open", principal=records.LOCAL))
        await store_setup.drive(store, "run", owner)
        assert health.open_runs(tmp_path) == {"open"}


async def test_an_old_schema_is_named_with_what_becomes_of_it(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    newest = len(sqlite.migrations())
    store_setup.raw(tmp_path, "PRAGMA user_version = 1")
    assert by_name(tmp_path)["schema"].detail == f"Schema 1; the next use brings it to {newest}."
    store_setup.raw(tmp_path, "PRAGMA user_version = 99")
    trouble = by_name(tmp_path)["store"]
    assert (trouble.status, "schema 99" in trouble.detail) == ("bad", True)


async def test_rows_that_refer_to_nothing_are_found(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")):
        pass
    store_setup.raw(tmp_path, "DELETE FROM plan")
    integrity = by_name(tmp_path)["integrity"]
    assert integrity.status == "bad"
    assert "refers to nothing" in integrity.detail
    assert integrity.hint


async def test_of_many_faults_five_are_named(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, _):
        for number in range(8):
            await store.create_run(store_setup.new_run(f"run{number}"))
    store_setup.raw(tmp_path, "DELETE FROM plan")
    assert len(by_name(tmp_path)["integrity"].detail.split("; ")) == 5


@pytest.mark.parametrize(("version", "behind"), [((3, 51, 2), True), ((3, 51, 3), False), ((3, 60, 0), False)])
def test_a_library_with_a_bug_that_the_write_lock_avoids_is_said_to_be_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], *, behind: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    fact = by_name(tmp_path)["sqlite"]
    assert (fact.status, "behind our write lock" in fact.detail) == ("ok", behind)


async def test_a_lock_that_a_process_at_work_holds_is_no_trouble(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    with owner_locks.Mutex(tmp_path / "write.lock"):
        assert "write lock" not in by_name(tmp_path)
        assert all(fact.status == "ok" for fact in health.facts(tmp_path))


def test_a_file_that_is_no_database_is_named_and_its_runs_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / sqlite.FILE).write_bytes(b"something else entirely, and long enough" * 200)
    assert by_name(tmp_path)["store"].status == "bad"
    with pytest.raises(errors.StoreDamaged):
        health.open_runs(tmp_path)


async def test_owners_that_died_are_counted(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    (tmp_path / "owners").mkdir(exist_ok=True)
    (tmp_path / "owners" / f"{'a' * 32}.lock").touch()
    assert by_name(tmp_path)["owners"].detail.startswith("1 process died while driving runs")
