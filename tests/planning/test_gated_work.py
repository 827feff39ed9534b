"""Work behind a gate of a live run: no edit takes it away or has it done in front of the gate."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.model.problems import Problem
from dispatch_mcp.planning import edit_rules, gated_work, plan_edits


def task(name: str, *deps: str, **more: object) -> model.Task:
    return model.Task.model_validate({"id": name, "do": f"Change {name}", "deps": deps, **more})


GATE = task("gate", worker="human")
WORK = task("work", "gate", files=["shop/cart.py", "docs/**"])
BLIND = task("blind", "gate")
SENT = task("sent", "gate", command=["./send.sh"])
FREE = task("free", files=["notes.md"])
PLAN = (GATE, WORK, BLIND, SENT, FREE)
FIRST = task("first", files=["shop/cart.py"])
REVIEW = task("review", "first", reviews=["first"])
BEHIND = task("behind", "review", files=["README.md"])


def row(name: str, state: TaskState, **more: int) -> transitions.TaskRow:
    line = transitions.TaskRow(name, WorkerKind.HOST, state)
    line.attempt, line.rounds = more.get("attempt", 0), more.get("rounds", 0)
    return line


ROWS = (row("gate", TaskState.RUNNING, attempt=1), *(row(one.id, TaskState.BLOCKED) for one in PLAN[1:]))


def refused(
    after: list[model.Task],
    before: tuple[model.Task, ...] = PLAN,
    rows: tuple[transitions.TaskRow, ...] = ROWS,
    workspace: str = "",
) -> list[Problem]:
    return edit_rules.refusals(before, after, rows, workspace=workspace)


def without(*names: str, plan: tuple[model.Task, ...] = PLAN) -> list[model.Task]:
    return [one for one in plan if one.id not in names]


@pytest.mark.parametrize(
    ("after", "tasks"),
    [
        ([*without("work"), task("new", files=["shop/cart.py", "docs/**"])], {"work", "new"}),
        ([*without("work"), task("new", files=["other.py"])], {"work", "new"}),
        ([*without("blind"), task("blind2", "gate"), task("new", files=["other.py"])], {"new"}),
        (without("work"), {"work"}),
        (without("blind"), {"blind"}),
        (without("sent"), {"sent"}),
        ([*PLAN, task("new", files=["shop/cart.py"])], {"new"}),
        ([*PLAN, task("new", files=["/w/shop/cart.py"])], {"new"}),
        ([*PLAN, task("new", files=["shop"])], {"new"}),
        ([*PLAN, task("new", files=["docs/a.md"])], {"new"}),
        ([*PLAN, task("new")], {"new"}),
        ([*PLAN, task("new", "free")], {"new"}),
        ([*PLAN, task("new", command=["./send.sh", "--now"])], {"new"}),
        ([*without("work"), task("work", "gate", files=["decoy.md"])], {"work"}),
        ([*without("blind"), task("blind", "gate", files=["decoy.md"])], {"blind"}),
        ([*without("sent"), task("sent", "gate", command=["true"])], {"sent"}),
        ([*without("free"), task("free", files=["shop/cart.py"])], {"free"}),
        ([*without("work"), task("work", files=["shop/cart.py", "docs/**"])], {"work"}),
    ],
)
def test_work_behind_a_gate_is_neither_lost_nor_done_in_front_of_it(after: list[model.Task], tasks: set[str]) -> None:
    problems = refused(after, workspace="/w")
    assert {problem.code for problem in problems} == {"needs_person"}
    assert tasks <= {problem.task for problem in problems}
    assert all("'gate'" in problem.message for problem in problems)


NAMED = (GATE, WORK, FREE)


@pytest.mark.parametrize(
    "after",
    [
        [GATE, task("one", "gate", files=["shop/cart.py"]), task("two", "gate", files=["docs/**"]), FREE],
        [GATE, task("one", "gate", files=["shop/cart.py"]), task("two", "one", files=["docs/**"]), FREE],
        [GATE, task("all", "gate", files=["shop/**", "shop", "docs/**"]), FREE],
        [*NAMED, task("new", files=["app/other.py"])],
        [*NAMED, task("new", "gate", files=["shop/cart.py"])],
        [*NAMED, task("new", "work", files=["shop/cart.py"])],
        [*NAMED, BLIND, SENT, task("new", files=["app/other.py"])],
        [*NAMED, task("look", do="Investigate how carts are used")],
        [*NAMED, task("look", command=["git", "status"])],
        [*NAMED, task("tests", "gate", command=["pytest", "-q"])],
        [*NAMED, task("notes", command=["./notes.sh"], files=["more.md"])],
        [GATE, task("work", "gate", files=["shop/cart.py", "docs/**", "more.py"], do="Another word"), FREE],
        [GATE, WORK],
        [GATE, WORK, task("free", files=["others.md"])],
        [GATE, WORK, FREE, task("free2", "free", files=["notes.md"])],
    ],
)
def test_honest_edits_pass_while_a_person_has_not_decided(after: list[model.Task]) -> None:
    assert not refused(after, NAMED, tuple(line for line in ROWS if line.id in {"gate", "work", "free"}))


@pytest.mark.parametrize(
    "review",
    [
        row("review", TaskState.BLOCKED, attempt=1, rounds=1),
        row("review", TaskState.FAILED, attempt=2, rounds=2),
        row("review", TaskState.READY, attempt=1),
        row("review", TaskState.RUNNING, attempt=1),
    ],
    ids=["objects", "failed", "asked again", "is asked"],
)
def test_a_review_that_was_asked_keeps_what_waits_for_it_until_it_passes(review: transitions.TaskRow) -> None:
    before = (FIRST, REVIEW, BEHIND)
    rows = (row("first", TaskState.READY, attempt=1), review, row("behind", TaskState.BLOCKED))
    anew = [FIRST, REVIEW, task("anew", files=["README.md"])]
    assert {problem.task for problem in refused(anew, before, rows)} == {"behind", "anew"}
    assert refused([FIRST, REVIEW, task("behind", files=["README.md"])], before, rows)
    assert not refused([*before, task("mend", files=["shop/rounding.py"])], before, rows)
    passed = (rows[0], row("review", TaskState.SUCCEEDED, attempt=1), rows[2])
    assert not refused(anew, before, passed)


@pytest.mark.parametrize("command", [["sh", "t.sh"], ["pytest", "-q"], ["git", "push"]])
def test_a_program_that_may_write_anything_waits_for_a_person_whatever_it_is_called(command: list[str]) -> None:
    rows = tuple(line for line in ROWS if line.id in {"gate", "work", "free"})
    [problem] = refused([*NAMED, task("new", do="List", command=command)], NAMED, rows)
    assert (problem.code, problem.task) == ("needs_person", "new")
    assert "'gate'" in problem.fix
    before = (*NAMED, task("old", command=["make", "lint"]), task("look", command=["git", "status"]))
    rows = (*rows, row("old", TaskState.BLOCKED), row("look", TaskState.BLOCKED))
    for name in ("old", "look"):
        after = [one.model_copy(update={"command": tuple(command)}) if one.id == name else one for one in before]
        assert [problem.task for problem in refused(after, before, rows)] == [name]
        words = [one.model_copy(update={"goal": "Lint anew"}) if one.id == name else one for one in before]
        assert not refused(words, before, rows)


@pytest.mark.parametrize("command", ["./send.sh", "send.sh --now", "bash send.sh", "env bash -c './send.sh all'"])
@pytest.mark.parametrize(
    "fields",
    [{"files": ["new.md"]}, {"do": "Look at it and change nothing"}, {"files": ["new.md"], "reviews": ["free"]}],
)
def test_no_proof_of_other_work_runs_a_command_that_waits_for_a_person(command: str, fields: dict[str, object]) -> None:
    new = task("new", acceptance=[f"command: {command}"], **fields)
    assert [(problem.code, problem.task) for problem in refused([*PLAN, new])] == [("needs_person", "new")]
    changed = FREE.model_copy(update={"acceptance": (f"command: {command}",)})
    assert [problem.task for problem in refused([*without("free"), changed])] == ["free"]
    waiting = task("new", "gate", acceptance=[f"command: {command}"], **{"files": ["new.md"], **fields})
    assert not refused([*PLAN, waiting])


def test_other_proofs_and_those_that_were_there_already_hold_nothing_back() -> None:
    other = task("new", files=["new.md"], acceptance=["command: pytest -q", "file: new.md", "It sends: ./send.sh"])
    assert not refused([*PLAN, other])
    before = (*without("free"), FREE.model_copy(update={"acceptance": ("command: ./send.sh",)}))
    assert not refused([*without("free", plan=before), before[-1].model_copy(update={"goal": "Name it"})], before)


def test_tests_are_run_beside_a_review_that_has_not_passed() -> None:
    before = (FIRST, REVIEW, BEHIND)
    rows = (
        row("first", TaskState.READY, attempt=1),
        row("review", TaskState.BLOCKED, attempt=1, rounds=1),
        row("behind", TaskState.BLOCKED),
    )
    assert not refused([*before, task("tests", command=["pytest", "-q"])], before, rows)


def test_a_gate_that_is_open_and_work_that_was_done_hold_nothing_back() -> None:
    rows = (row("gate", TaskState.SUCCEEDED, attempt=1), *ROWS[1:])
    assert not refused([GATE, task("new", files=["shop/cart.py"])], NAMED, rows)


def test_a_plan_that_never_ran_may_lose_work_behind_a_gate() -> None:
    assert not refused([GATE, FREE, task("new", files=["shop/cart.py"])], NAMED, ())


def test_the_fix_of_a_new_task_names_what_it_has_to_depend_on() -> None:
    [problem] = refused([*NAMED, task("new", files=["shop/cart.py"])], NAMED)
    assert problem.message == (
        "Task 'new' may write `shop/cart.py` as 'work', which waits for a person's decision, 'gate'."
    )
    assert problem.fix.startswith("Add 'gate' to its deps")


FILES = st.lists(st.sampled_from(["a.py", "b.py", "lib/c.py", "lib", "lib/**", "*.md"]), max_size=3, unique=True)
NEW = st.tuples(FILES, st.lists(st.sampled_from(["gate", "w0", "w1", "free"]), max_size=2))


@settings(max_examples=300)
@given(st.lists(FILES, min_size=1, max_size=2), st.lists(NEW, max_size=3), st.sets(st.integers(0, 1)))
def test_after_any_edit_that_passes_all_that_was_behind_the_gate_still_waits_for_it(
    work: list[list[str]], news: list[tuple[list[str], list[str]]], removed: set[int]
) -> None:
    before = (GATE, *(task(f"w{at}", "gate", files=files) for at, files in enumerate(work)), FREE)
    goners = [{"op": "remove", "id": f"w{at}"} for at in removed if at < len(work)]
    more = [
        {"op": "add", "id": f"n{at}", "task": {"do": "Change it", "files": files, "deps": deps}}
        for at, (files, deps) in enumerate(news)
    ]
    after, faults = plan_edits.apply(before, [*more, *goners])
    rows = (ROWS[0], *(row(one.id, TaskState.BLOCKED) for one in before[1:]))
    if faults or refused(after, before, rows):
        return
    waiting = gated_work.behind("gate", after)
    written = set(itertools.chain.from_iterable(work))
    assert written <= {path for one in after if one.id in waiting for path in (*one.files, *_below(one.files))}
    for one in after:
        if one.id.startswith("n") and one.id not in waiting:
            assert one.files
            assert not written.intersection(one.files)
            assert not goners


def _below(files: tuple[str, ...]) -> set[str]:
    """Returns which of the drawn paths lie below one of these."""
    return {"lib/c.py", "lib/**"} if "lib" in files else set()


# -- decisions of other runs


REFUSED = gated_work.EarlierGate("ship-1a2b", "gate", "refused")
WAITS = gated_work.EarlierGate("send-3c4d", "ask", "open")


def with_approval(
    plan: list[model.Task], gates: dict[str, gated_work.EarlierGate], final_ids: set[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Returns what each task waits for once the work of earlier gates waits for a person."""
    return {one.id: one.deps for one in gated_work.with_approval(plan, gates, final_ids or set()).tasks}


