from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports, records, transitions
from dispatch_mcp.store import owner_locks, sqlite_store

pytestmark = pytest.mark.anyio


async def test_a_run_waits_for_an_owner_and_has_one_at_a_time(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.create_run(store_setup.new_run())
        assert await store.adoptable() == ["run"]
        with owner_locks.OwnerLock(tmp_path) as ann, owner_locks.OwnerLock(tmp_path) as bob:
            assert await store.adopt("run", ann.id) == 1
            assert await store.adopt("run", ann.id) == 1
            assert await store.adopt("run", bob.id) is None
            assert await store.adoptable() == []


async def test_a_run_is_adoptable_for_whoever_has_all_workers_that_its_open_tasks_need(tmp_path: Path) -> None:
    api, command = model.WorkerKind.API, model.WorkerKind.COMMAND
    async with sqlite_store.open_store(tmp_path) as store:
        tasks = (
            model.Task(id="a", do="Build", command=("make",)),
            model.Task(id="b", do="Look", worker=api, deps=("a",)),
            model.Task(id="c", do="Say", worker=model.WorkerKind.HUMAN),
        )
        await store.save_plan(model.Plan(id="plan", tasks=tasks), records.LOCAL)
        await store.create_run(store_setup.new_run().model_copy(update={"worker": model.WorkerKind.CLAUDE}))
        needs = {(): [], (command,): [], (api,): [], (command, api): ["run"], tuple(model.WorkerKind): ["run"]}
        assert {kinds: await store.adoptable(kinds=kinds) for kinds in needs} == needs
        await store.advance("run", records.Step(now=1.0, actions=[records.Action("skip", "b", by_person=True)]))
        assert await store.adoptable(kinds=[command]) == ["run"]


async def test_a_run_is_driven_as_long_as_its_owner_lives(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.create_run(store_setup.new_run())

        async def is_driven() -> bool:
            return (await store.whole_run("run", principal=records.ANYBODY)).is_driven

        assert not await is_driven()
        with owner_locks.OwnerLock(tmp_path) as owner:
            await store.adopt("run", owner.id)
            assert await is_driven()
        assert not await is_driven()


@pytest.mark.promise("R3")
async def test_who_lost_the_run_is_fenced(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, _):
        await store.create_run(store_setup.new_run("other"))
        lock = owner_locks.OwnerLock(tmp_path)
        zombie = records.Owner(lock.id, await store.adopt("other", lock.id) or 0)
        [start] = (await store.advance("other", store_setup.step(zombie))).starts
        lock.close()
        with owner_locks.OwnerLock(tmp_path) as heir:
            assert await store.adopt("other", heir.id) == 2
            with pytest.raises(errors.Fenced, match="epoch"):
                await store.advance("other", store_setup.step(zombie, store_setup.report(start)))
            [again] = (await store.advance("other", store_setup.step(records.Owner(heir.id, 2)))).starts
            assert again.attempt == 2
    assert store_setup.faults(tmp_path) == []


async def test_a_dead_owners_attempts_count_as_crashes_and_a_releasing_owners_do_not(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.release(owner.id)
        assert [task.crashes for task in await store.tasks("run")] == [0]
        lock = owner_locks.OwnerLock(tmp_path)
        epoch = await store.adopt("run", lock.id) or 0
        await store.advance("run", store_setup.step(records.Owner(lock.id, epoch)))
        lock.close()
        with owner_locks.OwnerLock(tmp_path) as heir:
            await store.adopt("run", heir.id)
            assert [task.crashes for task in await store.tasks("run")] == [1]


async def test_a_task_that_takes_its_owner_down_three_times_is_quarantined(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a", "b"), records.LOCAL)
        await store.create_run(store_setup.new_run())
        for _ in range(3):
            lock = owner_locks.OwnerLock(tmp_path)
            epoch = await store.adopt("run", lock.id) or 0
            await store.advance("run", store_setup.step(records.Owner(lock.id, epoch)))
            lock.close()
        with owner_locks.OwnerLock(tmp_path) as heir:
            await store.adopt("run", heir.id)
            assert [(task.state.value, task.cause) for task in await store.tasks("run")] == [
                ("failed", "quarantined"),
                ("skipped", "upstream:a"),
            ]
            assert (await store.run("run", principal=records.LOCAL)).state is model.RunState.FAILED


async def test_the_hosts_assignments_belong_to_nobody(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        await store.create_run(store_setup.new_run(worker="host"))
        [start] = (await store.advance("run", store_setup.step(start=store_setup.HOST))).starts
        assert await store.adoptable() == []
        with owner_locks.OwnerLock(tmp_path) as owner:
            await store.adopt("run", owner.id)
            await store.release(owner.id)
        async with sqlite_store.open_store(tmp_path) as other:
            assert (await other.advance("run", store_setup.step(None, store_setup.report(start)))).accepted == (True,)


async def test_a_finished_run_has_no_owner_and_a_retry_opens_it_to_all(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        await store.advance("run", store_setup.step(owner, store_setup.report(start, store_setup.failed())))
        assert await store.adopt("run", owner.id) is None
        late = await store.advance("run", store_setup.step(owner, store_setup.report(start)))
        assert late.accepted == (False,)
        await store.advance("run", store_setup.step(actions=[records.Action("retry", "a")], start=frozenset()))
        with pytest.raises(errors.Fenced):
            await store.advance("run", store_setup.step(owner))
        assert await store.adoptable() == ["run"]
        assert await store.adopt("run", owner.id) == owner.epoch + 1


async def test_a_delayed_retry_is_adoptable(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner, now=10.0))).starts
        again = await store.advance(
            "run", store_setup.step(owner, store_setup.report(start, store_setup.failed(retryable=True)), now=10.0)
        )
        assert again.waiting_until is not None
        await store.release(owner.id)
        assert await store.adoptable() == ["run"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a killed process is needed")
def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, owner_locks.OwnerLock(tmp_path).id.encode())
        signal.pause()
    owner_id = os.read(reading, 100).decode()
    assert owner_locks.is_alive(tmp_path, owner_id)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert not owner_locks.is_alive(tmp_path, owner_id)
    assert [path.stem for path in owner_locks.stale_owners(tmp_path)] == [owner_id]
    assert owner_locks.sweep_owners(tmp_path) == 1
    assert owner_locks.stale_owners(tmp_path) == []


def test_a_closed_lock_leaves_no_file(tmp_path: Path) -> None:
    lock = owner_locks.OwnerLock(tmp_path)
    assert owner_locks.is_alive(tmp_path, lock.id)
    lock.close()
    lock.close()
    assert list((tmp_path / "owners").iterdir()) == []
    assert not owner_locks.is_alive(tmp_path, "unknown")


@pytest.mark.promise("R12")
@pytest.mark.parametrize("jump", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
async def test_a_clock_that_jumps_causes_at_most_a_repetition(tmp_path: Path, jump: float) -> None:
    now = 1_000_000.0
    async with store_setup.running(tmp_path, store_setup.fan("a", "b"), worker="host") as (store, _):
        a, b = (await store.advance("run", store_setup.step(now=now, start=store_setup.HOST, lease_s=60))).starts
        failure = store_setup.report(a, store_setup.failed(retryable=True))
        await store.advance("run", store_setup.step(None, failure, now=now, start=frozenset()))
        now += jump
        await store.advance("run", store_setup.step(None, now=now, start=store_setup.HOST, lease_s=60, renew=True))
        now += 61.0
        later = await store.advance("run", store_setup.step(now=now, start=store_setup.HOST, lease_s=60))
        held = {made.task_id: made for made in await store.attempts("run") if made.state is model.AttemptState.RUNNING}
        assert set(held) == {"a", "b"}, "no task waits the jump out"
        late = await store.advance("run", store_setup.step(None, store_setup.report(b), now=now, start=frozenset()))
        assert late.accepted == (held["b"].attempt == b.attempt,)
        assert later.state is model.RunState.RUNNING
        for _ in range(3):
            made = [made for made in await store.attempts("run") if made.state is model.AttemptState.RUNNING]
            reports = [store_setup.report(one) for one in made]
            await store.advance("run", store_setup.step(None, *reports, now=now, start=store_setup.HOST))
        assert (await store.run("run", principal=records.LOCAL)).state is model.RunState.SUCCEEDED
    assert store_setup.faults(tmp_path) == []


@pytest.mark.promise("R12")
async def test_a_clock_that_went_back_moves_leases_once_however_often_the_run_is_looked_at(tmp_path: Path) -> None:
    now = 1_000_000.0
    async with store_setup.running(tmp_path, store_setup.fan("a"), worker="host") as (store, _):
        await store.advance("run", store_setup.step(now=now, start=store_setup.HOST, lease_s=600))
        for later in (0.0, 1.0, 2.0, 590.0):
            await store.advance("run", store_setup.step(now=now - 3_600.0 + later, start=store_setup.HOST, lease_s=600))
        assert [made.attempt for made in await store.attempts("run")] == [1]


@pytest.mark.promise("S9")
async def test_what_a_dead_owners_attempt_had_left_word_of_counts_before_its_task_begins_again(tmp_path: Path) -> None:
    limits = model.Limits(tokens=10_000_000)
    async with store_setup.running(tmp_path, store_setup.fan("a"), worker="api", limits=limits) as (store, _):
        await store.create_run(store_setup.new_run("other", "api", limits=limits))
        with owner_locks.OwnerLock(tmp_path) as lock:
            first = records.Owner(lock.id, await store.adopt("other", lock.id) or 0)
            [start] = (await store.advance("other", store_setup.step(first))).starts
            spent = model.Usage(input_tokens=4_000_000).model_dump(mode="json")
            assert await store.beat("other", "a", start.attempt, {ports.SPENT: spent})
        with owner_locks.OwnerLock(tmp_path) as heir:
            owner = records.Owner(heir.id, await store.adopt("other", heir.id) or 0)
            [again] = (await store.advance("other", store_setup.step(owner, now=time.time() + 10_000))).starts
    assert (again.attempt, start.ceiling.tokens, again.ceiling.tokens) == (2, 10_000_000, 6_000_000)


@pytest.mark.promise("R12")
async def test_a_clock_that_jumps_all_the_time_stops_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(12)
    now, contacts = 1_000_000_000.0, 0
    plan = store_setup.fan(*[f"t{number}" for number in range(100)], parallel=4)
    held: list[transitions.Start] = []
    accepted: list[str] = []
    async with store_setup.running(tmp_path, plan, worker="host") as (store, _):
        state = model.RunState.RUNNING
        while state is model.RunState.RUNNING:
            contacts += 1
            assert contacts < 1000, "stuck"
            jumps = rng.random() < 0.5
            now += rng.choice([-86_400.0, -3_600.0, 3_600.0, 86_400.0]) if jumps else 1.0
            reports = rng.sample(held[-6:], min(len(held), 2))
            finished = [
                store_setup.report(
                    one, store_setup.done() if rng.random() < 0.8 else store_setup.failed(retryable=True)
                )
                for one in reports
            ]
            step = store_setup.step(None, *finished, now=now, start=store_setup.HOST, lease_s=60)
            advance = await store.advance("run", step)
            held += advance.starts
            state = advance.state
            accepted += [
                one.task_id
                for one, ok in zip(finished, advance.accepted, strict=True)
                if ok and one.outcome.state is model.AttemptState.SUCCEEDED
            ]
        assert len(accepted) == len(set(accepted))
        assert contacts > 50
        counts = (await store.run("run", principal=records.LOCAL)).counts
        assert counts.get("succeeded", 0) == len(accepted)
        assert sum(counts.values()) == counts.get("succeeded", 0) + counts.get("failed", 0) == 100
    assert store_setup.faults(tmp_path) == []
