"""A field of a task is declared once: schema, reader and digest take it from there."""

from __future__ import annotations

import json
from typing import Annotated, Final

import pytest

from dispatch_mcp import model
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.model import digests
from dispatch_mcp.planning import plan_documents

FIELDS: Final = model.task_fields()
SAMPLES: Final[dict[model.TaskValue, model.Json]] = {
    "name": "some-name",
    "text": "Some text.",
    "names": ["a", "b"],
    "paths": ["src/a.py"],
    "texts": ["Some text, with a comma"],
    "argv": ["make", "test"],
    "object": {"key": [1, None]},
    "seconds": 12.5,
    "count": 2,
    "ceilings": {"dollars": 1.5, "attempts": 2},
}


class WiderTask(model.Task):
    """A task with one more field, declared once."""

    reviewers: Annotated[
        model.Names,
        model.TaskField("names", "when_set", offered=True, about="Who checks it.", aliases=("checked_by",)),
    ] = ()


class CarelessTask(model.Task):
    """A task with a field that does not say what it is."""

    colour: str = ""


def sample(name: str) -> model.Json:
    """Returns a value of a field that is not its default."""
    field = FIELDS[name]
    default = model.Task.model_fields[field.attribute].default
    return next(word for word in field.words if word != default) if field.words else SAMPLES[field.is_a.holds]


def read(fields: dict[str, model.Json]) -> model.Task:
    """Returns the task that a model's object is read as."""
    reading = plan_documents.read_tasks([{"id": "a", "do": "work", **fields}])
    assert not reading.problems
    return reading.tasks[0]


def test_every_field_of_a_task_says_what_it_is() -> None:
    assert {field.attribute for field in FIELDS.values()} == set(model.Task.model_fields)


def test_a_field_that_does_not_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match=r"CarelessTask\.colour"):
        model.task_fields(CarelessTask)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_read_under_its_name_and_its_other_names(name: str) -> None:
    value = sample(name)
    task = read({name: value})
    assert json.loads(task.model_dump_json(exclude_defaults=True))[name] == value
    for alias in FIELDS[name].is_a.aliases:
        raw = {"id": "a", "do": "work", name: value}
        raw[alias] = raw.pop(name)
        reading = plan_documents.read_tasks([raw])
        assert (reading.tasks, reading.problems) == ((task,), ())


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_published_if_it_is_offered(name: str) -> None:
    schema = tool_arguments.task_schema(model.Task)
    assert (name in schema["properties"]) == FIELDS[name].is_a.offered


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_published_is_read(name: str) -> None:
    published = tool_arguments.task_schema(model.Task)["properties"].get(name, {})
    for word in published.get("enum", ()):
        assert str(getattr(read({name: word}), FIELDS[name].attribute)) == word


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_counts_in_the_digest_if_it_says_so(name: str) -> None:
    bare, changed = read({}), read({name: sample(name)})
    assert (digests.spec_digest(bare) != digests.spec_digest(changed)) == (FIELDS[name].is_a.spec != "never")


def test_one_declaration_reaches_schema_reader_and_digest() -> None:
    schema = tool_arguments.task_schema(WiderTask)
    assert schema["properties"]["reviewers"] == {
        "type": "array",
        "items": {"type": "string"},
        "description": "Who checks it.",
    }
    assert set(plan_documents.readers(WiderTask)) == {*FIELDS, "reviewers"}
    assert model.task_fields(WiderTask)["reviewers"].is_a.aliases == ("checked_by",)
    wider = WiderTask(id="a", do="work")
    assert digests.spec_digest(wider) == digests.spec_digest(model.Task(id="a", do="work"))
    assert digests.spec_digest(wider) != digests.spec_digest(wider.model_copy(update={"reviewers": ("b",)}))


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.is_a.holds != "object"])
def test_a_value_of_another_kind_is_a_problem_that_names_the_field(name: str) -> None:
    reading = plan_documents.read_tasks([{"id": "a", "do": "work", name: {"no": object}}])
    assert any(name in problem.where for problem in reading.problems)
