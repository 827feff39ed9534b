"""Tells people what the store keeps for them, each alert once, as far as one process can know that.

Every process that has the store open looks, and whoever holds the lock tells: the kernel frees it when its holder dies,
so another goes on at once. What was told is written down afterwards. So of an alert whose teller is killed in between
people may hear twice, under the same id.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel

from dispatch_mcp import configuration, errors
from dispatch_mcp.alerts import channels, webhook
from dispatch_mcp.model import records
from dispatch_mcp.process import file_lock, steady_looks
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.store.outbox import alert_box

log = logging.getLogger(__name__)

LOCK_FILE: Final = "alerts.lock"

LAST_S: Final = 1.5
"""Seconds that a process which ends takes to tell what it has caused; a later one tells the rest."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 300.0
_MOST_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Who is told how: a way, what it is known by in the store, and of what it tells."""

    channel: channels.Channel
    digest: str
    kinds: Collection[str]


@dataclass(frozen=True, slots=True)
class LookPace:
    """Seconds between two looks for alerts, and between two for runs whose time runs out."""

    look_s: float = 0.25
    clock_s: float = 2.0


def target_of(settings: configuration.Settings, env: Mapping[str, str]) -> AlertTarget | None:
    """Returns how the settings want people to be told, or None if they do not."""
    policy = settings.child_policy(env)
    match settings.notify:
        case "off":
            return None
        case "desktop":
            channel, address = channels.DesktopChannel(settings.home, policy), ""
        case "command":
            channel = channels.ProgramChannel(settings.notify_command, settings.home, policy)
            address = "\0".join(settings.notify_command)
        case "webhook":
            channel, address = webhook.WebhookChannel(settings.notify_url, settings.home), settings.notify_url
    digest = hashlib.sha256(f"{settings.notify}\0{address}".encode("utf-8", "surrogatepass")).hexdigest()
    return AlertTarget(channel, digest[:32], settings.notify_on)


class Courier:
    """Tells what is due, in order; what fails is tried again after a pause that doubles."""

    def __init__(
        self,
        store: sqlite_store.Store,
        target: AlertTarget,
        *,
        warn_share: float,
        pace: LookPace = LookPace(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._target = target
        self._warn_share = warn_share
        self._pace = pace
        self._clock = clock
        self._lock = file_lock.FileLock(store.home / LOCK_FILE)
        self._has_begun = False
        self._next_clock = 0.0
        self._until = math.inf
        self._sending: anyio.CancelScope | None = None

    def hurry(self) -> None:
        """Gives telling a last moment, for a process that ends: what is broken off would be told again."""
        self._until = anyio.current_time() + LAST_S
        if self._sending is not None:
            self._sending.deadline = self._until

    async def begin(self) -> None:
        """Begins with what comes from now on, unless people were told this way before. Raises StoreError."""
        if not self._has_begun:
            await self._store.alerts.begin(self._target.digest)
            self._has_begun = True

    async def keep(self) -> None:
        """Tells until it is cancelled."""
        pauses = steady_looks.LookPauses(self._pace.look_s, self._pace.clock_s)
        await steady_looks.keep_looking(self._look, "nobody can be told of runs", pauses)

    async def _look(self) -> None:
        await self.begin()
        if time.monotonic() >= self._next_clock:
            self._next_clock = time.monotonic() + self._pace.clock_s
            await self.mark_late()
        await self.tell_due()

    async def mark_late(self) -> None:
        """Has runs say that they come near their minutes, which pass without anything happening in them."""
        for run_id in await self._store.alerts.late_runs(self._warn_share, self._clock()):
            await self._store.advance(run_id, records.Step(now=self._clock()))

    async def tell_due(self) -> None:
        """Tells what is due, unless another process is about to. Raises StoreError."""
        if await self._due() is None or not self._lock.take():
            return
        try:
            while (alert := await self._due()) is not None:
                is_over = False
                with anyio.CancelScope(shield=True, deadline=self._until) as self._sending:
                    is_over = await self._tell(alert)
                await anyio.lowlevel.checkpoint()
                if not is_over:
                    break
        finally:
            self._sending = None
            self._lock.give_back()

    async def _due(self) -> alert_box.Alert | None:
        return await self._store.alerts.due(self._target.digest, self._target.kinds, self._clock())

    async def _tell(self, alert: alert_box.Alert) -> bool:
        """Tells an alert and notes what came of it; returns whether the next one can be told."""
        digest = self._target.digest
        try:
            await self._target.channel.tell(alert)
        except channels.NotTold as trouble:
            log.warning("alert %s was not told: %s", alert.id, trouble)
            await self._postpone(trouble.message)
            return False
        except channels.NeverTold as refusal:
            log.warning("alert %s will not be told: %s", alert.id, refusal)
            await self._store.alerts.settle(digest, alert, refusal.message)
            return True
        except Exception as fault:
            log.exception("telling alert %s failed", alert.id)
            await self._postpone(f"dispatch-mcp itself failed: {type(fault).__name__}.")
            return False
        await self._store.alerts.settle(digest, alert)
        return True

    async def _postpone(self, why: str) -> None:
        """Notes a try that told nobody; the next one comes after a pause that doubles."""
        standing = await self._store.alerts.standing(self._target.digest)
        tries = standing.tries + 1 if standing else 1
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(tries - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE_S)
        await self._store.alerts.postpone(self._target.digest, tries, self._clock() + pause_s, why)


class Backlog(NamedTuple):
    """How telling people stands: how many alerts wait, and what went wrong last, empty where nothing did."""

    waiting: int
    trouble: str


async def backlog(settings: configuration.Settings, target: AlertTarget) -> Backlog:
    """Returns how telling stands, without writing anything. Raises StoreError."""
    store = sqlite_store.Store(settings.home)
    try:
        await store.look()
        standing = await store.alerts.standing(target.digest)
        waiting = await store.alerts.waiting(target.digest, target.kinds, time.time())
    finally:
        await store.close()
    return Backlog(waiting, standing.trouble if standing else "")


@asynccontextmanager
async def open_courier(
    store: sqlite_store.Store, settings: configuration.Settings, env: Mapping[str, str]
) -> AsyncGenerator[None]:
    """Tells people of runs while the block is open, and of what it has caused before it ends."""
    target = target_of(settings, env)
    if target is None:
        yield
        return
    async with keeping(Courier(store, target, warn_share=settings.warn_at)):
        yield


@asynccontextmanager
async def keeping(courier: Courier) -> AsyncGenerator[None]:
    """Lets a courier tell while the block is open, and a last time when it ends."""
    with suppress(errors.StoreError):  # what cannot be written now is tried again
        await courier.begin()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(courier.keep)
            try:
                yield
            finally:
                courier.hurry()
                group.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(LAST_S, shield=True):
            await _tell_last(courier)


async def _tell_last(courier: Courier) -> None:
    try:
        await courier.tell_due()
    except (errors.StoreError, OSError) as trouble:
        log.warning("nobody can be told of runs: %s", trouble)
