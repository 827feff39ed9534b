from __future__ import annotations

import gzip
import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import scenes

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.routing import learning
from dispatch_mcp.store import sqlite, sqlite_store

pytestmark = pytest.mark.anyio

FIRST_SCHEMA = Path(__file__).parent / "fixtures" / "book-v1.db.gz"
LESSON = learning.Lesson("Fix the login", "auth", "accepted", 0.5, "run", "a", 12.5)


def first_book(home: Path) -> Path:
    """Makes a home with the book that the first schema's code wrote: one run over, one that nobody drives."""
    home.mkdir(mode=0o700)
    (home / sqlite.FILE).write_bytes(gzip.decompress(FIRST_SCHEMA.read_bytes()))
    assert scenes.raw(home, "PRAGMA user_version") == [(1,)]
    return home


@pytest.mark.promise("R9")
async def test_the_book_of_the_first_schema_upgrades_with_all_that_is_in_it(tmp_path: Path) -> None:
    home = first_book(tmp_path / "home")
    async with sqlite_store.open_book(home) as book:
        assert (await book.run("run", principal=records.LOCAL)).state is model.RunState.SUCCEEDED
        assert [task.state for task in await book.tasks("run")] == [model.TaskState.SUCCEEDED] * 2
        assert [message.text for message in await book.inbox("run")] == ["the total is 6"]
        outcome = await book.outcome("run", "b")
        assert outcome is not None
        assert outcome.summary == "done"
        assert await book.adopt("half", "somebody") == 1
        await book.learn(records.LOCAL, [LESSON])
        assert await book.learned(records.LOCAL) == [replace(LESSON, no=1)]
    assert scenes.raw(home, "PRAGMA user_version") == [(len(sqlite.migrations()),)]
    assert scenes.raw(home, "PRAGMA integrity_check") == [("ok",)]
    assert scenes.faults(home) == []


@pytest.mark.promise("R9")
async def test_many_who_open_an_old_book_at_once_upgrade_it_once(tmp_path: Path) -> None:
    home = first_book(tmp_path / "home")
    seen: list[int] = []

    async def use() -> None:
        async with sqlite_store.open_book(home) as book:
            await book.learn(records.LOCAL, [LESSON])
            seen.append(len(await book.tasks("run")))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(use)
    assert seen == [2] * 6
    assert scenes.raw(home, "SELECT count(*) FROM route") == [(6,)]


@pytest.mark.promise("R9")
async def test_a_new_book_and_an_upgraded_one_have_the_same_tables(tmp_path: Path) -> None:
    old = first_book(tmp_path / "old")
    for home in (old, tmp_path / "new"):
        async with sqlite_store.open_book(home):
            pass
    schemas = [
        scenes.raw(home, "SELECT type, name, sql FROM sqlite_schema ORDER BY name") for home in (old, tmp_path / "new")
    ]
    assert schemas[0] == schemas[1]


async def test_lessons_come_back_newest_last_and_to_their_owner_only(tmp_path: Path) -> None:
    async with sqlite_store.open_book(tmp_path) as book:
        await book.learn("ann", [replace(LESSON, task_id=str(number)) for number in range(5)])
        await book.learn("bob", [LESSON])
        assert [lesson.task_id for lesson in await book.learned("ann", 3)] == ["2", "3", "4"]
        assert [lesson.task_id for lesson in await book.learned("ann", after=4)] == ["4"]
        assert await book.lessons("ann") == (5, 5)
        assert await book.learned("nobody") == []
        assert await book.lessons("nobody") == (0, 0)


async def test_long_and_odd_texts_are_cut_and_kept(tmp_path: Path) -> None:
    async with sqlite_store.open_book(tmp_path) as book:
        await book.learn("ann", [replace(LESSON, text="ä" * 5000), replace(LESSON, text="lone \ud800 x")])
        long, odd = await book.learned("ann")
        assert (long.text, odd.text) == ("ä" * 1000, "lone \\ud800 x")


async def test_forgetting_takes_everything_of_one_principal(tmp_path: Path) -> None:
    async with sqlite_store.open_book(tmp_path) as book:
        await book.learn("ann", [LESSON, LESSON])
        await book.learn("bob", [LESSON])
        assert await book.forget("ann") == 2
        assert await book.forget("ann") == 0
        assert await book.learned("ann") == []
        assert len(await book.learned("bob")) == 1
        await book.learn("ann", [LESSON])
        assert (await book.learned("ann"))[0].no > 3


async def test_how_a_route_went_cannot_be_changed(tmp_path: Path) -> None:
    async with sqlite_store.open_book(tmp_path) as book:
        await book.learn("ann", [LESSON])
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            scenes.raw(tmp_path, "UPDATE route SET outcome = 'failed'")


async def test_nothing_to_learn_writes_nothing(tmp_path: Path) -> None:
    async with sqlite_store.open_book(tmp_path) as book:
        before = await book.data_version()
        await book.learn("ann", [])
        assert await book.data_version() == before


@pytest.mark.parametrize(
    ("outcome", "good"), [("accepted", True), ("rerouted", True), ("failed", False), ("corrected", False)]
)
def test_a_lesson_says_whether_it_went_well(outcome: learning.Outcome, *, good: bool) -> None:
    assert replace(LESSON, outcome=outcome).past == learning.Past("Fix the login", "auth", good, 0.5)
