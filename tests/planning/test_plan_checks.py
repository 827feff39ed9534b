"""Problems and schedules of plans, with networkx as the oracle."""

# What networkx returns has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.planning import plan_checks, plan_documents
from dispatch_mcp.text import path_globs

MODELS = ("haiku", "sonnet", "opus")
AGENTS = ("backend-developer", "frontend-developer", "database-architect", "test-engineer")
WORDS = re.findall(
    r"\w+",
    "schema api backend frontend payment search login profile cart invoice report export import cache metrics "
    "gateway session catalog shipping refund webhook dashboard settings billing upload",
)

CART = [
    {"id": 1, "do": "Design cart database schema"},
    {"id": 2, "do": "Design cart API endpoints"},
    {"id": 3, "do": "Implement cart backend logic", "deps": [1, 2]},
    {"id": 4, "do": "Build frontend cart components", "deps": [2]},
    {"id": 5, "do": "Integrate payment processing", "deps": [3]},
    {"id": 6, "do": "Test complete cart flow", "deps": [4, 5]},
]


def task(task_id: str, *deps: str, **more: Any) -> model.Task:
    return model.Task(id=task_id, do=f"work on {task_id}", deps=deps, **more)


def check(*tasks: model.Task) -> list[problems.Problem]:
    return plan_checks.check(tasks, agents=AGENTS, models=MODELS)


def random_dag(rng: random.Random, size: int) -> list[model.Task]:
    """Edges go from earlier to later names; the tasks themselves are shuffled."""
    density = rng.random() * 0.5
    tasks = [
        task(f"t{v}", *(f"t{u}" for u in range(v) if rng.random() < density), effort=rng.choice(tuple(model.Effort)))
        for v in range(size)
    ]
    rng.shuffle(tasks)
    return tasks


FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
GRAPHS, SEEDS = (10_000, 20) if FULL else (1_000, 5)


def oracle(tasks: list[model.Task] | tuple[model.Task, ...]) -> Any:
    found: Any = nx.DiGraph()
    found.add_nodes_from(one.id for one in tasks)
    found.add_edges_from((dep, one.id) for one in tasks for dep in one.deps)
    return found


@pytest.mark.chaos
@pytest.mark.promise("R14")
def test_random_graphs_have_the_waves_paths_and_reduction_that_networkx_finds() -> None:
    rng = random.Random(20)
    for _ in range(GRAPHS):
        tasks = random_dag(rng, rng.randint(1, 24))
        minutes = {one.id: rng.choice((0.0, 1.0, 2.5, 7.0)) for one in tasks}
        found = plan_checks.prepare(tasks, max_parallel=3, durations=minutes)
        graph = oracle(tasks)
        assert [set(wave) for wave in found.waves] == [set(wave) for wave in nx.topological_generations(graph)]
        kept = set(graph.edges) - set(found.redundant)
        assert kept == set(nx.transitive_reduction(graph).edges)
        weighted: Any = nx.DiGraph((before, after, {"w": minutes[before]}) for before, after in graph.edges)
        weighted.add_edges_from((one.id, "end", {"w": minutes[one.id]}) for one in tasks)
        assert found.estimate.critical == pytest.approx(nx.dag_longest_path_length(weighted, weight="w"))
        assert sum(minutes[one] for one in found.critical_path) == pytest.approx(found.estimate.critical)
        assert all(graph.has_edge(*edge) for edge in itertools.pairwise(found.critical_path))
        assert found.estimate.lower_bound - 1e-9 <= found.estimate.parallel <= found.estimate.serial + 1e-9
        assert set(found.next) == {one.id for one in tasks if not one.deps}


