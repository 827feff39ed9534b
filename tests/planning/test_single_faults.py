"""Plans with exactly one fault: its code, once, at its task, with the suggestion that was meant."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, bounds, problems, transitions
from dispatch_mcp.planning import edit_rules, plan_checks, plan_documents, plan_edits
from dispatch_mcp.runs import state_machine
from dispatch_mcp.text import json_types

SEEDS = 50
LARGEST = 60
LEAST_RIGHT = 0.95
CORE = Path(plan_checks.__file__).parent
NO_TASKS: Final[list[Any]] = ["x", None, {}]

Raw = dict[str, Any]

MODELS: Final = ("fable", "haiku", "opus", "sonnet")
AGENTS: Final = (
    *("backend-developer", "frontend-developer", "database-architect", "test-engineer", "security-auditor"),
    *("api-designer", "devops-engineer", "technical-writer", "performance-analyst", "code-reviewer"),
)
HEADS: Final = ["design", "build", "write", "test", "review", "migrate", "document", "measure", "refactor", "deploy"]
TAILS: Final = [
    "schema",
    "login",
    "payment",
    "search",
    "profile",
    "invoice",
    "report",
    "cache",
    "gateway",
    "session",
    "webhook",
    "billing",
]
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class Fault:
    """A plan (and edits of it) with one fault, and what has to be said about it."""

    tasks: list[Any]
    task: str = ""
    where: str = ""
    meant: str = ""
    max_tasks: int = bounds.MAX_TASKS
    edits: list[Raw] = field(default_factory=list[Raw])
    typo: str = ""


def sound(rng: random.Random, least: int = 1) -> list[Raw]:
    """Returns a random plan without a fault; every task writes a file of its own, some an optional field more."""
    names = rng.sample([f"{head}-{tail}" for head in HEADS for tail in TAILS], rng.randint(least, LARGEST))
    return [
        {
            "id": name,
            "do": f"Work on {name}",
            "deps": rng.sample(names[:at], min(at, rng.randint(0, 3))),
            "files": [f"src/{name}.py"],
            **({"agent": rng.choice(AGENTS)} if rng.random() < 0.5 else {}),
            **({"model": rng.choice(MODELS)} if rng.random() < 0.5 else {}),
            **({"effort": rng.choice("SML"), "priority": "high"} if rng.random() < 0.3 else {}),
            **({"acceptance": [f"file:src/{name}.py", "It is easy to read."]} if rng.random() < 0.3 else {}),
        }
        for at, name in enumerate(names)
    ]


def once_wrong(rng: random.Random, name: str) -> str:
    at, kind = rng.randrange(len(name) - 1), rng.randrange(5)
    if kind == 0:
        return name[:at] + name[at + 1 :]
    if kind == 1:
        return name[:at] + rng.choice(LETTERS) + name[at:]
    if kind == 2:
        return name[:at] + rng.choice(LETTERS) + name[at + 1 :]
    if kind == 3:
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    return rng.choice([name.upper(), name.title(), name.replace("-", "_"), name.replace("_", "-"), f" {name}"])


def mistyped(rng: random.Random, name: str, taken: Mapping[str, object] | tuple[str, ...] | list[str]) -> str:
    """Returns the name after one or two slips; never one that exists, and never the same but for blanks."""
    while True:
        wrong = name
        for _ in range(rng.randint(1, 2)):
            wrong = once_wrong(rng, wrong)
        if wrong.strip() not in taken:
            return wrong.strip()


def at_random(rng: random.Random, tasks: list[Raw], first: int = 0) -> tuple[int, Raw]:
    at = rng.randrange(first, len(tasks))
    return at, tasks[at]


def empty_plan(_rng: random.Random) -> Fault:
    return Fault([])


def too_many_tasks(rng: random.Random) -> Fault:
    tasks = sound(rng, 2)
    return Fault(tasks, max_tasks=len(tasks) - 1)


def bad_id(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    wrong = rng.choice(["", "a b", "-x", "é", "x" * 65, "a/b", "a:b", "_a"])
    for other in tasks:
        other["deps"] = [wrong if dep == one["id"] else dep for dep in other["deps"] if wrong or dep != one["id"]]
    one["id"] = wrong
    return Fault(tasks, wrong, f"tasks[{at}].id")


def duplicate_id(rng: random.Random) -> Fault:
    tasks = sound(rng)
    _, one = at_random(rng, tasks)
    tasks.append({"id": one["id"], "do": "Do it again"})
    return Fault(tasks, one["id"])


def empty_goal(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    one["do"] = rng.choice(["", " ", "\n\t", None])
    return Fault(tasks, one["id"], f"tasks[{at}].do")


def unknown_choice(kind: str, known: tuple[str, ...]) -> Callable[[random.Random], Fault]:
    def make(rng: random.Random) -> Fault:
        tasks = sound(rng)
        at, one = at_random(rng, tasks)
        meant = rng.choice(known)
        one[kind] = mistyped(rng, meant, known)
        return Fault(tasks, one["id"], f"tasks[{at}].{kind}", meant, typo=one[kind])

    return make


def unknown_dependency(rng: random.Random) -> Fault:
    tasks = sound(rng, 2)
    at, one = at_random(rng, tasks, 1)
    meant = tasks[rng.randrange(at)]["id"]
    wrong = mistyped(rng, meant, [other["id"] for other in tasks])
    one["deps"] = [*(dep for dep in one["deps"] if dep != meant), wrong]
    return Fault(tasks, one["id"], f"tasks[{at}].deps[{len(one['deps']) - 1}]", meant, typo=wrong)


def self_dependency(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    one["deps"].append(one["id"])
    return Fault(tasks, one["id"], f"tasks[{at}].deps[{len(one['deps']) - 1}]")


def bad_review(rng: random.Random) -> Fault:
    tasks = sound(rng, 3)
    at = rng.randrange(2, len(tasks))
    one, work = tasks[at], tasks[0]
    one["deps"] = []
    if rng.random() < 0.5:
        one |= {"reviews": [work["id"]], **rng.choice([{"files": ["src/a.py"]}, {"command": ["make"]}])}
    else:
        tasks[1] = {"id": tasks[1]["id"], "do": "Review it", "reviews": [work["id"]]}
        one["reviews"] = [tasks[1]["id"]]
        one.pop("files", None)
        one.pop("command", None)
    return Fault(tasks, one["id"], f"tasks[{at}].reviews")


def cycle(rng: random.Random) -> Fault:
    tasks = sound(rng, 2)
    ring = sorted(rng.sample(range(len(tasks)), rng.randint(2, min(6, len(tasks)))))
    for before, after in zip(ring, [*ring[1:], ring[0]], strict=True):
        if tasks[before]["id"] not in tasks[after]["deps"]:
            tasks[after]["deps"].append(tasks[before]["id"])
    return Fault(tasks)


def bad_acceptance(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    wrong, meant = rng.choice(
        [
            ("file:../outside.py", ""),
            ("file:", ""),
            ("fiel:src/a.py", "file:src/a.py"),
            ("golb:src/**/*.py", "glob:src/**/*.py"),
            ("comand: pytest -q", "command: pytest -q"),
            ("command: pytest && ruff", ""),
            ("command: 'open", ""),
            ("absent:src/*.py", ""),
            ("glob:src/*.py >= 0", ""),
        ]
    )
    one["acceptance"] = [*one.get("acceptance", ()), wrong]
    return Fault(tasks, one["id"], f"tasks[{at}].acceptance[{len(one['acceptance']) - 1}]", meant, typo=wrong)


def bad_file(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    spellings = (
        *(".git/hooks/pre-commit", "./.git//config", "src/../.git/x", ".git", ".GIT/x", "lib/vendor/.git/HEAD"),
        *(".git/**", "**/.git/*", ".{git,hg}/config", ".git\\x", "git~1/x", ".git./x", "lib/.git"),
        *("x" * 256, "src/" + "é" * 128 + "/a.py"),
    )
    one["files"] = [*one.get("files", ()), rng.choice(spellings)]
    return Fault(tasks, one["id"], f"tasks[{at}].files[{len(one['files']) - 1}]")


def write_conflict(rng: random.Random) -> Fault:
    tasks = sound(rng, 2)
    at = rng.randrange(1, len(tasks))
    other = rng.randrange(at)
    for one in (tasks[at], tasks[other]):
        one["deps"] = []
    tasks[at]["files"] = [tasks[other]["files"][0].replace("src/", "./src//")]
    for one in tasks:
        one["deps"] = [dep for dep in one["deps"] if dep not in (tasks[at]["id"], tasks[other]["id"])]
    return Fault(tasks)


def wrong_type(rng: random.Random) -> Fault:
    tasks: list[Any] = sound(rng)
    at, one = at_random(rng, tasks)
    key, wrong = rng.choice(
        [
            *(("do", 5), ("deps", {"a": 1}), ("files", 7), ("agent", ["a"]), ("effort", 3), ("inputs", "text")),
            *(("constraints", 1), ("timeout_s", "soon"), ("attempts", True), ("command", "make test"), ("id", 1.5)),
            ("", "text"),
        ]
    )
    if key:
        one[key] = wrong
    else:
        tasks[at] = wrong
    name = "" if key in ("", "id") else one["id"]
    return Fault(tasks, name, f"tasks[{at}].{key}" if key else f"tasks[{at}]")


def wrong_value(values: list[tuple[str, Any, str]]) -> Callable[[random.Random], Fault]:
    """Sets one field to one of the values (field, value, suggestion)."""

    def make(rng: random.Random) -> Fault:
        tasks = sound(rng)
        at, one = at_random(rng, tasks)
        key, wrong, meant = rng.choice(values)
        one[key] = wrong
        place = f"tasks[{at}].{key}" + ("[0]" if json_types.is_list(wrong) and len(wrong) == 1 else "")
        return Fault(tasks, one["id"], place, meant, typo=str(wrong) if meant else "")

    return make


def conflicting_fields(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    key, alias, value = rng.choice(
        [("do", "description", "else"), ("deps", "dependencies", ["x"]), ("agent", "specialist", "y")]
    )
    one.setdefault(key, "backend-developer")
    one[alias] = value
    return Fault(tasks, one["id"], f"tasks[{at}].{key}")


def unknown_field(rng: random.Random) -> Fault:
    tasks = sound(rng)
    at, one = at_random(rng, tasks)
    known = (*plan_documents.ALIASES, *model.Task.model_fields, "do")
    meant = rng.choice([key for key in one if len(key) > 3])
    wrong = mistyped(rng, meant, known)
    tasks[at] = {(wrong if key == meant else key): value for key, value in one.items()}
    return Fault(tasks, one["id"], f"tasks[{at}].{wrong}", meant, typo=wrong)


PLAN_FAULTS: Final[Mapping[str, Callable[[random.Random], Fault]]] = {
    "empty_plan": empty_plan,
    "too_many_tasks": too_many_tasks,
    "bad_id": bad_id,
    "duplicate_id": duplicate_id,
    "empty_goal": empty_goal,
    "unknown_agent": unknown_choice("agent", AGENTS),
    "unknown_model": unknown_choice("model", MODELS),
    "unknown_dependency": unknown_dependency,
    "self_dependency": self_dependency,
    "bad_review": bad_review,
    "cycle": cycle,
    "bad_file": bad_file,
    "bad_acceptance": bad_acceptance,
    "write_conflict": write_conflict,
    "wrong_type": wrong_type,
    "too_long": wrong_value([("do", "x" * 20_001, ""), ("files", ["f"] * 1_001, ""), ("reads", ["x" * 4_097], "")]),
    "bad_text": wrong_value([("do", "a\x00b", ""), ("constraints", ["half \ud800"], ""), ("agent", "a\x00", "")]),
    "bad_value": wrong_value(
        [
            *(("attempts", 0, ""), ("attempts", 1.5, ""), ("timeout_s", -1, ""), ("timeout_s", 1e12, "")),
            *(("priority", "hihg", "high"), ("priority", "medum", "medium"), ("worker", "hots", "host")),
            *(
                ("worker", "comand", "command"),
                ("isolation", "work-tree", "worktree"),
                ("inputs", {"a": float("nan")}, ""),
            ),
            ("effort", "enormous", ""),
        ]
    ),
    "conflicting_fields": conflicting_fields,
    "unknown_field": unknown_field,
}


def found_in(fault: Fault) -> list[problems.Problem]:
    """Returns what planning says: reading, checking, then preparing, as plans are made."""
    reading = plan_documents.read_tasks(fault.tasks)
    checked = plan_checks.check(reading.tasks, agents=AGENTS, models=MODELS, max_tasks=fault.max_tasks)
    found = problems.without_consequences(reading.problems, checked)
    return found or list(plan_checks.prepare(reading.tasks, max_parallel=4, on_conflict="error").problems)


def test_the_generator_makes_plans_without_a_fault() -> None:
    for seed in range(200):
        assert found_in(Fault(sound(random.Random(seed)))) == []


@pytest.mark.parametrize("code", PLAN_FAULTS)
def test_one_fault_in_a_plan_gives_exactly_its_problem_and_the_right_suggestion(code: str) -> None:
    right = typos = 0
    wrong: list[str] = []
    for seed in range(SEEDS):
        fault = PLAN_FAULTS[code](random.Random(f"{code} {seed}"))
        found = found_in(fault)
        assert [one.code for one in found] == [code], (seed, found)
        [one] = found
        assert_said(one, fault)
        if fault.typo:
            typos += 1
            right += one.did_you_mean == fault.meant
            if one.did_you_mean != fault.meant:
                wrong.append(f"{fault.typo!r} is {fault.meant!r}, not {one.did_you_mean!r}")
    assert right >= LEAST_RIGHT * typos, f"{right} of {typos} suggestions are right: {'; '.join(wrong)}"


def assert_said(one: problems.Problem, fault: Fault) -> None:
    assert one.message
    assert one.fix
    if fault.where:
        assert one.task == problems_shown(fault.task)
        assert one.where == fault.where
    if fault.meant and one.did_you_mean == fault.meant and one.code != "bad_acceptance":
        assert fault.meant in one.fix


def problems_shown(name: str) -> str:
    return name if len(name) <= 80 else name[:80]


def test_a_cycle_is_named_whole_and_cutting_where_the_fix_says_mends_the_plan() -> None:
    for seed in range(SEEDS):
        fault = cycle(random.Random(seed))
        for _ in range(LARGEST):
            found = found_in(fault)
            if not found:
                break
            cut = re.fullmatch(r"Remove `(.+)` from the deps of `(.+)`\.", found[0].fix)
            assert cut
            assert found[0].path[0] == found[0].path[-1] == found[0].task
            for one in fault.tasks:
                if one["id"] == cut[2]:
                    one["deps"].remove(cut[1])
        assert found_in(fault) == []


def test_a_write_conflict_names_both_tasks_and_its_fix_mends_the_plan() -> None:
    for seed in range(SEEDS):
        fault = write_conflict(random.Random(seed))
        [found] = found_in(fault)
        fix = re.match(r"Add `(.+)` to the deps of `(.+)`,", found.fix)
        assert fix
        assert found.task == fix[2]
        for one in fault.tasks:
            if one["id"] == fix[2]:
                one["deps"].append(fix[1])
        assert found_in(fault) == []


def suggestions(names: tuple[str, ...]) -> tuple[int, list[str]]:
    """Returns how many of 1,000 slips are understood, and the first of the others."""
    rng, right, wrong = random.Random("slips"), 0, list[str]()
    for _ in range(1_000):
        meant = rng.choice(names)
        typo = mistyped(rng, meant, names)
        found = problems.nearest(typo, names)
        right += found == meant
        if found != meant:
            wrong.append(f"{typo!r} is {meant!r}, not {found!r}")
    return right, wrong[:20]


@pytest.mark.parametrize(
    "names",
    [MODELS, AGENTS, tuple(f"{head}-{tail}" for head in HEADS for tail in TAILS), tuple(model.Task.model_fields)[1:]],
    ids=["models", "agents", "task ids", "fields"],
)
def test_slips_of_one_or_two_characters_are_understood(names: tuple[str, ...]) -> None:
    right, wrong = suggestions(tuple(name for name in names if len(name) > 3))
    assert right >= LEAST_RIGHT * 1_000, f"{right} of 1,000 are right: {'; '.join(wrong)}"


def live(rng: random.Random) -> tuple[list[model.Task], list[transitions.TaskRow]]:
    """Returns a plan with a person's decision in front of its last task, and where its tasks stand in a run."""
    raw = sound(rng, 6)
    raw.append({"id": "gate", "do": "May we go on?", "worker": "human", "deps": [raw[-1]["id"]]})
    raw += [{"id": "behind", "do": "Go on", "deps": ["gate"]}, {"id": "last", "do": "End", "deps": ["behind"]}]
    tasks = list(plan_documents.read_tasks(raw).tasks)
    core = state_machine.RunCore.begin("r", model.Plan(id="p", tasks=tuple(tasks), max_parallel=2), WorkerKind.SCRIPTED)
    done = model.Outcome(state=model.AttemptState.SUCCEEDED)
    for _ in range(rng.randrange(len(tasks) - 4)):
        for start in core.next(0.0, free=1):
            core.finish(transitions.Finished(start.task_id, start.attempt, done), 0.0)
    core.next(0.0)
    return tasks, core.rows


