"""Beginning an attempt with one row: as the server does, and only where no ceiling or holder is in the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.store import owner_locks
from dispatch_mcp.store.looks import host_begins, open_runs

pytestmark = pytest.mark.anyio

HOLDER = {"id": "one", "pid": 0, "call": "call-1"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        desk.app.hooks = "full"
        yield desk


class Attempt:
    """The first attempt of a task of a new run, and what there is to begin it."""

    def __init__(self, desk: dispatcher_setup.Desk, run: str) -> None:
        self.desk, self.run, self.home = desk, run, desk.app.store.home

    def begins(self, holder: dict[str, Any] = HOLDER, number: int = 1, **more: Any) -> dict[str, Any] | None:
        moment = host_begins.Begin(self.run, "a", number, holder, self.desk.clock.now)
        call = host_begins.begin(self.home, moment, **more)
        return None if call is None else dict(call)

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
async def test_what_has_a_ceiling_is_left_to_who_keeps_account(
    ceiling: dict[str, Any], desk: dispatcher_setup.Desk
) -> None:
    attempt = await out(desk, task("a", **ceiling.get("task", {})), limits=model.Limits(**ceiling.get("limits", {})))
    before = await attempt.newest()
    assert attempt.begins() is None
    assert await attempt.newest() == before


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


async def test_a_store_that_somebody_writes_or_that_is_none_is_left_alone(
    desk: dispatcher_setup.Desk, tmp_path: Path
) -> None:
    attempt = await out(desk)
    with owner_locks.Mutex(attempt.home / owner_locks.LOCK):
        assert attempt.begins(patience_s=0.01) is None
    assert attempt.begins()
    moment = host_begins.Begin(attempt.run, "a", 1, HOLDER, 0.0)
    assert host_begins.begin(tmp_path / "nowhere", moment) is None
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / open_runs.FILE).write_bytes(b"nonsense" * 500)
    assert host_begins.begin(tmp_path / "broken", moment) is None


def test_the_sessions_of_this_machine_are_one_principal() -> None:
    assert open_runs.PRINCIPAL == records.LOCAL