def test_one_decision_is_added_for_all_work_of_earlier_gates_and_says_which_these_were() -> None:
    plan = [task("a", files=["a.py"]), task("b", "a", files=["b.py"]), task("c", files=["c.py"]), task("d", "c")]
    guarded = gated_work.with_approval(plan, {"a": REFUSED, "c": WAITS, "b": REFUSED})
    assert [(one.id, one.deps) for one in guarded.tasks] == [
        ("approval", ()),
        ("a", ("approval",)),
        ("b", ("approval", "a")),
        ("c", ("approval",)),
        ("d", ("c",)),
    ]
    decision = guarded.tasks[0]
    assert decision.worker is WorkerKind.HUMAN
    [notice] = guarded.notices
    assert notice.tasks == ("a", "b", "c")
    for text in (decision.goal, notice.message, guarded.additions["approval"]):
        assert "'gate' of run ship-1a2b, behind which the same work stood, was refused by a person" in text
        assert "'ask' of run send-3c4d, behind which the same work stood, still waits for a person" in text
    assert guarded.additions["approval"].startswith(gated_work.AGAIN)


def test_a_name_that_is_taken_is_not_used_again() -> None:
    plan = [task("approval"), task("approval-2"), task("a")]
    assert with_approval(plan, {"a": REFUSED})["a"] == ("approval-3",)