def bad_edit(rng: random.Random, tasks: list[model.Task], _rows: list[transitions.TaskRow]) -> Fault:
    task_id = rng.choice(tasks).id
    op = rng.choice(plan_edits.OPS)
    typo = mistyped(rng, op, plan_edits.OPS)
    choices = [
        Fault(
            [],
            task_id,
            "edits[0].op",
            op if problems.distance(typo, op) < 2 else "",
            edits=[{"op": typo, "id": task_id}],
        ),
        Fault([], "", "edits[0].id", edits=[{"op": op, "id": rng.choice(["", None, 5])}]),
        Fault([], task_id, "edits[0].deps", edits=[{"op": "modify", "id": task_id, "deps": []}]),
        Fault([], task_id, "edits[0].tsak", "task", edits=[{"op": "modify", "id": task_id, "tsak": {"do": "x"}}]),
        Fault([], task_id, "edits[0].task", edits=[{"op": "modify", "id": task_id, "task": rng.choice(NO_TASKS)}]),
        Fault([], task_id, "edits[0].task.id", edits=[{"op": "modify", "id": task_id, "task": {"id": "other"}}]),
    ]
    return rng.choice(choices)


def unknown_task(rng: random.Random, tasks: list[model.Task], _rows: list[transitions.TaskRow]) -> Fault:
    names = [task.id for task in tasks]
    meant = rng.choice([name for name in names if len(name) > 4])
    wrong = mistyped(rng, meant, names)
    edit = {"op": rng.choice(["modify", "skip", "remove"]), "id": wrong, "task": {"do": "Do else"}}
    return Fault([], wrong, "edits[0]", meant, edits=[edit], typo=wrong)


