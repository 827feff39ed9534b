"""How long the host has for an attempt: leases that contact renews, and deadlines that nothing moves."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

DEADLINE_S = 100.0


def contact(now: float, *ends: transitions.Finished, **fields: model.Json) -> records.Step:
    """Returns what a call of the host does that reports `ends`, under leases of ten seconds."""
    return store_setup.step(None, *ends, now=now, start=store_setup.HOST, lease_s=10, renew=True, **fields)


def plan() -> model.Plan:
    tasks = (model.Task(id="timed", do="x", timeout_s=DEADLINE_S), model.Task(id="free", do="x"))
    return model.Plan(id="plan", tasks=tasks)


async def leases(store: sqlite_store.Store) -> dict[str, float | None]:
    return {attempt.task_id: attempt.lease_until for attempt in await store.attempts("run")}


async def test_contact_renews_the_lease_of_a_task_without_a_deadline_only(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, _):
        await store.advance("run", contact(0.0))
        assert await leases(store) == {"timed": DEADLINE_S, "free": 10.0}
        await store.advance("run", contact(9.0))
        assert await leases(store) == {"timed": DEADLINE_S, "free": 19.0}


async def test_a_deadline_ends_its_attempt_before_a_report_of_the_same_contact_is_read(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, _):
        timed, free = (await store.advance("run", contact(0.0))).starts
        both = (store_setup.report(timed), store_setup.report(free))
        advance = await store.advance("run", contact(DEADLINE_S, *both))
        assert advance.accepted == (False, True), "a lapsed lease alone turns nobody away"
        assert [(start.task_id, start.attempt) for start in advance.starts] == [("timed", 2)]
        first = (await store.attempts("run", "timed"))[0]
        assert (first.state, first.error_kind) == (model.AttemptState.TIMED_OUT, "timeout")
    assert store_setup.faults(tmp_path) == []


async def test_what_arrived_before_the_deadline_is_taken_after_it(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, _):
        timed, _free = (await store.advance("run", contact(0.0))).starts
        step = contact(DEADLINE_S + 50, store_setup.report(timed), received_at=DEADLINE_S - 1)
        assert (await store.advance("run", step)).accepted == (True,)


async def test_the_time_of_what_the_host_begins_only_now_counts_from_now_on(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, _):
        await store.advance("run", contact(0.0))
        begins = [records.Action("begin", name, attempt=1) for name in ("timed", "free")]
        await store.advance("run", store_setup.step(None, now=8.0, lease_s=10, actions=begins, start=frozenset()))
        assert await leases(store) == {"timed": 8.0 + DEADLINE_S, "free": 18.0}


async def test_an_attempt_that_is_given_back_untouched_is_handed_out_anew_and_counts_as_no_crash(
    tmp_path: Path,
) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a"), worker="host") as (store, _):
        await store.advance("run", contact(0.0))
        for attempt in (1, 2, 3, 4):
            back = [records.Action("give_back", "a", attempt=attempt)]
            advance = await store.advance("run", contact(1.0, actions=back))
            assert [start.attempt for start in advance.starts] == [attempt + 1]
        assert [task.crashes for task in await store.tasks("run")] == [0]
        late = await store.advance("run", contact(2.0, actions=[records.Action("give_back", "a", attempt=1)]))
        assert late.starts == (), "only the one that runs can be given back"


async def test_a_step_of_the_owner_ends_no_attempt_of_the_host(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, owner):
        await store.advance("run", contact(0.0))
        await store.advance("run", store_setup.step(owner, now=DEADLINE_S + 1))
        assert {row.state for row in await store.tasks("run")} == {model.TaskState.RUNNING}


@pytest.mark.promise("R12")
async def test_a_clock_that_jumps_back_takes_the_deadline_with_it(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, plan(), worker="host") as (store, _):
        await store.advance("run", contact(10_000.0))
        await store.advance("run", contact(4_000.0))
        [until] = [until for task_id, until in (await leases(store)).items() if task_id == "timed"]
        assert until is not None
        assert until <= 4_000.0 + DEADLINE_S


async def test_details_that_follow_on_others_are_kept_only_while_nothing_else_is_there(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        assert await store.beat("run", "a", 1, {"session": "s1", "é": 0.1}, after={})
        assert not await store.beat("run", "a", 1, {"session": "s2"}, after={})
        kept = await store.last_beat("run", "a")
        assert kept == {"session": "s1", "é": 0.1}
        assert await store.beat("run", "a", 1, {"session": "s3"}, after=kept)


async def test_details_of_many_attempts_are_kept_at_once_and_only_of_those_that_run(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "c", "b", parallel=2)) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.beats("run", {("a", 1): {"n": 1}, ("c", 1): {"é": "ü"}, ("c", 2): {"n": 2}, ("b", 1): {"n": 3}})
        assert [await store.last_beat("run", name) for name in "abc"] == [{"n": 1}, {}, {"é": "ü"}]
        await store.beats("run", {})
