"""What people are to be told stands in the store as soon as its cause does, and never without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import store_setup
from store_setup import chain, done, failed, new_run, report, step

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import owner_locks, sqlite_store
from dispatch_mcp.store.outbox import alert_box, alert_reasons

pytestmark = pytest.mark.anyio


async def everything(store: sqlite_store.Store, target: str = "target") -> list[alert_box.Alert]:
    """Returns all alerts that a way of telling has before it, as if each was told."""
    alerts: list[alert_box.Alert] = []
    while (alert := await store.alerts.due(target, alert_reasons.KINDS, store.now())) is not None:
        alerts.append(alert)
        await store.alerts.settle(target, alert)
    return alerts


async def begun(
    store: sqlite_store.Store, plan: model.Plan, home: Path, **fields: Any
) -> tuple[records.Owner, owner_locks.OwnerLock]:
    await store.alerts.begin("target")
    await store.save_plan(plan, records.LOCAL)
    await store.create_run(new_run(**fields))
    lock = owner_locks.OwnerLock(home)
    epoch = await store.adopt("run", lock.id)
    assert epoch is not None
    return records.Owner(lock.id, epoch), lock


@pytest.mark.parametrize(
    ("outcome", "kind", "state"), [(done(), "finished", "succeeded"), (failed(), "failed", "failed")]
)
async def test_the_end_of_a_run_is_told_once(tmp_path: Path, outcome: model.Outcome, kind: str, state: str) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path, title="Fix the shop", workspace="/users/ann/shop")
        with lock:
            advance = await store.advance("run", step(owner))
            assert await everything(store) == []
            await store.advance("run", step(owner, report(advance.starts[0], outcome)))
        (alert,) = await everything(store)
        assert (alert.kind, alert.run, alert.title) == (kind, "run", "Fix the shop")
        assert alert.body == {"state": state, "tasks": {state: 1}, "project": "shop"}
        assert await everything(store) == []


async def test_a_step_that_is_rolled_back_tells_nothing(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path)
        with lock:
            advance = await store.advance("run", step(owner))
            impossible = records.Action("retry", "nobody")
            with pytest.raises(errors.DispatchError):
                await store.advance("run", step(owner, report(advance.starts[0]), actions=[impossible]))
            assert await everything(store) == []


async def test_a_decision_that_a_person_has_to_take_is_told_although_other_work_goes_on(tmp_path: Path) -> None:
    plan = model.Plan(
        id="plan", tasks=(model.Task(id="ask", do="decide", worker=model.WorkerKind.HUMAN), *chain("a").tasks)
    )
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, plan, tmp_path)
        with lock:
            await store.advance("run", step(owner))
            (alert,) = await everything(store)
            await store.advance("run", step(owner))
        assert (alert.kind, alert.body["waits_for"]) == ("waiting", "decision")
        assert await everything(store) == []


async def test_a_run_at_its_ceiling_waits_for_a_person_and_one_that_was_paused_does_not(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a", "b"), tmp_path, limits=model.Limits(attempts=1))
        with lock:
            advance = await store.advance("run", step(owner))
            await store.advance("run", step(owner, report(advance.starts[0])))
            (alert,) = await everything(store)
            assert (alert.kind, alert.body["waits_for"], alert.body["state"]) == ("waiting", "ceiling", "paused")
            await store.advance("run", step(owner, limits=model.Limits(attempts=5), actions=[records.Action("pause")]))
            assert await everything(store) == []


async def test_a_dry_run_tells_nothing(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path, dry_run=True)
        with lock:
            await store_setup.drive(store, "run", owner)
        assert await everything(store) == []


async def test_a_ceiling_is_near_once_for_each_of_its_heights_whoever_looks(tmp_path: Path) -> None:
    tasks = [f"t{number}" for number in range(8)]
    async with sqlite_store.open_store(tmp_path, warn_share=0.5) as store:
        owner, lock = await begun(store, chain(*tasks), tmp_path, limits=model.Limits(attempts=4))
        with lock:
            advance = await store.advance("run", step(owner))
            assert await everything(store) == [], "one of four is no half"
            advance = await store.advance("run", step(owner, report(advance.starts[0])))
            (alert,) = await everything(store)
            assert alert.body["ceiling"] == {"limit": "attempts", "ceiling": 4.0, "used": 2.0, "share": 0.5}
            async with sqlite_store.open_store(tmp_path, warn_share=0.5) as other:
                advance = await other.advance("run", step(owner, report(advance.starts[0])))
            assert await everything(store) == []
            await store.advance("run", step(owner, limits=model.Limits(attempts=6)))
            assert [alert.body["ceiling"]["ceiling"] for alert in await everything(store)] == [6.0]
        assert (await store_setup.kinds(store)).count(alert_reasons.NEAR) == 2


async def test_a_ceiling_that_stays_near_is_told_once_however_many_steps_one_process_takes(tmp_path: Path) -> None:
    tasks = [f"t{number}" for number in range(8)]
    async with sqlite_store.open_store(tmp_path, warn_share=0.5) as store:
        owner, lock = await begun(store, chain(*tasks), tmp_path, limits=model.Limits(attempts=8))
        with lock:
            advance = await store.advance("run", step(owner))
            for _ in range(6):
                advance = await store.advance("run", step(owner, report(advance.starts[0])))
        assert (await store_setup.kinds(store)).count(alert_reasons.NEAR) == 1
        assert [alert.kind for alert in await everything(store)] == ["near_ceiling"]


async def test_minutes_pass_without_anything_happening_and_are_found_by_a_look(tmp_path: Path) -> None:
    now = 1_000_000.0
    async with sqlite_store.open_store(tmp_path, clock=lambda: now, warn_share=0.8) as store:
        _, lock = await begun(store, chain("a"), tmp_path, limits=model.Limits(minutes=10))
        with lock:
            assert await store.alerts.late_runs(0.8, now + 7.9 * 60) == []
            assert await store.alerts.late_runs(0.8, now + 8 * 60) == ["run"]
            await store.advance("run", records.Step(now=now + 8 * 60))
            assert await store.alerts.late_runs(0.8, now + 9 * 60) == []
        assert [alert.body["ceiling"]["limit"] for alert in await everything(store)] == ["minutes"]


async def test_a_new_way_of_telling_begins_with_what_comes_then(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path)
        with lock:
            await store_setup.drive(store, "run", owner)
        await store.alerts.begin("later")
        await store.alerts.begin("target")
        assert await store.alerts.waiting("target", alert_reasons.KINDS, store.now()) == 1
        assert await everything(store, "later") == []
        assert len(await everything(store)) == 1


async def test_what_is_not_wanted_or_too_old_is_left_out_and_what_failed_waits(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path)
        with lock:
            await store_setup.drive(store, "run", owner)
        box, now = store.alerts, store.now()
        assert await box.due("target", ["waiting"], now) is None
        assert await box.due("target", ["finished"], now + alert_box.USEFUL_S + 60) is None
        await box.postpone("target", 3, now + 100, "no route")
        assert await box.due("target", ["finished"], now + 99) is None
        assert await box.standing("target") == alert_box.TargetStanding(0, 3, now + 100, "no route")
        alert = await box.due("target", ["finished"], now + 100)
        assert alert is not None
        await box.settle("target", alert)
        assert await box.standing("target") == alert_box.TargetStanding(alert.no, 0, 0.0, "")
        assert await box.standing("nobody") is None


async def test_alerts_of_last_month_go_with_the_next_one(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        owner, lock = await begun(store, chain("a"), tmp_path)
        with lock:
            advance = await store.advance("run", step(owner))
            store_setup.raw(tmp_path, "INSERT INTO alert (run, kind, at, body) VALUES ('old', 'finished', 1.0, '{}')")
            await store.advance("run", step(owner, report(advance.starts[0])))
        assert store_setup.raw(tmp_path, "SELECT run FROM alert") == [("run",)]


def test_an_alert_has_one_id_without_words_and_a_name_for_people() -> None:
    run = f"fix-shop-{'7d2f' * 8}"
    alert = alert_box.Alert(41, run, "finished", 0.0, {})
    assert (alert.id, alert.handle) == (f"{'7d2f' * 8}-41", "fix-shop-7d2f")
    assert alert_box.Alert(1, "own-name", "finished", 0.0, {}).number == "own-name"
