"""What the nouns refuse, how they are written, and which of their states are final."""

from __future__ import annotations

import math
import re
from enum import StrEnum

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import bounds
from dispatch_mcp.model.types import Value

TASK: dict[str, model.Json] = {"id": "a", "do": "write it"}
PLAN: dict[str, model.Json] = {"id": "p", "tasks": [TASK]}
OUTCOME: dict[str, model.Json] = {"state": "succeeded"}
NOTE: dict[str, model.Json] = {"to": "all", "text": "hello"}
ENDLESS = [math.nan, math.inf, -math.inf]

Row = tuple[type[Value], dict[str, model.Json], str, list[model.Json], list[model.Json]]
BOUNDS: list[Row] = [
    (model.TaskLimits, {}, "dollars", [None, 0.01, 1e6], [0, -1, "much", *ENDLESS]),
    (model.TaskLimits, {}, "tokens", [None, 1, 10**9], [0, -1, 1.5, "many", *ENDLESS]),
    (model.TaskLimits, {}, "minutes", [None, 0.5, 1e6], [0, -0.1, *ENDLESS]),
    (model.TaskLimits, {}, "attempts", [None, 1, 50], [0, -1, 2.5]),
    (model.Limits, {}, "tasks", [None, 1, bounds.MAX_TASKS], [0, -1]),
    (model.Limits, {}, "fan_out", [None, 1, bounds.MAX_PARALLEL], [0, -1]),
    (model.Limits, {}, "depth", [0, 2, 8], [-1, 9, None]),
    (model.Limits, {}, "dollars", [0.01], [0, *ENDLESS]),
    (model.Task, TASK, "timeout_s", [None, 0.1, 86_400], [0, -1, *ENDLESS]),
    (model.Task, TASK, "max_attempts", [1, 3, 20], [0, 21, None]),
    (model.Task, TASK, "rounds", [1, 3, 20], [0, 21, None]),
    (model.Task, TASK, "reviews", [[], ["b"]], [[""], "b"]),
    (model.Task, TASK, "effort", ["S", "M", "L", "XL"], ["s", "XXL", "", None]),
    (model.Task, TASK, "priority", ["high", "medium", "low"], ["High", "urgent", None]),
    (model.Task, TASK, "worker", [None, "host", "api", "claude", "command", "scripted", "human"], ["Host", "nobody"]),
    (model.Task, TASK, "isolation", ["shared", "worktree"], ["own", "", None]),
    (model.Task, TASK, "deps", [[], ["b", "c"]], [[""], "b", None]),
    (model.Task, TASK, "files", [[], ["src/*.py"]], [[""], {"src": 1}]),
    (model.Task, TASK, "command", [[], ["make", "test"]], ["make test", [""]]),
    (model.Task, TASK, "inputs", [{}, {"k": [1, None, {"deep": True}]}], [[], "k", None]),
    (model.Task, TASK, "limits", [{}, {"dollars": 1.5}], [{"dollars": 0}, {"euros": 1}, None]),
    (model.Plan, PLAN, "max_parallel", [1, 5, bounds.MAX_PARALLEL], [0, bounds.MAX_PARALLEL + 1, None]),
    (model.Plan, PLAN, "version", [1, 7], ["first", 1.5, None]),
    (model.Plan, PLAN, "forecast", [{}, {"tokens": [1, 2]}], [[], None]),
    (model.Plan, PLAN, "on_conflict", ["serialize", "worktree", "error"], ["ignore", None]),
    (model.Plan, PLAN, "timeout_s", [None, 1], [0, -5, *ENDLESS]),
    (model.Plan, PLAN, "tasks", [[], [TASK, TASK]], [None, [{}], ["a"]]),
    (model.Plan, PLAN, "added_edges", [[{"before": "a", "after": "b", "reason": "r"}]], [[{"before": "a"}]]),
    (model.Usage, {}, "input_tokens", [0, 5], [-1, 0.5, None]),
    (model.Usage, {}, "output_tokens", [0, 5], [-1, None]),
    (model.Usage, {}, "cache_read_tokens", [0, 5], [-1]),
    (model.Usage, {}, "cache_write_tokens", [0, 5], [-1]),
    (model.Usage, {}, "cost_usd", [None, 0, 0.001], [-0.001, *ENDLESS]),
    (model.Usage, {}, "seconds", [0, 1.5], [-1, None, *ENDLESS]),
    (model.Outcome, OUTCOME, "retry_after_s", [None, 0, 2.5], [-1, *ENDLESS]),
    (model.Outcome, OUTCOME, "state", [state.value for state in model.AttemptState], ["done", "blocked", None]),
    (model.Outcome, OUTCOME, "receipts", [[], [{"kind": "file", "ok": True, "detail": "d"}]], [[{"kind": "oath"}]]),
    (model.Outcome, OUTCOME, "sends_back", [[], ["a"]], ["a", None]),
    (model.Outcome, OUTCOME, "handoff", [{}, {"completed_work": "all"}], [{"work": "all"}, "all", None]),
    (model.Receipt, {"kind": "file", "ok": True, "detail": "d"}, "checked", [True, False], ["perhaps", None]),
    (model.Artifact, {"name": "log"}, "size", [0, 10**12], ["large", 1.5, None]),
    (model.Note, NOTE, "to", ["t", "x" * 200], ["", "x" * 201, None]),
    (model.Note, NOTE, "kind", ["information", "request", "warning", "confirmation", "handoff"], ["shout"]),
    (model.Handoff, {}, "messages", [[], [NOTE]], [["hello"], [{"to": "all"}]]),
    (model.Handoff, {}, "artifacts", [[{"name": "log"}]], [[{"digest": "0"}], ["log"]]),
]
CASES = [(kind, base, name, values, True) for kind, base, name, values, _ in BOUNDS] + [
    (kind, base, name, values, False) for kind, base, name, _, values in BOUNDS
]


