from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import get_args, get_type_hints

import anyio
import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import records, short_ids, transitions
from dispatch_mcp.store import owner_locks, sqlite_store

pytestmark = pytest.mark.anyio


async def test_a_plan_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    plan = store_setup.chain("a", "b", inputs={"path": "x\x00y", "deep": [1, {"ä": None}]})
    async with sqlite_store.open_store(tmp_path / "home") as store:
        await store.save_plan(plan, records.LOCAL)
        assert await store.plan("plan", principal=records.LOCAL) == plan


async def test_text_that_utf8_cannot_hold_survives(tmp_path: Path) -> None:
    plan = store_setup.chain("a").model_copy(update={"request": "lone \ud800 surrogate"})
    async with store_setup.running(tmp_path, plan) as (store, owner):
        assert (await store.plan("plan", principal=records.LOCAL)).request == plan.request
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        outcome = store_setup.done("\udfff", handoff=model.Handoff(completed_work="\ud800"))
        await store.advance("run", store_setup.step(owner, store_setup.report(start, outcome)))
        assert await store.outcome("run", "a") == outcome
        with pytest.raises(errors.UnknownHandle):
            await store.run("\ud800", principal="\udfff")


async def test_a_version_must_follow_the_newest_one(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.save_plan(store_setup.chain("a", "b", version=2), records.LOCAL, base_version=1)
        for version, base in ((2, None), (4, None), (3, 1)):
            with pytest.raises(errors.StaleVersion, match="is at version 2"):
                await store.save_plan(store_setup.chain("c", version=version), records.LOCAL, base_version=base)
        assert len((await store.plan("plan", principal=records.LOCAL)).tasks) == 2
        assert len((await store.plan("plan", 1, principal=records.LOCAL)).tasks) == 1


@pytest.mark.promise("S3")
async def test_what_belongs_to_somebody_else_is_answered_like_what_does_not_exist(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), "ann")
        await store.create_run(store_setup.new_run(principal="ann"))
        said: list[tuple[str, object]] = []
        for run_id, plan_id in (("run", "plan"), ("none", "none")):
            for call in (store.run(run_id, principal="bob"), store.plan(plan_id, principal="bob")):
                with pytest.raises(errors.UnknownHandle) as caught:
                    await call
                said.append(
                    (caught.value.message.replace(repr(run_id), "?").replace(repr(plan_id), "?"), caught.value.hint)
                )
        assert said[:2] == said[2:]
        assert await store.runs("bob") == []
        assert await store.plans("bob") == []
        for call in (
            store.save_plan(store_setup.chain("b", version=2), "bob"),
            store.create_run(store_setup.new_run("other", principal="bob")),
        ):
            with pytest.raises(errors.UnknownHandle):
                await call
        assert (await store.run("run", principal=records.ANYBODY)).principal == "ann"