@pytest.mark.parametrize(
    ("plan", "final_ids"),
    [
        ([GATE, task("a", "gate")], set[str]()),
        ([GATE, task("b", "gate"), task("a", "b", "b")], set[str]()),
        ([task("a")], {"a"}),
        ([task("b")], set[str]()),
    ],
    ids=["behind a decision", "far behind one", "begun", "other work"],
)
def test_work_that_waits_for_a_person_already_or_has_begun_is_left_as_it_is(
    plan: list[model.Task], final_ids: set[str]
) -> None:
    assert gated_work.unguarded(plan, {"a": REFUSED}, final_ids) == []
    guarded = gated_work.with_approval(plan, {"a": REFUSED}, final_ids)
    assert (list(guarded.tasks), guarded.notices, guarded.additions) == (plan, (), {})


def test_a_decision_that_nothing_waits_for_and_a_gate_that_is_not_there_guard_nothing() -> None:
    plan = [GATE, task("a", "lost", "b"), task("b", "a")]
    assert [one.id for one in gated_work.unguarded(plan, {"a": WAITS})] == ["a"]


@pytest.mark.parametrize(
    ("command", "is_reading"),
    [(["git", "status"], True), (["git", "diff", "--stat"], True), (["git", "push"], False), (["ls"], False)],
)
def test_only_what_the_server_may_always_start_is_known_to_read(command: list[str], is_reading: object) -> None:
    assert gated_work.only_reads(task("look", command=command)) == is_reading


