"""What every engine is to those who ask it: it starts, steers and shows runs that the store holds."""

from __future__ import annotations

import abc
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import anyio.abc

from dispatch_mcp import errors, model
from dispatch_mcp.engine import attempt_driver, attempt_services, order_builder
from dispatch_mcp.engine.driving import run_attempts
from dispatch_mcp.model import ports, records
from dispatch_mcp.process import steady_looks
from dispatch_mcp.store import sqlite_store

log = logging.getLogger(__name__)

AtEnd = Callable[[str], Awaitable[None]]
"""Is told which run is over, once this process has driven it to its end."""


Beside = Callable[[Callable[[], Awaitable[None]]], None]
"""Has work done beside the runs; `RunEngine.beside` is one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the engine looks at the store, in seconds; `drive_again_s` is half the pause after a failed drive."""

    look_s: float = 0.05
    takeover_s: float = 0.5
    retry_store_s: float = 0.5
    drive_again_s: float = 0.5


class RunEngine(abc.ABC):
    """Carries runs out in its own way and shows all of them by the store."""

    def __init__(
        self,
        store: sqlite_store.Store,
        workers: ports.Workers,
        *,
        tasks: anyio.abc.TaskGroup,
        clock: Callable[[], float],
        make_order: order_builder.MakeOrder,
        pace: Pace,
        services: attempt_services.AttemptServices,
    ) -> None:
        self.store = store
        self.clock = clock
        self.make_order = make_order
        self.pace = pace
        driver = attempt_driver.AttemptDriver(store, services)
        self.means = run_attempts.AttemptMeans(store, workers, make_order, driver)
        self.at_end: AtEnd | None = None
        self.is_short = False
        """Whether nothing more begins here, as the store's disk is full."""
        self._tasks = tasks
        self._pulse = anyio.Event()

    @property
    def workers(self) -> ports.Workers:
        """Who carries attempts out, by kind."""
        return self.means.workers

    @property
    def attempts(self) -> attempt_driver.AttemptDriver:
        """The one way that attempts go."""
        return self.means.driver

    @abc.abstractmethod
    async def start(self, run_id: str) -> None:
        """Has the run driven if nobody does; calling it again changes nothing."""

    @abc.abstractmethod
    def poke(self, run_id: str) -> None:
        """Makes whoever drives a run look at the store again."""

    @abc.abstractmethod
    def look_again(self) -> None:
        """Is told that another process has changed the store."""

    @abc.abstractmethod
    async def take_over(self) -> None:
        """Has runs driven that nobody drives."""

    @property
    @abc.abstractmethod
    def driven_runs(self) -> frozenset[str]:
        """The runs that are driven with this process now."""

    def keep_room(self) -> None:  # noqa: B027  # an engine that keeps nothing on the disk needs no room there
        """Sees to it that what runs can write its end on a disk that is full."""

    def beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Has work done beside the runs, if it is over before the engine is closed; its faults are only logged."""
        self._tasks.start_soon(_done_beside, work)

    async def signal(self, run_id: str, action: records.Action) -> records.Advance:
        """Applies a steering action and returns where the run stands."""
        advance = await self.store.advance(run_id, records.Step(now=self.clock(), actions=[action]))
        self.poke(run_id)
        if advance.state not in model.RUN_FINAL:
            await self.start(run_id)
        return advance

    async def status(self, run_id: str) -> records.RunRecord:
        """Returns the run. Raises UnknownHandle."""
        return await self.store.run(run_id, principal=records.ANYBODY)

    async def events(self, run_id: str, after: int = 0) -> AsyncIterator[model.Event]:
        """Yields the run's events after `after`, and new ones as they come, until the run is over."""
        while True:
            pulse = self.pulse
            over = (await self.status(run_id)).state in model.RUN_FINAL
            page = await self.store.events(run_id, after=after, limit=500)
            for event in page:
                yield event
                after = event.seq
            if over and not page:
                return
            if not page:
                await pulse.wait()

    @property
    def pulse(self) -> anyio.Event:
        """An event that is set when the store may have changed; take it before reading, then wait."""
        return self._pulse

    def beat_pulse(self) -> None:
        """Wakes everybody who waits for the store to change."""
        pulse, self._pulse = self._pulse, anyio.Event()
        pulse.set()

    async def watch(self) -> None:
        """Notices other processes' changes and takes over runs whose owner died; runs until cancelled."""
        last_version, next_takeover = -1, 0.0

        async def look() -> None:
            nonlocal last_version, next_takeover
            self.keep_room()
            version = await self.store.data_version()
            if version != last_version:
                last_version = version
                self.look_again()
                self.beat_pulse()
            if time.monotonic() >= next_takeover:
                next_takeover = time.monotonic() + self.pace.takeover_s
                await self.take_over()

        pauses = steady_looks.LookPauses(self.pace.look_s, self.pace.retry_store_s)
        await steady_looks.keep_looking(look, "what other processes do cannot be seen", pauses)

    async def tell_end(self, run_id: str) -> None:
        """Passes on that a run is over; what fails there is only logged."""
        try:
            if self.at_end is not None:
                await self.at_end(run_id)
        except Exception:
            log.exception("what run %s came to was not passed on", run_id)


async def _done_beside(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except errors.DispatchError as trouble:
        log.info("what was to be done beside the runs is not: %s", trouble)
    except Exception:
        log.exception("what was to be done beside the runs failed")
