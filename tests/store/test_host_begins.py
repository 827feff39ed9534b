"""Beginning an attempt with one row: as the server does, and only where no ceiling or holder is in the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import owner_locks
from dispatch_mcp.store.looks import host_begins, open_runs

pytestmark = pytest.mark.anyio

HOLDER = {"id": "one", "pid": 0, "call": "call-1"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        desk.app.hooks = "full"
        yield desk


def price(_name: str | None, usage: model.Usage) -> float:
    return usage.tokens * 1e-6


class Attempt:
    """The first attempt of a task of a new run, and what there is to begin it."""

    def __init__(self, desk: dispatcher_setup.Desk, run: str) -> None:
        self.desk, self.run, self.home = desk, run, desk.app.store.home

    def tries(self, holder: dict[str, Any] = HOLDER, number: int = 1, **more: Any) -> host_begins.HostStart | None:
        moment = host_begins.Begin(self.run, "a", number, holder, self.desk.clock.now)
        return host_begins.begin(self.home, moment, **more)

    def begins(self, *arguments: Any, **more: Any) -> dict[str, Any] | None:
        start = self.tries(*arguments, **more)
        return None if start is None or start.hold else dict(start.call)

    async def is_borne(self) -> bool:
        """Whether who keeps account lets it begin."""
        step = records.Step(now=self.desk.clock.now, actions=(records.Action("begin", "a", attempt=1),), lease_s=60)
        await self.desk.app.store.advance(self.run, step)
        return (await self.desk.states(self.run))["a"] == "running"

    async def newest(self) -> records.NewestAttempt:
        return await self.desk.app.store.newest_attempt(self.run, "a")


async def out(desk: dispatcher_setup.Desk, *tasks: dict[str, Any], **more: Any) -> Attempt:
    progress = await dispatcher_setup.started(desk, *(tasks or (task("a"),)), **more)
    return Attempt(desk, progress.run_id)


async def test_who_begins_has_the_attempt_from_now_on_and_is_told_how_to_call_it(desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk)
    desk.clock.now += 100
    before = await attempt.newest()
    call = attempt.begins()
    after = await attempt.newest()
    assert call == before.beat["call"]
    assert after.beat == {**before.beat, "session": HOLDER}
    assert after.lease_until == desk.clock.now + desk.app.rules.lease_s


async def test_a_deadline_counts_from_the_beginning(desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk, task("a", timeout_s=60))
    desk.clock.now += 50
    assert attempt.begins()
    assert (await attempt.newest()).lease_until == desk.clock.now + 60


async def test_the_same_call_begins_again_and_no_other_one_does(desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk)
    assert attempt.begins() == attempt.begins()
    assert attempt.begins({**HOLDER, "call": "call-2"}) is None
    assert attempt.begins({**HOLDER, "id": "two"}) is None
    assert (await attempt.newest()).beat["session"] == HOLDER


CEILINGS: list[dict[str, Any]] = [
    {"limits": {"dollars": 5}},
    {"limits": {"tokens": 10**6}},
    {"limits": {"minutes": 60}},
    {"limits": {"attempts": 9}},
    {"limits": {"fan_out": 4}},
    {"task": {"limits": {"dollars": 5}}},
    {"task": {"limits": {"attempts": 3}}},
]


@pytest.mark.parametrize("ceiling", CEILINGS, ids=json.dumps)
async def test_what_was_set_aside_for_an_attempt_under_a_ceiling_is_its_own(
    ceiling: dict[str, Any], desk: dispatcher_setup.Desk
) -> None:
    attempt = await out(desk, task("a", **ceiling.get("task", {})), limits=model.Limits(**ceiling.get("limits", {})))
    assert attempt.begins()
    assert await attempt.is_borne(), "whoever keeps account lets it begin too"


@pytest.mark.parametrize("ceiling", [{"dollars": 1.2}, {"tokens": 1_200_000}], ids=json.dumps)
@pytest.mark.parametrize("used", [0, 100_000, 1_100_000, 1_190_000, 1_300_000])
@pytest.mark.parametrize("event", ["a result", "a late result", "raised since", "lowered since"])
async def test_whether_a_ceiling_bears_an_attempt_after_others_have_ended_is_what_the_account_says(
    event: str, used: int, ceiling: dict[str, Any], desk: dispatcher_setup.Desk
) -> None:
    tasks = [task(name, effort="S", model="sonnet") for name in "ab"]
    attempt = await out(desk, *tasks, limits=model.Limits(**ceiling))
    usage: dict[str, Any] = {"input_tokens": used, "output_tokens": 1, "cost_usd": used / 1e6}
    if event == "a late result":
        await desk.app.report(attempt.run, [{"task_id": "b", "attempt": 1, "status": "failed", "error": "lost"}])
    await desk.app.report(attempt.run, [{"task_id": "b", "attempt": 1, "text": "done", "usage": usage}])
    factor = {"raised since": 9, "lowered since": 0.5}.get(event, 1)
    if factor != 1:
        limits = model.Limits(**{name: type(amount)(amount * factor) for name, amount in ceiling.items()})
        await desk.app.store.advance(attempt.run, records.Step(now=desk.clock.now, limits=limits))
    before = await attempt.newest()
    start = attempt.tries()
    assert start is not None
    assert bool(start.hold) is (await attempt.newest() == before), "what is denied changes nothing"
    assert await attempt.is_borne() is not bool(start.hold)
    if start.hold:
        assert (await desk.app.store.attempts(attempt.run, "a"))[-1].error == start.hold


async def test_an_account_that_nobody_has_kept_with_the_attempt_has_to_be_asked(desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk, limits=model.Limits(dollars=5))
    with closing(sqlite3.connect(attempt.home / open_runs.FILE, isolation_level=None)) as conn:
        conn.execute("UPDATE attempt SET overdrawn = NULL")
    assert attempt.tries() is None


async def test_other_ceilings_are_not_asked_when_something_has_ended(desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk, task("a"), task("b"), limits=model.Limits(minutes=60, attempts=9, fan_out=4))
    await desk.app.report(attempt.run, [{"task_id": "b", "attempt": 1, "text": "done"}])
    assert attempt.begins()


async def test_ceilings_that_do_not_bear_on_attempts_are_none(desk: dispatcher_setup.Desk) -> None:
    assert (await out(desk, limits=model.Limits(tasks=50, depth=1))).begins()


@pytest.mark.parametrize("change", ["pause", "cancel", "report", "number", "principal", "unkept", "unlike"])
async def test_what_is_not_out_any_more_is_left_alone(change: str, desk: dispatcher_setup.Desk) -> None:
    attempt = await out(desk, task("a"), task("b"))
    if change in ("pause", "cancel"):
        await desk.app.steer(attempt.run, change, "", "")
    elif change == "report":
        await desk.app.report(attempt.run, [{"task_id": "a", "attempt": 1, "text": "done"}])
    elif change == "principal":
        with sqlite3.connect(attempt.home / open_runs.FILE) as conn:
            conn.execute("UPDATE run SET principal = 'somebody'")
    elif change != "number":
        beat = {} if change == "unkept" else {"call": "loud", "lease_s": "long"}
        await desk.app.store.beat(attempt.run, "a", 1, beat)
    assert attempt.begins(number=2 if change == "number" else 1) is None


async def test_a_store_that_somebody_writes_or_that_is_none_is_not_waited_for(
    desk: dispatcher_setup.Desk, tmp_path: Path
) -> None:
    attempt = await out(desk)
    with owner_locks.Mutex(attempt.home / owner_locks.LOCK):
        with pytest.raises(errors.StoreBusy):
            attempt.begins(patience_s=0.01)
        with pytest.raises(errors.StoreBusy):
            host_begins.require_free(attempt.home, patience_s=0.01)
    with closing(sqlite3.connect(attempt.home / open_runs.FILE, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.StoreBusy):
            attempt.begins(patience_s=0.01)
    host_begins.require_free(attempt.home)
    assert attempt.begins()
    moment = host_begins.Begin(attempt.run, "a", 1, HOLDER, 0.0)
    with pytest.raises(errors.StoreError):
        host_begins.begin(tmp_path / "nowhere", moment)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / open_runs.FILE).write_bytes(b"nonsense" * 500)
    with pytest.raises(errors.StoreError):
        host_begins.begin(tmp_path / "broken", moment)


def test_the_sessions_of_this_machine_are_one_principal() -> None:
    assert open_runs.PRINCIPAL == records.LOCAL
