"""One thread that does every write of this process, many calls to a commit.

A call is answered only after the commit that holds it. Nothing that happens to the caller, neither anyio's nor a
task's own cancellation, can leave a transaction open, because no transaction ever spans an `await`.

One turn of the thread (ADR 0002):

1. It takes a call from the queue, and with it whatever else is queued.
2. It waits for the mutex that all processes share, then begins the transaction, then looks into the queue once more:
   what came in while it waited rides along. So the longer the wait, the larger the commit, and one flush of the disk
   pays for all of it.
3. It claims each call and runs it in a savepoint of its own, so that one that fails undoes nothing but itself.
4. It commits, lets the mutex go, and only then answers; each loop is woken once for all its calls.

Three may want to decide what becomes of a call: the thread that runs it, the timer of a caller that has waited too
long, and a caller that was cancelled. Whoever claims it first does. A call that the caller has claimed never runs; one
that the thread has claimed is committed even if nobody waits for it any more, and then the caller does not know. That
is why every step may be sent again: reports are fenced by attempt, runs named by request key.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Generic, TypeVar

from dispatch_mcp import errors, model
from dispatch_mcp.store import failpoints, owner_locks, sqlite, whereabouts

T = TypeVar("T")

WAIT_S = 10.0
"""Seconds that a call waits for its turn, long before hosts give a tool call up, so that the caller hears why. Sixteen
processes at full load waited 0.5 s at most (docs/reliability.md)."""

LARGE_LOG = 4_000_000
"""Bytes above which the log is cut, about SQLite's own thousand pages; below, it is written over again and again, which
is twice as fast as growing it. A log of 3,000 tasks in one go has 2 MB, so only a reader in the way makes it larger."""

IDLE_ROWS, BUSY_ROWS = 500, 8_000
"""Changed rows after which the log is moved into the file: when nobody waits, and at the latest.

