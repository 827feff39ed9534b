"""Whatever a plan, an outcome or an event holds comes back from its text as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import bounds
from dispatch_mcp.model.types import Value

Json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.text(max_size=5), Json, max_size=3)
_TEXT = st.text(max_size=20)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=3).map(tuple)
_COUNT = st.integers(0, 10**12)
_SIZE = st.integers(1, 10**6) | st.none()
_AMOUNT = st.floats(0.001, 1e7) | st.none()
_LIMITS = st.builds(model.TaskLimits, dollars=_AMOUNT, tokens=_SIZE, minutes=_AMOUNT, attempts=_SIZE)
_TASKS = st.builds(
    model.Task,
    id=_TEXT,
    do=_TEXT,
    deps=_NAMES,
    agent=_TEXT | st.none(),
    worker=st.sampled_from(model.WorkerKind) | st.none(),
    effort=st.sampled_from(model.Effort),
    priority=st.sampled_from(model.Priority),
    files=_NAMES,
    command=_NAMES,
    inputs=_OBJECTS,
    timeout_s=_AMOUNT,
    max_attempts=st.integers(1, 20),
    isolation=st.sampled_from(["shared", "worktree"]),
    limits=_LIMITS,
)
_PLANS = st.builds(
    model.Plan,
    id=_TEXT,
    version=_COUNT,
    tasks=st.lists(_TASKS, max_size=3).map(tuple),
    request=_TEXT,
    max_parallel=st.integers(1, bounds.MAX_PARALLEL),
    added_edges=st.lists(st.builds(model.AddedEdge, before=_TEXT, after=_TEXT, reason=_TEXT), max_size=2).map(tuple),
    forecast=_OBJECTS,
)
_HANDOFFS = st.builds(
    model.Handoff,
    completed_work=_TEXT,
    files_modified=_TEXTS,
    decisions_made=_TEXTS,
    artifacts=st.lists(st.builds(model.Artifact, name=_TEXT, digest=_TEXT, size=_COUNT), max_size=2).map(tuple),
    proposed_edits=st.lists(_OBJECTS, max_size=2).map(tuple),
    messages=st.lists(st.builds(model.Note, to=st.text(min_size=1, max_size=9), text=_TEXT), max_size=2).map(tuple),
)
_OUTCOMES = st.builds(
    model.Outcome,
    state=st.sampled_from(model.AttemptState),
    summary=_TEXT,
    handoff=_HANDOFFS,
    output=Json,
    retry_after_s=st.floats(0, 1e6) | st.none(),
    unverified=st.booleans(),
    usage=st.builds(model.Usage, input_tokens=_COUNT, cost_usd=st.floats(0, 1e6) | st.none()),
    receipts=st.lists(st.builds(model.Receipt, kind=st.just("file"), ok=st.booleans(), detail=_TEXT), max_size=2).map(
        tuple
    ),
)
_EVENTS = st.builds(
    model.Event, seq=_COUNT, run_id=_TEXT, kind=_TEXT, at=st.floats(0, 2e9), task_id=_TEXT, data=_OBJECTS
)


@settings(max_examples=40)
@given(_PLANS | _OUTCOMES | _EVENTS | _LIMITS)
def test_a_value_comes_back_from_its_text_as_it_was(value: Value) -> None:
    kind = type(value)
    assert kind.model_validate_json(value.model_dump_json()) == value
    assert kind.model_validate(json.loads(json.dumps(value.model_dump(mode="json")))) == value


@settings(max_examples=40)
@given(_PLANS | _OUTCOMES)
def test_what_has_its_default_need_not_be_written(value: Value) -> None:
    short = value.model_dump_json(exclude_defaults=True)
    assert type(value).model_validate_json(short) == value
    assert len(short) <= len(value.model_dump_json())


@settings(max_examples=40)
@given(_TASKS)
def test_a_task_is_written_under_the_names_that_are_declared_for_it(task: model.Task) -> None:
    declared = model.task_fields()
    wire: dict[str, Any] = json.loads(task.model_dump_json())
    assert list(wire) == list(declared)
    assert all(wire[name] in field.words or wire[name] is None for name, field in declared.items() if field.words)


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800".encode("utf-8", "replace").decode(), "\u2028", "🙂", '"\\', "a\r\nb"]
)
def test_no_character_is_lost_in_a_goal(text: str) -> None:
    task = model.Task(id="t", do=text)
    assert model.Task.model_validate_json(task.model_dump_json()).goal == text
