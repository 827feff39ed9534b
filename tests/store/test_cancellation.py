"""R5: a caller that is cancelled anywhere leaves no lock and no half-written state."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.engine import store_waits
from dispatch_mcp.model import records, transitions
from dispatch_mcp.routing import learning
from dispatch_mcp.store import owner_locks, sqlite_store, writer

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R5")]

LESSON = learning.Lesson("Fix the login", "auth", "failed", 0.5, task_id="a", at=12.5)
Method = Callable[[sqlite_store.Store, records.Owner, transitions.Start], Coroutine[Any, Any, object]]

METHODS: dict[str, Method] = {
    "save_plan": lambda store, owner, start: store.save_plan(store_setup.chain("z", version=2), records.LOCAL),
    "create_run": lambda store, owner, start: store.create_run(store_setup.new_run("other", request_key="k")),
    "advance": lambda store, owner, start: store.advance("run", store_setup.step(owner, store_setup.report(start))),
    "advance with bulk": lambda store, owner, start: store.advance(
        "run", store_setup.step(owner, store_setup.report(start, store_setup.done("x" * 100_000)))
    ),
    "adopt": lambda store, owner, start: store.adopt("spare", owner.id),
    "release": lambda store, owner, start: store.release(owner.id),
    "fail_drive": lambda store, owner, start: store.fail_drive("run", owner, "a fault"),
    "beat": lambda store, owner, start: store.beat("run", "a", 1, {"n": 1}),
    "beats": lambda store, owner, start: store.beats("run", {("a", 1): {"n": 1}}),
    "send": lambda store, owner, start: store.send(
        model.Message(run_id="run", sender="a", recipient="b", kind="request", text="x")
    ),
    "inbox": lambda store, owner, start: store.inbox("run", mark_read=True),
    "mark_read": lambda store, owner, start: store.mark_read([1]),
    "deliver": lambda store, owner, start: store.deliver("run", [records.Delivery(1, "b", "inbox")]),
    "note": lambda store, owner, start: store.note("run", [transitions.NewEvent("noted")]),
    "revise": lambda store, owner, start: store.revise(
        store_setup.chain("a", "b", "c", version=2), records.LOCAL, base_version=1
    ),
    "learn": lambda store, owner, start: store.learn(records.LOCAL, [LESSON]),
    "forget": lambda store, owner, start: store.forget(records.LOCAL),
    "keep_brief": lambda store, owner, start: store.keep_brief("a" * 32, "a", 1, "the whole brief"),
    "prune_plans": lambda store, owner, start: store.prune_plans(["idle"], store.now() + 1, frozenset()),
    "close": lambda store, owner, start: store.close(),
}
"""How each method of the store that writes is called, by its name; what it needs is in `running`."""


class Counted:
    """A coroutine that does something the n-th time it is suspended."""

    def __init__(self, work: Coroutine[Any, Any, object], nth: int, then: Callable[[], object]) -> None:
        self._work, self._nth, self._then = work, nth, then
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, object]:
        inner = self._work.__await__()
        try:
            waits_for = inner.send(None)
            while True:
                self.suspensions += 1
                if self.suspensions == self._nth:
                    self._then()
                try:
                    got = yield waits_for
                except BaseException as error:
                    waits_for = inner.throw(error)
                else:
                    waits_for = inner.send(got)
        except StopIteration as end:
            return end.value


async def natively(work: Coroutine[Any, Any, object], nth: int) -> int:
    """Cancels the task the n-th time it is suspended; returns how often it was."""
    counted: list[Counted] = []

    async def go() -> None:
        task = asyncio.current_task()
        assert task is not None
        counted.append(Counted(work, nth, task.cancel))
        await counted[0]

    await asyncio.gather(asyncio.ensure_future(go()), return_exceptions=True)
    return counted[0].suspensions


async def by_scope(work: Coroutine[Any, Any, object], nth: int) -> int:
    """Cancels the scope around the work the n-th time it is suspended; returns how often it was."""
    scope = anyio.CancelScope()
    counted = Counted(work, nth, scope.cancel)
    with scope:
        await counted
    return counted.suspensions


def write_elsewhere(home: Path) -> None:
    """Writes like another process would, with descriptors of its own."""
    with owner_locks.Mutex(home / "write.lock"):
        store_setup.raw(home, "UPDATE run SET revision = revision")


@asynccontextmanager
async def running(home: Path) -> AsyncGenerator[tuple[sqlite_store.Store, records.Owner, transitions.Start]]:
    async with store_setup.running(home, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.send(model.Message(run_id="run", sender="a", recipient="b", kind="request", text="x"))
        for plan_id in ("spare", "idle"):
            await store.save_plan(store_setup.chain("a", plan_id=plan_id), records.LOCAL)
        await store.create_run(store_setup.new_run("spare", plan_id="spare"))
        await store.learn(records.LOCAL, [LESSON])
        yield store, owner, start


def writing_methods() -> set[str]:
    """Returns the public methods of the store that reach its writer, its blobs or its briefs, through others too."""
    [store] = ast.parse(inspect.getsource(sqlite_store.Store)).body
    methods = {node.name: ast.unparse(node) for node in ast.walk(store) if isinstance(node, ast.AsyncFunctionDef)}
    writing = {name for name, text in methods.items() if re.search(r"self\._writer\.run\b|\.put\b", text)}
    while more := {
        name
        for name, text in methods.items()
        if name not in writing and any(f"self.{inner}(" in text for inner in writing)
    }:
        writing |= more
    return {name for name in writing if not name.startswith("_")}


def test_every_writing_method_of_the_store_is_tried() -> None:
    assert writing_methods() | {"close"} == {name.partition(" ")[0] for name in METHODS}


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"close"}))
async def test_what_is_tried_of_a_method_writes(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as (store, owner, start):
        before = store_setup.everything_below(tmp_path)
        await METHODS[name](store, owner, start)
        assert store_setup.everything_below(tmp_path) != before


@pytest.mark.parametrize("cancel", [natively, by_scope])
@pytest.mark.parametrize("name", METHODS)
async def test_a_method_cancelled_at_any_point_leaves_no_lock_and_no_half_state(
    tmp_path: Path, name: str, cancel: Callable[[Coroutine[Any, Any, object], int], Awaitable[int]]
) -> None:
    nth = 1
    while True:
        home = tmp_path / str(nth)
        async with running(home) as (store, owner, start):
            with anyio.fail_after(120):
                suspensions = await cancel(METHODS[name](store, owner, start), nth)
                await anyio.to_thread.run_sync(write_elsewhere, home)
        assert store_setup.faults(home) == []
        if suspensions < nth:
            return
        nth += 1
        assert nth < 50


@pytest.mark.parametrize("cancel", [natively, by_scope])
async def test_opening_cancelled_at_any_point_leaves_no_lock(
    tmp_path: Path, cancel: Callable[[Coroutine[Any, Any, object], int], Awaitable[int]]
) -> None:
    nth = 1
    while True:
        home = tmp_path / str(nth)
        store = sqlite_store.Store(home)
        with anyio.fail_after(120):
            suspensions = await cancel(store.open(), nth)
            await store.close()
            async with store_setup.running(home, store_setup.chain("a")):
                await anyio.to_thread.run_sync(write_elsewhere, home)
        if suspensions < nth:
            return
        nth += 1
        assert nth < 50


class Gate:
    """Holds the writer's thread inside a transaction until it is opened."""

    def __init__(self, store: sqlite_store.Store) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self._store = store

    async def hold(self) -> None:
        await self._store._writer.run(self._wait)  # pyright: ignore[reportPrivateUsage]

    def _wait(self, _conn: object) -> None:
        self.entered.set()
        assert self.leave.wait(120)

    async def is_entered(self) -> None:
        assert await anyio.to_thread.run_sync(self.entered.wait, 120)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_call_happens_only_if_it_had_begun(tmp_path: Path, *, begun: bool) -> None:
    async with running(tmp_path) as (store, owner, _):
        gate = Gate(store)
        async with anyio.create_task_group() as group:
            group.start_soon(gate.hold)
            await gate.is_entered()
            call = asyncio.ensure_future(store.send(message()))
            await asyncio.sleep(0)
            if begun:
                gate.leave.set()
                await store.beat("run", "a", 1, {})  # is behind the call in the queue
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            gate.leave.set()
        await store.release(owner.id)
        assert len(await store.inbox("run", "late")) == begun
    assert store_setup.faults(tmp_path) == []


