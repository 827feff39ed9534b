"""Inputs of agents that declare a form for them: every fault at once, with what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.agents import loader
from dispatch_mcp.model.problems import Problem
from dispatch_mcp.planning import typed_inputs
from dispatch_mcp.review import rounds

PAIR: Final = loader.load(Path(__file__).parents[2] / "agents" / "dispatch")
GOOD: Final = {"contract_description": "Writes users", "node_type": "Effect", "output_path": "/shop/out/node.py"}
MINE: Final = {
    "type": "object",
    "required": ["count"],
    "properties": {
        "count": {"type": "integer"},
        "names": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "share": {"type": ["number", "null"]},
        "level": {"enum": [1, 2]},
    },
}


def form_of(name: str) -> typed_inputs.Form:
    agent = PAIR.find(name)
    return agent.inputs if agent else MINE if name == "mine" else {}


def faults(inputs: dict[str, Any], agent: str = "coder") -> list[Problem]:
    task = model.Task(id="t", do="Do it", agent=agent, inputs=inputs)
    return typed_inputs.check([task], form_of)


@pytest.mark.parametrize(
    ("change", "code", "where", "says"),
    [
        ({"node_type": "Effekt"}, "wrong_input", "node_type", "`Effect`, `Compute`, `Reducer`, `Orchestrator`"),
        ({"node_type": 3}, "wrong_input", "node_type", "`Effect`"),
        ({"validation_level": "very"}, "wrong_input", "validation_level", "`strict`, `moderate`, `lenient`"),
        ({"context_files": "a.py"}, "wrong_input", "context_files", "Send an array."),
        ({"context_files": ["a.py", 3]}, "wrong_input", "context_files[1]", "Send a string."),
        ({"contract_description": " "}, "wrong_input", "contract_description", "says nothing"),
        ({"extra": 1}, "unknown_input", "extra", "Inputs are `contract_description`"),
        ({"output_pat": "x"}, "unknown_input", "output_pat", "Use `output_path`."),
    ],
)
def test_a_wrong_input_is_named_with_what_is_allowed(change: dict[str, Any], code: str, where: str, says: str) -> None:
    [fault] = faults({**GOOD, **change})
    assert (fault.code, fault.where, fault.task) == (code, f"tasks[0].inputs.{where}", "t")
    assert says in f"{fault.message} {fault.fix}"


def test_a_missing_input_is_named_with_what_it_is_for() -> None:
    found = faults({"node_type": "Effekt"})
    assert [fault.code for fault in found] == ["missing_input", "missing_input", "wrong_input"]
    assert "What the code must do" in found[0].fix


@pytest.mark.parametrize(
    "inputs",
    [GOOD, {**GOOD, "output_path": "out/x.py"}, {**GOOD, "context_files": []}, {}, {rounds.MEND_INPUT: "mend it"}],
)
def test_right_inputs_and_none_at_all_are_taken(inputs: dict[str, Any]) -> None:
    assert faults(inputs) == []


@pytest.mark.parametrize(
    ("name", "value", "stray"),
    [
        ("output_path", "/etc/cron.d/job", "/etc/cron.d/job"),
        ("output_path", "/shopping/x.py", "/shopping/x.py"),
        ("output_path", "/shop/../etc/x.py", "/shop/../etc/x.py"),
        ("output_path", "../x.py", "../x.py"),
        ("output_path", "~/x.py", "~/x.py"),
        ("output_path", "C:\\\\x.py", "C:"),
        ("test_path", "/srv/other/test_x.py", "/srv/other/test_x.py"),
        ("context_files", ["src/a.py", "/srv/else/b.py"], "/srv/else/b.py"),
    ],
)
def test_a_file_outside_the_workspace_is_refused_with_one_error(name: str, value: Any, stray: str) -> None:
    task = model.Task(id="t", do="Do it", agent="coder", inputs={**GOOD, name: value})
    [fault] = typed_inputs.check([task], form_of, "/shop")
    assert (fault.code, fault.where) == ("wrong_input", f"tasks[0].inputs.{name}")
    assert stray in fault.message
    assert "outside the workspace '/shop'" in fault.message


@pytest.mark.parametrize("path", ["/shop/out/x.py", "out/x.py", "./out/../x.py", "/shop/./x.py", "..x.py"])
def test_a_file_inside_the_workspace_is_taken_however_it_is_written(path: str) -> None:
    task = model.Task(id="t", do="Do it", agent="coder", inputs={**GOOD, "output_path": path})
    assert typed_inputs.check([task], form_of, "/shop") == []


def test_a_form_says_which_of_its_own_inputs_are_files() -> None:
    form = {"properties": {"target": {"format": "path"}, "output_path": {"format": "uri-reference"}, "route_path": {}}}
    inputs = {"target": "/etc/x", "output_path": "/api/users", "route_path": "/api/users"}
    task = model.Task(id="t", do="Do it", agent="any", inputs=inputs)
    assert [fault.where for fault in typed_inputs.check([task], lambda _name: form, "/shop")] == [
        "tasks[0].inputs.target"
    ]
    nobody = model.Task(id="t", do="Do it", inputs={"output_path": "/etc/x"})
    assert len(typed_inputs.check([nobody], form_of, "/shop")) == 1


def task_of(name: str, agent: str = "coder", **inputs: Any) -> model.Task:
    return model.Task(id=name, do="Do it", agent=agent, inputs=inputs)


def test_a_task_without_inputs_lacks_what_is_needed_where_others_fill_in_the_form() -> None:
    faults = typed_inputs.check_blanks([task_of("a", **GOOD), task_of("b"), task_of("c", "other")], form_of)
    assert {fault.task for fault in faults} == {"b"}
    assert [fault.where for fault in faults] == [
        f"tasks[1].inputs.{name}" for name in ("contract_description", "node_type", "output_path")
    ]


def test_who_fills_in_no_form_at_all_is_told_of_it_once_an_agent() -> None:
    tasks = [task_of("a"), task_of("b"), task_of("c", "debug"), task_of("d", "other"), task_of("e", "")]
    assert typed_inputs.check_blanks(tasks, form_of) == []
    coder, debug = typed_inputs.notices(tasks, form_of)
    assert (coder.tasks, debug.tasks) == (("a", "b"), ("c",))
    assert "node_type (Effect | Compute | Reducer | Orchestrator, needed)" in coder.message
    assert "context_files" not in coder.message
    assert "problem_description" in debug.message


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        ({"count": 1, "names": ["a"], "share": None, "level": 2, "more": 1}, 0),
        ({"count": True}, 1),
        ({"count": 1.5, "names": ["c", "b"], "share": "x", "level": True}, 4),
    ],
)
def test_any_agents_own_form_counts(inputs: dict[str, Any], count: int) -> None:
    assert len(faults(inputs, "mine")) == count


def test_agents_without_a_form_take_anything() -> None:
    assert faults({"x": 1}, "other") == []


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@hypothesis.given(
    st.dictionaries(st.sampled_from(["type", "required", "properties", "enum", "additionalProperties"]), JSON),
    st.dictionaries(st.text(max_size=8), JSON, max_size=4),
)
def test_no_form_and_no_value_breaks_the_check(form: dict[str, Any], inputs: dict[str, Any]) -> None:
    task = model.Task(id="t", do="Do it", agent="any", inputs=inputs)
    assert all(fault.message for fault in typed_inputs.check([task], lambda _name: form))
    assert all(isinstance(line, str) for line in typed_inputs.lines(form))


def test_a_form_reads_as_one_line_a_field() -> None:
    lines = typed_inputs.lines(form_of("coder"))
    assert lines[3].startswith("test_path (string): ")
    assert lines[1].startswith("node_type (Effect | Compute | Reducer | Orchestrator, needed): Effect talks")
    assert lines[4].startswith("context_files (array): ")
