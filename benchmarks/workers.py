"""Eight equal tasks that wait for a provider, with eight slots: how much of the time is waiting, and what the rest is.

python benchmarks/workers.py [--seconds S] [--tasks N]; exit code 1 when a bound is missed. The provider is a fake on
loopback that takes S seconds for its answer; the worker is the api worker, the engine the embedded one on a real store.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import fake_provider
from fake_provider import done, script

from dispatch_mcp import model, prices
from dispatch_mcp.engine import executor, task_kinds
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import file_tools, scripted
from dispatch_mcp.workers.anthropic import api_login, api_worker

SLOTS = 8
EFFICIENCY = 0.95
SMALL = 200


async def run(
    store: sqlite_store.Store, engine: executor.EmbeddedEngine, tasks: list[model.Task], kind: WorkerKind
) -> float:
    """Returns the seconds from the start of a run to its end."""
    name = f"{kind}-{len(tasks)}-{time.monotonic_ns()}"
    plan = model.Plan(id=name, tasks=tuple(tasks), max_parallel=SLOTS)
    await store.save_plan(plan, records.LOCAL)
    await store.create_run(records.NewRun(id=name, plan_id=name, plan_version=1, worker=kind, fresh=True))
    began = time.perf_counter()
    await engine.start(name)
    async for _ in engine.events(name):
        pass
    took = time.perf_counter() - began
    assert (await engine.status(name)).state is model.RunState.SUCCEEDED
    return took


def waiting(count: int, seconds: float) -> list[model.Task]:
    said = script({"delay": seconds, **done()})
    return [model.Task(id=f"t{number}", do=f"Task {number}. {said}") for number in range(count)]


async def measure(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder, fake_provider.opened() as fake:
        api = api_worker.AnthropicWorker(
            api_login.Login.from_env(fake.env()),
            task_kinds.brief,
            prices.dollars,
            file_tools.FileAccess(lambda _root: [], lambda _root, path: path),
        )
        workers = {WorkerKind.API: api, WorkerKind.SCRIPTED: scripted.ScriptedWorker()}
        async with sqlite_store.open_store(Path(folder)) as store, executor.open_engine(store, workers) as engine:
            await run(store, engine, waiting(1, 0.0), WorkerKind.API)  # imports the SDK
            took = [await run(store, engine, waiting(SLOTS, options.seconds), WorkerKind.API) for _ in range(3)]
            empty = [model.Task(id=f"e{number}", do="Nothing") for number in range(SMALL)]
            bare = [await run(store, engine, empty, WorkerKind.SCRIPTED) for _ in range(3)]
    best = options.seconds / min(took)
    print(f"eight tasks of {options.seconds:g} s in eight slots: {', '.join(f'{one:.3f} s' for one in took)}")
    print(f"parallel efficiency: best {best:.1%}, median {options.seconds / statistics.median(took):.1%}")
    print(f"overhead of the engine: {min(bare) / SMALL * 1000:.2f} ms a task ({SMALL} empty ones, {SLOTS} at a time)")
    if best < EFFICIENCY:
        print(f"missed: the bound is {EFFICIENCY:.0%}")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="what the provider takes for an answer")
    return anyio.run(measure, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
