"""Whether the store's files are those that were opened, and what an empty one means."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.model import records
from dispatch_mcp.store import health, sqlite, sqlite_store, whereabouts

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R8")]


def emptied(home: Path) -> None:
    (home / sqlite.FILE).write_bytes(b"")


def another_programs(home: Path) -> None:
    (home / sqlite.FILE).unlink()
    store_setup.raw(home, "CREATE TABLE theirs (x)")


def a_letter(home: Path) -> None:
    (home / sqlite.FILE).write_bytes(b"Dear Sir or Madam, " * 500)


def an_empty_database(home: Path) -> None:
    (home / sqlite.FILE).unlink()
    with closing(sqlite3.connect(home / sqlite.FILE)) as conn:
        conn.execute("PRAGMA journal_mode = WAL").fetchone()


@pytest.mark.parametrize("spoil", [emptied, another_programs, a_letter, an_empty_database])
async def test_what_stands_in_the_place_of_a_store_is_damage_and_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
    spoil(tmp_path)
    before = (tmp_path / sqlite.FILE).read_bytes()
    for _ in range(2):
        with pytest.raises(errors.StoreDamaged) as caught:
            async with sqlite_store.open_store(tmp_path) as store:
                await store.runs(records.LOCAL)
        assert caught.value.hint
    assert (tmp_path / sqlite.FILE).read_bytes() == before
    assert {fact.name: fact.status for fact in health.facts(tmp_path)}["store"] == "bad"


async def test_a_log_without_its_database_is_kept(tmp_path: Path) -> None:
    log = tmp_path / f"{sqlite.FILE}-wal"
    log.write_bytes(b"committed work")
    with pytest.raises(errors.StoreDamaged):
        async with sqlite_store.open_store(tmp_path):
            pass
    assert log.read_bytes() == b"committed work"


async def test_a_birth_that_was_broken_off_is_no_damage(tmp_path: Path) -> None:
    emptied(tmp_path)
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, _):
        assert [run.id for run in await store.runs(records.LOCAL)] == ["run"]


async def test_a_store_whose_database_was_taken_away_begins_anew(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")):
        pass
    (tmp_path / sqlite.FILE).unlink()
    async with sqlite_store.open_store(tmp_path) as store:
        assert await store.runs(records.LOCAL) == []
        await store.save_plan(store_setup.chain("a"), records.LOCAL)


async def test_a_file_is_known_by_its_device_and_number_and_not_by_its_name(tmp_path: Path) -> None:
    assert whereabouts.files(tmp_path) == (None, None)
    (tmp_path / sqlite.FILE).write_bytes(b"x")
    opened = whereabouts.files(tmp_path)
    whereabouts.refuse_moved(tmp_path, opened)
    (tmp_path / f"{sqlite.FILE}-wal").write_bytes(b"x")  # a log that came later is the opened file's own
    whereabouts.refuse_moved(tmp_path, opened)
    (tmp_path / sqlite.FILE).rename(tmp_path / "kept")
    with pytest.raises(errors.StoreMoved, match="removed"):
        whereabouts.refuse_moved(tmp_path, opened)
    (tmp_path / sqlite.FILE).write_bytes(b"x")
    with pytest.raises(errors.StoreMoved, match="replaced"):
        whereabouts.refuse_moved(tmp_path, opened)
    (tmp_path / "kept").replace(tmp_path / sqlite.FILE)
    whereabouts.refuse_moved(tmp_path, opened)
