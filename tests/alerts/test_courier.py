"""Alerts are told in order and once, whoever has the store open, and again only where nobody can know."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import alert_receiver
import anyio
import pytest
import store_setup
from store_setup import chain, new_run

from dispatch_mcp import composition, configuration
from dispatch_mcp.alerts import channels, courier
from dispatch_mcp.model import Limits, records
from dispatch_mcp.store import owner_locks, sqlite_store
from dispatch_mcp.store.outbox import alert_box, alert_reasons

pytestmark = pytest.mark.anyio


@dataclass
class Ear:
    """A way of telling that keeps what it hears, after the troubles that it has first."""

    troubles: list[Exception] = field(default_factory=list[Exception])
    heard: list[str] = field(default_factory=list[str])
    release: anyio.Event | None = None
    is_busy: anyio.Event = field(default_factory=anyio.Event)

    async def tell(self, alert: alert_box.Alert) -> None:
        self.is_busy.set()
        if self.release is not None:
            await self.release.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.heard.append(f"{alert.run} {alert.kind}")


@dataclass
class Clock:
    now: float = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


def settings_of(home: Path, **fields: object) -> configuration.Settings:
    workspace = home.parent / "shop"
    workspace.mkdir(exist_ok=True)
    flags = {"home": home, "workspace": workspace, **fields}
    return configuration.load({}, flags=flags, cwd=workspace).settings


async def end_runs(store: sqlite_store.Store, *names: str) -> None:
    """Carries new runs to their end, one after the other."""
    with owner_locks.OwnerLock(store.home) as lock:
        for name in names:
            await store.save_plan(chain("a", plan_id=f"plan-{name}"), records.LOCAL)
            await store.create_run(new_run(name, plan_id=f"plan-{name}"))
            epoch = await store.adopt(name, lock.id)
            assert epoch is not None
            await store_setup.drive(store, name, records.Owner(lock.id, epoch))


@asynccontextmanager
async def telling(
    home: Path, ear: Ear, clock: Clock | None = None
) -> AsyncGenerator[tuple[sqlite_store.Store, courier.Courier]]:
    clock = clock or Clock()
    async with sqlite_store.open_store(home, clock=clock, warn_share=0.8) as store:
        target = courier.AlertTarget(ear, "target", alert_reasons.KINDS)
        teller = courier.Courier(store, target, warn_share=0.8, clock=clock)
        await teller.begin()
        yield store, teller


async def test_alerts_are_told_in_their_order_and_once(tmp_path: Path) -> None:
    ear = Ear()
    async with telling(tmp_path, ear) as (store, teller):
        await end_runs(store, "one", "two", "three")
        await teller.tell_due()
        await teller.tell_due()
    assert ear.heard == ["one finished", "two finished", "three finished"]


async def test_what_fails_is_tried_again_later_each_time_after_a_longer_pause(tmp_path: Path) -> None:
    ear, clock = Ear([channels.NotTold("down")] * 12), Clock()
    pauses: list[float] = []
    async with telling(tmp_path, ear, clock) as (store, teller):
        await end_runs(store, "one", "two")
        while not ear.heard:
            await teller.tell_due()
            standing = await store.alerts.standing("target")
            assert standing is not None
            if standing.tries:
                pauses.append(standing.next_at - clock.now)
                clock.now += pauses[-1] / 2
                tries = len(ear.troubles)
                await teller.tell_due()
                assert len(ear.troubles) == tries, "it is too early"
                clock.now += pauses[-1] / 2
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert ear.heard == ["one finished", "two finished"], "those behind it wait, so that the order stays"


async def test_a_fault_of_ours_in_telling_is_a_try_that_failed(tmp_path: Path) -> None:
    ear, clock = Ear([RuntimeError("a secret word")]), Clock()
    async with telling(tmp_path, ear, clock) as (store, teller):
        await end_runs(store, "one")
        await teller.tell_due()
        standing = await store.alerts.standing("target")
        assert standing is not None
        assert (standing.tries, standing.trouble) == (1, "dispatch-mcp itself failed: RuntimeError.")
        clock.now = standing.next_at
        await teller.tell_due()
    assert ear.heard == ["one finished"]


async def test_what_nobody_will_ever_take_does_not_hold_up_the_others(tmp_path: Path) -> None:
    ear = Ear([channels.NeverTold("too large")])
    async with telling(tmp_path, ear) as (store, teller):
        await end_runs(store, "one", "two")
        await teller.tell_due()
        standing = await store.alerts.standing("target")
    assert ear.heard == ["two finished"]
    assert standing is not None
    assert standing.trouble == ""


async def test_while_one_process_tells_the_others_do_not(tmp_path: Path) -> None:
    release = anyio.Event()
    slow, quick = Ear(release=release), Ear()
    with anyio.fail_after(120):
        async with telling(tmp_path, slow) as (store, teller), telling(tmp_path, quick) as (_, other):
            await end_runs(store, "one", "two")
            async with anyio.create_task_group() as group:
                group.start_soon(teller.tell_due)
                await slow.is_busy.wait()
                await other.tell_due()
                assert quick.heard == []
                release.set()
            await other.tell_due()
    assert (slow.heard, quick.heard) == (["one finished", "two finished"], [])


async def test_a_run_whose_minutes_run_out_is_told_although_nothing_happens_in_it(tmp_path: Path) -> None:
    ear, clock = Ear(), Clock()
    async with telling(tmp_path, ear, clock) as (store, teller):
        await store.save_plan(chain("a"), records.LOCAL)
        await store.create_run(new_run(worker="host", limits=Limits(minutes=10)))
        clock.now += 7 * 60
        await teller.mark_late()
        await teller.tell_due()
        assert ear.heard == []
        clock.now += 61
        for _ in range(3):
            await teller.mark_late()
            await teller.tell_due()
    assert ear.heard == ["run near_ceiling"]


async def test_a_process_that_ends_tells_what_it_has_caused(tmp_path: Path) -> None:
    with alert_receiver.receiving() as receiver:
        settings = settings_of(tmp_path / "home", notify="webhook", notify_url=receiver.url)
        async with (
            sqlite_store.open_store(settings.home) as store,
            courier.open_courier(store, settings, {}),
        ):
            await end_runs(store, "one")
        assert [delivery.document["state"] for delivery in receiver.deliveries] == ["succeeded"]


async def test_a_server_that_lives_tells_what_another_process_has_caused(tmp_path: Path) -> None:
    with alert_receiver.receiving() as receiver, anyio.fail_after(120):
        settings = settings_of(tmp_path / "home", notify="webhook", notify_url=receiver.url)
        async with composition.open_dispatcher(settings):
            async with sqlite_store.open_store(settings.home) as other:
                await end_runs(other, "one")
            await receiver.hears(1)
    assert len(receiver.deliveries) == 1


async def test_what_is_being_told_when_a_process_ends_is_told_to_its_end(tmp_path: Path) -> None:
    with alert_receiver.receiving() as receiver, anyio.fail_after(120):
        receiver.pause_s = 0.3
        settings = settings_of(tmp_path / "home", notify="webhook", notify_url=receiver.url)
        async with sqlite_store.open_store(settings.home) as store, anyio.create_task_group() as group:
            async with courier.open_courier(store, settings, {}):
                await end_runs(store, "one")
                await receiver.hears(1)
            async with courier.open_courier(store, settings, {}):
                await end_runs(store, "two")
                await receiver.hears(2)
                group.cancel_scope.cancel()
                await anyio.sleep_forever()
        async with composition.open_dispatcher(settings):
            pass
    assert [delivery.document["run"] for delivery in receiver.deliveries] == ["one", "two"]


async def test_a_receiver_that_does_not_answer_holds_no_process_up(tmp_path: Path) -> None:
    silent, next_ear = Ear(release=anyio.Event()), Ear()
    with anyio.fail_after(120):
        async with telling(tmp_path, silent) as (store, teller), courier.keeping(teller):
            await end_runs(store, "one")
            await silent.is_busy.wait()
        async with telling(tmp_path, next_ear) as (_, teller), courier.keeping(teller):
            pass
    assert next_ear.heard == ["one finished"], "nobody knows whether the first was heard"


async def test_every_driver_tells_what_becomes_of_its_runs(tmp_path: Path) -> None:
    with alert_receiver.receiving() as receiver, anyio.fail_after(120):
        settings = settings_of(tmp_path / "home", notify="webhook", notify_url=receiver.url, reviews="none")
        async with composition.open_dispatcher(settings) as app:
            proposal = await app.plans.plan([{"id": "a", "do": "Look at it", "worker": "host"}])
            answer = await app.dispatch(plan_id=proposal.plan.id)
            await app.report(answer.run_id, [{"task_id": "a", "attempt": 1, "text": "Looked."}])
    assert [delivery.document["kind"] for delivery in receiver.deliveries] == ["finished"]


async def test_who_is_not_to_be_told_is_not_and_nothing_stays_behind(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home")
    assert courier.target_of(settings, {}) is None
    async with sqlite_store.open_store(settings.home) as store, courier.open_courier(store, settings, {}):
        await end_runs(store, "one")
    assert not (settings.home / courier.LOCK_FILE).exists()
    assert store_setup.raw(settings.home, "SELECT count(*) FROM alert_target") == [(0,)]


def test_every_way_is_known_by_its_own_digest_which_holds_no_address(tmp_path: Path) -> None:
    ways = [
        {"notify": "desktop"},
        {"notify": "command", "notify_command": ["tell", "me"]},
        {"notify": "command", "notify_command": ["tell", "you"]},
        {"notify": "webhook", "notify_url": "https://example.com/token-1"},
        {"notify": "webhook", "notify_url": "https://example.com/token-2"},
    ]
    targets = [courier.target_of(settings_of(tmp_path / "home", **way), {}) for way in ways]
    digests = {target.digest for target in targets if target}
    assert len(digests) == len(ways)
    assert all("token" not in digest for digest in digests)


async def test_the_backlog_is_read_without_making_a_store(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", notify="desktop")
    target = courier.target_of(settings, {})
    assert target is not None
    assert await courier.backlog(settings, target) == courier.Backlog(0, "")
    assert not (settings.home / "state.db").exists()
    async with sqlite_store.open_store(settings.home) as store:
        await store.alerts.begin(target.digest)
        await end_runs(store, "one")
        await store.alerts.postpone(target.digest, 1, store.now() + 60, "no desktop")
        assert await courier.backlog(settings, target) == courier.Backlog(1, "no desktop")
