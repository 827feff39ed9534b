"""One thread that does every write of this process, many calls to a commit.

A call is answered only after the commit that holds it. Nothing that happens to the caller, neither anyio's nor a
task's own cancellation, can leave a transaction open, because no transaction ever spans an `await`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from dispatch_mcp import errors, model
from dispatch_mcp.store import failpoints, owner_locks, sqlite

T = TypeVar("T")

WAIT_S = 30.0
LARGE_LOG = 4_000_000
"""Bytes above which the log is cut; below, it is written over again and again."""

IDLE_ROWS, BUSY_ROWS = 500, 8_000
"""Changed rows after which the log is moved into the file: when nobody waits, and at the latest."""
CLOSE_S = 5.0


class Call(Generic[T]):
    """One unit of work and who waits for it. Whoever claims it first, the thread or its caller, decides its fate."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self._work = work
        self._claimed = threading.Lock()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.error: Exception | None = None
        self._settle: Callable[[], object] = self.future.cancel

    def claim(self) -> bool:
        """Returns True to the first who asks."""
        return self._claimed.acquire(blocking=False)

    def run(self, conn: sqlite3.Connection) -> None:
        """Does the work and keeps its answer back until `settle`."""
        self._settle = functools.partial(self.future.set_result, self._work(conn))

    def settle(self) -> None:
        """Hands the answer to who waits; runs in the caller's loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self._settle()


Queued = Call[model.Json]


class Writer:
    """Runs calls on its thread. `on_rollback` runs there when a transaction is lost with all that it held."""

    def __init__(self, home: Path, *, wait_s: float = WAIT_S, on_rollback: Callable[[], None]) -> None:
        self._home = home
        self._wait_s = wait_s
        self._on_rollback = on_rollback
        self._mutex = owner_locks.Mutex(home / "write.lock")
        self._queue: queue.SimpleQueue[Queued | None] = queue.SimpleQueue()
        self._conn: sqlite3.Connection | None = None
        self._known = 0
        self._closing = False
        self._ending = False
        self._farewell: Callable[[], object] | None = None
        self._moved = 0
        self._refusal: errors.StoreUnavailable | None = None
        self._thread = threading.Thread(target=self._main, name="dispatch-mcp-store", daemon=True)

    async def open(self) -> None:
        """Opens the file, creating or migrating it. Raises StoreError."""
        self._thread.start()
        try:
            await self.run(_nothing)
        except BaseException:
            self._closing = True
            self._queue.put(None)
            raise

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Returns what `work` returned inside a committed transaction.

        Raises:
            StoreBusy: the lock could not be had in time; `work` did not run and never will.
            StoreError: the transaction failed; nothing of it is in the file.
        """
        if self._refusal is not None:
            raise errors.StoreUnavailable(self._refusal.message, hint=self._refusal.hint)
        if self._closing:
            raise errors.StoreUnavailable("The store is closed.", hint="Open it again.")
        call = Call(work)
        timer = call.loop.call_later(self._wait_s, self._give_up, call)
        self._queue.put(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            call.claim()
            raise
        finally:
            timer.cancel()

    def _give_up(self, call: Queued) -> None:
        if call.claim():
            who = owner_locks.holder(self._home / "write.lock")
            holder = f"Process {who}" if who else "Another process"
            call.error = errors.StoreBusy(
                f"{holder} has kept the store's write lock for more than {self._wait_s:g} s.",
                hint="Nothing was written: call again, and if it stays so see whether that process still works.",
            )
            call.settle()

    def refuse(self, trouble: errors.StoreUnavailable) -> None:
        """Answers every call with `trouble` from now on."""
        self._refusal = trouble

    async def close(self) -> None:
        """Does what is queued, empties the log and closes the file."""
        if self._closing or not self._thread.is_alive():
            return
        self._closing = True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self._farewell = lambda: loop.call_soon_threadsafe(_finish, ended)
        timer = loop.call_later(CLOSE_S, _finish, ended)
        self._queue.put(None)
        try:
            await ended
        finally:
            timer.cancel()

    def _main(self) -> None:
        while not self._ending:
            first = self._queue.get()
            if first is None:
                break
            self._turn([first, *self._collect()])
        self._shut()
        if self._farewell is not None:
            with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits any more
                self._farewell()

    def _collect(self) -> list[Queued]:
        """Returns what is queued right now."""
        found: list[Queued] = []
        with contextlib.suppress(queue.Empty):
            while not self._ending:
                call = self._queue.get_nowait()
                if call is None:
                    self._ending = True
                else:
                    found.append(call)
        return found

    def _turn(self, calls: list[Queued]) -> None:
        """Commits the calls together, then answers them."""
        begun: list[Queued] = []
        try:
            with self._mutex:
                self._commit(calls, begun)
            failpoints.hit("before_answer")
        except Exception as error:
            self._fail(calls, begun, error)
        self._answer(begun)
        self._tidy()

    def _commit(self, calls: list[Queued], begun: list[Queued]) -> None:
        if self._conn is None:
            self._conn = sqlite.open_writer(self._home)
            self._known = len(sqlite.migrations())
        conn = self._conn
        try:
            self._begin(conn, calls)
            calls += self._collect()
            alone = len(calls) == 1
            for call in calls:
                if call.claim():
                    begun.append(call)
                    self._carry_out(conn, call, alone=alone)
            failpoints.hit("before_commit")
            if conn.in_transaction:
                conn.execute("COMMIT")
            failpoints.hit("after_commit")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise

    def _begin(self, conn: sqlite3.Connection, calls: list[Queued]) -> None:
        """Begins a transaction; keeps trying while somebody still waits for it."""
        failpoints.hit("before_begin")
        while not conn.in_transaction:
            try:
                conn.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or all(call.future.done() for call in calls):
                    raise
        sqlite.check_version(conn, self._home, self._known)
        failpoints.hit("after_begin")

    def _carry_out(self, conn: sqlite3.Connection, call: Queued, *, alone: bool) -> None:
        """Runs one call so that its failure undoes nothing but itself."""
        try:
            if not alone:
                conn.execute("SAVEPOINT one_call")
            call.run(conn)
            if not alone:
                conn.execute("RELEASE one_call")
        except (sqlite3.Error, OSError) as error:
            call.error = sqlite.translate(error, self._home)
        except Exception as error:
            call.error = error
        if call.error is not None:
            if not conn.in_transaction:  # SQLite itself has rolled everything back
                raise call.error
            for undo in ("ROLLBACK",) if alone else ("ROLLBACK TO one_call", "RELEASE one_call"):
                conn.execute(undo)

    def _fail(self, calls: list[Queued], begun: list[Queued], error: Exception) -> None:
        """Turns every call of a lost transaction into a failure."""
        self._on_rollback()
        begun += [call for call in calls if call.claim()]
        for call in begun:
            if call.error is None:
                call.error = sqlite.translate(error, self._home)

    def _answer(self, calls: list[Queued]) -> None:
        for loop in {call.loop for call in calls}:
            with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits any more
                loop.call_soon_threadsafe(_settle, [call for call in calls if call.loop is loop])
        with contextlib.suppress(OSError):
            failpoints.hit("after_answer")

    def _tidy(self) -> None:
        """Moves the log into the file when enough has been written, preferably while nobody waits."""
        if self._conn is None:
            return
        written = self._conn.total_changes - self._moved
        if written < IDLE_ROWS or (written < BUSY_ROWS and not self._queue.empty()):
            return
        self._moved = self._conn.total_changes
        move = sqlite.truncate if sqlite.wal_size(self._home) > LARGE_LOG else sqlite.checkpoint
        with contextlib.suppress(sqlite3.Error, OSError), self._mutex:
            move(self._conn)

    def _shut(self) -> None:
        """Closes under the mutex, because the last connection to close moves the log too."""
        with contextlib.suppress(sqlite3.Error, OSError):
            if self._conn is not None:
                with self._mutex:
                    with contextlib.suppress(sqlite3.Error, OSError):
                        sqlite.truncate(self._conn)
                    self._conn.close()
        self._mutex.close()


def _nothing(_conn: sqlite3.Connection) -> None:
    """Does nothing: opening the file is all that was wanted."""


def _settle(calls: list[Queued]) -> None:
    for call in calls:
        call.settle()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
