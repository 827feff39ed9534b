"""Long work in threads: its result, its errors, and that nobody need wait for it."""

from __future__ import annotations

import sys
import threading

import anyio
import pytest

from dispatch_mcp import errors
from dispatch_mcp.process import computation
from dispatch_mcp.text import json_types

pytestmark = pytest.mark.anyio


async def test_the_result_of_work_is_returned_and_its_error_raised() -> None:
    assert await computation.apart(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]
    with pytest.raises(ZeroDivisionError):
        await computation.apart(divmod, 1, 0)


async def test_work_is_done_in_another_thread() -> None:
    assert await computation.apart(threading.get_ident) != threading.get_ident()


async def test_only_what_reads_much_is_done_in_another_thread() -> None:
    here = threading.get_ident()
    assert await computation.of_text(computation.AT_ONCE_CHARS, threading.get_ident) == here
    assert await computation.of_text(computation.AT_ONCE_CHARS + 1, threading.get_ident) != here


async def test_only_long_json_is_gone_through_in_another_thread() -> None:
    here = threading.get_ident()

    def place(_value: json_types.Json) -> int:
        return threading.get_ident()

    short, long = {"a": ["b"] * 100}, {"a": ["b"] * computation.AT_ONCE_JSON}
    assert await computation.of_json(place, short) == here
    assert await computation.of_json(place, long) != here
    assert await computation.of_json(place, {"a": "b" * computation.AT_ONCE_JSON}) != here
    with pytest.raises(ZeroDivisionError):
        await computation.of_json(divmod, 1, 0)


async def test_who_waits_can_be_cancelled_though_the_work_goes_on() -> None:
    release, over = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        over.set()

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(computation.apart, work)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert not over.is_set()
        release.set()
        assert await anyio.to_thread.run_sync(over.wait, 120)


async def test_work_that_takes_too_long_is_given_up_with_advice() -> None:
    release = threading.Event()
    with anyio.fail_after(120):
        with pytest.raises(errors.InputError, match=r"takes longer than 0\.01 s\. Send less at a time\."):
            await computation.within(0.01, release.wait)
    release.set()


async def test_no_more_pieces_are_at_work_than_the_interpreter_can_share() -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        release.wait()

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for _ in range(3 * computation.AT_ONCE):
                group.start_soon(computation.apart, work)
            for _ in range(computation.AT_ONCE):
                assert await anyio.to_thread.run_sync(begun.acquire, True, 120)  # acquire takes no names
            assert not begun.acquire(blocking=False)
            release.set()


async def test_detached_work_returns_its_result_or_raises_its_error() -> None:
    assert await computation.detached(lambda: sorted([3, 1, 2])) == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        await computation.detached(lambda: divmod(1, 0))


ENDLESS = """
import threading, anyio
from dispatch_mcp.process import computation

async def main():
    with anyio.move_on_after(0.01):
        await computation.detached(threading.Event().wait)

anyio.run(main)
print("over")
"""


async def test_a_process_ends_although_detached_work_never_does() -> None:
    with anyio.fail_after(120):
        process = await anyio.run_process([sys.executable, "-W", "error", "-c", ENDLESS])
    assert (process.stdout, process.stderr) == (b"over\n", b"")
