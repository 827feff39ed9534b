"""What is read back, page by page."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import blobs, owner_locks, sqlite_store

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("page", [1, 2, 3, 7])
async def test_pages_of_runs_and_plans_put_together_are_all_of_them_once(tmp_path: Path, page: int) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        for number in range(7):
            await store.save_plan(store_setup.chain("a", plan_id=f"p{number}"), "ann")
            await store.create_run(store_setup.new_run(f"r{number}", plan_id=f"p{number}", principal="ann"))
        await store.save_plan(store_setup.chain("a", plan_id="bobs"), "bob")
        runs, plans, last = list[str](), list[str](), ""
        while part := await store.runs("ann", limit=page, after=last):
            runs += [record.id for record in part]
            last = part[-1].id
        last = ""
        while document := await store.plans("ann", limit=page, after=last):
            plans += [plan.id for plan in document]
            last = document[-1].id
        assert runs == [f"r{number}" for number in reversed(range(7))]
        assert plans == [f"p{number}" for number in reversed(range(7))]


async def test_the_newest_version_of_a_plan_is_the_one_that_is_listed(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a", plan_id="old"), records.LOCAL)
        await store.save_plan(store_setup.chain("a", plan_id="new"), records.LOCAL)
        await store.save_plan(store_setup.chain("b", plan_id="old", version=2), records.LOCAL)
        assert [(plan.id, plan.version) for plan in await store.plans(records.LOCAL)] == [("old", 2), ("new", 1)]


async def test_the_plan_to_run_is_the_newest_version_also_when_another_process_has_saved_it(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store, sqlite_store.open_store(tmp_path) as other:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        first = (await store.plan_to_run("plan", principal=records.LOCAL)).plan
        assert (await store.plan_to_run("plan", principal=records.LOCAL)).plan is first
        await other.save_plan(store_setup.chain("b", version=2), records.LOCAL)
        assert (await store.plan_to_run("plan", principal=records.LOCAL)).plan.version == 2
        with pytest.raises(errors.UnknownHandle):
            await store.plan_to_run("plan", principal="bob")


async def test_a_run_that_is_over_is_not_open_and_is_counted_as_finished(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.create_run(store_setup.new_run("other"))
        await store_setup.drive(store, "run", owner)
        assert [run.id for run in await store.runs(records.LOCAL)] == ["other", "run"]
        assert [run.id for run in await store.runs(records.LOCAL, open_only=True)] == ["other"]
        assert await store.finished_runs("plan", principal=records.LOCAL) == 1
        assert await store.finished_runs("plan", principal="bob") == 0


async def test_each_run_is_read_with_its_own_tasks_attempts_and_failures(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        await store.save_plan(store_setup.fan("a", "c", "d", plan_id="more"), records.LOCAL)
        await store.create_run(store_setup.new_run("other", plan_id="more"))
        heir = records.Owner(owner.id, await store.adopt("other", owner.id) or 0)
        for run_id, who in (("run", owner), ("other", heir)):
            starts = (await store.advance(run_id, store_setup.step(who))).starts
            failures = [
                store_setup.report(
                    start,
                    model.Outcome(
                        state=model.AttemptState.FAILED, error=f"{run_id} broke", error_kind="test", retryable=True
                    ),
                )
                for start in starts[1:]
            ]
            await store.advance(run_id, store_setup.step(who, *failures, start=frozenset()))
        for run_id, names in (("run", ["a", "b"]), ("other", ["a", "c", "d"])):
            whole = await store.whole_run(run_id, principal=records.LOCAL)
            assert [task.id for task in whole.tasks] == names
            assert [attempt.task_id for attempt in whole.attempts] == ["a"]
            assert whole.attempts[0].started_at > 0
            assert [failure.task_id for failure in whole.failures] == names[1:]
            assert {failure.error for failure in whole.failures} == {f"{run_id} broke"}


async def test_attempts_that_are_under_way_are_found_with_what_their_own_run_gave_them(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        starts: dict[str, list[int | None]] = {}
        for run_id, tokens in (("little", 2_000_000), ("much", 9_000_000)):
            await store.create_run(store_setup.new_run(run_id, "api", limits=model.Limits(tokens=tokens)))
            heir = records.Owner(owner.id, await store.adopt(run_id, owner.id) or 0)
            await store.advance(run_id, store_setup.step(heir))
            starts[run_id] = [start.ceiling.tokens for start in await store.begun(run_id)]
        assert starts == {"little": [2_000_000], "much": [9_000_000]}
        assert [start.ceiling.tokens for start in await store.begun("little")] == [2_000_000]


async def test_what_is_open_is_counted_for_each_run_that_was_asked_about(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b", parallel=1)) as (store, owner):
        await store.create_run(store_setup.new_run("other"))
        await store.advance("run", store_setup.step(owner))
        scripted = model.WorkerKind.SCRIPTED
        assert await store.open_work(["run", "other", "none"]) == {
            "run": {(scripted, model.TaskState.RUNNING): 1, (scripted, model.TaskState.READY): 1},
            "other": {(scripted, model.TaskState.READY): 2},
        }


async def test_attempts_are_listed_as_they_began_and_of_one_task_alone(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner, now=100.0))).starts
        failures = [store_setup.report(start, store_setup.failed(retryable=True)) for start in starts]
        await store.advance("run", store_setup.step(owner, *failures, now=110.0))
        await store.advance("run", store_setup.step(owner, now=300.0))
        listed = [(attempt.task_id, attempt.attempt, attempt.state.value) for attempt in await store.attempts("run")]
        assert listed == [("a", 1, "failed"), ("b", 1, "failed"), ("a", 2, "running"), ("b", 2, "running")]
        first, second = await store.attempts("run", "b")
        assert (first.started_at, first.ended_at, first.error, first.error_kind) == (100.0, 110.0, "no", "test")
        assert (second.started_at, second.ended_at, second.lease_until) == (300.0, None, None)
        assert await store.attempts("run", "nobody") == await store.attempts("none") == []


async def test_what_was_spent_is_the_sum_of_all_attempts_the_late_ones_too(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        a, b = (await store.advance("run", store_setup.step(owner))).starts
        usage = model.Usage(input_tokens=10, output_tokens=2, cache_read_tokens=5, cost_usd=0.5, seconds=1.5)
        await store.advance("run", store_setup.step(owner, store_setup.report(a, store_setup.done(usage=usage))))
        await store.advance("run", store_setup.step(owner, actions=[records.Action("skip", "b")], start=frozenset()))
        late = store_setup.report(b, store_setup.done(usage=usage))
        assert (await store.advance("run", store_setup.step(owner, late, late))).accepted == (False, False)
        spend = await store.spend("run")
        assert spend == model.Usage(input_tokens=20, output_tokens=4, cache_read_tokens=10, cost_usd=1.0, seconds=3.0)
        assert await store.usage_and_count("run") == (spend, (await store.attempt_sums("run")).counting) == (spend, 2)
        assert await store.spend("none") == model.Usage()


async def test_the_last_ceiling_that_was_met_is_found_again(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b"), limits=model.Limits(attempts=1)) as opened:
        store, owner = opened
        assert await store.limit_reached("run") == {}
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        advance = await store.advance("run", store_setup.step(owner, store_setup.report(start)))
        assert advance.state is model.RunState.PAUSED
        assert (await store.limit_reached("run"))["limit"] == "attempts"


async def test_a_raised_ceiling_lets_a_run_go_on_also_in_another_process(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b"), limits=model.Limits(attempts=1)) as opened:
        store, owner = opened
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance("run", store_setup.step(owner, store_setup.report(start)))
        async with sqlite_store.open_store(tmp_path) as other:
            assert (await other.advance("run", store_setup.step(owner))).starts == ()
            raised = store_setup.step(owner, limits=model.Limits(attempts=2))
            assert [start.task_id for start in (await other.advance("run", raised)).starts] == ["b"]
        record = await store.run("run", principal=records.LOCAL)
        assert (record.state, record.limits.attempts) == (model.RunState.RUNNING, 2)
        assert "limits_changed" in await store_setup.kinds(store)
    assert store_setup.faults(tmp_path) == []


async def test_another_process_gives_an_attempt_what_the_others_of_its_own_run_have_left(tmp_path: Path) -> None:
    tokens = {"run": 3_000_000, "other": 90_000_000}
    plan, limits = store_setup.fan("a", "b"), model.Limits(tokens=tokens["run"])
    async with store_setup.running(tmp_path, plan, worker="api", limits=limits) as (store, owner):
        more = model.Limits(tokens=tokens["other"])
        await store.create_run(store_setup.new_run("other", "api", limits=more, fresh=True))
        owners = {"run": owner, "other": records.Owner(owner.id, await store.adopt("other", owner.id) or 0)}
        async with sqlite_store.open_store(tmp_path) as later:
            for run_id, who in owners.items():
                [a] = (await store.advance(run_id, store_setup.step(who, free=1))).starts
                assert a.ceiling.tokens == tokens[run_id] / 2
            for run_id, who in owners.items():
                [b] = (await later.advance(run_id, store_setup.step(who))).starts
                assert (b.task_id, b.ceiling.tokens) == ("b", tokens[run_id] / 2)


async def test_the_latest_word_of_any_attempt_reaches_the_next_one(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner, now=0.0))).starts
        assert await store.last_beat("run", "a") == {}
        assert await store.beat("run", "a", 1, {"session_id": "one", "ä": [1]})
        assert not await store.beat("run", "a", 2, {"session_id": "none such"})
        failure = store_setup.report(start, store_setup.failed(retryable=True))
        await store.advance("run", store_setup.step(owner, failure, now=1.0))
        await store.advance("run", store_setup.step(owner, now=100.0))
        assert await store.last_beat("run", "a") == {"session_id": "one", "ä": [1]}
        await store.beat("run", "a", 2, {"session_id": "two"})
        assert (await store.last_beat("run", "a"))["session_id"] == "two"


async def test_context_is_added_up_over_everything_that_named_files_and_that_a_principal_ran(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b", "c", "d")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.beat("run", "a", 1, {"context": {"tokens": 900, "named_files": 4_000}})
        await store.beat("run", "b", 1, {"context": {"tokens": 100, "named_files": 100}, "session_id": "x"})
        await store.beat("run", "c", 1, {"context": {"tokens": 700, "named_files": 0}})
        await store.beat("run", "d", 1, {"context": {"tokens": 700, "gathered": 9_000}})
        assert await store.context_tokens(records.LOCAL) == (1_000, 4_100)
        assert await store.context_tokens("bob") == (0, 0)


async def test_history_is_what_models_did_and_reported_in_runs_that_are_over(tmp_path: Path) -> None:
    plan = store_setup.chain("a", "b", effort="S", agent="coder", model="sonnet")
    async with store_setup.running(tmp_path, plan, worker="api") as (store, owner):
        now = 1_000.0
        advance = await store.advance("run", store_setup.step(owner, now=now))
        for usage in (model.Usage(input_tokens=70, output_tokens=30, cost_usd=0.25), model.Usage()):
            assert await store.samples(records.LOCAL) == []
            now += 120.0
            report = store_setup.report(advance.starts[0], store_setup.done(usage=usage))
            advance = await store.advance("run", store_setup.step(owner, report, now=now))
        [sample] = await store.samples(records.LOCAL)
        assert sample == ("coder", "S", "sonnet", pytest.approx(2.0), 100, 0.25)
        assert await store.samples("bob") == []


async def test_history_is_that_of_the_one_who_asks(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a"), worker="api") as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        usage = model.Usage(input_tokens=100, output_tokens=5, seconds=2.0)
        await store.advance("run", store_setup.step(owner, store_setup.report(start, store_setup.done(usage=usage))))
        assert len(await store.samples(records.LOCAL)) == 1
        assert await store.samples("bob") == []


async def test_messages_are_read_by_recipient_and_marked_once(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, _):
        for recipient, text in (("a", "one"), ("all", "two"), ("a", "three")):
            message = model.Message(run_id="run", sender="x", recipient=recipient, kind="request", text=text)
            await store.send(message)
        assert [message.text for message in await store.inbox("run", "a", mark_read=True)] == ["one", "three"]
        assert [(message.text, message.read) for message in await store.inbox("run")] == [
            ("one", True),
            ("two", False),
            ("three", True),
        ]
        assert (await store_setup.kinds(store)).count("message_sent") == 3


async def test_a_run_without_work_for_the_server_waits_for_nobody(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        for run_id, worker in (("server", "scripted"), ("host", "host")):
            await store.create_run(store_setup.new_run(run_id, worker=worker))
        assert await store.adoptable() == ["server"]
        with owner_locks.OwnerLock(tmp_path) as lock:
            await store.adopt("server", lock.id)
            assert await store.adoptable() == []
        assert await store.adoptable() == ["server"]


async def test_there_is_nothing_to_read_of_a_run_that_does_not_exist(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        assert await store.tasks("none") == await store.events("none") == await store.inbox("none") == []
        assert await store.outcomes("none", ["a"]) == {}
        assert await store.last_beat("none", "a") == await store.limit_reached("none") == {}


@pytest.mark.parametrize("text", ["short", "long " * sqlite_store.INLINE_BYTES], ids=["inline", "blob"])
async def test_of_outcomes_that_are_looked_through_only_one_is_held_at_a_time(tmp_path: Path, text: str) -> None:
    looks = list[weakref.ref[model.Outcome]]()

    def view(task_id: str, outcome: model.Outcome) -> tuple[str, int]:
        held = sum(look() is not None for look in looks)
        looks.append(weakref.ref(outcome))
        return f"{task_id}: {outcome.summary[:5]}", held

    async with store_setup.running(tmp_path, store_setup.fan("a", "b", "c")) as (store, owner):
        starts = (await store.advance("run", store_setup.step(owner))).starts
        reports = [store_setup.report(start, store_setup.done(text)) for start in starts]
        await store.advance("run", store_setup.step(owner, *reports))
        lines = await store.of_outcomes("run", ["a", "b", "c", "none"], view)
    assert lines == {name: (f"{name}: {text[:5]}", 0) for name in ("a", "b", "c")}


LONG = "x" * sqlite_store.INLINE_BYTES


@pytest.mark.parametrize(
    ("fields", "is_short"),
    [
        ({"output": LONG}, True),
        ({"output": {"text": LONG}, "receipts": (model.Receipt(kind="claim", ok=True, detail="said"),)}, True),
        ({"output": [LONG], "handoff": model.Handoff(open_questions=("Why?",)), "unverified": True}, True),
        ({"output": "short"}, False),
        ({"output": LONG, "error": LONG}, False),
        ({"error": LONG}, False),
    ],
    ids=["text", "object", "list", "inline", "both long", "no output"],
)
async def test_of_a_long_outcome_all_but_the_output_is_read_without_its_blob(
    tmp_path: Path, fields: dict[str, Any], *, is_short: bool
) -> None:
    outcome = store_setup.done("Done “so”", **fields)
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance("run", store_setup.step(owner, store_setup.report(start, outcome)))
        assert await store.outcomes("run", ["a"]) == {"a": outcome}
        expected = outcome.model_copy(update={"output": sqlite_store.WITHHELD}) if is_short else outcome
        assert await store.outcomes("run", ["a"], with_output=False) == {"a": expected}
        for blob in (tmp_path / blobs.FOLDER).glob("*/*"):
            blob.write_bytes(b"{}")
        if is_short:
            assert await store.outcomes("run", ["a"], with_output=False) == {"a": expected}
            with pytest.raises(errors.StoreDamaged):
                await store.outcomes("run", ["a"])


async def test_of_a_long_outcome_that_an_earlier_build_has_stored_the_blob_is_read(tmp_path: Path) -> None:
    outcome = store_setup.done(output=LONG)
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance("run", store_setup.step(owner, store_setup.report(start, outcome)))
    store_setup.raw(tmp_path, "DROP TRIGGER result_is_immutable")
    store_setup.raw(tmp_path, "UPDATE result SET head = NULL")
    async with sqlite_store.open_store(tmp_path) as store:
        assert await store.outcomes("run", ["a"], with_output=False) == {"a": outcome}


async def test_the_next_attempt_begins_with_what_the_one_before_has_left(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner, now=0.0))).starts
        await store.beat("run", "a", 1, {"session_id": "one"})
        failure = store_setup.report(start, store_setup.failed(retryable=True))
        await store.advance("run", store_setup.step(owner, failure, now=1.0))
        await store.advance("run", store_setup.step(owner, now=100.0))
        newest = await store.newest_attempt("run", "a")
        assert (newest.beat, newest.last_beat, newest.last_error) == ({}, {"session_id": "one"}, "no")


async def test_rivals_are_those_at_work_in_the_same_folder_since_a_task_began(tmp_path: Path) -> None:
    clock, shop = [0.0], str(tmp_path / "shop")
    async with sqlite_store.open_store(tmp_path, clock=lambda: clock[0]) as store:
        ends = {"before": 5.0, "mine": None, "after": 30.0, "open": None, "elsewhere": 30.0}
        for run_id, end in ends.items():
            plan = store_setup.chain("a", plan_id=run_id, files=("x.py",))
            await store.save_plan(plan, records.LOCAL)
            place = shop if run_id != "elsewhere" else str(tmp_path / "other")
            await store.create_run(store_setup.new_run(run_id, "host", plan_id=run_id, workspace=place))
            clock[0] = 10.0 if run_id == "mine" else 2.0
            step = store_setup.step(now=clock[0], start=store_setup.HOST, lease_s=1_000.0, free=1)
            [start] = (await store.advance(run_id, step)).starts
            if end is not None:
                await store.advance(run_id, store_setup.step(None, store_setup.report(start), now=end))
        rivals = await store.rivals("mine", ["a"])
    assert [(rival.name, rival.ended_at) for rival in rivals["a"]] == [
        ("a of run after", 30.0),
        ("a of run open", None),
    ]