@pytest.mark.chaos
@pytest.mark.promise("R14")
def test_every_cyclic_part_of_random_graphs_is_named_by_a_real_and_shortest_cycle() -> None:
    rng = random.Random(21)
    for _ in range(GRAPHS):
        size = rng.randint(2, 16)
        chance = rng.random() * 0.25
        tasks = [
            task(f"t{v}", *(f"t{u}" for u in range(size) if u != v and rng.random() < chance)) for v in range(size)
        ]
        graph = oracle(tasks)
        parts = [set(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
        found = check(*tasks)
        assert {one.code for one in found} <= {"cycle"}
        assert len(found) == len(parts)
        for one in found:
            part = next(part for part in parts if one.path[0] in part)
            assert one.path[0] == one.path[-1]
            assert all(graph.has_edge(*edge) for edge in itertools.pairwise(one.path))
            shortest = min(len(cycle) for cycle in shortest_cycles_in(graph, part))
            assert len(one.path) - 1 == len(set(one.path)) == shortest


def shortest_cycles_in(graph: Any, part: set[str]) -> list[list[str]]:
    inside = graph.subgraph(part)
    return [nx.shortest_path(inside, after, before) for before, after in inside.edges]


def test_a_cycle_names_its_path_and_the_edge_back_from_the_task_that_comes_last() -> None:
    (found,) = check(task("backend", "test"), task("pay", "backend"), task("test", "pay"))
    assert found.path == ("backend", "pay", "test", "backend")
    assert found.fix == "Remove `test` from the deps of `backend`."
    assert "backend -> pay -> test -> backend" in found.message


@pytest.mark.parametrize("size", [3, 5_000])
def test_a_ring_is_found_whole(size: int) -> None:
    (found,) = check(*(task(f"t{v}", f"t{(v - 1) % size}") for v in range(size)))
    assert len(found.path) == size + 1
    assert len(found.message) < 300


def sound(rng: random.Random) -> list[model.Task]:
    names = [f"{left}-{right}" for left, right in itertools.pairwise(rng.sample(WORDS, rng.randint(4, 12)))]
    return [
        task(name, *rng.sample(names[:at], min(at, rng.randint(0, 2))), agent=rng.choice(AGENTS), model="opus")
        for at, name in enumerate(names)
    ]


def mistyped(rng: random.Random, name: str, taken: tuple[str, ...]) -> str:
    """Returns the name after one or two random edits; never a name that exists."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    while True:
        out = name
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(out) - 1)
            kind = rng.randrange(4)
            if kind == 0:
                out = out[:at] + out[at + 1 :]
            elif kind == 1:
                out = out[:at] + rng.choice(letters) + out[at:]
            elif kind == 2:
                out = out[:at] + rng.choice(letters) + out[at + 1 :]
            else:
                out = out[:at] + out[at + 1] + out[at] + out[at + 2 :]
        if out not in taken:
            return out


def with_fault(rng: random.Random, code: str, tasks: list[model.Task]) -> tuple[list[model.Task], str]:
    """Returns the plan with one fault, and the name that was meant."""
    at = rng.randrange(1, len(tasks))
    one, meant = tasks[at], ""
    ids = tuple(other.id for other in tasks)
    if code == "duplicate_id":
        tasks.insert(rng.randrange(len(tasks) + 1), one.model_copy(update={"deps": ()}))
        return tasks, meant
    if code == "unknown_dependency":
        meant = ids[rng.randrange(at)]
        change = {"deps": (mistyped(rng, meant, ids),)}
    elif code == "self_dependency":
        change = {"deps": (*one.deps, one.id)}
    elif code == "cycle":
        one = tasks[at] = one.model_copy(update={"deps": (ids[0],)})
        at, change = 0, {"deps": (one.id,)}
    elif code == "unknown_agent":
        meant = rng.choice(AGENTS)
        change = {"agent": mistyped(rng, meant, AGENTS)}
    elif code == "unknown_model":
        meant = rng.choice(MODELS)
        change = {"model": mistyped(rng, meant, MODELS)}
    elif code == "bad_id":
        change = {"id": rng.choice(["", "a b", "-x", "é", "x" * 65, "a\n", "a/b"])}
        tasks = [other.model_copy(update={"deps": ()}) for other in tasks]
    else:
        change = {"goal": rng.choice(["", " ", "\n\t"])}
    tasks[at] = tasks[at].model_copy(update=change)
    return tasks, meant


@pytest.mark.parametrize(
    "code",
    [
        "duplicate_id",
        "unknown_dependency",
        "self_dependency",
        "cycle",
        "unknown_agent",
        "unknown_model",
        "bad_id",
        "empty_goal",
    ],
)
def test_a_plan_with_one_fault_gets_exactly_that_problem_and_the_right_suggestion(code: str) -> None:
    rng = random.Random(code)
    right = 0
    for _ in range(50):
        tasks, meant = with_fault(rng, code, sound(rng))
        (found,) = check(*tasks)
        assert found.code == code
        assert found.message
        assert found.fix
        assert re.match(r"tasks\[\d+\]", found.where)
        right += found.did_you_mean == meant
    assert right >= 48


def test_no_tasks_and_too_many_tasks_are_problems_of_their_own() -> None:
    assert [one.code for one in check()] == ["empty_plan"]
    found = plan_checks.check([task("a"), task("b")], agents=None, models=(), max_tasks=1)
    assert [one.code for one in found] == ["too_many_tasks"]


def test_all_problems_come_at_once() -> None:
    found = check(
        task("a", "a", agent="backend_developer"), task("a", "cc"), task("c", "d", model="gpt"), task("d", "c", "zzz")
    )
    assert sorted(one.code for one in found) == [
        "cycle",
        "duplicate_id",
        "self_dependency",
        "unknown_agent",
        "unknown_dependency",
        "unknown_dependency",
        "unknown_model",
    ]


def test_a_name_in_another_spelling_is_recognised_however_many_there_are() -> None:
    tasks = [task(f"part-{v}") for v in range(3_000)]
    tasks += [task(f"user-{v}", f"Part_{v}") for v in range(100)]
    found = check(*tasks)
    assert [one.did_you_mean for one in found] == [f"part-{v}" for v in range(100)]


def test_agents_are_not_checked_without_a_catalogue() -> None:
    assert plan_checks.check([task("a", agent="nobody")], agents=None, models=MODELS) == []


def test_the_worked_shopping_cart_gives_its_groups() -> None:
    tasks = plan_documents.read_tasks(CART).tasks
    assert check(*tasks) == []
    found = plan_checks.prepare(tasks, max_parallel=5)
    assert found.waves == (("1", "2"), ("3", "4"), ("5",), ("6",))
    assert found.critical_path == ("1", "3", "5", "6")
    assert found.next == ("1", "2")
    assert found.slack["4"] == 15.0


def test_priority_breaks_ties_of_equal_remaining_path() -> None:
    tasks = [task("a", priority="low"), task("b"), task("c", priority="high")]
    assert plan_checks.prepare(tasks, max_parallel=1).next == ("c", "b", "a")


def codes(found: plan_checks.ScheduledPlan) -> list[str]:
    return [one.code for one in found.notices]


def test_a_repeated_dependency_is_dropped_with_a_notice() -> None:
    found = plan_checks.prepare([task("a"), task("b", "a", "a"), task("c")], max_parallel=2)
    assert found.tasks[1].deps == ("a",)
    assert codes(found) == ["duplicate_dependency"]


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([task("a"), task("b", "a")], "trivial_plan"),
        ([task("a"), task("b", "a"), task("c", "b")], "single_chain"),
        ([task("a", effort="XL"), task("b"), task("c")], "oversized"),
        ([task("a", files=["web/package.json"]), task("b"), task("c")], "hot_file"),
        ([task("a", files=["src/a.py"]), task("b", reads=["src/*.py"]), task("c")], "read_after_write_unordered"),
        (
            [task("a", files=["src/a.py"]), task("b", reads=["src"], effort="L"), task("c")],
            "read_after_write_unordered",
        ),
        ([model.Task(id="a", do="Implement login"), task("b"), task("c")], "no_files_declared"),
    ],
)
def test_each_notice_has_its_occasion(tasks: list[model.Task], code: str) -> None:
    assert codes(plan_checks.prepare(tasks, max_parallel=4)) == [code]


def test_goals_that_only_look_at_code_need_no_files() -> None:
    goals = ["Review the fix", "Investigate why the build is slow", "Design the API to add items"]
    tasks = [model.Task(id=f"t{at}", do=goal) for at, goal in enumerate(goals)]
    assert codes(plan_checks.prepare(tasks, max_parallel=4)) == []


PATHS = (
    "src/a.py",
    "./src/a.py",
    "src//b.py",
    "src/",
    "src/*.py",
    "**/test_*.py",
    "docs/x.md",
    "src/{a,c}.py",
    "lib/c",
)


def test_after_serialising_random_plans_are_acyclic_and_have_no_unordered_writers() -> None:
    rng = random.Random(22)
    for _ in range(1_000):
        tasks = [
            one.model_copy(update={"files": tuple(rng.sample(PATHS, rng.choice((0, 1, 1, 2))))})
            for one in random_dag(rng, rng.randint(2, 14))
        ]
        found = plan_checks.prepare(tasks, max_parallel=4)
        graph = oracle(found.tasks)
        assert nx.is_directed_acyclic_graph(graph)
        assert unordered_writers(found.tasks, graph) == set()
        assert found.added_edges == tuple(edge for edge in found.added_edges if edge.reason.startswith("both write `"))
        refused = plan_checks.prepare(tasks, max_parallel=4, on_conflict="error")
        clashes = unordered_writers(tasks, oracle(tasks))
        assert len(refused.problems) == len(clashes)
        isolated = plan_checks.prepare(tasks, max_parallel=4, on_conflict="worktree")
        assert set(isolated.isolated) == {name for pair in clashes for name in pair}
        assert bool(found.added_edges) == bool(clashes)
        assert {one.id for one in isolated.tasks if one.isolation == "worktree"} == set(isolated.isolated)
        again = plan_checks.prepare(found.tasks, max_parallel=4)
        assert again.added_edges == ()


def unordered_writers(tasks: list[model.Task] | tuple[model.Task, ...], graph: Any) -> set[frozenset[str]]:
    reach = {name: nx.descendants(graph, name) for name in graph}
    return {
        frozenset((left.id, right.id))
        for left, right in itertools.combinations(tasks, 2)
        if right.id not in reach[left.id] and left.id not in reach[right.id] and clash(left, right)
    }


def clash(left: model.Task, right: model.Task) -> bool:
    pairs = itertools.product(left.files, right.files)
    return any(path_globs.touch(path_globs.normalise(one), path_globs.normalise(other)) for one, other in pairs)


def test_an_edge_that_is_added_can_make_a_written_one_needless() -> None:
    plan = [task("a"), task("b", "a", files=("x.py",), effort="L"), task("c", "a", files=("x.py",))]
    schedule = plan_checks.prepare(plan, max_parallel=3)
    assert [(edge.before, edge.after) for edge in schedule.added_edges] == [("b", "c")]
    assert schedule.redundant == (("a", "c"),)


def test_serialising_that_costs_more_than_a_quarter_proposes_worktrees() -> None:
    tasks = [task(f"t{v}", files=["src/a.py"]) for v in range(4)]
    found = plan_checks.prepare(tasks, max_parallel=4)
    assert len(found.added_edges) == 3
    assert "serialized_slow" in codes(found)
    assert found.added_edges[0].reason == "both write `src/a.py`"


def test_worktrees_keep_the_tasks_parallel_and_say_the_order_of_merging() -> None:
    tasks = [task(f"t{v}", files=["src/a.py"]) for v in range(4)]
    found = plan_checks.prepare(tasks, max_parallel=4, on_conflict="worktree")
    assert found.waves == (("t0", "t1", "t2", "t3"),)
    (notice,) = [one for one in found.notices if one.code == "merged_in_order"]
    assert notice.tasks == ("t0", "t1", "t2", "t3")


def test_conflicts_as_errors_are_listed_up_to_a_limit() -> None:
    tasks = [task(f"t{v:02}", files=["src/a.py"]) for v in range(20)]
    found = plan_checks.prepare(tasks, max_parallel=4, on_conflict="error").problems
    assert len(found) == plan_checks.MAX_CONFLICTS + 1
    assert found[-1].message.startswith(f"{190 - plan_checks.MAX_CONFLICTS} more pairs")


def test_extra_notices_come_first() -> None:
    note = problems.Notice(code="normalised", message="x")
    found = plan_checks.prepare([task("a")], max_parallel=1).with_notices([note])
    assert codes(found) == ["normalised", "trivial_plan"]


def test_more_globs_than_can_be_compared_count_as_their_folders() -> None:
    tasks = [task(f"t{v}", files=[f"src/**/x{v}_*.py"]) for v in range(200)]
    found = plan_checks.prepare(tasks, max_parallel=4)
    assert len(found.added_edges) == 199
    assert "too_many_globs" in codes(found)


def test_makespan_is_within_two_percent_of_its_lower_bound_on_random_plans() -> None:
    rng = random.Random(23)
    ratios: list[float] = []
    for _ in range(200):
        names = [f"t{v}" for v in range(24)]
        tasks = [
            task(name, *rng.sample(names[max(0, v - 8) : v], min(v, rng.randint(0, 2)))) for v, name in enumerate(names)
        ]
        minutes = {name: rng.lognormvariate(2.5, 0.8) for name in names}
        found = plan_checks.prepare(tasks, max_parallel=5, durations=minutes).estimate
        ratios.append(found.parallel / found.lower_bound)
    assert sum(ratios) / len(ratios) <= 1.02


PIECE = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]|\n\s*")


def test_the_answer_is_compact_and_never_echoes_the_input() -> None:
    tasks = plan_documents.read_tasks([{**one, "files": [f"src/part{one['id']}.py"]} for one in CART]).tasks
    found = plan_checks.prepare(tasks, max_parallel=5)
    decided = {
        "1": {"agent": "database-architect", "model": "opus", "conf": 0.86},
        "4": {"agent": "frontend-developer"},
    }
    answer = plan_checks.answer(found, plan_id="p7f3", decided=decided)
    text = json.dumps(answer, separators=(",", ":"))
    assert len(PIECE.findall(text)) <= 40 * len(tasks)
    assert not any(one.goal in text for one in tasks)
    assert answer["waves"] == [["1", "2"], ["3", "4"], ["5"], ["6"]]
    assert answer["tasks"]["4"] == {"agent": "frontend-developer", "slack": 15}
    assert "next" not in answer
    estimate = found.estimate
    assert (estimate.serial, estimate.parallel, estimate.critical, estimate.speedup) == (90, 60, 60, 1.5)


def test_a_refusal_lists_problems_without_empty_fields_and_says_how_many_are_left() -> None:
    found = check(*(task(f"t{v}", "nope-nothing-like-it") for v in range(12)))
    answer = plan_checks.refusal(found, 10)
    assert answer["more"] == 2
    assert answer["errors"][0].keys() == {"code", "task", "where", "message", "fix"}


_PRINT = """
import json, random
from dispatch_mcp.planning import plan_checks, plan_documents
rng = random.Random(1)
raw = [
    {"task_id": f"t{v}", "goal": f"fix {v}", "depends_on": [f"t{u}" for u in range(v) if rng.random() < 0.1],
     "files": rng.sample(["src/a.py", "src/", "src/*.py", "docs/b.md", "x.lock"], 2), "reads": ["src/a.py"]}
    for v in range(40)
]
reading = plan_documents.read_tasks(raw)
for mode in ("serialize", "worktree", "error"):
    found = plan_checks.prepare(reading.tasks, max_parallel=3, on_conflict=mode)
    print(json.dumps(plan_checks.answer(found.with_notices(reading.notes))), plan_checks.refusal(found.problems))
bad = plan_documents.read_tasks(raw + [{"id": "t1", "depends": ["x"]}, {"id": "c", "do": "d", "deps": ["t_2", "c"]}])
print(bad.problems, plan_checks.check(bad.tasks, agents={"a", "b", "c"}, models={"x", "y", "z"}))
"""


@pytest.mark.chaos
@pytest.mark.promise("R15")
@pytest.mark.slice(3, table="hash seeds")
def test_plans_and_problems_are_byte_equal_over_hash_seeds() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", _PRINT],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in range(SEEDS)
    }
    assert len(printed) == 1
    assert b"serial" in printed.pop()


ids = st.sampled_from(["a", "b", "c", "A", "a_b", "", "-", "é"])


@settings(max_examples=examples(300))
@given(st.lists(st.builds(model.Task, id=ids, do=st.text(max_size=3), deps=st.lists(st.text(min_size=1, max_size=2)))))
def test_a_plan_is_either_refused_or_can_be_prepared(tasks: list[model.Task]) -> None:
    if not plan_checks.check(tasks, agents=None, models=()):
        assert len(plan_checks.prepare(tasks, max_parallel=2).tasks) == len(tasks)
