"""The writer's thread by itself: what shares a commit, what is undone, and who is answered."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import store_setup

from dispatch_mcp import errors
from dispatch_mcp.engine import store_waits
from dispatch_mcp.store import owner_locks, sqlite, writer

pytestmark = pytest.mark.anyio

ADD = "INSERT INTO route (principal, text, agent, outcome, weight, run, task, at) VALUES (?, '', '', 'accepted', 1.0, '', '', 0.0)"  # noqa: E501


@asynccontextmanager
async def opened(
    home: Path, *, wait_s: float = 5.0, on_rollback: Callable[[], None] = lambda: None
) -> AsyncGenerator[writer.Writer]:
    sqlite.prepare_home(home)
    thread = writer.Writer(home, wait_s=wait_s, on_rollback=on_rollback)
    await thread.open()
    try:
        yield thread
    finally:
        await thread.close()


def add(name: str) -> Callable[[sqlite3.Connection], int]:
    """Returns work that adds a row of that name and answers with its number."""

    def work(conn: sqlite3.Connection) -> int:
        return conn.execute(ADD, (name,)).lastrowid or 0

    return work


def fail_after(name: str, error: Exception) -> Callable[[sqlite3.Connection], int]:
    """Returns work that adds a row of that name and then fails."""

    def work(conn: sqlite3.Connection) -> int:
        conn.execute(ADD, (name,))
        raise error

    return work


def names(home: Path) -> list[str]:
    return [str(name) for (name,) in store_setup.raw(home, "SELECT principal FROM route ORDER BY no")]


class Bolt:
    """Work that keeps the writer's thread busy until it is let go, so that calls gather behind it."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def __call__(self, _conn: sqlite3.Connection) -> None:
        self.entered.set()
        assert self.release.wait(120)

    @asynccontextmanager
    async def across(self, thread: writer.Writer) -> AsyncGenerator[None]:
        """Holds the thread while the block runs, and lets it go at its end."""
        async with anyio.create_task_group() as group:
            group.start_soon(thread.run, self)
            assert await anyio.to_thread.run_sync(self.entered.wait, 120)
            try:
                yield
            finally:
                self.release.set()


async def test_what_is_answered_is_in_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as thread:
        assert [await thread.run(add(name)) for name in ("a", "b")] == [1, 2]
        assert names(tmp_path) == ["a", "b"]


async def test_calls_are_carried_out_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    order = [f"n{number}" for number in range(50)]
    async with opened(tmp_path) as thread:
        async with Bolt().across(thread):
            tasks = [asyncio.ensure_future(thread.run(add(name))) for name in order]
            await anyio.lowlevel.checkpoint()
        assert [await task for task in tasks] == list(range(1, 51))
        assert names(tmp_path) == order


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("error", [ValueError("odd"), errors.InputError("no", hint="yes"), OSError("disk")])
async def test_a_call_that_fails_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, error: Exception, *, alone: bool
) -> None:
    kind = errors.StoreUnavailable if isinstance(error, OSError) else type(error)
    async with opened(tmp_path) as thread:
        if alone:
            with pytest.raises(kind):
                await thread.run(fail_after("bad", error))
        else:
            async with Bolt().across(thread):
                bad = asyncio.ensure_future(thread.run(fail_after("bad", error)))
                good = asyncio.ensure_future(thread.run(add("good")))
                await anyio.lowlevel.checkpoint()
            with pytest.raises(kind):
                await bad
            await good
        await thread.run(add("later"))
        assert names(tmp_path) == ["later"] if alone else ["good", "later"]


async def test_a_statement_that_fails_is_answered_in_the_stores_words(tmp_path: Path) -> None:
    async with opened(tmp_path) as thread:
        with pytest.raises(errors.StoreError, match="refused this") as caught:
            await thread.run(lambda conn: conn.execute("SELECT no_such_column FROM route"))
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


async def test_a_lost_transaction_is_announced_before_anybody_hears_of_it(tmp_path: Path) -> None:
    heard: list[str] = []

    def lose_everything(conn: sqlite3.Connection) -> None:
        conn.execute("ROLLBACK")
        raise sqlite3.OperationalError("gone")

    async with opened(tmp_path, on_rollback=lambda: heard.append("rollback")) as thread:
        with pytest.raises(errors.StoreError):
            await thread.run(lose_everything)
        heard.append("answer")
        await thread.run(add("later"))
    assert heard == ["rollback", "answer"]
    assert names(tmp_path) == ["later"]


async def test_who_waits_longer_than_allowed_is_answered_and_the_call_never_happens(tmp_path: Path) -> None:
    async with opened(tmp_path, wait_s=1.0) as thread:
        bolt = Bolt()
        held = asyncio.ensure_future(thread.run(bolt))
        assert await anyio.to_thread.run_sync(bolt.entered.wait, 120)
        with pytest.raises(errors.StoreBusy, match="write lock"):
            await thread.run(add("late"))
        bolt.release.set()
        await held
        await store_waits.served(lambda: thread.run(add("next")), "a test")
        assert names(tmp_path) == ["next"]


