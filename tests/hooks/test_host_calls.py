"""Who has begun which attempt: sessions in one process and in several, in one run and in two."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import errors
from dispatch_mcp.hooks import holders, host_calls
from dispatch_mcp.hooks.holders import Session
from dispatch_mcp.hooks.host_calls import HostCalls

pytestmark = pytest.mark.anyio

ONE, TWO = Session("one"), Session("two")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        desk.app.hooks = "full"
        yield desk


async def out(desk: dispatcher_setup.Desk, *names: str) -> str:
    """Returns a new run whose tasks are all out with the host."""
    return (await dispatcher_setup.started(desk, *[task(name) for name in names])).run_id


async def test_what_has_begun_is_told_from_what_is_only_out(desk: dispatcher_setup.Desk) -> None:
    run_id, calls = await out(desk, "a", "b"), HostCalls(desk.app)
    await calls.begin(run_id, "a", 1, ONE, "call-1")
    (view,) = await calls.open_runs()
    assert [row.id for row in host_calls.unbegun(view)] == ["b"]
    assert host_calls.holder_of(view, view.rows["a"]) == holders.Holder(ONE, "call-1")
    assert host_calls.holder_of(view, view.rows["b"]) is None
    assert host_calls.call_of(view, "b")["subagent_type"] == "general-purpose"
    assert "prompt" not in host_calls.call_of(view, "b")
    assert host_calls.call_of(view, "nobody") == {}


async def test_a_run_is_begun_by_latest_too_and_its_brief_names_its_whole_id(desk: dispatcher_setup.Desk) -> None:
    run_id = await out(desk, "a")
    begun = await HostCalls(desk.app).begin("latest", "a", 1, ONE, "call-1")
    assert begun.run_id == run_id
    assert "Do a" in begun.brief


async def test_another_process_knows_who_has_begun_what(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    run_id = await out(desk, "a", "b")
    await HostCalls(desk.app).begin(run_id, "a", 1, ONE, "call-1")
    async with dispatcher_setup.opened(tmp_path / "home") as other:
        calls = HostCalls(other.app)
        with pytest.raises(errors.NotAllowed, match="Another session does 'a' already"):
            await calls.begin(run_id, "a", 1, TWO, "call-1")
        assert (await calls.begin(run_id, "b", 1, TWO, "call-1")).brief
        assert await calls.give_back(ONE) == 1
    assert await desk.states(run_id) == {"a": "ready", "b": "running"}


async def test_two_sessions_with_a_run_each_take_nothing_from_each_other(desk: dispatcher_setup.Desk) -> None:
    first, second, calls = await out(desk, "a"), await out(desk, "a"), HostCalls(desk.app)
    await calls.begin(first, "a", 1, ONE, "call-1")
    await calls.begin(second, "a", 1, TWO, "call-1")
    assert await calls.give_back(TWO) == 1
    assert (await desk.states(first), await desk.states(second)) == ({"a": "running"}, {"a": "ready"})
    assert await calls.give_back(TWO) == 0, "once is enough"


async def test_the_same_call_may_begin_twice_and_others_may_not(desk: dispatcher_setup.Desk) -> None:
    run_id, calls = await out(desk, "a"), HostCalls(desk.app)
    first = await calls.begin(run_id, "a", 1, ONE, "call-1")
    assert await calls.begin(run_id, "a", 1, ONE, "call-1") == first
    with pytest.raises(errors.NotAllowed, match="of this session does 'a' already"):
        await calls.begin(run_id, "a", 1, ONE, "call-2")


async def test_a_result_that_comes_after_its_session_gave_it_back_is_turned_away(desk: dispatcher_setup.Desk) -> None:
    run_id, calls = await out(desk, "a"), HostCalls(desk.app)
    await calls.begin(run_id, "a", 1, ONE, "call-1")
    await calls.give_back(ONE)
    late = await desk.app.report(run_id, [{"task_id": "a", "attempt": 1, "text": "done"}])
    assert not late.results[0].accepted
    kinds = await desk.kinds(run_id)
    assert "attempt_abandoned" in kinds
    await desk.app.dispatch(run_id=run_id)
    assert (await calls.begin(run_id, "a", 2, TWO, "call-9")).run_id == run_id


async def test_nothing_is_given_back_of_sessions_that_live_or_of_which_nobody_knows(
    desk: dispatcher_setup.Desk,
) -> None:
    run_id, calls = await out(desk, "a"), HostCalls(desk.app)
    await calls.begin(run_id, "a", 1, Session("unknown", 0), "call-1")
    assert await calls.give_back_of_dead() == 0
    assert await desk.states(run_id) == {"a": "running"}


async def test_of_calls_at_the_same_moment_each_begins_its_own(desk: dispatcher_setup.Desk) -> None:
    names = [f"t{number}" for number in range(5)]
    run_id, calls = await out(desk, *names), HostCalls(desk.app)
    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(calls.begin, run_id, name, 1, ONE, f"call-{name}")
    (view,) = await calls.open_runs()
    assert not host_calls.unbegun(view)
    holders = [host_calls.holder_of(view, row) for row in view.tasks]
    assert [holder.call_id for holder in holders if holder] == [f"call-{name}" for name in names]


@pytest.mark.parametrize(("pid", "is_alive"), [(0, True), (-1, True), (1, True), (2**30, False)])
def test_a_process_lives_unless_it_is_known_to_be_over(pid: int, *, is_alive: bool) -> None:
    assert Session("s", pid).is_alive is is_alive