Measured with 3,000 tasks, 50 to a commit, on two cores: 500 rows 5,000 tasks a second, 5,000 rows no more, 50 rows half
of it; nor does a busy writer lose anything by waiting, while moving every 500 rows although somebody waits halves it.
"""

CLOSE_S = 5.0
"""Seconds that closing may take before the process goes on without it: what was answered is on the disk anyway."""

STUCK_S = 0.5
"""Seconds after which closing no longer waits for a lock that another process keeps."""


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
        """Returns True to the first who asks; the lock is never given back."""
        return self._claimed.acquire(blocking=False)

    def run(self, conn: sqlite3.Connection) -> None:
        """Does the work and keeps its answer back until `settle`."""
        self._settle = functools.partial(self.future.set_result, self._work(conn))

    def settle(self) -> None:
        """Hands the answer to who waits; runs in the caller's loop."""
        if self.future.done():  # cancelled while the thread was at work: the change stands, nobody hears of it
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
        self._mutex = owner_locks.Mutex(home / owner_locks.LOCK)
        self._queue: queue.SimpleQueue[Queued | None] = queue.SimpleQueue()
        self._conn: sqlite3.Connection | None = None
        self._newest_schema = 0
        self._is_started = False
        self._closing = False
        self._ending = False
        self._farewell: Callable[[], object] | None = None
        self._checkpointed_at = 0
        self._files = whereabouts.StoreFiles(None, None)
        self._is_waiting = False
        self._is_shut_out = False
        self._thread = threading.Thread(target=self._main, name="dispatch-mcp-store", daemon=True)

    async def open(self, wait_s: float | None = None) -> None:
        """Opens the file, creating or migrating it, which the first call does otherwise. Raises StoreError."""
        await self.run(_nothing, wait_s)

    async def run(self, work: Callable[[sqlite3.Connection], T], wait_s: float | None = None) -> T:
        """Returns what `work` returned inside a committed transaction; `wait_s` is another wait for this call.

        Raises:
            StoreBusy: the lock could not be had in time; `work` did not run and never will.
            StoreMoved: the file that was opened no longer stands in its place.
            StoreError: the transaction failed; nothing of it is in the file.
        """
        if self._closing:
            raise errors.StoreUnavailable("The store is closed.", hint="Open it again.")
        call = Call(work)
        patience = self._wait_s if wait_s is None else wait_s
        timer = call.loop.call_later(patience, self._give_up, call, patience)
        if not self._is_started:
            self._is_started = True
            self._thread.start()
        self._queue.put(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            call.claim()  # if the thread has not begun it, it never will
            raise
        finally:
            timer.cancel()

    def _give_up(self, call: Queued, patience: float) -> None:
        if call.claim():
            if self._is_shut_out:
                call.error = sqlite.kept_by_a_foreign_program(self._home)
            else:
                call.error = owner_locks.kept_too_long(self._home / owner_locks.LOCK, patience)
            call.settle()

    async def close(self) -> None:
        """Does what is queued, empties the log and closes the file."""
        if self._closing or not self._thread.is_alive():
            self._closing = True
            return
        self._closing = True
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        self._farewell = lambda: loop.call_soon_threadsafe(_finish, end)
        timers = (
            loop.call_later(CLOSE_S, _finish, end),
            loop.call_later(STUCK_S, lambda: self._is_waiting and _finish(end)),
        )
        self._queue.put(None)
        try:
            await end
        finally:
            for timer in timers:
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
        calls: list[Queued] = []
        while not self._ending and not self._queue.empty():  # nobody else takes anything out
            call = self._queue.get()
            if call is None:
                self._ending = True
            else:
                calls.append(call)
        return calls

    def _turn(self, calls: list[Queued]) -> None:
        """Commits the calls together, then answers them."""
        batch: list[Queued] = []
        try:
            with self._turn_of_ours():
                self._commit(calls, batch)
            failpoints.hit("before_answer")
        except Exception as error:
            self._fail(calls, batch, error)
        self._answer(batch)
        self._tidy()

    @contextlib.contextmanager
    def _turn_of_ours(self) -> Generator[None]:
        """Holds the mutex, in a folder that is there and holds the files that are open."""
        if self._conn is None:
            sqlite.prepare_home(self._home)
        self._is_waiting = True
        try:
            self._mutex.__enter__()
        except OSError:
            self._refuse_moved()  # the folder itself may be gone
            raise
        finally:
            self._is_waiting = False
        try:
            self._refuse_moved()
            yield
        finally:
            self._mutex.__exit__(None, None, None)

    def _refuse_moved(self) -> None:
        """Raises StoreMoved unless the files that are open still stand in their places."""
        if self._conn is not None:
            whereabouts.refuse_moved(self._home, self._files)

    def _commit(self, calls: list[Queued], batch: list[Queued]) -> None:
        if self._conn is None:
            self._conn = sqlite.open_writer(self._home)
            self._newest_schema = sqlite.newest()
            self._files = whereabouts.files(self._home)
        conn = self._conn
        try:
            self._begin(conn, calls)
            calls += self._collect()  # those who came while we waited for the mutex and the lock
            # A savepoint costs two statements; one call alone is as well undone by rolling everything back.
            alone = len(calls) == 1
            for call in calls:
                if call.claim():
                    batch.append(call)
                    self._carry_out(conn, call, alone=alone)
            failpoints.hit("before_commit")
            if conn.in_transaction:
                conn.execute("COMMIT")
            failpoints.hit("after_commit")
            self._refuse_moved()
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise

    def _begin(self, conn: sqlite3.Connection, calls: list[Queued]) -> None:
        """Begins a transaction; keeps trying while somebody still waits for it.

        The mutex keeps our own processes apart; whoever holds SQLite's lock all the same is a foreign program.
        """
        failpoints.hit("before_begin")
        self._is_shut_out = True
        try:
            while not conn.in_transaction:
                try:
                    conn.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not is_busy or all(call.future.done() for call in calls):
                        raise
        finally:
            self._is_shut_out = False
        # A newer version of this program may have migrated the file since it was opened.
        sqlite.check_version(conn, self._home, self._newest_schema)
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

    def _fail(self, calls: list[Queued], batch: list[Queued], error: Exception) -> None:
        """Turns every call of a lost transaction into a failure."""
        # Before anybody hears of it: machines in memory have already made the moves that are not in the file.
        self._on_rollback()
        batch += [call for call in calls if call.claim()]
        for call in batch:
            if call.error is None:
                call.error = sqlite.translate(error, self._home)

    def _answer(self, calls: list[Queued]) -> None:
        for loop in {call.loop for call in calls}:
            with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits any more
                loop.call_soon_threadsafe(_settle, [call for call in calls if call.loop is loop])
        with contextlib.suppress(OSError):
            failpoints.hit("after_answer")

    def _tidy(self) -> None:
        """Moves the log into the file when enough has been written, preferably while nobody waits.

        By ourselves and under the mutex, because of SQLite's WAL-reset bug (`health.FIXED`): versions before 3.51.3 can
        damage the log when one connection moves it while another writes.
        """
        if self._conn is None:
            return
        changes = self._conn.total_changes - self._checkpointed_at
        if changes < IDLE_ROWS or (changes < BUSY_ROWS and not self._queue.empty()):
            return
        self._checkpointed_at = self._conn.total_changes
        move = sqlite.truncate if sqlite.wal_size(self._home) > LARGE_LOG else sqlite.checkpoint
        with contextlib.suppress(sqlite3.Error, OSError, errors.StoreMoved, errors.StoreDamaged), self._turn_of_ours():
            move(self._conn)

    def _shut(self) -> None:
        """Closes under the mutex, because the last connection to close moves the log too."""
        with contextlib.suppress(sqlite3.Error, OSError, errors.StoreMoved, errors.StoreDamaged):
            if self._conn is not None:
                with self._turn_of_ours():
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
