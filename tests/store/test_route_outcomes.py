from __future__ import annotations

import gzip
import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import store_setup

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.routing import learning
from dispatch_mcp.store import sqlite, sqlite_store

pytestmark = pytest.mark.anyio

FIRST_SCHEMA = Path(__file__).parent / "fixtures" / "store-v1.db.gz"
LESSON = learning.Lesson("Fix the login", "auth", "failed", 0.5, task_id="a", at=12.5)


def first_store(home: Path) -> Path:
    """Makes a home with the store that the first schema's code wrote: one run over, one that nobody drives."""
    home.mkdir(mode=0o700)
    (home / sqlite.FILE).write_bytes(gzip.decompress(FIRST_SCHEMA.read_bytes()))
    assert store_setup.raw(home, "PRAGMA user_version") == [(1,)]
    return home


@pytest.mark.promise("R9")
async def test_the_store_of_the_first_schema_upgrades_with_all_that_is_in_it(tmp_path: Path) -> None:
    home = first_store(tmp_path / "home")
    async with sqlite_store.open_store(home) as store:
        assert (await store.run("run", principal=records.LOCAL)).state is model.RunState.SUCCEEDED
        assert [task.state for task in await store.tasks("run")] == [model.TaskState.SUCCEEDED] * 2
        assert [message.text for message in await store.inbox("run")] == ["the total is 6"]
        outcome = await store.outcome("run", "b")
        assert outcome is not None
        assert outcome.summary == "done"
        assert await store.adopt("half", "somebody") == 1
        await store.learn(records.LOCAL, [LESSON])
        assert await store.learned(records.LOCAL) == [replace(LESSON, no=1)]
    assert store_setup.raw(home, "PRAGMA user_version") == [(len(sqlite.migrations()),)]
    assert store_setup.raw(home, "PRAGMA integrity_check") == [("ok",)]
    assert store_setup.faults(home) == []


@pytest.mark.promise("R9")
async def test_many_who_open_an_old_store_at_once_upgrade_it_once(tmp_path: Path) -> None:
    home = first_store(tmp_path / "home")
    seen: list[int] = []

    async def use() -> None:
        async with sqlite_store.open_store(home) as store:
            await store.learn(records.LOCAL, [LESSON])
            seen.append(len(await store.tasks("run")))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(use)
    assert seen == [2] * 6
    assert store_setup.raw(home, "SELECT count(*) FROM route") == [(6,)]


@pytest.mark.promise("R9")
async def test_a_new_store_and_an_upgraded_one_have_the_same_tables(tmp_path: Path) -> None:
    old = first_store(tmp_path / "old")
    for home in (old, tmp_path / "new"):
        async with sqlite_store.open_store(home):
            pass
    schemas = [
        store_setup.raw(home, "SELECT type, name, sql FROM sqlite_schema ORDER BY name")
        for home in (old, tmp_path / "new")
    ]
    assert schemas[0] == schemas[1]