def added_twice(rng: random.Random, tasks: list[model.Task], _rows: list[transitions.TaskRow]) -> Fault:
    task_id = rng.choice(tasks).id
    return Fault([], task_id, "edits[0]", edits=[{"op": "add", "id": task_id, "task": {"do": "x"}}])


def task_started(rng: random.Random, _tasks: list[model.Task], rows: list[transitions.TaskRow]) -> Fault:
    task_id = rng.choice([row for row in rows if transitions.is_fixed(row) and row.id != "gate"]).id
    change = rng.choice([{"do": "Do else"}, {"description": "Do else"}, {"effort": "XL"}, {"deps": ["fresh"]}])
    edit = rng.choice(
        [
            {"op": "modify", "id": task_id, "task": change},
            {"op": "remove", "id": task_id},
            {"op": "skip", "id": task_id, "reason": "no need"},
        ]
    )
    return Fault([], task_id, edits=[{"op": "add", "id": "fresh", "task": {"do": "x", "files": ["x.md"]}}, edit])


def needs_person(rng: random.Random, _tasks: list[model.Task], _rows: list[transitions.TaskRow]) -> Fault:
    edits: list[tuple[str, dict[str, Any]]] = [
        ("gate", {"op": "remove", "id": "gate"}),
        ("gate", {"op": "skip", "id": "gate"}),
        ("gate", {"op": "modify", "id": "gate", "task": {"worker": "host"}}),
        ("behind", {"op": "modify", "id": "behind", "task": {"depends_on": []}}),
        ("last", {"op": "skip", "id": "behind"}),
        ("last", {"op": "modify", "id": "last", "task": {"deps": []}}),
    ]
    task_id, edit = rng.choice(edits)
    return Fault([], task_id, edits=[edit])


