"""What the store keeps, as values: nothing is lost on the way between its forms, and old texts are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import cast

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import assignments, declared_paths, merge_offer, ports, problems, records, transitions
from dispatch_mcp.model.types import Value

OLD = json.loads((Path(__file__).parent / "data" / "values.json").read_text("utf-8"))
"""Every value with every field that it had when this file was made, as it is stored and sent; never renew an entry."""

KINDS: list[type[Value]] = sorted(
    {
        *(kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, Value)),
        *(records.RunRecord, records.NewRun),
        *(assignments.HostCall, assignments.Assignment, merge_offer.Offer, problems.Problem, problems.Notice),
    }
    - {Value},
    key=lambda kind: kind.__name__,
)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def by_attribute(stored: model.Json) -> model.Json:
    """Returns a text with the goals of its tasks under the name of their attribute."""
    if isinstance(stored, list):
        return [by_attribute(item) for item in cast("list[model.Json]", stored)]
    if isinstance(stored, dict):
        fields = cast("dict[str, model.Json]", stored)
        return {"goal" if name == "do" else name: by_attribute(item) for name, item in fields.items()}
    return stored


@by_kind
def test_a_value_is_read_from_what_was_written_before_and_loses_nothing_of_it(kind: type[Value]) -> None:
    stored = OLD[kind.__name__]
    value = kind.model_validate_json(json.dumps(stored))
    assert value.model_dump(mode="json", exclude_unset=True, by_alias=False) == by_attribute(stored)
    assert kind.model_validate(json.loads(value.model_dump_json())) == value


@by_kind
def test_a_field_that_older_values_do_not_have_has_a_default(kind: type[Value]) -> None:
    written = set(by_attribute(OLD[kind.__name__]))
    assert written <= set(kind.model_fields)
    assert not [name for name, info in kind.model_fields.items() if info.is_required() and name not in written]


@by_kind
def test_no_value_takes_a_field_that_it_does_not_know(kind: type[Value]) -> None:
    with pytest.raises(pydantic.ValidationError, match="unheard_of"):
        kind.model_validate({**OLD[kind.__name__], "unheard_of": 1})


@by_kind
def test_a_value_cannot_be_changed(kind: type[Value]) -> None:
    value = kind.model_validate(OLD[kind.__name__])
    for name in kind.model_fields:
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(value, name, getattr(value, name))


@by_kind
def test_two_values_that_differ_in_one_field_are_not_equal(kind: type[Value]) -> None:
    stored = OLD[kind.__name__]
    value = kind.model_validate(stored)
    assert value == kind.model_validate(dict(reversed(stored.items())))
    optional = [name for name, info in kind.model_fields.items() if not info.is_required()]
    for name in optional:
        default = kind.model_fields[name].get_default(call_default_factory=True)
        if getattr(value, name) != default:
            assert value.model_copy(update={name: default}) != value


_TEXTS = st.text(max_size=8)
_COUNTS = st.integers(0, 1_000)
_TASKS = st.builds(
    records.TaskRecord,
    id=st.from_regex(model.TASK_ID, fullmatch=True),
    position=_COUNTS,
    worker=st.sampled_from(model.WorkerKind),
    state=st.sampled_from(model.TaskState),
    attempt=_COUNTS,
    failures=_COUNTS,
    crashes=_COUNTS,
    ready_at=st.floats(0, 2e9),
    result=_TEXTS,
    cause=_TEXTS,
)


@settings(max_examples=50)
@given(_TASKS)
def test_the_state_machine_gets_every_field_of_a_task_but_its_place(task: records.TaskRecord) -> None:
    row = records.row_of(task)
    assert {**dataclasses.asdict(row), "position": task.position} == task._asdict()


@settings(max_examples=50)
@given(_TASKS)
def test_a_row_can_move_without_the_record_that_it_came_from(task: records.TaskRecord) -> None:
    row = records.row_of(task)
    row.state, row.cause = model.TaskState.CANCELLED, "moved"
    again = records.row_of(task)
    assert (again.state, again.cause) == (task.state, task.cause)


def test_a_step_that_says_nothing_does_nothing() -> None:
    step = records.Step(now=5.0)
    assert (step.owner, step.limits, step.free) == (None, None, None)
    assert (tuple(step.finished), tuple(step.actions), step.start, tuple(step.notes)) == ((), (), frozenset(), ())
    assert not step.renew


@pytest.mark.parametrize(
    "frozen",
    [
        records.Owner("o", 1),
        records.Action("pause"),
        records.Step(now=0.0),
        records.Advance(model.RunState.RUNNING, 1, (), (), None, 0),
        transitions.Start("t", 1, model.WorkerKind.HOST, "key"),
        transitions.Finished("t", 1, model.Outcome(state=model.AttemptState.FAILED)),
        transitions.AttemptEnd("t", 1, model.AttemptState.FAILED),
        transitions.NewEvent("run.created"),
        ports.Surroundings(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_crosses_a_boundary_is_frozen(frozen: records.Owner) -> None:
    for name in frozen.__match_args__:
        with pytest.raises(AttributeError):
            setattr(frozen, name, None)


@pytest.mark.anyio
async def test_where_nobody_looked_before_there_is_nothing_to_compare_with() -> None:
    around = ports.Surroundings()
    assert await around.first_look() == {}
    assert not around.claims
    assert around.active is around.declarations is declared_paths.NOBODY


def test_an_attempt_that_runs_begins_again_with_whoever_stands_in() -> None:
    stand_ins = (model.StandIn("other", "general"),)
    task = records.TaskRecord(
        id="a",
        position=0,
        worker=model.WorkerKind.HOST,
        state=model.TaskState.RUNNING,
        attempt=2,
        stand_ins=stand_ins,
        false_starts=1,
    )
    start = records.start_of(task)
    assert (start.task_id, start.attempt, start.worker, start.stand_ins) == ("a", 2, task.worker, stand_ins)
    row = records.row_of(task)
    assert (row.stand_ins, row.false_starts) == (stand_ins, 1)


def test_a_new_run_names_only_what_its_request_named() -> None:
    new = records.NewRun(id="r1", plan_id="p1", plan_version=1, worker=model.WorkerKind.HOST)
    assert (new.named_key, new.named_worker, new.named_roster, new.named_limits) == ("", None, "", {})
