"""Attempts of a run that are read one by one, and what all of them come to."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.store.attempts import attempt_rows

pytestmark = pytest.mark.anyio

IDS = ("a", "b", "c", "d")


async def test_attempts_of_some_tasks_are_theirs_alone_and_of_no_task_none(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan(*IDS)) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner, now=100.0))).starts
        failures = [store_setup.report(start, store_setup.failed(retryable=True)) for start in starts]
        await store.advance("run", store_setup.step(owner, *failures, now=110.0))
        await store.advance("run", store_setup.step(owner, now=300.0))
        listed = [(attempt.task_id, attempt.attempt) for attempt in await store.attempts_of("run", ["d", "b", "none"])]
        assert listed == [("b", 1), ("d", 1), ("b", 2), ("d", 2)]
        assert await store.attempts_of("run", []) == await store.attempts_of("none", IDS) == []


async def test_sums_count_what_was_used_and_who_counts_against_a_ceiling(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan(*IDS)) as (store, owner):
        a, b, c, _ = (await store.advance("run", store_setup.step(owner, now=100.0))).starts
        usage = model.Usage(input_tokens=10, output_tokens=2, cost_usd=0.5, seconds=1.5)
        ends = [store_setup.report(start, store_setup.done(usage=usage)) for start in (a, b)]
        await store.advance("run", store_setup.step(owner, *ends, store_setup.report(c, unstartable()), now=110.0))
        sums = await store.attempt_sums("run")
        assert sums.usage == await store.spend("run") == usage_twice(usage)
        begun = len(await store.attempts("run"))
        assert sums.counting == begun - 1
        assert not sums.has_notes
        assert await store.attempt_sums("none") == attempt_rows.AttemptSums(model.Usage(), 0, 0, 0, has_notes=False)


def unstartable() -> model.Outcome:
    return model.Outcome(state=model.AttemptState.FAILED, error="no such agent", error_kind="no_agent")


def usage_twice(usage: model.Usage) -> model.Usage:
    return model.Usage(
        input_tokens=2 * usage.input_tokens,
        output_tokens=2 * usage.output_tokens,
        cost_usd=2 * (usage.cost_usd or 0.0),
        seconds=2 * usage.seconds,
    )


async def test_sums_hold_the_packs_of_those_tasks_alone_that_named_files(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan(*IDS)) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.beat("run", "a", 1, {"context": {"tokens": 900, "named_files": 4_000}})
        await store.beat("run", "b", 1, {"context": {"tokens": 100, "named_files": 100}, "session_id": "x"})
        await store.beat("run", "c", 1, {"context": {"tokens": 700, "named_files": 0}})
        await store.beat("run", "d", 1, {"context": {"tokens": 700, "gathered": 9_000}})
        sums = await store.attempt_sums("run")
        assert (sums.pack_tokens, sums.named_files) == (1_000, 4_100)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE attempt SET seconds = 5.0", False),
        ("UPDATE attempt SET input_tokens = 9000000000000000", True),
        ("UPDATE attempt SET cost_usd = -1.0", True),
        ("""UPDATE attempt SET beat = '{"loss":"notes.txt is gone"}'""", True),
    ],
)
async def test_sums_say_whether_single_attempts_may_have_to_be_told_of(
    tmp_path: Path, statement: str, *, expected: bool
) -> None:
    async with store_setup.running(tmp_path, store_setup.fan(*IDS)) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        store_setup.raw(tmp_path, statement)
        assert (await store.attempt_sums("run")).has_notes is expected


async def test_the_dearest_tasks_come_first_page_by_page(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan(*IDS)) as (store, owner):
        starts = {
            start.task_id: start for start in (await store.advance("run", store_setup.step(owner, now=0.0))).starts
        }
        used = {
            "a": model.Usage(input_tokens=1_000),
            "b": model.Usage(input_tokens=1, cost_usd=0.5),
            "c": model.Usage(output_tokens=2_000),
        }
        ends = [store_setup.report(starts[name], store_setup.done(usage=usage)) for name, usage in used.items()]
        await store.advance("run", store_setup.step(owner, *ends, now=60.0))
        whole = await store.costs("run", 90.0, limit=10)
        assert whole == [
            attempt_rows.TaskCost("b", 1, 1, 0.5, 60.0),
            attempt_rows.TaskCost("c", 1, 2_000, None, 60.0),
            attempt_rows.TaskCost("a", 1, 1_000, None, 60.0),
            attempt_rows.TaskCost("d", 1, 0, None, 90.0),
        ]
        assert [*await store.costs("run", 90.0, limit=3), *await store.costs("run", 90.0, limit=3, skip=3)] == whole


async def test_a_figure_that_nobody_can_have_used_counts_as_the_most_that_is_possible(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b", "c")) as (store, owner):
        await store.advance("run", store_setup.step(owner, now=0.0))
        store_setup.raw(tmp_path, "UPDATE attempt SET input_tokens = 9000000000000000, cost_usd = 1e300")
        costs = await store.costs("run", 1.0, limit=10)
        attempts = {attempt.task_id: attempt for attempt in await store.attempts("run")}
        expected = [(attempts[cost.task_id].usage.tokens, attempts[cost.task_id].usage.cost_usd) for cost in costs]
        assert [(cost.tokens, cost.dollars) for cost in costs] == expected


async def test_spans_are_of_attempts_that_have_ended(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        a, _ = (await store.advance("run", store_setup.step(owner, now=100.0))).starts
        assert await store.spans("run") == []
        await store.advance("run", store_setup.step(owner, store_setup.report(a), now=110.0))
        assert await store.spans("run") == [(100.0, 110.0)]


async def test_tasks_stand_in_the_order_of_the_plan_whatever_their_names(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(12)]
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.fan(*names), records.LOCAL)
        await store.create_run(store_setup.new_run())
        whole = await store.whole_run("run", principal=records.LOCAL)
        assert [task.id for task in whole.tasks] == names
        assert [task.position for task in whole.tasks] == list(range(12))


async def test_a_look_shows_what_has_changed_since_the_last_one(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        before = await store.whole_run("run", principal=records.LOCAL)
        again = await store.whole_run("run", principal=records.LOCAL)
        assert again.tasks == before.tasks
        assert again.tasks is not before.tasks  # who changes the list changes nobody else's
        await store_setup.drive(store, "run", owner)
        after = await store.whole_run("run", principal=records.LOCAL)
        assert {task.state for task in after.tasks} == {model.TaskState.SUCCEEDED}
        assert (before.run.counts, after.run.counts) == ({"ready": 2}, {"succeeded": 2})