def test_a_review_that_objects_may_wait_for_more_and_stays_as_it_is_otherwise() -> None:
    before = (FIRST, REVIEW, BEHIND)
    rows = (
        row("first", TaskState.READY, attempt=1),
        row("review", TaskState.BLOCKED, attempt=1, rounds=1),
        row("behind", TaskState.BLOCKED),
    )
    mend = task("mend", "first", files=["shop/rounding.py"])
    later = REVIEW.model_copy(update={"deps": ("first", "mend")})
    assert not refused([FIRST, mend, later, BEHIND], before, rows)
    for change in ({"deps": ("mend",)}, {"goal": "Nod"}, {"agent": "another"}, {"reviews": ()}):
        assert refused([FIRST, mend, later.model_copy(update=change), BEHIND], before, rows)


def test_a_person_is_asked_when_it_was_planned_and_not_after_more() -> None:
    later = GATE.model_copy(update={"deps": ("free",)})
    assert [problem.task for problem in refused([later, *without("gate")])] == ["gate"]


LOOK = task("look", "first", do="Verify the totals", agent="coder", attempts=2)


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        ({}, False),
        ({"deps": ("first", "mend")}, False),
        ({"deps": ("mend",)}, False),
        ({"deps": ("other",)}, True),
        ({"deps": ()}, True),
        ({"max_attempts": 3}, False),
        ({"max_attempts": 1}, True),
        ({"agent": "tester", "model": "opus"}, False),
        ({"goal": "Think about nothing"}, True),
        ({"acceptance": ("command: true",)}, True),
        ({"worker": WorkerKind.COMMAND, "command": ("true",)}, True),
        ({"worker": WorkerKind.SCRIPTED}, True),
        ({"reads": ("shop/cart.py",)}, True),
    ],
)
def test_a_look_that_has_failed_its_work_asks_the_same_afterwards_whoever_is_asked_and_after_what(
    change: dict[str, object], *, is_refused: bool
) -> None:
    rows = [
        row("first", TaskState.SUCCEEDED, attempt=1),
        row("look", TaskState.FAILED, attempt=1),
        row("behind", TaskState.SKIPPED),
    ]
    rows[1].cause = transitions.NEEDS_CHANGES
    behind = BEHIND.model_copy(update={"deps": ("look",)})
    mend, other = task("mend", "first", files=["shop/rounding.py"]), task("other", files=["notes.md"])
    after = [FIRST, mend, other, LOOK.model_copy(update=change), behind]
    assert bool(refused(after, (FIRST, LOOK, behind), tuple(rows))) is is_refused
