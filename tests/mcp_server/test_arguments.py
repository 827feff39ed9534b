from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.service import planner

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def refusal_of(tool: str, raw: dict[str, object]) -> errors.InputError | None:
    try:
        tool_arguments.check(tool, raw)
    except errors.InputError as refusal:
        return refusal
    return None


@pytest.mark.promise("R13")
@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(sorted(tool_arguments.TOOLS)), st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_any_arguments_are_taken_or_refused_in_words(tool: str, raw: dict[str, object]) -> None:
    refusal = refusal_of(tool, raw)
    assert refusal is None or (refusal.message and refusal.hint and len(str(refusal)) < 3000)


@pytest.mark.parametrize("tool", sorted(tool_arguments.TOOLS))
def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(tool: str) -> None:
    known = next(iter(tool_arguments.TOOLS[tool].model_fields))
    with pytest.raises(errors.InputError, match=f"did you mean '{known}'"):
        tool_arguments.check(tool, {f"{known}s": "x"})


def test_a_wrong_type_names_the_argument_and_the_value() -> None:
    with pytest.raises(errors.InputError, match=r"max_parallel: .*got 'many'"):
        tool_arguments.check("plan_dag", {"tasks": [], "max_parallel": "many"})


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(errors.InputError, match="'run_id' is missing"):
        tool_arguments.check("report", {"results": [{}]})


def test_a_nul_is_found_wherever_it_hides() -> None:
    with pytest.raises(errors.InputError, match=r"tasks\[0\]\.do holds a NUL"):
        tool_arguments.check("plan_dag", {"tasks": [{"id": "a", "do": "x\0y"}]})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_refused(number: float) -> None:
    with pytest.raises(errors.InputError, match="not a JSON number"):
        tool_arguments.check("dispatch", {"plan_id": "a", "limits": {"dollars": number}})


@pytest.mark.parametrize("entry", [{"task_id": "a", "usage": {"cost_usd": math.nan}}, {"text": "a\0b"}, "done", None])
def test_a_wrong_entry_of_a_report_is_left_to_who_refuses_it_alone(entry: object) -> None:
    tool_arguments.check("report", {"run_id": "a", "results": [entry, {"task_id": "b", "attempt": 1}]})


def test_endless_nesting_is_refused() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(errors.InputError, match="nested deeper"):
        tool_arguments.check("plan_dag", {"tasks": [{"id": "a", "do": "x", "inputs": {"deep": deep}}]})


def test_ten_megabytes_are_refused_without_being_echoed() -> None:
    with pytest.raises(errors.InputError) as caught:
        tool_arguments.check("route_task", {"task": "x" * 10_000_000})
    assert len(str(caught.value)) < 1000


def test_lists_sent_as_json_text_are_taken() -> None:
    tool_arguments.check("route_task", {"task": "fix it", "files": '["a.py"]'})


def test_a_plan_above_its_ceiling_of_tasks_is_refused() -> None:
    planner.refuse_tasks(model.Limits(tasks=3), tasks=3)
    with pytest.raises(errors.NotAllowed, match="has 4 tasks; the limit of this dispatch is 3"):
        planner.refuse_tasks(model.Limits(tasks=3), tasks=4)