async def test_a_run_is_driven_to_its_end_and_read_back(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        last = await store_setup.drive(store, "run", owner)
        assert last.state is model.RunState.SUCCEEDED
        record = await store.run("run", principal=records.LOCAL)
        assert (record.state, record.owner, record.epoch) == (model.RunState.SUCCEEDED, "", 1)
        assert record.counts == {"succeeded": 2}
        assert [task.state for task in await store.tasks("run")] == [model.TaskState.SUCCEEDED] * 2
        assert [(made.task_id, made.attempt) for made in await store.attempts("run")] == [("a", 1), ("b", 1)]
        assert await store_setup.kinds(store) == [
            "run_created",
            "run_adopted",
            *["attempt_started", "attempt_finished"] * 2,
            "run_finished",
        ]
    assert store_setup.faults(tmp_path) == []


async def test_events_are_paged_by_their_number(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b", "c")) as (store, owner):
        await store_setup.drive(store, "run", owner)
        whole = await store.events("run")
        assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
        assert await store.events("run", after=3, limit=2) == whole[3:5]
        assert await store.last_event("run") == whole[-1].seq
        assert await store.last_event("none") == 0


@pytest.mark.promise("S15")
@pytest.mark.parametrize("table", ["event", "result"])
async def test_events_and_results_cannot_be_changed(tmp_path: Path, table: str) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
        column = "at" if table == "event" else "digest"
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|immutable"):
            store_setup.raw(tmp_path, f"UPDATE {table} SET {column} = '1'")
        if table == "event":
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                store_setup.raw(tmp_path, "DELETE FROM event")


@pytest.mark.promise("S15")
async def test_every_move_of_a_run_leaves_an_event(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        for kind in ("pause", "resume"):
            await store.advance("run", store_setup.step(owner, actions=[records.Action(kind)], start=frozenset()))
        await store.send(model.Message(run_id="run", sender="a", recipient="b", kind="warning", text="careful"))
        await store.advance("run", store_setup.step(owner, actions=[records.Action("skip", "a", "not needed")]))
        await store.release(owner.id)
        await store.advance("run", store_setup.step(actions=[records.Action("cancel")], start=frozenset()))
        seen = set(await store_setup.kinds(store))
        wanted = {"run_created", "run_adopted", "run_paused", "run_resumed", "message_sent", "task_skipped"}
        assert wanted | {"run_released", "attempt_abandoned", "run_cancelled", "run_finished"} <= seen
    assert store_setup.faults(tmp_path) == []


ACTS: dict[str, str] = {
    "give_back": "attempt_abandoned",
    "skip": "task_skipped",
    "retry": "task_retried",
    "pause": "run_paused",
    "resume": "run_resumed",
    "cancel": "run_cancelled",
}
"""What each steering move leaves, in an order in which all are possible."""

OF_A_REVIEW, CHANGING_NOTHING = "free", "begin"


@pytest.mark.promise("S15")
async def test_each_steering_move_and_each_change_of_a_ceiling_leaves_its_own_event(tmp_path: Path) -> None:
    assert {*ACTS, OF_A_REVIEW, CHANGING_NOTHING} == {*get_args(get_type_hints(records.Action)["kind"])}
    async with store_setup.running(tmp_path, store_setup.fan("a", "b"), worker="host") as (store, _):
        starts = (await store.advance("run", store_setup.step(start=store_setup.HOST, lease_s=60))).starts
        failures = [store_setup.report(start, store_setup.failed()) for start in starts if start.task_id == "b"]
        await store.advance("run", store_setup.step(None, *failures, start=frozenset()))
        for kind, event in ACTS.items():
            task_id = {"give_back": "a", "skip": "a", "retry": "b"}.get(kind, "")
            before = await store.last_event("run")
            action = records.Action(kind, task_id, attempt=1)  # type: ignore[arg-type]  # each is one of its words
            await store.advance("run", store_setup.step(actions=[action], start=frozenset()))
            assert event in [row.kind for row in await store.events("run", before)], kind
            if kind == "resume":
                before = await store.last_event("run")
                await store.advance("run", store_setup.step(limits=model.Limits(attempts=9), start=frozenset()))
                assert [row.kind for row in await store.events("run", before)] == ["limits_changed"]
    assert store_setup.faults(tmp_path) == []


async def test_a_step_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        first = await store.advance("run", store_setup.step(owner))
        version = await store.data_version()
        second = await store.advance("run", store_setup.step(owner))
        assert second.revision == first.revision
        assert await store.data_version() == version


async def test_the_change_detector_sees_every_write(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        before = await store.data_version()
        await store.advance("run", store_setup.step(owner))
        assert await store.data_version() != before


async def test_an_impossible_action_undoes_its_whole_step(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        impossible = store_setup.step(owner, store_setup.report(start), actions=[records.Action("retry", "b")])
        with pytest.raises(errors.InputError, match="retried"):
            await store.advance("run", impossible)
        assert [task.state.value for task in await store.tasks("run")] == ["running", "blocked"]
        assert (await store.advance("run", store_setup.step(owner, store_setup.report(start)))).accepted == (True,)


async def test_what_another_process_did_is_seen_before_the_next_step(tmp_path: Path) -> None:
    async with (
        store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner),
        sqlite_store.open_store(tmp_path) as other,
    ):
        first, second = (await store.advance("run", store_setup.step(owner))).starts
        await other.advance("run", store_setup.step(actions=[records.Action("skip", "a")], start=frozenset()))
        advance = await store.advance(
            "run", store_setup.step(owner, store_setup.report(first), store_setup.report(second))
        )
        assert advance.accepted == (False, True)
        assert advance.state is model.RunState.SUCCEEDED


@pytest.mark.promise("R3")
async def test_a_task_is_accepted_once_and_what_came_late_is_still_counted(tmp_path: Path) -> None:
    paid = model.Usage(input_tokens=7, cost_usd=0.5, seconds=1.0)
    async with store_setup.running(tmp_path, store_setup.chain("a"), worker="host") as (store, _):
        [lost] = (await store.advance("run", store_setup.step(now=0.0, start=store_setup.HOST, lease_s=10))).starts
        [again] = (await store.advance("run", store_setup.step(now=11.0, start=store_setup.HOST))).starts
        assert (lost.attempt, again.attempt) == (1, 2)
        both = [
            store_setup.report(lost, store_setup.done("late", usage=paid)),
            store_setup.report(again, store_setup.done(usage=paid)),
        ]
        assert (await store.advance("run", store_setup.step(None, *both, now=12.0))).accepted == (False, True)
        assert (await store.advance("run", store_setup.step(None, both[1], now=13.0))).accepted == (False,)
        assert await store.outcome("run", "a") == both[1].outcome
        assert (await store.spend("run")).cost_usd == 1.0
        fenced = [event for event in await store.events("run") if event.kind == "attempt_fenced"]
        assert [event.attempt for event in fenced] == [1, 2]
        assert fenced[0].data["usage"]["input_tokens"] == 7
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R3")
async def test_the_table_itself_refuses_a_second_result(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
        with pytest.raises(sqlite3.IntegrityError):
            store_setup.raw(tmp_path, "INSERT INTO result SELECT * FROM result")


async def test_a_report_renews_the_leases_of_the_host(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b"), worker="host") as (store, _):
        a, b = (await store.advance("run", store_setup.step(now=0.0, start=store_setup.HOST, lease_s=10))).starts
        kept = store_setup.step(None, store_setup.report(a), now=9.0, start=store_setup.HOST, lease_s=10, renew=True)
        await store.advance("run", kept)
        assert (await store.advance("run", store_setup.step(now=15.0, start=store_setup.HOST, lease_s=10))).starts == ()
        [again] = (await store.advance("run", store_setup.step(now=20.0, start=store_setup.HOST, lease_s=10))).starts
        assert (again.task_id, again.attempt) == (b.task_id, 2)


@pytest.mark.promise("R7")
async def test_the_same_request_key_makes_one_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    answers: list[tuple[str, bool]] = []

    async def ask(store: sqlite_store.Store, number: int) -> None:
        record, created = await store.create_run(store_setup.new_run(f"run{number}", request_key="key"))
        answers.append((record.id, created))

    async with sqlite_store.open_store(home) as store, sqlite_store.open_store(home) as other:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        for first in range(0, 50, 8):
            async with anyio.create_task_group() as group:
                for number in range(first, min(first + 8, 50)):
                    group.start_soon(ask, (store, other)[number % 2], number)
        assert sum(created for _, created in answers) == 1
        assert len({run_id for run_id, _ in answers}) == 1
        assert len(await store.runs(records.LOCAL)) == 1


async def test_runs_of_one_person_have_different_short_ids_and_those_of_two_may_have_the_same(tmp_path: Path) -> None:
    numbers = [f"3f2a{digit * 28}" for digit in "0123"]
    async with sqlite_store.open_store(tmp_path) as store:
        ids: dict[str, list[str]] = {"ann": [], "bob": []}
        for principal, numbers_of in (("ann", numbers[:3]), ("bob", numbers[3:])):
            await store.save_plan(store_setup.chain("a", plan_id=principal), principal)
            for number in numbers_of:
                new = store_setup.new_run(f"shop-{number}", plan_id=principal, principal=principal, fresh=True)
                ids[principal].append((await store.create_run(new))[0].id)
        assert [short_ids.short(run_id) for run_id in (ids["ann"][0], ids["bob"][0])] == ["shop-3f2a", "shop-3f2a"]
        assert len({short_ids.short(run_id) for run_id in ids["ann"]}) == 3


async def test_request_keys_of_different_principals_do_not_meet(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for principal in ("ann", "bob"):
            await store.save_plan(store_setup.chain("a", plan_id=principal), principal)
            asked = store_setup.new_run(principal, plan_id=principal, principal=principal, request_key="key")
            record, created = await store.create_run(asked)
            assert (record.id, created) == (principal, True)


async def test_finished_work_of_the_plan_is_replayed_not_repeated(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        await store_setup.drive(store, "run", owner)
        await store.create_run(store_setup.new_run("second"))
        epoch = await store.adopt("second", owner.id)
        advance = await store.advance("second", store_setup.step(records.Owner(owner.id, epoch or 0)))
        assert (advance.state, advance.starts) == (model.RunState.SUCCEEDED, ())
        assert await store.outcomes("second", ["a", "b"]) == await store.outcomes("run", ["a", "b"])
        assert {task.cause for task in await store.tasks("second")} == {transitions.REPLAYED}
        assert await store.spend("second") == model.Usage()
    assert store_setup.faults(tmp_path) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"fresh": True}),
        ({}, {"principal": "bob", "plan_id": "his"}),
        ({"dry_run": True}, {}),
        ({}, {"dry_run": True}),
    ],
    ids=["fresh run", "other principal", "simulation first", "simulation second"],
)
async def test_work_is_not_replayed_across(
    tmp_path: Path, first: dict[str, model.Json], second: dict[str, model.Json]
) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a"), **first) as (store, owner):
        await store.save_plan(store_setup.chain("a", plan_id="his"), "bob")
        await store_setup.drive(store, "run", owner)
        await store.create_run(store_setup.new_run("second", **second))
        epoch = await store.adopt("second", owner.id)
        assert len((await store.advance("second", store_setup.step(records.Owner(owner.id, epoch or 0)))).starts) == 1


async def test_replayed_work_that_nobody_proved_stays_unverified(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance(
            "run", store_setup.step(owner, store_setup.report(start, store_setup.done(unverified=True)))
        )
        assert [task.state.value for task in await store.tasks("run")] == ["unverified"]
        await store.create_run(store_setup.new_run("second"))
        epoch = await store.adopt("second", owner.id)
        assert (await store.advance("second", store_setup.step(records.Owner(owner.id, epoch or 0)))).starts == ()
        assert [task.state.value for task in await store.tasks("second")] == ["unverified"]


async def test_the_same_work_twice_in_one_plan_is_done_twice(tmp_path: Path) -> None:
    twins = model.Plan(id="plan", tasks=(model.Task(id="a", do="x"), model.Task(id="b", do="x", deps=("a",))))
    apart = twins.model_copy(update={"tasks": (twins.tasks[0], model.Task(id="b", do="x"))})
    async with store_setup.running(tmp_path, apart) as (store, owner):
        [a, b] = (await store.advance("run", store_setup.step(owner))).starts
        assert a.key == b.key


async def test_a_simulated_run_never_uses_another_worker(tmp_path: Path) -> None:
    plan = store_setup.chain("a", "b", worker=model.WorkerKind.CLAUDE)
    async with store_setup.running(tmp_path, plan, dry_run=True) as (store, _):
        assert {task.worker for task in await store.tasks("run")} == {model.WorkerKind.SCRIPTED}


async def test_bulk_goes_to_a_blob_and_comes_back(tmp_path: Path) -> None:
    outcome = store_setup.done(output={"text": "ä" * 70_000})
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance("run", store_setup.step(owner, store_setup.report(start, outcome)))
        assert await store.outcome("run", "a") == outcome
        [(body, digest)] = store_setup.raw(tmp_path, "SELECT body, blob FROM result")
        assert body is None
        assert json.loads(store.blobs.get(digest))["output"] == outcome.output


async def test_what_an_attempt_leaves_reaches_the_next_one(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        assert await store.last_beat("run", "a") == {}
        assert await store.beat("run", "a", 1, {"session": "s1"})
        await store.release(owner.id)
        assert not await store.beat("run", "a", 1, {"session": "late"})
        assert await store.last_beat("run", "a") == {"session": "s1"}
        assert [made.beat for made in await store.attempts("run", "a")] == [{"session": "s1"}]


async def test_messages_are_delivered_and_marked_read(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, _):
        for recipient in ("b", "c"):
            message = model.Message(run_id="run", sender="a", recipient=recipient, kind="request", text="hi")
            assert await store.send(message) > 0
        assert [message.read for message in await store.inbox("run", "b", mark_read=True)] == [False]
        assert [message.read for message in await store.inbox("run", "b")] == [True]
        assert [message.recipient for message in await store.inbox("run", None)] == ["b", "c"]
        with pytest.raises(errors.UnknownHandle):
            await store.send(model.Message(run_id="none", sender="a", recipient="b", kind="request", text=""))


async def test_an_unknown_price_gives_no_sum(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        a, b = (await store.advance("run", store_setup.step(owner))).starts
        known = store_setup.done(usage=model.Usage(output_tokens=1, cost_usd=0.25))
        await store.advance("run", store_setup.step(owner, store_setup.report(a, known)))
        assert (await store.spend("run")).cost_usd == 0.25
        await store.advance(
            "run", store_setup.step(owner, store_setup.report(b, store_setup.done(usage=model.Usage(output_tokens=1))))
        )
        assert await store.spend("run") == model.Usage(output_tokens=2)


async def test_runs_and_plans_are_paged_latest_first(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for number in range(5):
            await store.save_plan(store_setup.chain("a", plan_id=f"plan{number}"), records.LOCAL)
            await store.create_run(store_setup.new_run(f"run{number}", plan_id=f"plan{number}"))
        first = await store.runs(records.LOCAL, limit=2)
        rest = await store.runs(records.LOCAL, after=first[-1].id)
        assert [record.id for record in [*first, *rest]] == ["run4", "run3", "run2", "run1", "run0"]
        await store.advance("run3", store_setup.step(actions=[records.Action("cancel")]))
        assert "run3" not in [record.id for record in await store.runs(records.LOCAL, open_only=True)]
        [newest] = await store.plans(records.LOCAL, limit=1)
        assert [plan.id for plan in await store.plans(records.LOCAL, after=newest.id)] == [
            "plan3",
            "plan2",
            "plan1",
            "plan0",
        ]


async def test_a_store_can_be_read_and_written_by_several_tasks_at_once(tmp_path: Path) -> None:
    plan = store_setup.fan(*[f"t{number}" for number in range(40)], parallel=40)
    async with store_setup.running(tmp_path, plan) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner))).starts
        answers: list[bool] = []

        async def finish(start: transitions.Start) -> None:
            answers.extend((await store.advance("run", store_setup.step(owner, store_setup.report(start)))).accepted)
            assert (await store.run("run", principal=records.LOCAL)).counts["succeeded"] > 0

        async with anyio.create_task_group() as group:
            for start in starts:
                group.start_soon(finish, start)
        assert answers == [True] * 40
    assert store_setup.faults(tmp_path) == []


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        pass
    for call in (store.release("x"), store.runs(records.LOCAL)):
        with pytest.raises(errors.StoreUnavailable, match="closed"):
            await call
    await store.close()


async def test_the_log_is_emptied_when_the_store_closes(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
    assert not (tmp_path / "state.db-wal").exists()


async def test_owners_are_swept_when_a_store_opens(tmp_path: Path) -> None:
    (tmp_path / "owners").mkdir()
    (tmp_path / "owners" / "dead.lock").touch()
    with owner_locks.OwnerLock(tmp_path) as alive:
        async with sqlite_store.open_store(tmp_path):
            assert [path.stem for path in (tmp_path / "owners").iterdir()] == [alive.id]


async def test_work_whose_review_is_open_is_taken_over_once_it_has_passed_and_not_before(tmp_path: Path) -> None:
    work, other = (model.Task(id=name, do=f"do {name}") for name in "ab")
    reviews = [model.Task(id=f"look-{name}", do="look", deps=(name,), reviews=(name,)) for name in "ab"]
    async with store_setup.running(tmp_path, model.Plan(id="plan", tasks=(work, other, *reviews))) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner, free=9))).starts
        looks = (await store.advance("run", store_setup.step(owner, *map(store_setup.report, starts), free=9))).starts
        assert [look.task_id for look in looks] == ["look-a", "look-b"]
        await store.save_plan(model.Plan(id="plan", version=2, tasks=(work,)), records.LOCAL)
        assert await starts_of(store, owner, "early") == ["a"]
        await store.advance("run", store_setup.step(owner, store_setup.report(looks[0])))
        assert await starts_of(store, owner, "late") == []


async def starts_of(store: sqlite_store.Store, owner: records.Owner, run_id: str) -> list[str]:
    """Returns what a new run of the second version begins with."""
    await store.create_run(store_setup.new_run(run_id, plan_version=2))
    epoch = await store.adopt(run_id, owner.id)
    advance = await store.advance(run_id, store_setup.step(records.Owner(owner.id, epoch or 0)))
    return [start.task_id for start in advance.starts]


async def test_a_brief_is_kept_for_its_attempt_alone(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        path = await store.keep_brief("ab" * 16, "a", 1, "Do it.")
        assert path is not None
        assert path.is_relative_to(tmp_path)
        assert await store.kept_brief("ab" * 16, "a", 1) == "Do it."
        assert await store.kept_brief("ab" * 16, "a", 2) == ""