def of_the_task(rng: random.Random, tasks: list[model.Task], rows: list[transitions.TaskRow]) -> Fault:
    """A field that does not exist, in an edit."""
    task_id = rng.choice([row.id for row in rows if not transitions.is_fixed(row)])
    known = (*plan_documents.ALIASES, *model.Task.model_fields, "do")
    meant = rng.choice(["files", "reads", "effort", "acceptance", "constraints", "context"])
    wrong = mistyped(rng, meant, known)
    assert tasks
    return Fault(
        [],
        task_id,
        f"edits[0].task.{wrong}",
        meant,
        edits=[{"op": "modify", "id": task_id, "task": {wrong: "S"}}],
        typo=wrong,
    )


EDIT_FAULTS: Final[Mapping[str, Callable[[random.Random, list[model.Task], list[transitions.TaskRow]], Fault]]] = {
    "bad_edit": bad_edit,
    "unknown_task": unknown_task,
    "duplicate_id": added_twice,
    "task_started": task_started,
    "needs_person": needs_person,
    "unknown_field": of_the_task,
}


@pytest.mark.parametrize("code", EDIT_FAULTS)
def test_one_fault_in_an_edit_gives_exactly_its_problem_and_the_right_suggestion(code: str) -> None:
    right = typos = 0
    for seed in range(SEEDS):
        rng = random.Random(f"{code} {seed}")
        tasks, rows = live(rng)
        fault = EDIT_FAULTS[code](rng, tasks, rows)
        after, found = plan_edits.apply(tasks, fault.edits)
        found = found or [
            *plan_checks.check(after, agents=AGENTS, models=MODELS),
            *edit_rules.refusals(tasks, after, rows),
        ]
        assert [one.code for one in found] == [code], (seed, fault.edits, found)
        [one] = found
        assert one.message
        assert one.fix
        assert one.task == fault.task
        assert not fault.where or one.where == fault.where
        if fault.meant:
            typos += 1
            right += one.did_you_mean == fault.meant
    assert right >= LEAST_RIGHT * typos, f"{right} of {typos} suggestions are right"


