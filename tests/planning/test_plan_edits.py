"""Edits of a plan: all or nothing, and what they leave to schedule while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, problems, transitions
from dispatch_mcp.planning import gated_work, plan_checks, plan_edits

Edit = Mapping[str, model.Json]


def task(task_id: str, *deps: str, **fields: model.Json) -> model.Task:
    return model.Task.model_validate({"id": task_id, "do": f"Do {task_id}", "deps": deps, **fields})


CHAIN = (task("a"), task("b", "a"), task("c", "b"), task("d", "b", "c"))


def edges(tasks: Sequence[model.Task]) -> dict[str, tuple[str, ...]]:
    return {task.id: task.deps for task in tasks}


def after(*edits: Edit, tasks: Sequence[model.Task] = CHAIN) -> list[model.Task]:
    """Returns the tasks after edits that are right."""
    new, faults = plan_edits.apply(tasks, edits)
    assert faults == []
    return new


def faults_of(*edits: Edit) -> list[problems.Problem]:
    return plan_edits.apply(CHAIN, edits)[1]


def test_a_new_task_comes_last_with_all_its_fields() -> None:
    new = after({"op": "add", "id": "e", "task": {"do": "Do e", "deps": ["d"], "files": ["e.py"]}})
    assert new[:-1] == list(CHAIN)
    assert new[-1] == task("e", "d", files=["e.py"])


@pytest.mark.parametrize(
    ("fields", "change"),
    [
        ({"do": "Do it better"}, {"goal": "Do it better"}),
        ({"description": "Do it better"}, {"goal": "Do it better"}),
        ({"effort": "L", "files": ["x.py"]}, {"effort": model.Effort.L, "files": ("x.py",)}),
        ({"deps": []}, {"deps": ()}),
        ({"dependencies": ["c"]}, {"deps": ("c",)}),
        ({"agent": "builder", "model": None}, {"agent": "builder"}),
        ({"id": "b", "priority": "high"}, {"priority": model.Priority.HIGH}),
    ],
)
def test_a_changed_task_has_the_fields_that_were_named_and_keeps_the_others(
    fields: dict[str, model.Json], change: dict[str, model.Json]
) -> None:
    new = after({"op": "modify", "id": "b", "task": fields})
    assert new[1] == CHAIN[1].model_copy(update=change)
    assert [*new[:1], *new[2:]] == [*CHAIN[:1], *CHAIN[2:]]


def test_a_task_that_is_skipped_counts_as_done_and_one_that_is_removed_passes_its_dependencies_on() -> None:
    assert edges(after({"op": "skip", "id": "b"})) == {"a": (), "c": (), "d": ("c",)}
    assert edges(after({"op": "remove", "id": "b"})) == {"a": (), "c": ("a",), "d": ("c", "a")}
    assert edges(after({"op": "remove", "id": "c"})) == {"a": (), "b": ("a",), "d": ("b",)}
    assert edges(after({"op": "remove", "id": "d"})) == edges(CHAIN[:3])


def test_a_skip_that_cascades_takes_all_that_depends_on_the_task_with_it() -> None:
    assert edges(after({"op": "skip", "id": "b", "cascade": True})) == {"a": ()}
    assert edges(after({"op": "skip", "id": "c", "cascade": True})) == {"a": (), "b": ("a",)}
    assert edges(after({"op": "remove", "id": "c", "cascade": True})) == edges(after({"op": "remove", "id": "c"}))


def test_edits_see_what_those_before_them_did() -> None:
    new = after(
        {"op": "add", "id": "e", "task": {"do": "Do e", "deps": ["b"]}},
        {"op": "modify", "id": "e", "task": {"deps": ["c"]}},
        {"op": "remove", "id": "c"},
        {"op": "add", "id": "c", "task": {"do": "Do c anew"}},
    )
    assert edges(new) == {"a": (), "b": ("a",), "d": ("b",), "e": ("b",), "c": ()}


@pytest.mark.parametrize(
    ("edit", "code", "where", "meant"),
    [
        ({"op": "ad", "id": "e"}, "bad_edit", "edits[0].op", "add"),
        ({"op": "explode", "id": "b"}, "bad_edit", "edits[0].op", ""),
        ({"id": "b"}, "bad_edit", "edits[0].op", ""),
        ({"op": 5, "id": "b"}, "bad_edit", "edits[0].op", ""),
        ({"op": "skip"}, "bad_edit", "edits[0].id", ""),
        ({"op": "skip", "id": ""}, "bad_edit", "edits[0].id", ""),
        ({"op": "skip", "id": 5}, "bad_edit", "edits[0].id", ""),
        ({"op": "skip", "id": "b", "cascde": True}, "bad_edit", "edits[0].cascde", "cascade"),
        ({"op": "modify", "id": "b", "do": "x"}, "bad_edit", "edits[0].do", ""),
        ({"op": "skip", "id": "b", "cascade": "false"}, "bad_edit", "edits[0].cascade", ""),
        ({"op": "skip", "id": "b", "cascade": 1}, "bad_edit", "edits[0].cascade", ""),
        ({"op": "modify", "id": "b"}, "bad_edit", "edits[0].task", ""),
        ({"op": "add", "id": "e", "task": {}}, "bad_edit", "edits[0].task", ""),
        ({"op": "add", "id": "e", "task": "Do e"}, "bad_edit", "edits[0].task", ""),
        ({"op": "modify", "id": "b", "task": {"id": "z", "do": "x"}}, "bad_edit", "edits[0].task.id", ""),
        ({"op": "add", "id": "b", "task": {"do": "x"}}, "duplicate_id", "edits[0]", ""),
        ({"op": "modify", "id": "bb", "task": {"do": "x"}}, "unknown_task", "edits[0]", ""),
        ({"op": "remove", "id": "B"}, "unknown_task", "edits[0]", "b"),
        ({"op": "modify", "id": "b", "task": {"effort": "huge"}}, "bad_value", "edits[0].task.effort", ""),
        ({"op": "add", "id": "e", "task": {"do": 5}}, "wrong_type", "edits[0].task.do", ""),
    ],
)
def test_a_wrong_edit_is_one_problem_at_its_place_and_changes_nothing(
    edit: Edit, code: str, where: str, meant: str
) -> None:
    new, faults = plan_edits.apply(CHAIN, [edit])
    assert new == list(CHAIN)
    (fault,) = faults
    assert (fault.code, fault.where) == (code, where)
    assert not meant or fault.did_you_mean == meant
    assert fault.message
    assert fault.fix


def test_every_wrong_edit_is_told_at_once_with_its_number() -> None:
    faults = faults_of({"op": "ad", "id": "e"}, {"op": "skip", "id": "a"}, {"op": "skip", "id": "z"}, {"op": "skip"})
    assert [fault.where for fault in faults] == ["edits[0].op", "edits[2]", "edits[3].id"]


@pytest.mark.parametrize("op", [{"op": "skip", "cascade": True}, {"op": "skip"}, {"op": "remove"}])
@pytest.mark.parametrize(
    "circle",
    [
        [{"op": "add", "id": "e", "task": {"do": "x", "deps": ["e"]}}],
        [
            {"op": "add", "id": "e", "task": {"do": "x", "deps": ["f"]}},
            {"op": "add", "id": "f", "task": {"do": "x", "deps": ["e"]}},
        ],
    ],
)
def test_a_task_of_a_circle_can_be_dropped_by_a_later_edit(circle: list[Edit], op: Edit) -> None:
    assert "e" not in {task.id for task in after(*circle, {**op, "id": "e"})}


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_a_field_that_holds_nothing_counts_as_left_out(empty: model.Json) -> None:
    assert after({"op": "skip", "id": "b", "reason": empty, "cascade": None}) == after({"op": "skip", "id": "b"})


_IDS = st.sampled_from("abcdef")
_NEW = st.fixed_dictionaries({"do": st.just("x"), "deps": st.lists(_IDS, max_size=2)})
_EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.fixed_dictionaries({"op": st.just("add"), "id": _IDS, "task": _NEW}),
    st.fixed_dictionaries({"op": st.just("modify"), "id": _IDS, "task": st.just({"priority": "high"})}),
    st.fixed_dictionaries({"op": st.just("skip"), "id": _IDS, "cascade": st.booleans()}),
    st.fixed_dictionaries({"op": st.just("remove"), "id": _IDS}),
)


@settings(max_examples=examples(150))
@given(st.lists(_EDITS, max_size=5))
def test_removing_and_skipping_leaves_a_graph_without_loose_ends(edits: list[Edit]) -> None:
    shrinking = [edit for edit in edits if edit["op"] != "add"]
    new, _ = plan_edits.apply(CHAIN, shrinking)
    assert plan_checks.check(new or CHAIN, agents=None, models=()) == []
    before = {task.id: gated_work.behind(task.id, CHAIN) for task in CHAIN}
    assert all(gated_work.behind(task.id, new) <= before[task.id] for task in new)


@given(st.lists(_EDITS, max_size=4))
def test_the_difference_of_two_versions_names_every_task_that_is_not_the_same(edits: list[Edit]) -> None:
    new, _ = plan_edits.apply(CHAIN, edits)
    difference = plan_edits.difference(CHAIN, new)
    old, now = {task.id: task for task in CHAIN}, {task.id: task for task in new}
    assert set(difference["added"]) == set(now) - set(old)
    assert set(difference["removed"]) == set(old) - set(now)
    assert set(difference["changed"]) == {name for name in set(old) & set(now) if old[name] != now[name]}


def rows(**states: TaskState) -> list[transitions.TaskRow]:
    return [transitions.TaskRow(task_id, WorkerKind.HOST, state) for task_id, state in states.items()]


def test_tasks_have_ended_only_if_they_have_in_every_open_run() -> None:
    one = rows(a=TaskState.SUCCEEDED, b=TaskState.RUNNING, c=TaskState.READY, d=TaskState.FAILED)
    other = rows(a=TaskState.SUCCEEDED, b=TaskState.READY, c=TaskState.BLOCKED, d=TaskState.RUNNING)
    alone, both = plan_edits.standing([one]), plan_edits.standing([one, other])
    assert (alone.ended, alone.running) == ({"a", "d"}, {"b"})
    assert (both.ended, both.running) == ({"a"}, {"b", "d"})
    assert both.fixed == {"a", "b", "d"}
    assert plan_edits.standing([]) == plan_edits.NOTHING_BEGUN
    assert plan_edits.standing([rows(a=TaskState.READY)]) == plan_edits.NOTHING_BEGUN


def test_what_is_left_to_schedule_waits_no_more_for_what_has_ended() -> None:
    standing = plan_edits.TaskProgress(ended=frozenset("a"))
    rest = plan_edits.rest(CHAIN, standing)
    assert edges(rest.tasks) == {"b": (), "c": ("b",), "d": ("b", "c")}
    assert rest.edges == []
    assert rest.merged(CHAIN, rest.tasks) == CHAIN


def test_whoever_writes_what_a_running_task_writes_waits_for_it() -> None:
    tasks = [task("a", files=["src"]), task("b", files=["./src/b.py"]), task("c", "b", files=["src/c.py"]), task("d")]
    rest = plan_edits.rest(tasks, plan_edits.TaskProgress(running=frozenset("a")), "/work")
    assert edges(rest.tasks) == {"a": (), "b": ("a",), "c": ("b", "a"), "d": ()}
    assert [(edge.before, edge.after) for edge in rest.edges] == [("a", "b"), ("a", "c")]
    assert rest.edges[0].reason == "both write `src/b.py`"


def test_running_tasks_that_write_the_same_are_left_as_they_are() -> None:
    tasks = [task("a", files=["x"]), task("b", files=["x"]), task("c", files=["x"])]
    rest = plan_edits.rest(tasks, plan_edits.TaskProgress(running=frozenset("ab")))
    assert [(edge.before, edge.after) for edge in rest.edges] == [("a", "c"), ("b", "c")]
    assert rest.merged(tasks, rest.tasks)[:2] == tuple(tasks[:2])
    assert set(rest.merged(tasks, rest.tasks)[2].deps) == {"a", "b"}


def test_no_edge_is_added_against_an_order_that_the_plan_has() -> None:
    tasks = [task("a", "b", files=["x"]), task("b", files=["x"])]
    rest = plan_edits.rest(tasks, plan_edits.TaskProgress(running=frozenset("a")))
    assert rest.edges == []
    assert edges(rest.tasks) == edges(tasks)


def test_the_schedule_is_put_back_into_the_whole_plan_with_its_new_edges() -> None:
    standing = plan_edits.TaskProgress(ended=frozenset("a"))
    rest = plan_edits.rest(CHAIN, standing)
    scheduled = [task.model_copy(update={"deps": (*task.deps, "x")}) for task in rest.tasks]
    assert edges(rest.merged(CHAIN, scheduled)) == {
        "a": (),
        "b": ("x", "a"),
        "c": ("b", "x"),
        "d": ("b", "c", "x"),
    }


def summary(
    edits: Sequence[Edit], standing: plan_edits.TaskProgress = plan_edits.NOTHING_BEGUN
) -> dict[str, model.Json]:
    before = model.Plan(id="p", tasks=CHAIN)
    new = after(*edits)
    schedule = plan_checks.prepare(plan_edits.rest(new, standing).tasks, max_parallel=5)
    return plan_edits.changes(
        before, model.Plan(id="p", version=2, tasks=tuple(new)), edits, schedule=schedule, ready={"a"}, stand=standing
    )


def test_the_summary_of_an_edit_says_what_it_did_and_leaves_out_what_it_did_not() -> None:
    assert summary([{"op": "skip", "id": "b"}, {"op": "modify", "id": "a", "task": {"effort": "L"}}]) == {
        "changed": ["a", "c", "d"],
        "skipped": ["b"],
        "newly_ready": ["c"],
        "critical_min": [60, 40],
    }
    assert summary([{"op": "add", "id": "e", "task": {"do": "x"}}, {"op": "remove", "id": "d"}]) == {
        "added": ["e"],
        "removed": ["d"],
        "newly_ready": ["e"],
        "critical_min": [60, 45],
    }


def test_the_summary_counts_only_what_is_left_to_do() -> None:
    standing = plan_edits.TaskProgress(ended=frozenset("ab"))
    assert summary([{"op": "remove", "id": "d"}], standing)["critical_min"] == [30, 15]
