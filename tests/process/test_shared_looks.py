"""Who asks at the same time shares a look, and nobody is answered by one that began before they asked."""

from __future__ import annotations

import anyio
import pytest

from dispatch_mcp.process import shared_looks

pytestmark = pytest.mark.anyio


class Thing:
    """Something that is looked at; a look ends when it is let go on, and shows how many had begun."""

    def __init__(self) -> None:
        self.looks = 0
        self.gate = anyio.Event()
        self.shared = shared_looks.SharedLooks[int]()
        self.answers: list[int] = []

    async def look(self) -> int:
        self.looks += 1
        number = self.looks
        await self.gate.wait()
        return number

    async def ask(self, name: str = "a") -> None:
        self.answers.append(await self.shared.get(name, self.look))


async def test_who_asks_during_a_look_waits_for_the_next_and_shares_it() -> None:
    thing = Thing()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(thing.ask)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                group.start_soon(thing.ask)
            await anyio.wait_all_tasks_blocked()
            thing.gate.set()
    assert sorted(thing.answers) == [1, 2, 2, 2]


async def test_who_asks_in_the_same_moment_as_the_first_shares_its_look() -> None:
    thing = Thing()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(thing.ask)
            await anyio.wait_all_tasks_blocked()
            thing.gate.set()
    assert thing.answers == [1, 1, 1, 1]


async def test_looks_one_after_the_other_are_all_made() -> None:
    thing = Thing()
    thing.gate.set()
    for _ in range(3):
        await thing.ask()
    assert thing.answers == [1, 2, 3]


async def test_looks_at_different_things_are_not_shared_and_do_not_wait_for_each_other() -> None:
    thing = Thing()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(thing.ask, "a")
            group.start_soon(thing.ask, "b")
            await anyio.wait_all_tasks_blocked()
            assert thing.looks == 2
            thing.gate.set()


async def test_a_look_that_was_cancelled_is_made_by_whoever_waits_next() -> None:
    thing = Thing()
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            first = anyio.CancelScope()

            async def cancelled() -> None:
                with first:
                    await thing.ask()

            group.start_soon(thing.ask)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(cancelled)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(thing.ask)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            thing.gate.set()
    assert thing.answers == [1, 2]


async def test_a_look_that_fails_fails_for_who_made_it_only() -> None:
    shared, calls = shared_looks.SharedLooks[int](), 0

    async def look() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("gone")
        return calls

    with pytest.raises(OSError, match="gone"):
        await shared.get("a", look)
    assert await shared.get("a", look) == 2
