"""The embedded engine beside plain anyio in memory and LangGraph with its SQLite checkpointer, in one run.

python benchmarks/engine.py [--rounds N] [--no-peer]; exit code 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import logging
import operator
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypedDict

import anyio

from dispatch_mcp import model
from dispatch_mcp.engine import executor
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

LAYERS, WIDTH, FAN_IN, AT_ONCE, TASK_S, CHAIN = 10, 100, 3, 50, 0.01, 200
OVER_BOUND, UNDER_PEER = 1.25, 3.0

Edges = list[tuple[str, list[str]]]
Run = Callable[[list[tuple[str, list[str]]], float], Awaitable[float]]


def layered() -> Edges:
    out: Edges = []
    for layer in range(LAYERS):
        for place in range(WIDTH):
            deps = [f"t{layer - 1}-{(place + k * 7) % WIDTH}" for k in range(FAN_IN)] if layer else []
            out.append((f"t{layer}-{place}", deps))
    return out


def chain() -> Edges:
    return [(f"c{n}", [f"c{n - 1}"] if n else []) for n in range(CHAIN)]


async def in_memory(edges: Edges, task_s: float) -> float:
    """The bound: the same graph on bare anyio, nothing recorded."""
    done = {name: anyio.Event() for name, _ in edges}
    slots = anyio.Semaphore(AT_ONCE)

    async def one(name: str, deps: list[str]) -> None:
        for dep in deps:
            await done[dep].wait()
        async with slots:
            await anyio.sleep(task_s)
        done[name].set()

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for name, deps in edges:
            group.start_soon(one, name, deps)
    return time.perf_counter() - began


async def ours(edges: Edges, task_s: float) -> float:
    """Every transition durable with synchronous=FULL before the next one is acted on."""
    tasks = tuple(
        model.Task(
            id=name, goal="sleep", deps=tuple(deps), worker=WorkerKind.SCRIPTED, inputs={"script": {"sleep_s": task_s}}
        )
        for name, deps in edges
    )
    with tempfile.TemporaryDirectory() as folder:
        async with (
            sqlite_store.open_store(Path(folder) / "home") as store,
            executor.open_engine(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}) as engine,
        ):
            plan = model.Plan(id="p" * 32, tasks=tasks, max_parallel=AT_ONCE)
            await store.save_plan(plan, records.LOCAL)
            began = time.perf_counter()
            new = records.NewRun(id="r" * 32, plan_id=plan.id, plan_version=1, worker=WorkerKind.SCRIPTED)
            run, _ = await store.create_run(new)
            created = time.perf_counter()
            await engine.start(run.id)
            while (await engine.status(run.id)).state not in model.RUN_FINAL:
                await engine.pulse.wait()
            ended = time.perf_counter()
            record = await engine.status(run.id)
            assert record.counts == {"succeeded": len(edges)}, record.counts
    del began
    return ended - created


class State(TypedDict):
    done: Annotated[list[str], operator.add]


async def langgraph(edges: Edges, task_s: float) -> float:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415  # only with the peer installed
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415

    def node(name: str) -> Callable[[State], Awaitable[State]]:
        async def run(_state: State) -> State:
            await anyio.sleep(task_s)
            return {"done": [name]}

        return run

    graph = StateGraph(State)
    followed = {dep for _, deps in edges for dep in deps}
    for name, deps in edges:
        graph.add_node(name, node(name))
        graph.add_edge(deps or START, name)
        if name not in followed:
            graph.add_edge(name, END)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "peer.db")) as saver:
            compiled = graph.compile(checkpointer=saver)
            config = {"configurable": {"thread_id": "1"}, "max_concurrency": AT_ONCE, "recursion_limit": 10_000}
            began = time.perf_counter()
            result = await compiled.ainvoke({"done": []}, config, durability="sync")
            seconds = time.perf_counter() - began
            assert len(result["done"]) == len(edges)
    return seconds


def best(rounds: int, runs: Sequence[Run], edges: Edges, task_s: float) -> list[float]:
    """The best of each, measured turn about: the disk and the neighbours have good and bad phases."""
    found = [[anyio.run(run, edges, task_s) for run in runs] for _ in range(rounds)]
    return [min(column) for column in zip(*found, strict=True)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--no-peer", action="store_true")
    given = options.parse_args()
    logging.disable(logging.WARNING)
    missed = 0
    for name, edges, task_s in (
        ("1,000 tasks of 10 ms in 10 layers, 50 at a time", layered(), TASK_S),
        ("chain of 200", chain(), 0.0),
    ):
        bound, own = best(given.rounds, (in_memory, ours), edges, task_s)
        print(f"{name}: in memory {bound:.3f} s; dispatch-mcp {own:.3f} s = {own / bound:.2f} x;", end=" ")
        print(f"{(own - bound) / len(edges) * 1000:.3f} ms a task over the bound")
        if task_s and own > OVER_BOUND * bound:
            missed += 1
            print(f"  MISSED: more than {OVER_BOUND} x the bound")
        if not given.no_peer:
            [peer] = best(max(1, given.rounds // 4), (langgraph,), edges, task_s)
            print(f"  LangGraph + AsyncSqliteSaver, durability=sync: {peer:.3f} s; we are {peer / own:.1f} x faster")
            if peer < own * (UNDER_PEER if task_s else 1.0):
                missed += 1
                print("  MISSED: not far enough ahead of the peer")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