def test_an_edit_takes_every_name_of_a_field_that_a_document_takes() -> None:
    before = [model.Task(id="a", do="Do a", deps=()), model.Task(id="b", do="Do b", agent="x", deps=("a",))]
    fields: dict[str, Any] = {"description": "Do else", "depends_on": [], "specialist": "y"}
    [_, after], found = plan_edits.apply(before, [{"op": "modify", "id": "b", "task": fields}])
    assert found == []
    assert (after.goal, after.deps, after.agent) == ("Do else", (), "y")


def test_every_code_of_planning_is_tried() -> None:
    text = "".join(
        (CORE / f"{name}.py").read_text(encoding="utf-8")
        for name in (
            "plan_checks",
            "conflicts",
            "plan_documents",
            "json_reader",
            "acceptance",
            "plan_edits",
            "edit_rules",
        )
    )
    written = set(re.findall(r'(?:code=|\.problem\()"(\w+)"', text))
    notices = set(re.findall(r'Notice\(code="(\w+)"', text))
    assert written - notices == {*PLAN_FAULTS, *EDIT_FAULTS} - {"unknown_agent", "unknown_model"}


def test_a_fault_that_follows_from_another_is_not_named_beside_it() -> None:
    raw: list[Any] = [{"idd": "a", "do": "x"}, {"id": "b", "goal": 5, "deps": ["a"]}, {"id": 1.5, "do": "z"}]
    raw.append({"id": "c", "do": "y", "deps": ["lost"]})
    found = found_in(Fault(raw))
    assert [(one.code, one.where) for one in found] == [
        ("unknown_field", "tasks[0].idd"),
        ("wrong_type", "tasks[1].do"),
        ("wrong_type", "tasks[2].id"),
    ]
