"""What a run makes of a provider's bad days: rate limits, overload, broken answers, silence (promise R11)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import fake_provider
import pytest
import thoroughness
from fake_provider import done, script

from dispatch_mcp import model, prices
from dispatch_mcp.engine import executor, task_kinds
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import file_tools
from dispatch_mcp.workers.anthropic import api_login, api_worker

pytestmark = pytest.mark.anyio

IN_FLIGHT = 6
PARALLEL = 8
STORM = {"429": 0.16, "529": 0.06, "500": 0.1, "cut": 0.08, "mid_error": 0.04, "hang": 0.03}


@dataclass
class Stage:
    """An engine that asks the fake provider, under a clock that the test turns."""

    store: sqlite_store.Store
    engine: executor.EmbeddedEngine
    clock: dispatcher_setup.Clock

    async def begin(self, *tasks: model.Task, **limits: Any) -> str:
        plan = model.Plan(id=f"plan-{len(tasks)}", tasks=tasks, max_parallel=PARALLEL)
        await self.store.save_plan(plan, records.LOCAL)
        new = records.NewRun(
            id="run-1", plan_id=plan.id, plan_version=1, worker=WorkerKind.API, limits=model.Limits(**limits)
        )
        await self.store.create_run(new)
        await self.engine.start("run-1")
        return "run-1"

    async def run(self) -> records.RunRecord:
        return await self.engine.status("run-1")

    async def settled(self) -> RunState:
        """Returns the state of the run once it is over or waits for people, and turns the clock meanwhile."""
        with anyio.fail_after(120):
            while True:
                record = await self.run()
                if record.state in model.RUN_FINAL or record.state is RunState.PAUSED:
                    return record.state
                await self._turn_clock()
                await anyio.sleep(0.03)

    async def _turn_clock(self) -> None:
        """Lets the time pass that nobody uses: until the first attempt that waits may begin."""
        rows = await self.store.tasks("run-1")
        waiting = [row.ready_at for row in rows if row.state is TaskState.READY and row.ready_at > self.clock.now]
        if waiting and not any(row.state is TaskState.RUNNING for row in rows):
            self.clock.now = min(waiting)
            self.engine.poke("run-1")

    async def events(self, kind: str) -> list[model.Event]:
        return [event for event in await self.store.events("run-1", limit=100_000) if event.kind == kind]


@asynccontextmanager
async def staged(
    fake: fake_provider.Provider, home: Path, clock: dispatcher_setup.Clock, *, in_flight: int = IN_FLIGHT
) -> AsyncGenerator[Stage]:
    worker = api_worker.AnthropicWorker(
        api_login.Login.from_env(fake.env()),
        task_kinds.brief,
        prices.dollars,
        file_tools.FileAccess(lambda _root: [], lambda _root, path: path),
        settings=api_worker.ApiSettings(in_flight=in_flight, silence_s=0.4),
        clock=clock,
    )
    async with (
        sqlite_store.open_store(home, clock=clock, price=prices.dollars) as store,
        executor.open_engine(store, {WorkerKind.API: worker}, clock=clock, pace=dispatcher_setup.PACE) as engine,
    ):
        yield Stage(store, engine, clock)


def tasks(count: int, *steps: dict[str, Any], **more: Any) -> list[model.Task]:
    said = script(*(steps or ({"tool": "list_files"}, done())))
    return [model.Task(id=f"t{number}", do=f"Work {number}. {said}", **more) for number in range(count)]


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.promise("R11")
async def test_a_storm_of_requests_ends_with_every_task_in_a_named_state(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    count, least = (150, 500) if thoroughness.FULL else (60, 200)
    provider.storm(seed=11, share=STORM, retry_after="3")
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*tasks(count, max_attempts=4), dollars=60.0, attempts=2_000)
        state = await stage.settled()
        rows = await stage.store.tasks("run-1")
        attempts = await stage.store.attempts("run-1")
        held, started = await stage.events("rate_limited"), await stage.events("attempt_started")
    asked = provider.health()["requests"]
    assert asked >= least
    assert provider.health()["most_in_flight"] <= IN_FLIGHT
    assert state in (RunState.SUCCEEDED, RunState.PARTIAL)
    assert {row.state for row in rows} <= {TaskState.UNVERIFIED, TaskState.FAILED}
    assert all(row.cause for row in rows if row.state is TaskState.FAILED)
    assert all(row.failures <= 4 for row in rows)
    assert all(past.error_kind for past in attempts if past.state is not model.AttemptState.SUCCEEDED)
    assert sum(past.usage.cost_usd or 0.0 for past in attempts) <= provider.booked() + 1e-9 <= 60.0
    kinds = Counter(past.error_kind for past in attempts)
    assert {"rate_limit", "server_error", "cut_off", "timeout"} <= set(kinds)
    _assert_holds(held, started)


def _assert_holds(held: list[model.Event], started: list[model.Event]) -> None:
    """No attempt began while a rate limit held the run back, and each hold is as long as was asked for."""
    assert held
    for hold in held:
        assert hold.data["until"] - hold.at >= 3.0
        begun = [one for one in started if one.seq > hold.seq and one.at < hold.data["until"]]
        assert begun == []


@pytest.mark.promise("R11")
async def test_retries_stay_below_a_ceiling_of_attempts(provider: fake_provider.Provider, tmp_path: Path) -> None:
    provider.storm(seed=3, share={"500": 0.9})
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*tasks(20, max_attempts=20), attempts=30)
        assert await stage.settled() is RunState.PAUSED
        assert len(await stage.store.attempts("run-1")) == 30
        rows = await stage.store.tasks("run-1")
    assert {row.state for row in rows} <= {TaskState.READY, TaskState.UNVERIFIED}
    assert provider.health()["requests"] <= 60


@pytest.mark.promise("R11")
async def test_a_rate_limit_holds_the_whole_run_also_over_a_restart(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    clock = dispatcher_setup.Clock()
    limited = {"error": 429, "headers": {"retry-after": "600"}, "times": 1, **done()}
    async with staged(provider, tmp_path / "home", clock) as stage:
        await stage.begin(
            *tasks(1, limited), *(task.model_copy(update={"id": f"u{task.id}", "deps": ("t0",)}) for task in tasks(2))
        )
        with anyio.fail_after(120):
            while not await stage.events("rate_limited"):  # noqa: ASYNC110 - the engine tells nobody
                await anyio.sleep(0.01)
    asked = provider.health()["requests"]
    clock.now += 599.0
    async with staged(provider, tmp_path / "home", clock) as stage:
        with anyio.fail_after(120):
            while (await stage.run()).owner == "":  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.01)
        for _ in range(20):
            stage.engine.poke("run-1")
            await anyio.sleep(0.01)
        assert provider.health()["requests"] == asked
        clock.now += 70.0
        stage.engine.poke("run-1")
        assert await stage.settled() is RunState.SUCCEEDED
        rows = await stage.store.tasks("run-1")
    assert [row.failures for row in rows] == [0, 0, 0]


@pytest.mark.promise("S9", "S18")
async def test_spending_stops_at_the_ceiling_of_the_run(provider: fake_provider.Provider, tmp_path: Path) -> None:
    """Each task costs a cent and may cost five; the ceiling leaves room for a few."""
    rich = {**done(), "usage": {"input_tokens": 2_500, "output_tokens": 500}}
    sized = [task.model_copy(update={"limits": model.TaskLimits(dollars=0.05)}) for task in tasks(30, rich)]
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*sized, dollars=0.12)
        assert await stage.settled() is RunState.PAUSED
        spent = sum(past.usage.cost_usd or 0.0 for past in await stage.store.attempts("run-1"))
    assert spent == pytest.approx(provider.booked())
    assert 0.12 - 0.05 <= spent <= 0.12


@pytest.mark.promise("S9", "S18")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.slice(2)
async def test_all_attempts_of_a_run_together_stay_below_its_ceiling_whatever_they_ask(
    provider: fake_provider.Provider, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    said: list[model.Task] = []
    for number in range(dice.randint(2, 9)):
        size = {"input_tokens": dice.randint(1, 4_000), "output_tokens": dice.randint(1, 3_000)}
        turns = [{"tool": "list_files", "usage": size} for _ in range(dice.randint(1, 9))]
        effort, name = dice.choice(("S", "M")), dice.choice(("haiku", "sonnet", "opus"))
        [task] = tasks(1, *turns, done(), effort=effort, model=name)
        said.append(task.model_copy(update={"id": f"s{number}"}))
    ceiling = 10 ** dice.uniform(-2.0, 0.5)
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*said, dollars=ceiling)
        state = await stage.settled()
        spent = sum(past.usage.cost_usd or 0.0 for past in await stage.store.attempts("run-1"))
        failures = [row.failures for row in await stage.store.tasks("run-1")]
    assert spent == pytest.approx(provider.booked())
    dearest = max((provider.booked([request]) for request in provider.requests()), default=0.0)
    assert spent <= ceiling + dearest
    assert state in (RunState.SUCCEEDED, RunState.PAUSED)
    assert not any(failures)


@pytest.mark.promise("S18")
async def test_a_cent_is_not_spent_on_a_task_that_is_expected_to_cost_dollars(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*tasks(1, effort="XL", model="opus"), dollars=0.01)
        assert await stage.settled() is RunState.PAUSED
        assert provider.requests() == []
        step = records.Step(now=stage.clock.now, limits=model.Limits(dollars=20.0))
        await stage.store.advance("run-1", step)
        stage.engine.poke("run-1")
        assert await stage.settled() is RunState.SUCCEEDED


@pytest.mark.promise("S18")
async def test_an_attempt_that_a_ceiling_stopped_goes_on_behind_its_last_turn_once_it_is_raised(
    provider: fake_provider.Provider, tmp_path: Path
) -> None:
    dear = {"tool": "list_files", "usage": {"input_tokens": 10, "output_tokens": 24_800}}
    async with staged(provider, tmp_path / "home", dispatcher_setup.Clock()) as stage:
        await stage.begin(*tasks(1, dear, dear, done(), effort="S", model="sonnet", max_attempts=1), dollars=0.5)
        assert await stage.settled() is RunState.PAUSED
        turns = len(provider.requests())
        assert turns == 2
        assert provider.booked() <= 0.5
        await stage.store.advance("run-1", records.Step(now=stage.clock.now, limits=model.Limits(dollars=5.0)))
        stage.engine.poke("run-1")
        assert await stage.settled() is RunState.SUCCEEDED
    assert len(provider.requests()) == 3
