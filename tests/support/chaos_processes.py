"""Processes that use one real store, the log of what they saw, and the verdict over both.

A worker is forked from a process that has everything imported and no thread, so that it lives within
milliseconds and can be killed a thousand times.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio._backends._asyncio  # pyright: ignore[reportUnusedImport]  # anyio loads it late, and every fork would, too
import anyio.abc

from dispatch_mcp import errors, model
from dispatch_mcp.model import records, transitions
from dispatch_mcp.store import failpoints, owner_locks, sqlite_store

sys.path.insert(0, str(Path(__file__).parent))
import store_setup  # the consistency check of the store's own tests

T = TypeVar("T")
BATCH = 16
PATIENCE_S = 120.0
"""Seconds of processor that a server may use without getting on; one that waits looks at the store all the time."""

LOOK_S = 1.0
"""Seconds between two looks at whether a server gets on."""

STILLNESS_S = 1200.0
"""Seconds after which one that uses no processor and does not get on hangs, however loaded the machine is."""


class Log:
    """Lines that survive the process: each is one write to a file opened for appending."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder / f"{os.getpid()}-{time.monotonic_ns()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


def lines(folder: Path) -> Iterator[list[str]]:
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        for line in path.read_text().splitlines():
            yield line.split()


def layered(plan_id: str, layers: int, width: int, parallel: int = 16) -> model.Plan:
    tasks: list[model.Task] = []
    for layer in range(layers):
        for place in range(width):
            deps = [f"t{layer - 1}.{other % width}" for other in (place, place + 1)] if layer else []
            tasks.append(model.Task(id=f"t{layer}.{place}", do=f"{layer} {place}", deps=tuple(dict.fromkeys(deps))))
    return model.Plan(id=plan_id, tasks=tuple(tasks), max_parallel=parallel)


def outcome(rng: random.Random, failing: float) -> model.Outcome:
    """Mostly success, now and then something to try again or something bulky."""
    chance = rng.random()
    if chance < failing:
        return model.Outcome(state=model.AttemptState.FAILED, error="no", error_kind="chance", retryable=True)
    return model.Outcome(state=model.AttemptState.SUCCEEDED, summary="x" * (70_000 if chance > 0.85 else 20))


@dataclass
class Worker:
    """One process's way through the store."""

    home: Path
    rng: random.Random
    log: Log
    shape: tuple[int, int] = (5, 10)
    work_s: float = 0.002
    endless: bool = True
    wanted: int = 0
    failing: float = 0.0
    worst_s: float = 0.0
    _lock: owner_locks.Ownership | None = field(default=None, repr=False)

    async def begin_run(self, store: sqlite_store.Store, kind: str = "scripted") -> str:
        """Makes a run the way a client does, twice now and then, because a client may re-issue its call."""
        name = f"{self.rng.getrandbits(64):016x}"
        plan = layered(name, *self.shape)
        await store.save_plan(plan, records.LOCAL)
        new = records.NewRun(id=name, plan_id=name, plan_version=1, worker=model.WorkerKind(kind), request_key=name)
        self.log.say("create", name)
        record, _ = await store.create_run(new)
        self.log.say("created", record.id)
        if self.rng.random() < 0.2:
            again, created = await store.create_run(new.model_copy(update={"id": name + "again"}))
            if created or again.id != record.id:
                self.log.say("twin", name)
        return name

    async def serve(self) -> None:
        """Drives runs until it is killed, or until all are done if it is not endless."""
        try:
            async with sqlite_store.open_store(self.home) as store:
                with closing(owner_locks.Ownership(self.home)) as self._lock:
                    while await self._round(store, self._lock):
                        pass
        except errors.StoreUnavailable:
            self.log.say("gave up")

    async def _round(self, store: sqlite_store.Store, lock: owner_locks.Ownership) -> bool:
        try:
            if self.endless and self.rng.random() < 0.3:
                await self.begin_run(store)
            mine: list[tuple[str, int]] = []
            for run_id in await store.adoptable(3):
                epoch = await store.adopt(run_id, lock.id)
                if epoch is not None:
                    mine.append((run_id, epoch))
            async with anyio.create_task_group() as group:
                for run_id, epoch in mine:
                    group.start_soon(self.drive, store, run_id, records.Owner(lock.id, epoch))
            return bool(mine) or await self._nothing_to_adopt(store)
        except errors.StoreUnavailable:
            await self._start_over(store, lock)
        return True

    async def _start_over(self, store: sqlite_store.Store, lock: owner_locks.Ownership) -> None:
        """After an error nobody knows what was written: let go of everything and adopt it anew."""
        self.log.say("unavailable")
        for _ in range(20):
            try:
                await store.release(lock.id)
            except errors.StoreUnavailable:
                continue
            return

    async def _nothing_to_adopt(self, store: sqlite_store.Store) -> bool:
        for record in await store.runs(records.LOCAL, limit=10_000):
            if record.state in (model.RunState.FAILED, model.RunState.PARTIAL):
                await self._retry(store, record.id)
                return True
        if self.endless:
            await self.begin_run(store)
            return True
        if await tasks_in(self.home) < self.wanted:
            await self.begin_run(store)
            return True
        return bool(await store.runs(records.LOCAL, open_only=True, limit=1))

    async def _retry(self, store: sqlite_store.Store, run_id: str) -> None:
        """Opens what was given up: a thousand kills do quarantine a few tasks."""
        for task in await store.tasks(run_id):
            if task.state is model.TaskState.FAILED:
                retry = records.Action("retry", task.id)
                with suppress(errors.InputError):  # somebody else was faster
                    await store.advance(run_id, records.Step(now=time.time(), actions=[retry]))
                    self.log.say("retried", run_id, task.id)

    async def drive(self, store: sqlite_store.Store, run_id: str, owner: records.Owner) -> None:
        """Carries a run on until it is over or something goes wrong with it."""
        async with anyio.create_task_group() as group:
            try:
                await self._drive(group, store, run_id, owner)
            except errors.Fenced:
                self.log.say("displaced")
            except errors.StoreUnavailable:
                await self._start_over(store, self._held())
            group.cancel_scope.cancel()

    def _held(self) -> owner_locks.Ownership:
        assert self._lock is not None
        return self._lock

    async def _drive(
        self, group: anyio.abc.TaskGroup, store: sqlite_store.Store, run_id: str, owner: records.Owner
    ) -> None:
        finished: list[transitions.Finished] = []
        news = anyio.Event()

        async def work(start: transitions.Start) -> None:
            await anyio.sleep(self.rng.random() * self.work_s)
            finished.append(transitions.Finished(start.task_id, start.attempt, outcome(self.rng, self.failing)))
            news.set()

        while True:
            batch, finished[:] = finished[:BATCH], finished[BATCH:]
            news = anyio.Event()
            step = records.Step(now=time.time(), owner=owner, finished=batch, start=transitions.SERVER_WORKERS)
            advance = await self.advance(store, run_id, step)
            for start in advance.starts:
                group.start_soon(work, start)
            if advance.state in model.RUN_FINAL:
                return
            delay = None if advance.waiting_until is None else max(0.0, advance.waiting_until - time.time())
            if not finished:
                with anyio.move_on_after(delay):
                    await news.wait()

    async def served(self, call: Callable[[], Awaitable[T]]) -> T:
        """Returns what a call returns, made again while the store is busy, as the engine does; notes each refusal."""
        while True:
            try:
                return await call()
            except errors.StoreBusy as refusal:
                self.log.say("busy", "named" if "process " in str(refusal) else "unnamed")

    async def advance(self, store: sqlite_store.Store, run_id: str, step: records.Step) -> records.Advance:
        """Applies a step and keeps the stores about it."""
        good = [one for one in step.finished if one.outcome.state is model.AttemptState.SUCCEEDED]
        for one in good:
            self.log.say("try", run_id, one.task_id, one.attempt)
        began = time.perf_counter()
        advance = await self.served(lambda: store.advance(run_id, step))
        self.worst_s = max(self.worst_s, time.perf_counter() - began)
        for one, accepted in zip(step.finished, advance.accepted, strict=True):
            if one in good:
                self.log.say("ack" if accepted else "fence", run_id, one.task_id, one.attempt)
        return advance


async def tasks_in(home: Path) -> int:
    [(count,)] = store_setup.raw(home, "SELECT count(*) FROM task")
    return count


def fork(work: Callable[[], Coroutine[Any, Any, None]], failpoint: str = "") -> int:
    """Starts a process that does `work`; returns its id. It ends with 0 unless something unexpected happened."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if failpoint:
            os.environ["DISPATCH_MCP_FAILPOINT"] = failpoint
            importlib.reload(failpoints)
        anyio.run(work)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def live(
    work: Callable[[], Coroutine[Any, Any, None]],
    log: Path,
    env: Mapping[str, str],
    life_s: float | None = None,
    failpoint: str = "",
) -> tuple[int, str]:
    """Lets a forked process do `work` in an environment until it ends, is killed or has lived for `life_s`.

    Returns its exit code, negative for a signal, and what it wrote to `log`; one that hangs is asked for its stacks.
    """

    def begin() -> None:
        os.dup2(file.fileno(), 2)
        faulthandler.enable()
        os.environ.clear()
        os.environ.update(env)
        if failpoint:
            os.environ["DISPATCH_MCP_FAILPOINT"] = failpoint
            importlib.reload(failpoints)
        anyio.run(work)

    with log.open("w+") as file:
        process = multiprocessing.get_context("fork").Process(target=begin)
        process.start()
        assert process.pid
        if life_s is None:
            _patiently(process, log.parent)
        else:
            process.join(life_s)
        if process.is_alive():
            os.kill(process.pid, signal.SIGABRT if life_s is None else signal.SIGKILL)
        process.join()
        file.seek(0)
        return process.exitcode or 0, file.read()


def _patiently(process: multiprocessing.process.BaseProcess, folder: Path) -> None:
    """Returns when a server has ended, or hangs.

    One that a loaded machine gives no processor is slow, and does not hang: what is counted is the processor's time
    that it uses up without getting on.
    """
    stage, used_s, since = "", 0.0, time.monotonic()
    while process.is_alive():
        multiprocessing.connection.wait([process.sentinel], LOOK_S)
        spent_s = _processor_s(process.pid or 0)
        if stage != (now := _progress(folder)):
            stage, used_s, since = now, spent_s, time.monotonic()
        elif spent_s > used_s + PATIENCE_S or time.monotonic() > since + STILLNESS_S:
            return


def _progress(folder: Path) -> str:
    """Returns what changes whenever the servers of a trial get on: git commands, works done, events of the store."""
    sizes = [path.stat().st_size for path in (folder / "count", folder / "ledger") if path.exists()]
    with suppress(sqlite3.Error), closing(sqlite3.connect(folder / "home" / "state.db")) as conn:
        sizes += conn.execute("SELECT count(*) FROM event").fetchone()
    return str(sizes)


def _processor_s(pid: int) -> float:
    """Returns the processor's time that a process and its ended children have used, nothing once it has ended."""
    with suppress(OSError, IndexError):
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:15]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def is_running(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def reap(child: int) -> int:
    """Waits for a process and returns its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int) -> bool:
    """Kills a process with SIGKILL; returns whether it was still running."""
    running = is_running(child)
    if running:
        os.kill(child, signal.SIGKILL)
    status = reap(child)
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a worker ended with {status}")
    return running and status != 0


def finish(home: Path, logs: Path, wanted: int = 0) -> None:
    """Lets one undisturbed process bring everything to its end."""
    worker = Worker(home, random.Random(0), Log(logs), endless=False, wanted=wanted)
    status = reap(fork(worker.serve))
    if status:
        raise SystemExit(f"the last worker ended with {status}")


def verdict(home: Path, logs: Path) -> dict[str, Any]:
    """What went in, what came out, in Jepsen's words."""
    said = list(lines(logs))
    tried, acked = ({(line[1], line[2], int(line[3])) for line in said if line[0] == word} for word in ("try", "ack"))
    with closing(sqlite3.connect(home / "state.db")) as conn:
        kept = set(
            conn.execute(
                "SELECT run.id, task.id, result.attempt FROM result "
                "JOIN task ON task.no = result.task JOIN run ON run.no = task.run"
            )
        )
        runs = {row[0] for row in conn.execute("SELECT id FROM run")}
        tasks = conn.execute("SELECT count(*) FROM task").fetchone()[0]
        unfinished = conn.execute("SELECT count(*) FROM task WHERE state <> 'succeeded'").fetchone()[0]
        crashes = conn.execute("SELECT count(*) FROM attempt WHERE state = 'abandoned'").fetchone()[0]
    twice = [key for key, count in Counter(key[:2] for key in acked).items() if count > 1]
    words = Counter(line[0] for line in said)
    return {
        "runs": len(runs),
        "tasks": tasks,
        "attempted": len(tried),
        "acknowledged": len(acked),
        "ok": len(acked & kept),
        "lost": len(acked - kept) + len({line[1] for line in said if line[0] == "created"} - runs),
        "unexpected": len(kept - tried),
        "duplicated": len(twice) + words["twin"],
        "recovered": len(kept - acked),
        "fenced": words["fence"],
        "displaced": words["displaced"],
        "abandoned": crashes,
        "unfinished": unfinished,
        "faults": store_setup.faults(home),
    }


def is_good(found: dict[str, Any]) -> bool:
    return not any(found[word] for word in ("lost", "unexpected", "duplicated", "unfinished", "faults"))


def conclude(found: dict[str, Any], *, as_json: bool) -> int:
    """Prints the report; returns the exit code."""
    text = json.dumps(found) if as_json else "\n".join(f"{name:14} {value}" for name, value in found.items())
    print(text)  # noqa: T201  # this is what the program is for
    return 0 if is_good(found) else 1


def parser(about: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    made.add_argument("--json", action="store_true")
    return made
