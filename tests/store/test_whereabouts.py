"""Whether the store's files are those that were opened, and what an empty one means."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.model import records
from dispatch_mcp.store import health, sqlite, sqlite_store, whereabouts
from dispatch_mcp.store.looks import listed_runs

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R8")]


def emptied(home: Path) -> None:
    (home / sqlite.FILE).write_bytes(b"")


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


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


def test_files_that_were_opened_are_told_apart_from_others_of_their_names(tmp_path: Path) -> None:
    database, log = (tmp_path / name for name in ("state.db", "state.db-wal"))
    database.write_bytes(b"1")
    before_log = whereabouts.files(tmp_path)
    log.write_bytes(b"2")
    whereabouts.refuse_moved(tmp_path, before_log)
    opened = whereabouts.files(tmp_path)
    whereabouts.refuse_moved(tmp_path, opened)
    log.unlink()
    with pytest.raises(errors.StoreMoved, match="was removed while"):
        whereabouts.refuse_moved(tmp_path, opened)
    database.rename(tmp_path / "old")
    with pytest.raises(errors.StoreMoved, match="was removed while"):
        whereabouts.refuse_moved(tmp_path, before_log)
    database.write_bytes(b"3")
    with pytest.raises(errors.StoreMoved, match="was replaced while"):
        whereabouts.refuse_moved(tmp_path, before_log)


@pytest.mark.parametrize(
    ("database", "log", "record", "lost"),
    [
        (b"x", b"y", True, False),
        (b"x", None, False, False),
        (b"", None, True, True),
        (b"", b"y", False, True),
        (b"", None, False, False),
        (b"", b"", False, False),
        (None, b"y", False, True),
        (None, None, True, False),
        (None, b"", True, False),
    ],
)
def test_an_empty_database_is_lost_where_there_was_something_in_it(
    tmp_path: Path, database: bytes | None, log: bytes | None, *, record: bool, lost: bool
) -> None:
    for name, content in (("state.db", database), ("state.db-wal", log)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    if record:
        (tmp_path / whereabouts.RECORD).mkdir()
    with pytest.raises(errors.StoreDamaged, match="is empty") if lost else contextlib.nullcontext():
        whereabouts.refuse_lost(tmp_path)


@pytest.mark.parametrize(
    ("free", "is_writable", "is_full"),
    [(0, True, True), (whereabouts.FULL_BELOW * 4, True, False), (0, False, False)],
    ids=["full", "room", "no room, but not ours to write"],
)
def test_a_disk_is_full_for_those_who_may_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, *, is_writable: bool, is_full: bool
) -> None:
    usage = type(shutil.disk_usage("/"))(10**9, 10**9 - free, free)

    def disk_usage(_: Path) -> object:
        return usage

    def access(_: Path, _mode: int) -> bool:
        return is_writable

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    monkeypatch.setattr(os, "access", access)
    assert whereabouts.is_full(tmp_path) is is_full


async def test_who_makes_no_store_reads_an_empty_one_where_there_is_none_and_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for folder in (home, tmp_path):
        async with sqlite_store.open_store(folder, begins=False) as store:
            assert await store.runs(records.LOCAL) == []
            assert await store.plans(records.LOCAL) == []
            assert store.home not in (home, tmp_path)
            passing = store.home
        assert names_in(passing) == []
    assert names_in(tmp_path) == []


async def test_who_makes_no_store_has_the_one_that_is_there(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
    async with sqlite_store.open_store(tmp_path, begins=False) as store:
        assert [run.id for run in await store.runs(records.LOCAL)] == ["run"]
        await store.save_plan(store_setup.chain("b", plan_id="later"), records.LOCAL)
    assert health.look(tmp_path, listed_runs.plan_names) == ["later", "plan"]


async def test_who_makes_no_store_is_told_of_one_that_is_lost(tmp_path: Path) -> None:
    (tmp_path / f"{sqlite.FILE}-wal").write_bytes(b"what was written last")
    with pytest.raises(errors.StoreDamaged):
        async with sqlite_store.open_store(tmp_path, begins=False):
            pass


async def test_each_plan_is_named_once_the_newest_first(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for plan_id, version in (("first", 1), ("second", 1), ("first", 2)):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id, version=version), records.LOCAL)
        await store.save_plan(store_setup.chain("a", plan_id="theirs"), "somebody else")
    assert health.look(tmp_path, listed_runs.plan_names) == ["first", "second"]
