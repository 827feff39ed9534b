"""The embedded engine beside plain anyio in memory, LangGraph, DBOS and Temporal's development server, in one run.

python benchmarks/engine.py [--rounds N] [--no-peer]; exit code 1 when a bound is missed. Peers are installed into
environments of their own below .peers, once. Best and median of all rounds, which take turns.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import anyio

import graphs
import peer_environments
from dispatch_mcp import model
from dispatch_mcp.engine import executor
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.store import sqlite, sqlite_store
from dispatch_mcp.workers import scripted

OVER_BOUND: Final = 1.15
"""Times what the same graph takes in memory."""
UNDER_PEER: Final = {"langgraph": 3.5, "dbos": 4.0}
"""How many times as fast as a peer."""
MOST_CHAIN_S: Final = 0.13
MOST_CPU_MS: Final = 0.25
"""Milliseconds of processor time a task, of 1,000."""
PEERS: Final = ("langgraph", "dbos", "temporal")
PEER_EVERY: Final = 4
"""Rounds in which peers take part: each takes seconds."""
NAMES: Final = {"layered": "1,000 tasks of 10 ms in 10 layers, 50 at a time", "chain": "a chain of 200"}


class Figures(NamedTuple):
    """What one round took: seconds by the clock and of the processor; of ours also by thread, and its commits."""

    seconds: float
    cpu: float
    threads: Mapping[str, float] = {}
    commits: int = 0


def by_thread() -> dict[str, float]:
    """Returns the seconds of processor of each thread of ours by its name; none where the system does not tell."""
    seconds: dict[str, float] = {}
    for thread in threading.enumerate():
        file = Path(f"/proc/self/task/{thread.native_id}/schedstat")
        if file.exists():
            name = thread.name.partition(" (")[2].rstrip(")") or thread.name
            seconds[name] = seconds.get(name, 0.0) + int(file.read_text().split()[0]) / 1e9
    return seconds


def commits(home: Path) -> int:
    """Returns how many transactions a store has written, as the header of its WAL index counts them."""
    return int.from_bytes((home / f"{sqlite.FILE}-shm").read_bytes()[8:12], sys.byteorder)


Run = Callable[[graphs.Edges, float], Awaitable[Figures]]


async def in_memory(edges: graphs.Edges, task_s: float) -> Figures:
    """The bound: the same graph on bare anyio, nothing recorded."""
    done = {name: anyio.Event() for name, _ in edges}
    slots = anyio.Semaphore(graphs.AT_ONCE)

    async def after(name: str, deps: list[str]) -> None:
        for dep in deps:
            await done[dep].wait()
        async with slots:
            await anyio.sleep(task_s)
        done[name].set()

    began, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for name, deps in edges:
            group.start_soon(after, name, deps)
    return Figures(time.perf_counter() - began, time.process_time() - cpu)


async def ours(edges: graphs.Edges, task_s: float) -> Figures:
    """Every transition durable with synchronous=FULL before the next one is acted on."""
    tasks = tuple(
        model.Task(
            id=name, do="sleep", deps=tuple(deps), worker=WorkerKind.SCRIPTED, inputs={"script": {"sleep_s": task_s}}
        )
        for name, deps in edges
    )
    with tempfile.TemporaryDirectory() as folder:
        async with (
            sqlite_store.open_store(Path(folder) / "home") as store,
            executor.open_engine(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}) as engine,
        ):
            plan = model.Plan(id="p" * 32, tasks=tasks, max_parallel=graphs.AT_ONCE)
            await store.save_plan(plan, records.LOCAL)
            new = records.NewRun(id="r" * 32, plan_id=plan.id, plan_version=1, worker=WorkerKind.SCRIPTED)
            run, _ = await store.create_run(new)
            home = Path(folder) / "home"
            threads, count = by_thread(), commits(home)
            began, cpu = time.perf_counter(), time.process_time()
            await engine.start(run.id)
            while (await engine.status(run.id)).state not in model.RUN_FINAL:
                await engine.pulse.wait()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            spent = {name: after - threads.get(name, 0.0) for name, after in by_thread().items()}
            figures = Figures(seconds, cpu, spent, commits(home) - count)
            record = await engine.status(run.id)
            assert record.counts == {"succeeded": len(edges)}, record.counts
    return figures


def told(name: str, rounds: Sequence[Figures], count: int) -> str:
    """Returns a line about one engine: its best and median time, and what the processor did for a task."""
    seconds, cpu = sorted(each.seconds for each in rounds), min(each.cpu for each in rounds)
    return (
        f"  {name:<34}{seconds[0]:8.3f} s best {statistics.median(seconds):8.3f} s median {seconds[-1]:8.3f} s worst"
        f" {1000 * cpu / count:8.3f} ms of processor a task"
    )


def measured(shape: str, rounds: int, peers: Sequence[str]) -> list[str]:
    """Runs a graph on every engine in turns, prints what it took, and returns the bounds that were missed."""
    layers, task_s = graphs.shape(shape)
    edges = [edge for layer in layers for edge in layer]
    found: dict[str, list[Figures]] = {name: [] for name in ("in memory", "dispatch-mcp", *peers)}
    durability: dict[str, str] = {"dispatch-mcp": "SQLite, wal, synchronous=2"}
    for turn in range(rounds):
        found["in memory"].append(anyio.run(in_memory, edges, task_s))
        found["dispatch-mcp"].append(anyio.run(ours, edges, task_s))
        for peer in peers if turn % PEER_EVERY == 0 else ():
            if (figures := peer_environments.figures(peer, shape)) is not None:
                found[peer].append(Figures(figures["seconds"], figures["cpu"]))
                durability[peer] = figures["durability"]
    print(NAMES[shape])
    for name, each in found.items():
        title = f"{name} {peer_environments.version(name)}" if name in peers else name
        print(told(title, each, len(edges)) if each else f"  {name}: not measured, it cannot be installed here")
    for name, words in durability.items():
        print(f"  {name} writes to {words}")
    return misses(shape, found, len(edges))


def misses(shape: str, found: Mapping[str, Sequence[Figures]], count: int) -> list[str]:
    best = {name: min(each.seconds for each in rounds) for name, rounds in found.items() if rounds}
    own = best["dispatch-mcp"]
    missed: list[str] = []
    leanest = min(found["dispatch-mcp"], key=lambda each: each.cpu)
    threads = sorted(leanest.threads.items(), key=lambda each: -each[1])
    told_threads = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in threads if seconds >= 0.0005)
    print(f"  dispatch-mcp commits {leanest.commits} times, {count / leanest.commits:.1f} tasks a commit")
    print(f"  dispatch-mcp's processor time by thread: {told_threads or 'not told here'}")
    print(f"  dispatch-mcp takes {1000 * (own - best['in memory']) / count:.3f} ms a task more than in memory")
    if shape == "layered":
        ratio, cpu = own / best["in memory"], 1000 * min(each.cpu for each in found["dispatch-mcp"]) / count
        print(f"  dispatch-mcp takes {ratio:.2f} x the time in memory (bound {OVER_BOUND})")
        missed += [f"{ratio:.2f} x in memory, the bound {OVER_BOUND}"] if ratio > OVER_BOUND else []
        missed += [f"{cpu:.2f} ms of processor a task, the bound {MOST_CPU_MS}"] if cpu > MOST_CPU_MS else []
    elif own > MOST_CHAIN_S:
        missed.append(f"a chain of 200 in {own:.3f} s, the bound {MOST_CHAIN_S}")
    for peer, times in best.items():
        if peer in {"dispatch-mcp", "in memory"}:
            continue
        ratios = f"{peer} takes {times / own:.1f} x our time, {times / best['in memory']:.1f} x the time in memory"
        print(f"  {ratios}")
        if times < own * (bound := UNDER_PEER.get(peer, 1.0)):
            missed.append(f"{shape}: {ratios}, the bound {bound} x ours")
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--no-peer", action="store_true")
    given = options.parse_args()
    logging.disable(logging.WARNING)
    gc.freeze()  # as every engine does here once it is loaded: what modules have made is never garbage
    peers = () if given.no_peer else PEERS
    missed = [line for shape in NAMES for line in measured(shape, given.rounds, peers)]
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