async def test_many_calls_at_once_share_a_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as (store, _, _start):
        gate = Gate(store)
        before = await store.data_version()
        async with anyio.create_task_group() as group:
            group.start_soon(gate.hold)
            await gate.is_entered()
            for _ in range(20):
                group.start_soon(store.send, message())
            await anyio.lowlevel.checkpoint()
            gate.leave.set()
        assert len(await store.inbox("run", "late")) == 20
        assert await store.data_version() - before <= 2


async def test_a_call_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as (store, _, start):
        gate = Gate(store)
        failures: list[errors.DispatchError] = []

        async def stale() -> None:
            try:
                await store.advance("run", store_setup.step(records.Owner("nobody", 9), store_setup.report(start)))
            except errors.Fenced as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(gate.hold)
            await gate.is_entered()
            for call in (stale, lambda: store.send(message()), stale, lambda: store.send(message())):
                group.start_soon(call)
            await anyio.lowlevel.checkpoint()
            gate.leave.set()
        assert len(failures) == 2
        assert len(await store.inbox("run", "late")) == 2


async def test_who_waits_too_long_is_told_who_has_the_lock_and_the_call_never_happens(tmp_path: Path) -> None:
    async with running(tmp_path) as (store, _, _start), sqlite_store.open_store(tmp_path, wait_s=0.05) as hurried:
        gate = Gate(store)
        async with anyio.create_task_group() as group:
            group.start_soon(gate.hold)
            await gate.is_entered()
            with pytest.raises(errors.StoreBusy, match="this process itself has it now") as caught:
                await hurried.send(message())
            assert "call again" in str(caught.value.hint)
            assert "end it" not in str(caught.value.hint), "who asks is in it"
            gate.leave.set()
        await store_waits.served(lambda: hurried.send(message()), "a test")
        assert len(await store.inbox("run", "late")) == 1


