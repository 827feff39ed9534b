"""What durability costs: a layered graph of short tasks driven through the store, against plain anyio.

Both run in this process, turn about, several times; the figure is min over min. A machine whose processors are
busy with something else slows only the store: the bound mostly sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio

from dispatch_mcp import model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import owner_locks, sqlite_store

ALLOWED = 1.25


def layered(plan_id: str, layers: int, width: int, parallel: int) -> model.Plan:
    def deps(layer: int, place: int) -> tuple[str, ...]:
        return tuple(f"t{layer - 1}_{(place + step) % width}" for step in range(3)) if layer else ()

    tasks = [
        model.Task(id=f"t{layer}_{place}", goal=f"Task {place} of layer {layer}.", deps=deps(layer, place))
        for layer in range(layers)
        for place in range(width)
    ]
    return model.Plan(id=plan_id, tasks=tuple(tasks), max_parallel=parallel)


BATCH, BATCH_PER_S = 16, 8_000
"""How many outcomes the loop hands over at once. All fifty at a time would march in step, each waiting for all;
on a slow disk small batches would queue for it, so a batch may grow with the time that the last one took."""


async def work() -> model.Outcome:
    await anyio.sleep(0.01)
    return model.Outcome(state=model.AttemptState.SUCCEEDED, summary="done", usage=model.Usage(seconds=0.01))


async def in_memory(plan: model.Plan) -> float:
    """The bound: the same readiness order with nothing but a limiter and counters."""
    missing = {task.id: len(task.deps) for task in plan.tasks}
    followers: dict[str, list[str]] = {task.id: [] for task in plan.tasks}
    for task in plan.tasks:
        for dep in task.deps:
            followers[dep].append(task.id)
    limiter = anyio.CapacityLimiter(plan.max_parallel)
    began = time.perf_counter()

    async def go(task_id: str) -> None:
        async with limiter:
            await work()
        for follower in followers[task_id]:
            missing[follower] -= 1
            if missing[follower] == 0:
                group.start_soon(go, follower)

    async with anyio.create_task_group() as group:
        for task_id in [task_id for task_id, count in missing.items() if count == 0]:
            group.start_soon(go, task_id)
    return time.perf_counter() - began


async def through_store(plan: model.Plan) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite_store.open_store(Path(folder) / "home") as store:
            await store.save_plan(plan, records.LOCAL)
            kind = model.WorkerKind.SCRIPTED
            await store.create_run(records.NewRun(id="r", plan_id=plan.id, plan_version=1, worker=kind))
            with owner_locks.OwnerLock(store.home) as lock:
                return await drive(store, records.Owner(lock.id, await store.adopt("r", lock.id) or 0))


async def drive(store: sqlite_store.Store, owner: records.Owner) -> float:
    finished: list[transitions.Finished] = []
    news = anyio.Event()

    async def go(start: transitions.Start) -> None:
        finished.append(transitions.Finished(start.task_id, start.attempt, await work()))
        news.set()

    began, took = time.perf_counter(), 0.0
    async with anyio.create_task_group() as group:
        while True:
            size = max(BATCH, round(took * BATCH_PER_S))
            batch, finished[:] = finished[:size], finished[size:]
            news = anyio.Event()
            step = records.Step(now=time.time(), owner=owner, finished=batch, start=transitions.SERVER_WORKERS)
            handed_over = time.perf_counter()
            advance = await store.advance("r", step)
            took = time.perf_counter() - handed_over
            for start in advance.starts:
                group.start_soon(go, start)
            if advance.state in model.RUN_FINAL:
                assert advance.state is model.RunState.SUCCEEDED
                return time.perf_counter() - began
            if not finished:
                await news.wait()


def sync_ms() -> float:
    """The median time this disk takes to make 16 KiB durable."""
    with tempfile.TemporaryFile() as file:
        times: list[float] = []
        for _ in range(50):
            began = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 16_384, 0)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    graph, chain = layered("graph", 10, 100, 50), layered("chain", 200, 1, 1)
    pairs = [(anyio.run(in_memory, graph), anyio.run(through_store, graph)) for _ in range(asked.rounds)]
    bound, ours = (min(times) for times in zip(*pairs, strict=True))
    figures = {"bound_s": bound, "store_s": ours, "ratio": ours / bound, "allowed": ALLOWED}
    figures["fsync_ms"] = sync_ms()
    figures["chain_of_200_s"] = anyio.run(through_store, chain)
    print(json.dumps(figures) if asked.json else "\n".join(f"{name:16} {value:.3f}" for name, value in figures.items()))
    return 0 if ours <= ALLOWED * bound else 1


if __name__ == "__main__":
    sys.exit(main())