async def test_a_caller_that_goes_away_before_its_turn_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as thread:
        async with Bolt().across(thread):
            with anyio.move_on_after(0.01) as scope:
                await thread.run(add("gone"))
            assert scope.cancelled_caught
        await thread.run(add("next"))
        assert names(tmp_path) == ["next"]


async def test_everything_queued_before_the_close_is_done_and_nothing_after_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as thread:
        async with Bolt().across(thread):
            calls = [asyncio.ensure_future(thread.run(add(name))) for name in "abc"]
            await anyio.lowlevel.checkpoint()
            closing = asyncio.ensure_future(thread.close())
            await anyio.lowlevel.checkpoint()
            with pytest.raises(errors.StoreUnavailable, match="closed"):
                await thread.run(add("late"))
        await asyncio.gather(*calls)
        await closing
        assert names(tmp_path) == ["a", "b", "c"]
    assert sqlite.wal_size(tmp_path) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
@pytest.mark.parametrize("spoil", ["removed", "replaced", "without its log"])
async def test_what_was_removed_or_replaced_is_not_written_any_more(tmp_path: Path, spoil: str) -> None:
    home = tmp_path / "home"
    async with opened(home) as thread:
        await thread.run(add("kept"))
        if spoil == "without its log":
            (home / f"{sqlite.FILE}-wal").unlink()
        else:
            home.rename(tmp_path / "old")
        if spoil == "replaced":
            async with opened(home) as other:
                await other.run(add("theirs"))
        for _ in range(2):
            with pytest.raises(errors.StoreMoved, match=r"(removed|replaced) while"):
                await thread.run(add("nowhere"))
    if spoil == "replaced":
        assert names(home) == ["theirs"]
    if spoil != "without its log":
        assert names(tmp_path / "old") == ["kept"]


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
async def test_a_file_that_goes_while_a_call_is_carried_out_takes_no_answer_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def work(conn: sqlite3.Connection) -> int:
        number = add("nowhere")(conn)
        home.rename(tmp_path / "old")
        return number

    async with opened(home) as thread:
        with pytest.raises(errors.StoreMoved):
            await thread.run(work)


async def test_a_lock_file_that_was_removed_is_made_anew_and_locks_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as first, opened(tmp_path) as second:
        await first.run(add("a"))
        (tmp_path / owner_locks.LOCK).unlink()
        await second.run(add("b"))
        async with Bolt().across(first):
            with pytest.raises(errors.StoreBusy):
                await second.run(add("late"), 0.2)
        assert names(tmp_path) == ["a", "b"]


async def test_a_close_waits_for_no_lock_that_another_keeps(tmp_path: Path) -> None:
    mutex = owner_locks.Mutex(tmp_path / owner_locks.LOCK)
    async with opened(tmp_path) as thread:
        await thread.run(add("a"))
        with mutex:
            stuck = asyncio.ensure_future(thread.run(add("b")))
            await anyio.lowlevel.checkpoint()
            with anyio.fail_after(writer.CLOSE_S - 1):
                await thread.close()
            stuck.cancel()
            await asyncio.gather(stuck, return_exceptions=True)  # from here on nobody carries it out
    mutex.close()
    assert names(tmp_path) == ["a"]


async def test_a_file_that_cannot_be_opened_ends_the_thread_with_the_reason(tmp_path: Path) -> None:
    sqlite.prepare_home(tmp_path)
    (tmp_path / sqlite.FILE).write_bytes(b"not a database, but long enough to be read as one" * 100)
    thread = writer.Writer(tmp_path, wait_s=5, on_rollback=lambda: None)
    with pytest.raises(errors.StoreDamaged):
        await thread.open()
    await thread.close()


async def test_two_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    async with opened(tmp_path) as first, opened(tmp_path) as second:

        async def fill(thread: writer.Writer, name: str) -> None:
            for _ in range(50):
                await thread.run(add(name))

        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(fill, first, "first")
                group.start_soon(fill, second, "second")
    assert sorted(names(tmp_path)) == ["first"] * 50 + ["second"] * 50


async def test_the_log_is_moved_into_the_file_at_the_latest_when_enough_rows_have_changed(tmp_path: Path) -> None:
    def fill(conn: sqlite3.Connection) -> int:
        return [add("x")(conn) for _ in range(writer.IDLE_ROWS)][-1]

    async with opened(tmp_path / "home") as thread:
        for _ in range(writer.BUSY_ROWS // writer.IDLE_ROWS + 1):
            await thread.run(fill)
        await thread.run(lambda _conn: None)
        (tmp_path / "copy").mkdir()
        with owner_locks.Mutex(tmp_path / "home" / "write.lock"):  # nobody moves the log meanwhile
            (tmp_path / "copy" / sqlite.FILE).write_bytes((tmp_path / "home" / sqlite.FILE).read_bytes())
    assert len(names(tmp_path / "copy")) >= writer.IDLE_ROWS
