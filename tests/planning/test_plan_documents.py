"""What a model sends is read leniently or refused with a place, and results have their format.

Rules: docs/rules.md#task-document-format and #result-document.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, bounds, records
from dispatch_mcp.planning import json_reader, plan_checks, plan_documents

ONE = {"id": "a", "do": "work"}


def one_problem(raw: model.Json) -> tuple[str, str]:
    (found,) = plan_documents.read_tasks(raw).problems
    assert found.message
    return found.code, found.where


def test_wire_names_are_read_as_they_are() -> None:
    reading = plan_documents.read_tasks(
        [
            {
                "id": "b",
                "do": "Build",
                "deps": ["a"],
                "files": ["src/b.py"],
                "reads": ["src/a.py"],
                "agent": "coder",
                "model": "opus",
                "effort": "L",
                "priority": "high",
                "context": ["file:src/a.py"],
                "constraints": ["keep the API"],
                "output": ["a diff"],
                "acceptance": ["tests pass"],
                "inputs": {"n": [1, None, {"x": 1.5}]},
                "command": ["pytest", "-q"],
                "worker": "command",
                "timeout_s": 60,
                "attempts": 2,
                "isolation": "worktree",
            }
        ]
    )
    assert reading.problems == reading.notes == ()
    (task,) = reading.tasks
    assert task.command == ("pytest", "-q")
    assert task.worker is WorkerKind.COMMAND
    assert task.effort is model.Effort.L
    assert task.timeout_s == 60
    assert model.Task.model_validate(task.model_dump(mode="json")) == task


def test_aliases_are_normalised_and_noted_once() -> None:
    raw: list[dict[str, Any]] = [
        {"task_id": f"t{v}", "description": "work", "dependencies": [], "input_data": {}, "context_requirements": []}
        for v in range(3)
    ]
    raw += [{"id": "x", "goal": "work", "depends_on": ["t1"], "subagent_type": "coder"}]
    reading = plan_documents.read_tasks(raw)
    assert reading.problems == ()
    assert reading.tasks[3] == model.Task(id="x", do="work", deps=("t1",), agent="coder")
    (note,) = reading.notes
    assert note.message.count("`task_id` as `id`") == 1


def test_strings_numbers_and_nulls_are_taken_as_meant() -> None:
    reading = plan_documents.read_tasks(
        [{"id": 1, "do": "x", "deps": "2, 3", "files": "a b.py", "agent": None, "model": ""}]
    )
    assert reading.problems == ()
    assert reading.tasks == (model.Task(id="1", do="x", deps=("2", "3"), files=("a b.py",)),)
    assert [note.code for note in reading.notes] == ["normalised"]


FAULTS: list[tuple[dict[str, model.Json], tuple[str, str]]] = [
    ({"deps": 1}, ("wrong_type", "tasks[0].deps")),
    ({"deps": ["x", {}]}, ("wrong_type", "tasks[0].deps[1]")),
    ({"do": ["work"]}, ("wrong_type", "tasks[0].do")),
    ({"id": True}, ("wrong_type", "tasks[0].id")),
    ({"inputs": []}, ("wrong_type", "tasks[0].inputs")),
    ({"command": "rm -rf x"}, ("wrong_type", "tasks[0].command")),
    ({"command": ["echo", ""]}, ("wrong_type", "tasks[0].command")),
    ({"effort": "huge"}, ("bad_value", "tasks[0].effort")),
    ({"timeout_s": math.nan}, ("bad_value", "tasks[0].timeout_s")),
    ({"timeout_s": math.inf}, ("bad_value", "tasks[0].timeout_s")),
    ({"timeout_s": 10**5000}, ("bad_value", "tasks[0].timeout_s")),
    ({"timeout_s": True}, ("wrong_type", "tasks[0].timeout_s")),
    ({"attempts": 2.5}, ("bad_value", "tasks[0].attempts")),
    ({"max_attempts": 21}, ("bad_value", "tasks[0].attempts")),
    ({"inputs": {"a": [math.nan]}}, ("bad_value", "tasks[0].inputs")),
    ({"inputs": {"a": "\x00"}}, ("bad_value", "tasks[0].inputs")),
    ({"inputs": {"\ud800": 1}}, ("bad_value", "tasks[0].inputs")),
    ({"inputs": {"a": 10**5000}}, ("bad_value", "tasks[0].inputs")),
    ({"inputs": {"a": "x" * (json_reader.MAX_INPUT_CHARS + 1)}}, ("bad_value", "tasks[0].inputs")),
    ({"do": "a\x00b"}, ("bad_text", "tasks[0].do")),
    ({"files": ["\udfff"]}, ("bad_text", "tasks[0].files[0]")),
    ({"do": "x" * 20_001}, ("too_long", "tasks[0].do")),
    ({"files": ["x"] * 1_001}, ("too_long", "tasks[0].files")),
    ({"files": ["x" * 5_000]}, ("too_long", "tasks[0].files[0]")),
    ({"goal": "other"}, ("conflicting_fields", "tasks[0].do")),
    ({"filez": []}, ("unknown_field", "tasks[0].filez")),
]


@pytest.mark.parametrize(("change", "expected"), FAULTS)
def test_each_fault_is_one_problem_with_its_place(change: dict[str, model.Json], expected: tuple[str, str]) -> None:
    assert one_problem([{**ONE, **change}]) == expected


def test_unknown_fields_come_with_the_field_that_was_meant() -> None:
    (found,) = plan_documents.read_tasks([{**ONE, "dependancies": []}]).problems
    assert (found.code, found.task, found.did_you_mean) == ("unknown_field", "a", "dependencies")
    many = plan_documents.read_tasks([{**ONE, **{f"zz{v}": v for v in range(500)}}]).problems
    assert len(many) == plan_documents.MAX_UNKNOWN + 1


def test_deeply_nested_inputs_are_refused() -> None:
    nested: model.Json = {}
    for _ in range(100_000):
        nested = {"a": nested}
    assert one_problem([{**ONE, "inputs": nested}]) == ("bad_value", "tasks[0].inputs")
    while nested:
        nested = nested.pop("a")


@pytest.mark.parametrize("raw", [None, "x", 3, {"tasks": []}, {}])
def test_tasks_that_are_no_list_are_refused(raw: model.Json) -> None:
    assert one_problem(raw) == ("wrong_type", "tasks")


def test_entries_that_are_no_objects_are_refused_and_the_others_read() -> None:
    reading = plan_documents.read_tasks([ONE, 3, "b"])
    assert [one.where for one in reading.problems] == ["tasks[1]", "tasks[2]"]
    assert len(reading.tasks) == 1


def test_too_many_tasks_are_not_even_read() -> None:
    assert one_problem([None] * (bounds.MAX_TASKS + 1)) == ("too_many_tasks", "tasks")


def test_missing_id_and_goal_are_left_for_the_check() -> None:
    reading = plan_documents.read_tasks([{}])
    found = plan_checks.check(reading.tasks, agents=None, models=())
    assert reading.problems == ()
    assert [one.code for one in found] == ["bad_id", "empty_goal"]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(["a", "b", "S", "opus", "command", "\x00", "\ud800", "a,b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)
keys = st.sampled_from([*plan_documents.ALIASES, *model.Task.model_fields, "do", "extra", "\ud800\x00"])
entries = st.dictionaries(keys, values, max_size=8) | st.fixed_dictionaries({"id": values, "do": values}) | values


@pytest.mark.promise("R13")
@settings(max_examples=examples(2_000))
@given(st.lists(entries, max_size=6) | values)
def test_any_json_is_read_and_checked_without_an_exception(raw: model.Json) -> None:
    reading = plan_documents.read_tasks(raw)
    found = [*reading.problems, *plan_checks.check(reading.tasks, agents=("a",), models=("opus",))]
    for one in found:
        one.model_dump_json()
    if not found:
        plan_checks.prepare(reading.tasks, max_parallel=2)


@settings(max_examples=examples(300))
@given(st.dictionaries(st.sampled_from(["tasks", "config", "x"]), values | st.lists(entries, max_size=3)) | values)
def test_any_json_is_read_as_a_document_without_an_exception(raw: model.Json) -> None:
    plan_documents.read_document(raw)


FOUR: dict[str, Any] = {
    "tasks": [
        {"task_id": "gen-effect", "agent": "coder", "description": "Generate the Effect node", "dependencies": []},
        {"task_id": "gen-compute", "agent": "coder", "description": "Generate the Compute node", "dependencies": []},
        {"task_id": "check-effect", "agent": "debug", "description": "Validate", "dependencies": ["gen-effect"]},
        {"task_id": "check-compute", "agent": "debug", "description": "Validate", "dependencies": ["gen-compute"]},
    ],
    "config": {"max_workers": 5, "timeout_seconds": 300, "trace_dir": "./traces"},
}


def generated(name: str) -> dict[str, model.Json]:
    return {
        "task_id": f"gen-{name}",
        "agent": "coder",
        "description": f"Generate the {name} node",
        "input_data": {
            "contract_description": f"Effect node for {name}",
            "node_type": "Effect",
            "output_path": f"${{OUTPUT_DIR}}/node_{name}.py",
            "validation_level": "strict",
            "pre_gathered_context": {"rag:patterns": {"type": "rag", "content": "..."}},
        },
        "dependencies": [],
    }


def investigated(*files: str) -> dict[str, model.Json]:
    return {
        "task_id": "debug",
        "agent": "debug",
        "description": "Investigate the failure",
        "input_data": {"problem_description": "401", "affected_files": list(files), "analysis_depth": "deep"},
        "dependencies": [],
    }


def fixed() -> dict[str, model.Json]:
    task = generated("auth")
    task["input_data"]["context_files"] = ["${PROJECT_DIR}/auth.py"]
    return {**task, "dependencies": ["debug"]}


@pytest.mark.parametrize(
    ("document", "waves"),
    [
        (FOUR, (("gen-effect", "gen-compute"), ("check-effect", "check-compute"))),
        (
            {"tasks": [generated("user"), generated("product"), generated("order")], "config": FOUR["config"]},
            (("gen-user", "gen-product", "gen-order"),),
        ),
        ({"tasks": [investigated("${PROJECT_DIR}/auth.py"), fixed()]}, (("debug",), ("gen-auth",))),
        ({"tasks": [investigated("${PROJECT_DIR}/api.py"), generated("cache")]}, (("debug", "gen-cache"),)),
    ],
)
def test_the_worked_flows_read_check_and_run_as_they_say(
    document: model.Json, waves: tuple[tuple[str, ...], ...]
) -> None:
    read = plan_documents.read_document(document)
    assert read.reading.problems == ()
    tasks = read.reading.tasks
    assert plan_checks.check(tasks, agents=("coder", "debug"), models=()) == []
    found = plan_checks.prepare(tasks, max_parallel=read.max_parallel or 5)
    assert found.waves == waves
    assert found.added_edges == ()


def test_the_parallel_example_takes_as_long_as_its_longest_task() -> None:
    tasks = plan_documents.read_document({"tasks": [generated("a"), generated("b"), generated("c")]}).reading.tasks
    found = plan_checks.prepare(tasks, max_parallel=5, durations={"gen-a": 3, "gen-b": 9, "gen-c": 4}).estimate
    assert (found.parallel, found.serial) == (9, 16)


def test_inputs_of_a_document_are_kept_and_their_paths_declared() -> None:
    first, second = plan_documents.read_document({"tasks": [investigated("a.py"), fixed()]}).reading.tasks
    assert first.reads == ("a.py",)
    assert second.files == ("${OUTPUT_DIR}/node_auth.py", "**/test_node_auth.*", "**/node_auth_test.*")
    assert second.reads == ("${PROJECT_DIR}/auth.py",)
    assert second.inputs["pre_gathered_context"] == {"rag:patterns": {"type": "rag", "content": "..."}}


def test_the_config_of_a_document_is_read_or_refused_in_its_place() -> None:
    read = plan_documents.read_document(FOUR)
    assert (read.max_parallel, read.timeout_s, read.trace_dir) == (5, 300, "./traces")
    bad = plan_documents.read_document({"task": [], "config": {"max_workers": 0, "timeout_secs": 1}})
    assert [(one.code, one.where) for one in bad.reading.problems] == [
        ("unknown_field", "task"),
        ("unknown_field", "config.timeout_secs"),
        ("bad_value", "config.max_workers"),
    ]


def row(task_id: str, state: TaskState, cause: str = "") -> records.TaskRecord:
    return records.TaskRecord(id=task_id, position=0, worker=WorkerKind.SCRIPTED, state=state, cause=cause)


def test_results_have_the_format_of_the_result_document() -> None:
    attempt = records.AttemptRecord(
        run_id="r",
        task_id="b",
        attempt=1,
        state=AttemptState.FAILED,
        worker=WorkerKind.HOST,
        started_at=1,
        ended_at=3.5,
    )
    answer = plan_documents.result_document(
        [row("a", TaskState.SUCCEEDED), row("b", TaskState.FAILED), row("c", TaskState.SKIPPED, "upstream:b")],
        {
            "a": model.Outcome(state=AttemptState.SUCCEEDED, output={"x": 1}, usage=model.Usage(seconds=1.25)),
            "b": model.Outcome(state=AttemptState.FAILED, error="no database"),
        },
        {"b": attempt},
        total_s=4.0,
        trace_files={"a": "traces/a.json"},
    )
    assert answer == {
        "status": "partial",
        "results": [
            {
                "task_id": "a",
                "status": "success",
                "output": {"x": 1},
                "error": None,
                "execution_time_ms": 1250,
                "trace_file": "traces/a.json",
            },
            {
                "task_id": "b",
                "status": "error",
                "output": None,
                "error": "no database",
                "execution_time_ms": 2500,
                "trace_file": None,
            },
            {
                "task_id": "c",
                "status": "error",
                "output": None,
                "error": "skipped, as 'b' was not done",
                "execution_time_ms": 0,
                "trace_file": None,
            },
        ],
        "summary": {"total_tasks": 3, "successful": 1, "failed": 2, "total_time_ms": 4000},
    }


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([TaskState.SUCCEEDED, TaskState.UNVERIFIED], "success"),
        ([TaskState.FAILED, TaskState.CANCELLED], "failure"),
        ([TaskState.SUCCEEDED, TaskState.CANCELLED], "partial"),
    ],
)
def test_the_status_of_a_result_adds_up(states: list[TaskState], status: str) -> None:
    answer = plan_documents.result_document([row("a", one) for one in states], {}, {}, total_s=0)
    assert answer["status"] == status


def test_a_run_that_did_not_succeed_is_partial_though_each_of_its_tasks_did() -> None:
    answer = plan_documents.result_document([row("a", TaskState.SUCCEEDED)], {}, {}, total_s=0, is_partial=True)
    assert answer["status"] == "partial"


def test_unproven_work_is_marked_in_a_result() -> None:
    answer = plan_documents.result_document([row("a", TaskState.UNVERIFIED)], {}, {}, total_s=0)
    assert answer["results"][0]["unverified"] is True


def test_the_file_that_is_named_for_a_test_is_declared_and_no_other() -> None:
    task = generated("user")
    task["input_data"]["test_path"] = "tests/unit/test_user.py"
    [read] = plan_documents.read_document({"tasks": [task]}).reading.tasks
    assert read.files == ("${OUTPUT_DIR}/node_user.py", "tests/unit/test_user.py")


def test_files_that_a_task_declares_itself_are_all_that_it_may_change() -> None:
    [read] = plan_documents.read_document({"tasks": [{**generated("user"), "files": ["a.py"]}]}).reading.tasks
    assert read.files == ("a.py",)