async def test_lessons_come_back_newest_last_and_to_their_owner_only(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.learn("ann", [replace(LESSON, task_id=str(number)) for number in range(5)])
        await store.learn("bob", [LESSON])
        assert [lesson.task_id for lesson in await store.learned("ann", 3)] == ["2", "3", "4"]
        assert [lesson.task_id for lesson in await store.learned("ann", after=4)] == ["4"]
        assert await store.lessons("ann") == (5, 5)
        assert await store.learned("nobody") == []
        assert await store.lessons("nobody") == (0, 0)


async def test_what_a_run_teaches_of_a_task_is_kept_once_for_each_outcome(tmp_path: Path) -> None:
    lesson = replace(LESSON, run_id="run")
    good = replace(lesson, outcome="accepted", weight=1.0)
    async with sqlite_store.open_store(tmp_path) as store:
        for _ in range(2):
            await store.learn("ann", [lesson, good, lesson, replace(good, task_id="b"), replace(good, run_id="next")])
        await store.learn("bob", [lesson])
        kept = [(one.run_id, one.task_id, one.outcome) for one in await store.learned("ann")]
        assert kept == [
            ("run", "a", "failed"),
            ("run", "a", "accepted"),
            ("run", "b", "accepted"),
            ("next", "a", "accepted"),
        ]
        assert len(await store.learned("bob")) == 1


async def test_what_an_earlier_version_kept_of_unproven_work_is_no_longer_heard(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        claim = replace(LESSON, outcome="accepted", weight=0.5)
        await store.learn("ann", [claim, LESSON, replace(LESSON, outcome="accepted", weight=1.0)])
        assert [lesson.outcome for lesson in await store.learned("ann")] == ["failed", "accepted"]
        count, fresh = await store.new_lessons("ann", 10, after=1)
        assert (count.lessons, [lesson.no for lesson in fresh]) == (2, [2, 3])


async def test_long_and_odd_texts_are_cut_and_kept(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.learn("ann", [replace(LESSON, text="ä" * 5000), replace(LESSON, text="lone \ud800 x")])
        long, odd = await store.learned("ann")
        assert (long.text, odd.text) == ("ä" * 1000, "lone \\ud800 x")


async def test_forgetting_takes_everything_of_one_principal(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.learn("ann", [LESSON, LESSON])
        await store.learn("bob", [LESSON])
        assert await store.forget("ann") == 2
        assert await store.forget("ann") == 0
        assert await store.learned("ann") == []
        assert len(await store.learned("bob")) == 1
        await store.learn("ann", [LESSON])
        assert (await store.learned("ann"))[0].no > 3


async def test_how_a_route_went_cannot_be_changed(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.learn("ann", [LESSON])
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            store_setup.raw(tmp_path, "UPDATE route SET outcome = 'failed'")


async def test_nothing_to_learn_writes_nothing(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        before = await store.data_version()
        await store.learn("ann", [])
        assert await store.data_version() == before


@pytest.mark.parametrize(
    ("outcome", "good"), [("accepted", True), ("rerouted", True), ("failed", False), ("corrected", False)]
)
def test_a_lesson_says_whether_it_went_well(outcome: learning.Outcome, *, good: bool) -> None:
    assert replace(LESSON, outcome=outcome).past == learning.PastRoutes("Fix the login", "auth", good, 0.5)


async def test_only_what_is_new_is_read_with_how_much_there_is_in_all(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path / "home") as store:
        assert await store.new_lessons(records.LOCAL, 5, after=0) == ((0, 0), [])
        await store.learn(records.LOCAL, [replace(LESSON, text=text, task_id=text) for text in ("a", "b", "c")])
        await store.learn("somebody else", [LESSON])
        count, lessons = await store.new_lessons(records.LOCAL, 5, after=0)
        assert (count.lessons, [lesson.text for lesson in lessons]) == (3, ["a", "b", "c"])
        assert count.newest == lessons[-1].no
        after, fresh = await store.new_lessons(records.LOCAL, 5, after=lessons[0].no)
        assert (after, [lesson.text for lesson in fresh]) == (count, ["b", "c"])
        assert await store.new_lessons(records.LOCAL, 5, after=count.newest) == (count, [])


async def test_of_more_news_than_are_asked_for_the_newest_come(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path / "home") as store:
        await store.learn(records.LOCAL, [replace(LESSON, text=str(at), task_id=str(at)) for at in range(6)])
        count, lessons = await store.new_lessons(records.LOCAL, 2, after=0)
        assert (count.lessons, [lesson.text for lesson in lessons]) == (6, ["4", "5"])
        assert lessons == await store.learned(records.LOCAL, 2)


async def test_a_count_that_falls_says_that_lessons_were_forgotten(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path / "home") as store:
        await store.learn(records.LOCAL, [LESSON])
        before, _ = await store.new_lessons(records.LOCAL, 5, after=0)
        assert await store.forget(records.LOCAL) == 1
        assert await store.new_lessons(records.LOCAL, 5, after=before.newest) == ((0, 0), [])
        await store.learn(records.LOCAL, [replace(LESSON, text="later")])
        count, lessons = await store.new_lessons(records.LOCAL, 5, after=0)
        assert (count.lessons, [lesson.text for lesson in lessons]) == (1, ["later"])
