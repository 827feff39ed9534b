"""CPU time of every planning step beside networkx, and the makespan beside its lower bound.

Prints one table per figure; exits 1 when a step is over its bound. Times are process CPU, best of several.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import gc
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bpe_openai
import networkx as nx

from dispatch_mcp import model
from dispatch_mcp.mcp_server import descriptions, tool_arguments
from dispatch_mcp.planning import plan_checks, plan_documents

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import raw_server

import waves

REPEATS = 3
BOUNDS_MS = {10_000: 200.0, 1_000: 8.0, 100: 1.0}
BOUND_MEAN = 1.02
PLANS = 600
CELLS = ((6, 5), (12, 5), (24, 3), (24, 5), (48, 5))
EFFORTS = tuple(model.Effort)
DEFINITION_TOKENS, TOKENS_A_TASK = 450, 40

GOALS = (
    "Add the orders table",
    "Serve orders over the REST API",
    "Show orders on the account page",
    "Mail a receipt after each order",
    "Test the order flow",
    "Describe orders in the manual",
    "Review the payment code for security",
    "Deploy the shop to staging",
    "Find out why the login is slow",
    "Cache the sessions in Redis",
    "Limit the attempts to log in per address",
    "Add two-factor login to the settings page",
    "Cover the login with end-to-end tests",
    "Write a migration for the new columns",
    "Explain the change in the changelog",
    "Watch the error rate after the release",
    "Parse the new --format option",
    "Print results as JSON",
    "Speed up the search in large files",
    "Fix the crash on empty input",
    "Add a progress bar",
    "Publish the package to PyPI",
    "Translate the help texts into German",
    "Port the tests to pytest",
)
"""Goals as people write them: not measurable, many without a likely agent, so answers have much to say of them."""

Edges = list[list[int]]


def layered(size: int) -> Edges:
    """Ten tasks a layer, one or two dependencies in the layer before."""
    rng = random.Random(1)
    return [
        rng.sample(range(v // 10 * 10 - 10, v // 10 * 10), rng.choice((1, 2))) if v >= 10 else [] for v in range(size)
    ]


def chain(size: int) -> Edges:
    return [[v - 1] if v else [] for v in range(size)]


def fan(size: int) -> Edges:
    return [[], *([0] for _ in range(size - 2)), list(range(1, size - 1))]


def dense(size: int) -> Edges:
    """Ten dependencies among the fifty tasks before."""
    rng = random.Random(2)
    return [sorted(rng.sample(range(max(0, v - 50), v), min(v, 10))) for v in range(size)]


GRAPHS: dict[str, Callable[[int], Edges]] = {"layered": layered, "chain": chain, "fan": fan, "dense": dense}


def raw_tasks(edges: Edges, *, shared: bool) -> list[dict[str, model.Json]]:
    """Every task writes a file of its own; with `shared`, every tenth one the file of its neighbour."""
    return [
        {
            "id": f"task-{v}",
            "do": f"Implement part {v}",
            "deps": [f"task-{dep}" for dep in deps],
            "effort": EFFORTS[v % 4].value,
            "files": [f"src/module_{v % 97}/part_{v - 1 if shared and v % 10 == 9 else v}.py"],
        }
        for v, deps in enumerate(edges)
    ]


def cpu_ms(step: Callable[[], object], repeats: int = REPEATS) -> float:
    best = math.inf
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        step()
        best = min(best, time.process_time() - began)
    return best * 1000


def networkx_ms(edges: Edges, size: int) -> float:
    """Generations, longest path and, where it ends in reasonable time, transitive reduction."""

    def step() -> None:
        g = nx.DiGraph()
        g.add_nodes_from(range(size))
        g.add_edges_from((dep, v) for v, deps in enumerate(edges) for dep in deps)
        list(nx.topological_generations(g))
        nx.dag_longest_path(g)
        if size <= 1_000:
            nx.transitive_reduction(g)

    return cpu_ms(step, 1)


def time_steps() -> bool:
    ok = True
    print(f"{'graph':<18}{'tasks':>7}{'edges':>8}{'read':>9}{'check':>9}{'prepare':>9}{'networkx':>10}  CPU ms, bound")
    for size, bound in BOUNDS_MS.items():
        repeats = REPEATS if size > 1_000 else 10_000 // size
        for name, make in GRAPHS.items():
            for shared in (False, True):
                edges = make(size)
                raw = raw_tasks(edges, shared=shared)
                tasks = plan_documents.read_tasks(raw).tasks
                read = cpu_ms(lambda raw=raw: plan_documents.read_tasks(raw), repeats)
                check = cpu_ms(lambda tasks=tasks: plan_checks.check(tasks, agents=None, models=()), repeats)
                prepare = cpu_ms(lambda tasks=tasks: plan_checks.prepare(tasks, max_parallel=8), repeats)
                oracle = networkx_ms(edges, size)
                over = max(read, check, prepare) > bound
                ok &= not over
                label = f"{name}+conflicts" if shared else name
                figures = f"{read:9.2f}{check:9.2f}{prepare:9.2f}{oracle:10.2f}"
                print(f"{label:<18}{size:>7}{sum(map(len, edges)):>8}{figures}  {bound:g}{' OVER' if over else ''}")
    print("networkx: generations and longest path; above 1,000 tasks without its transitive reduction (minutes)\n")
    return ok


def random_plan(rng: random.Random, size: int) -> tuple[list[model.Task], dict[str, float]]:
    """Layers of one to five tasks, up to three dependencies in the two layers before, log-normal durations."""
    layers: list[list[int]] = []
    tasks: list[model.Task] = []
    while len(tasks) < size:
        above = [v for layer in layers[-2:] for v in layer]
        layer = list(range(len(tasks), min(size, len(tasks) + rng.randint(1, 5))))
        for v in layer:
            deps = rng.sample(above, min(len(above), rng.randint(0, 3)))
            tasks.append(model.Task(id=f"t{v}", do="work", deps=tuple(f"t{dep}" for dep in deps)))
        layers.append(layer)
    return tasks, {task.id: rng.lognormvariate(2.5, 0.8) for task in tasks}


def makespans() -> bool:
    ok = True
    print(f"{'tasks, workers':<18}{'makespan / lower bound, mean':>30}{'max':>8}{'speed-up':>10}")
    for size, workers in CELLS:
        rng = random.Random(size * 100 + workers)
        ratios: list[float] = []
        speed: list[float] = []
        for _ in range(PLANS):
            tasks, minutes = random_plan(rng, size)
            found = plan_checks.prepare(tasks, max_parallel=workers, durations=minutes).estimate
            ratios.append(found.parallel / found.lower_bound)
            speed.append(found.speedup)
        mean = statistics.fmean(ratios)
        ok &= mean <= BOUND_MEAN
        print(f"{f'{size}, {workers}':<18}{mean:>30.4f}{max(ratios):>8.3f}{statistics.fmean(speed):>10.2f}")
    return ok


def answers(size: int) -> list[dict[str, model.Json]]:
    """Returns what a server answers to plans of so many goals, two side by side, with files declared and without."""
    with tempfile.TemporaryDirectory() as place:
        workspace = waves.repository(Path(place) / "shop")
        env = raw_server.environment(Path(place) / "state", workspace)
        with raw_server.Wire(env, workspace, era="legacy", fresh=True) as wire:
            wire.greet()
            plans = [
                [
                    {
                        "id": f"t{n}",
                        "do": GOALS[(first + n) % len(GOALS)],
                        "deps": [f"t{n - 2}"] if n > 1 else [],
                        "files": [f"src/part_{n}.py"] if files else [],
                    }
                    for n in range(size)
                ]
                for first in (0, 8, 16)
                for files in (False, True)
            ]
            out = [wire.call("plan_dag", tasks=plan) for plan in plans]
            wire.close(20)
    return out


def tokens() -> bool:
    """Prints how much of a model's context `plan_dag` takes, in cl100k tokens of compact JSON."""
    encoding = bpe_openai.get_encoding("cl100k_base")

    def count(value: object) -> int:
        return len(encoding.encode(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))

    definition = {
        "name": "plan_dag",
        "description": descriptions.DESCRIPTIONS["plan_dag"],
        "inputSchema": tool_arguments.schema(tool_arguments.TOOLS["plan_dag"]),
    }
    found = count(definition)
    print(f"\ndefinition of plan_dag: {found} tokens, bound {DEFINITION_TOKENS}")
    ok = found <= DEFINITION_TOKENS
    for size in (6, 8, 12, 24):
        each = sorted(count(answer) / size for answer in answers(size))
        mean = statistics.fmean(each)
        ok &= mean <= TOKENS_A_TASK
        end = "" if mean <= TOKENS_A_TASK else " OVER"
        figures = f"{mean:.1f} tokens a task ({each[0]:.1f} to {each[-1]:.1f})"
        print(f"answer to {size:2} tasks: {figures}, bound {TOKENS_A_TASK}{end}")
    return ok


if __name__ == "__main__":
    results = [time_steps(), makespans(), tokens()]
    sys.exit(0 if all(results) else 1)
