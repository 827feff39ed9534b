from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.runs import handoff_schema, prompt_builder
from dispatch_mcp.text import json_types

WHOLE: dict[str, Any] = {
    "completed_work": "Done.",
    "files_modified": ["a.py"],
    "decisions_made": ["why"],
    "open_questions": [],
    "mistakes_learned": [],
    "artifacts": [{"name": "log", "path": "out/log"}],
    "messages": [],
    "proposed_edits": ['{"op": "add", "id": "cache", "task": {"do": "Cache it"}}', "no JSON", "[1]"],
    "answer": "All of it.",
}


def objects(schema: model.Json) -> Iterator[Mapping[str, Any]]:
    if json_types.is_object(schema):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_every_object_of_the_schema_is_closed_and_all_its_fields_are_required() -> None:
    for part in objects(handoff_schema.SCHEMA):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


def test_every_field_of_the_schema_has_a_type_or_the_words_that_are_possible() -> None:
    for part in objects(handoff_schema.SCHEMA):
        assert all({"type", "enum"} & set(field) for field in part["properties"].values())
        assert {key for field in part["properties"].values() for key in field} <= {
            *("type", "enum", "items", "properties", "required", "additionalProperties", "description"),
        }


def test_an_answer_gives_the_handoff_and_the_whole_text() -> None:
    handoff, answer, problem = handoff_schema.parse_text(json.dumps(WHOLE))
    assert handoff is not None
    assert (handoff.completed_work, handoff.files_modified, answer, problem) == ("Done.", ("a.py",), "All of it.", "")
    assert handoff.artifacts == (model.Artifact(name="log", path="out/log"),)
    assert handoff.proposed_edits == ({"op": "add", "id": "cache", "task": {"do": "Cache it"}},)


@pytest.mark.parametrize(
    ("answer", "is_failure"),
    [
        ('{"status": "failed", "error": "brief not read: no such file"}', True),
        ('I could not.\n\n```json\n{"status": "failed", "error": "brief not read"}\n```', True),
        ('{"handoff": {"status": "blocked"}}', True),
        ('{"status": "succeeded", "error": null}', False),
        ('{"verdict": "FAIL", "findings": []}', False),
        ("Error: is what the parser says of such a line.", False),
        ('Added this example to the docs:\n```json\n{"status": "failed", "error": "no such job"}\n```', False),
        ('The endpoint now returns:\n\n```\n{"status": "failed"}\n```\n', False),
        ('No example helped. I end:\n```json\n{"status": "failed", "error": "brief not read"}\n```', True),
        ('The example:\n```\n{"a": 1}\n```\nAnd now:\n{"status": "failed", "error": "brief not read"}', True),
    ],
)
def test_an_answer_that_reports_its_own_failure_in_the_words_of_the_brief_is_no_handoff(
    answer: str, *, is_failure: bool
) -> None:
    for handoff, _, problem in (
        handoff_schema.parse({**WHOLE, "answer": answer}),
        handoff_schema.parse_text(json.dumps({**WHOLE, "answer": answer})),
    ):
        assert (handoff is None) is is_failure
        assert problem.startswith("The answer itself reports that the work failed") is is_failure


def test_an_answer_that_proposes_nothing_is_read_as_it_is() -> None:
    told = {name: value for name, value in WHOLE.items() if name != "proposed_edits"}
    handoff, answer, problem = handoff_schema.parse(told)
    assert handoff is not None
    assert (handoff.completed_work, handoff.proposed_edits, answer, problem) == ("Done.", (), "All of it.", "")


def test_an_answer_that_is_no_handoff_says_what_one_is_and_an_empty_one_what_it_lacks() -> None:
    assert handoff_schema.parse({"a": 1})[2].startswith("a handoff is an object with any of")
    assert handoff_schema.parse({**WHOLE, "completed_work": ""})[2] == "completed_work is empty"


def test_what_answers_a_schema_of_the_order_is_kept_in_its_own_letters() -> None:
    handoff, whole, problem = handoff_schema.read(order(schema={"type": "object"}), {"größe": "ü"})
    assert (whole, problem) == ('{"größe": "ü"}', "")
    assert handoff is not None
    assert handoff.completed_work == 'Answered: {"größe": "ü"}'


@pytest.mark.parametrize("value", [None, [], "x", {}, {"completed_work": ""}, {"answer": "x"}, {"proposed_edits": "x"}])
def test_what_says_nothing_of_the_work_is_no_handoff(value: Any) -> None:
    handoff, _, problem = handoff_schema.parse(value)
    assert handoff is None
    assert problem


def test_text_that_is_no_json_is_no_handoff() -> None:
    for text in ("", "Done.", "{", "[" * 100_000):
        assert handoff_schema.parse_text(text)[0] is None


def order(**more: Any) -> work_order.WorkOrder:
    return work_order.WorkOrder("r", model.Task(id="t", do="Work"), 2, WorkerKind.API, **more)


def prompt(**more: Any) -> prompt_builder.Prompt:
    return prompt_builder.build(order(**more), nonce="0123456789abcdef")


def test_the_prompt_asks_for_the_form_instead_of_a_block_and_still_reads_back() -> None:
    asked = handoff_schema.for_structured_answer(prompt(), order())
    assert "```json" not in asked.text
    assert handoff_schema.STRUCTURED_ANSWER in asked.text
    assert prompt_builder.parse(asked.text) == asked


def test_who_goes_on_is_told_why_and_not_the_task_again() -> None:
    told = handoff_schema.continuation(
        handoff_schema.for_structured_answer(prompt(last_error="the connection broke"), order())
    )
    assert "the connection broke" in told.text
    assert "## GOAL\nWork" not in told.text
    assert "CONTEXT" not in handoff_schema.continuation(prompt()).text