async def test_another_programs_lock_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as (store, _, _start):
        await store._writer.run(lambda conn: conn.execute("PRAGMA busy_timeout = 1") and None)  # pyright: ignore[reportPrivateUsage]
        held, leave = threading.Event(), threading.Event()

        def hold() -> None:
            conn = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
            conn.execute("BEGIN IMMEDIATE")
            held.set()
            leave.wait(120)
            conn.close()

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, hold)
            await anyio.to_thread.run_sync(held.wait, 120)
            group.start_soon(store.send, message())
            await anyio.sleep(0.01)
            leave.set()
        assert len(await store.inbox("run", "late")) == 1


def test_a_store_outlives_its_event_loop(tmp_path: Path) -> None:
    store = sqlite_store.Store(tmp_path)

    async def use() -> None:
        await store.open()
        await store.save_plan(store_setup.chain("a"), records.LOCAL)

    async def use_again() -> int:
        plans = len(await store.plans(records.LOCAL))
        await store.close()
        return plans

    asyncio.run(use())
    assert asyncio.run(use_again()) == 1


def test_a_call_is_claimed_once() -> None:
    async def claims() -> list[bool]:
        call: writer.Call[None] = writer.Call(lambda _conn: None)
        return [call.claim(), call.claim()]

    assert asyncio.run(claims()) == [True, False]


def message() -> model.Message:
    return model.Message(run_id="run", sender="a", recipient="late", kind="request", text="x")
