"""How many hosts a stream of runs needs: a simulation, `python benchmarks/scale.py [--control-ms MS]`.

It prints the table of docs/how-to/size-a-fleet.md. `tests/temporal/test_fleet_simulation.py` predicts a real run over
several worker processes with it, and carries that out.

Runs arrive at random at a given rate. A run is layers of tasks; a task waits for those of the layer before. Lengths of
tasks are lognormal. A slot of a host takes the task that has been ready for longest. The process with the store spends
processor time on every task, one task after another, and what passes through Temporal takes a moment besides. A host
fails now and then: what it does is noticed after its silence and begun again, and the host comes back.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Fleet:
    """Hosts, and what the way to them costs; times are seconds."""

    hosts: int
    slots: int
    control_s: float = 0.025
    way_s: float = 0.15
    silence_s: float = 15.0
    fails_every_s: float = math.inf
    back_after_s: float = 60.0


@dataclass(frozen=True)
class Load:
    """Runs that arrive: so many an hour, of so many tasks in layers of a width, of a median length and its spread."""

    runs_an_hour: float
    tasks: int = 12
    width: int = 4
    median_s: float = 240.0
    spread: float = 0.8
    runs: int = 400


@dataclass(slots=True)
class SimulatedTask:
    """A task: how long it takes, whom it waits for, and when it became ready and ended."""

    length_s: float
    missing: int = 0
    followers: list[SimulatedTask] = field(default_factory=list["SimulatedTask"])
    run: int = 0
    ready_at: float = 0.0
    ended_at: float = math.nan
    attempt: int = 0


@dataclass(frozen=True)
class Figures:
    """What a simulation shows: seconds in the queue, use of slots and of the control plane, length of runs."""

    makespan_s: float
    wait_p50_s: float
    wait_p95_s: float
    run_p50_s: float
    run_p95_s: float
    use: float
    control_use: float
    begun_again: int


def arrivals(load: Load, dice: random.Random) -> Iterator[tuple[float, list[SimulatedTask]]]:
    """Yields when each run comes, and its tasks."""
    at = 0.0
    for run in range(load.runs):
        at += dice.expovariate(load.runs_an_hour / 3600.0)
        lengths = [dice.lognormvariate(math.log(load.median_s), load.spread) for _ in range(load.tasks)]
        tasks = [SimulatedTask(length, run=run) for length in lengths]
        layers = [tasks[begin : begin + load.width] for begin in range(0, load.tasks, load.width)]
        for before, after in itertools.pairwise(layers):
            link(before, after)
        yield at, tasks


def link(before: Sequence[SimulatedTask], after: Sequence[SimulatedTask]) -> None:
    """Has every task of `after` wait for all of `before`."""
    for task in after:
        task.missing = len(before)
    for task in before:
        task.followers.extend(after)


class Simulation:
    """Carries out what arrives on a fleet, by the events that happen next."""

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self.fleet = fleet
        self.dice = dice
        self.now = 0.0
        self.events: list[tuple[float, int, str, object]] = []
        self.numbers = itertools.count()
        self.queue: deque[SimulatedTask] = deque()
        self.at_work: list[dict[int, tuple[SimulatedTask, float]]] = [{} for _ in range(fleet.hosts)]
        self.is_up = [True] * fleet.hosts
        self.offers = [(0, host) for host in range(fleet.hosts)]
        self.control_free_at = 0.0
        self.control_s = self.busy_s = self.window_end = 0.0
        self.waits: list[float] = []
        self.begun_again = self.left = 0

    def add(self, at: float, kind: str, what: object) -> None:
        """Has something happen later."""
        heapq.heappush(self.events, (at, next(self.numbers), kind, what))

    def carry_out(self, stream: Iterator[tuple[float, list[SimulatedTask]]]) -> list[list[SimulatedTask]]:
        """Returns the runs once all are over."""
        runs: list[list[SimulatedTask]] = []
        for at, tasks in stream:
            runs.append(tasks)
            self.left += len(tasks)
            self.window_end = at
            self.add(at, "arrival", tasks)
        if math.isfinite(self.fleet.fails_every_s):
            for host in range(self.fleet.hosts):
                self.add(self.dice.expovariate(1 / self.fleet.fails_every_s), "failure", host)
        while self.left:
            self.now, _, kind, what = heapq.heappop(self.events)
            getattr(self, f"on_{kind}")(what)
        return runs

    def on_arrival(self, tasks: list[SimulatedTask]) -> None:
        """Begins a run."""
        for task in tasks:
            if not task.missing:
                self.make_ready(task)

    def make_ready(self, task: SimulatedTask) -> None:
        """Puts a task into the queue once the control plane has had its turn, and Temporal has passed it on."""
        turn = max(self.now, self.control_free_at) + self.fleet.control_s
        self.control_free_at = turn
        self.control_s += self.fleet.control_s
        task.ready_at = self.now
        self.add(turn + self.fleet.way_s, "queued", task)

    def on_queued(self, task: SimulatedTask) -> None:
        """Gives a task to a host, or has it wait."""
        self.queue.append(task)
        self.fill()

    def fill(self) -> None:
        """Gives tasks to free slots, the emptiest host first."""
        while self.queue and (host := self.emptiest()) is not None:
            task = self.queue.popleft()
            task.attempt += 1
            self.waits.append(self.now - task.ready_at)
            self.at_work[host][id(task)] = task, self.now
            self.offer(host)
            self.add(self.now + task.length_s, "end", (host, task, task.attempt))

    def offer(self, host: int) -> None:
        """Notes that a host may have a free slot."""
        heapq.heappush(self.offers, (len(self.at_work[host]), host))

    def emptiest(self) -> int | None:
        """Returns the host with the least work that has a free slot; None when there is none."""
        while self.offers:
            load, host = heapq.heappop(self.offers)
            if self.is_up[host] and load == len(self.at_work[host]) < self.fleet.slots:
                return host
        return None

    def on_end(self, what: tuple[int, SimulatedTask, int]) -> None:
        """Records a task that has come to its end, unless its host has failed meanwhile."""
        host, task, attempt = what
        if id(task) not in self.at_work[host] or task.attempt != attempt:
            return
        _, begun = self.at_work[host].pop(id(task))
        self.offer(host)
        self.note_work(begun)
        task.ended_at = self.now
        self.left -= 1
        for follower in task.followers:
            follower.missing -= 1
            if not follower.missing:
                self.make_ready(follower)
        self.fill()

    def note_work(self, begun: float) -> None:
        """Counts what a slot did between the first quarter of the arrivals and the last one: then all is steady."""
        self.busy_s += max(0.0, min(self.now, self.window_end) - max(begun, self.window_end / 4))

    def on_failure(self, host: int) -> None:
        """Takes a host away, and what it does with it."""
        self.is_up[host] = False
        for task, begun in self.at_work[host].values():
            self.note_work(begun)
            self.begun_again += 1
            self.add(self.now + self.fleet.silence_s, "loss", task)
        self.at_work[host].clear()
        self.add(self.now + self.fleet.back_after_s, "return", host)

    def on_loss(self, task: SimulatedTask) -> None:
        """Begins a task again whose host has been silent for long enough."""
        self.make_ready(task)

    def on_return(self, host: int) -> None:
        """Has a host back, until it fails the next time."""
        self.is_up[host] = True
        self.offer(host)
        self.add(self.now + self.dice.expovariate(1 / self.fleet.fails_every_s), "failure", host)
        self.fill()


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def figures(fleet: Fleet, stream: Iterator[tuple[float, list[SimulatedTask]]], seed: int = 1) -> Figures:
    """Returns what a fleet makes of a stream of runs."""
    simulation = Simulation(fleet, random.Random(seed))
    comes: list[float] = []

    def noted() -> Iterator[tuple[float, list[SimulatedTask]]]:
        for at, tasks in stream:
            comes.append(at)
            yield at, tasks

    runs = simulation.carry_out(noted())
    lengths = [max(task.ended_at for task in tasks) - at for at, tasks in zip(comes, runs, strict=True)]
    return Figures(
        makespan_s=simulation.now - comes[0],
        wait_p50_s=percentile(simulation.waits, 0.5),
        wait_p95_s=percentile(simulation.waits, 0.95),
        run_p50_s=percentile(lengths, 0.5),
        run_p95_s=percentile(lengths, 0.95),
        use=simulation.busy_s / max(1.0, simulation.window_end * 0.75 * fleet.hosts * fleet.slots),
        control_use=simulation.control_s / simulation.now,
        begun_again=simulation.begun_again,
    )


def table(fleet: Fleet) -> list[str]:
    """Returns rows for growing loads, with as many hosts as keep seven of ten slots busy."""
    rows = [
        "| runs an hour | slots | hosts of 4 | waits p50 / p95 | a run p50 / p95 | slots busy | control plane busy |",
        "|---|---|---|---|---|---|---|",
    ]
    for runs_an_hour in (10, 50, 200, 1_000, 5_000):
        load = Load(runs_an_hour, runs=min(6_000, max(300, runs_an_hour * 2)))
        mean_s = load.median_s * math.exp(load.spread**2 / 2)
        slots = math.ceil(runs_an_hour * load.tasks * mean_s / 3600 / 0.7)
        sized = replace(fleet, hosts=math.ceil(slots / 4), slots=4, fails_every_s=86_400.0)
        shown = figures(sized, arrivals(load, random.Random(7)))
        rows.append(
            f"| {runs_an_hour:,} | {slots:,} | {sized.hosts:,} | {shown.wait_p50_s:.1f} / {shown.wait_p95_s:.1f} s "
            f"| {shown.run_p50_s / 60:.0f} / {shown.run_p95_s / 60:.0f} min | {shown.use:.0%} "
            f"| {shown.control_use:.1%} |"
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="How many hosts a stream of runs needs: a simulation.")
    parser.add_argument("--control-ms", type=float, default=25.0, help="processor time of a task where runs are driven")
    options = parser.parse_args()
    print("\n".join(table(Fleet(1, 4, control_s=options.control_ms / 1000))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