@pytest.mark.parametrize(
    ("kind", "base", "name", "values", "legal"), CASES, ids=lambda value: getattr(value, "__name__", str(value)[:24])
)
def test_a_value_has_the_bounds_that_its_field_declares(
    kind: type[Value], base: dict[str, model.Json], name: str, values: list[model.Json], *, legal: bool
) -> None:
    for value in values:
        fields = {**base, name: value}
        if legal:
            whole = kind.model_validate(fields)
            assert kind.model_validate_json(whole.model_dump_json()) == whole
        else:
            with pytest.raises(pydantic.ValidationError, match=name):
                kind.model_validate(fields)


FINALS: list[tuple[type[model.RunState | model.TaskState], frozenset[StrEnum]]] = [
    (model.RunState, frozenset(model.RUN_FINAL)),
    (model.TaskState, frozenset(model.TASK_FINAL)),
]


@pytest.mark.parametrize(("states", "final"), FINALS, ids=["runs", "tasks"])
def test_the_last_states_are_the_final_ones(
    states: type[model.RunState | model.TaskState], final: frozenset[StrEnum]
) -> None:
    listed = list(states)
    first = next(place for place, state in enumerate(listed) if state in final)
    assert set(listed[first:]) == final
    assert listed[0] not in final


@pytest.mark.parametrize(
    "words",
    [model.RunState, model.TaskState, model.AttemptState, model.WorkerKind, model.Priority],
    ids=lambda words: words.__name__,
)
def test_a_state_is_written_as_its_lower_case_name(words: type[StrEnum]) -> None:
    assert [word.value for word in words] == [word.name.lower() for word in words]
    assert all(words(word.value) is word for word in words)


def test_a_task_is_read_under_both_names_of_its_goal_and_written_under_the_short_one() -> None:
    short, long = model.Task.model_validate(TASK), model.Task.model_validate({"id": "a", "goal": "write it"})
    assert short == long
    assert short.model_dump(exclude_defaults=True) == TASK
    with pytest.raises(pydantic.ValidationError, match="goal"):
        model.Task.model_validate({**TASK, "goal": "something else"})


@pytest.mark.parametrize("task_id", ["a", "A1", "9", "build-api_2.x", "x" * 64])
def test_an_id_of_a_task_begins_with_a_letter_or_digit_and_is_short(task_id: str) -> None:
    assert re.fullmatch(model.TASK_ID, task_id)
    assert re.fullmatch(model.TASK_ID, f"{task_id}{'x' * 64}") is None
    for bad in (f"-{task_id}", f".{task_id}", f"{task_id}/b", f"{task_id} b", f"{task_id}\n", ""):
        assert re.fullmatch(model.TASK_ID, bad) is None


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("effort", ("S", "M", "L", "XL")),
        ("worker", tuple(kind.value for kind in model.WorkerKind)),
        ("isolation", ("shared", "worktree")),
        ("goal", ()),
        ("model", ()),
        ("limits", ()),
        ("deps", ()),
    ],
)
def test_a_declared_field_has_the_words_that_its_type_allows(field: str, words: tuple[str, ...]) -> None:
    declared = {field.attribute: field for field in model.task_fields().values()}
    assert declared[field].words == words


def test_what_is_published_of_a_choice_can_be_read() -> None:
    for name, field in model.task_fields().items():
        assert not field.words or set(field.is_a.values) <= set(field.words), name


@settings(max_examples=40)
@given(st.permutations(["id", "do", "files", "priority"]))
def test_the_order_of_its_fields_does_not_matter_to_a_value(order: list[str]) -> None:
    fields: dict[str, model.Json] = {**TASK, "files": ["b", "a"], "priority": "low"}
    turned = model.Task.model_validate({name: fields[name] for name in order})
    assert turned == model.Task.model_validate(fields)
    assert turned.files == ("b", "a")


def test_values_do_not_share_what_they_hold_with_each_other() -> None:
    first, second = model.Task.model_validate(TASK), model.Task.model_validate(TASK)
    assert first.inputs is not second.inputs
    assert first.limits == second.limits == model.NO_LIMITS
    assert model.Limits() == model.Limits.model_validate({"depth": 2})


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_the_tokens_of_an_attempt_are_those_of_all_four_kinds(counts: list[int]) -> None:
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    usage = model.Usage.model_validate(dict(zip(kinds, counts, strict=True)))
    assert usage.tokens == sum(counts)
