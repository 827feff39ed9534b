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
import time
from collections.abc import Callable

import bpe_openai
import networkx as nx

from dispatch_mcp import model, prices
from dispatch_mcp.mcp_server import descriptions, tool_arguments
from dispatch_mcp.planning import forecast, plan_checks, plan_documents
from dispatch_mcp.runs import prompt_lint

REPEATS = 3
BOUNDS_MS = {10_000: 200.0, 1_000: 8.0, 100: 1.0}
BOUND_MEAN = 1.02
PLANS = 600
CELLS = ((6, 5), (12, 5), (24, 3), (24, 5), (48, 5))
EFFORTS = tuple(model.Effort)
DEFINITION_TOKENS, TOKENS_A_TASK, HEAD_COUNTS = 450, 40, 12
"""From `HEAD_COUNTS` tasks on what is said of the plan as a whole is shared by enough of them."""

AGENTS = ("auth-security-specialist", "database-expert", "frontend-developer", "api-designer", "test-engineer")

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
    for size in (8, 12, 24, 48):
        rng = random.Random(size)
        tasks, minutes = random_plan(rng, size)
        prepared = plan_checks.prepare(tasks, max_parallel=5, durations=minutes)
        chosen = {task.id: {"agent": rng.choice(AGENTS), "model": "sonnet", "conf": 0.87} for task in tasks}
        told = prepared.with_notices(prompt_lint.lint_tasks(tasks))
        answer = plan_checks.answer(told, plan_id="0" * 32, version=1, decided=chosen)
        answer["forecast"] = forecast.of_plan(prepared, 5, forecast.Past(), prices.dollars).answer()
        each = count(answer) / size
        ok &= size < HEAD_COUNTS or each <= TOKENS_A_TASK
        print(f"answer to a plan of {size:3} tasks, all routed: {each:5.1f} tokens a task, bound {TOKENS_A_TASK}")
    return ok


if __name__ == "__main__":
    results = [time_steps(), makespans(), tokens()]
    sys.exit(0 if all(results) else 1)
