"""The form of an answer: what prompts ask for, what the schema holds, and what is read are the same fields."""

from __future__ import annotations

import json
import re
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import answer_form, answer_parser, findings

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


def example(text: str) -> dict[str, Any]:
    """Returns the object that a form shows."""
    return json.loads(re.search(r"```json\n(.*)\n```", text)[1])  # type: ignore[index]  # else the test fails


def filled(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Returns values of a schema, as an API makes them that is held to it."""
    if "enum" in schema:
        assert schema["type"] == "string"
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
        return st.fixed_dictionaries({name: filled(part) for name, part in schema["properties"].items()})
    if schema["type"] == "array":
        return st.lists(filled(schema["items"]), max_size=4)
    return {"integer": st.integers(0, 10**6), "string": TEXT}[schema["type"]]


def test_prompt_and_schema_name_the_same_fields_in_the_same_order() -> None:
    form, schema = example(answer_form.FORM), answer_form.schema()
    assert list(form) == list(schema["properties"]) == ["verdict", "files", "findings"]
    fields = list(schema["properties"]["findings"]["items"]["properties"])
    assert list(form["findings"][0]) == fields == list(answer_form.FIELDS)
    assert set(fields) < set(findings.Finding.model_fields)


def test_the_form_offers_the_words_that_the_schema_allows() -> None:
    form, schema = example(answer_form.FORM), answer_form.schema(earlier=True)["properties"]
    assert form["verdict"].split(" or ") == schema["verdict"]["enum"]
    words = schema["findings"]["items"]["properties"]["severity"]["enum"]
    assert form["findings"][0]["severity"].split(" | ") == words == list(findings.SEVERITIES)
    assert " | ".join(schema["earlier"]["items"]["properties"]["ruling"]["enum"]) in answer_form.EARLIER_FORM


def test_the_form_of_rulings_names_the_fields_of_its_schema() -> None:
    shown = json.loads(re.search(r"\[(\{.*?\})\]", answer_form.EARLIER_FORM)[1])  # type: ignore[index]  # as above
    assert list(shown) == list(answer_form.schema(earlier=True)["properties"]["earlier"]["items"]["properties"])
    assert "earlier" not in answer_form.SCHEMA["properties"]  # type: ignore[operator]  # JSON


@pytest.mark.parametrize("earlier", [False, True])
@hypothesis.given(data=st.data())
def test_whatever_the_schema_allows_is_a_usable_answer_with_all_its_findings(
    data: st.DataObject, *, earlier: bool
) -> None:
    answer = data.draw(filled(answer_form.schema(earlier=earlier)))
    reading = answer_parser.read("a", answer)
    assert (reading.verdict, reading.problem) == (answer["verdict"], "")
    assert [finding.severity for finding in reading.findings] == [item["severity"] for item in answer["findings"]]
    assert len(reading.rulings) == len(answer.get("earlier", []))


def test_a_ruling_as_the_schema_allows_it_is_read_with_its_place_and_its_proof() -> None:
    fields = answer_form.schema(earlier=True)["properties"]["earlier"]["items"]["properties"]  # type: ignore[index]  # JSON
    values: dict[str, Any] = {
        "finding": "f1",
        "ruling": "gone",
        "file": "a.py",
        "line": 7,
        "quote": "    x",
        "evidence": "y",
    }
    assert set(fields) == set(values)
    [ruling] = answer_parser.read(
        "a", {"verdict": "PASS", "files": ["a.py"], "findings": [], "earlier": [values]}
    ).rulings
    assert ruling == findings.EarlierRuling(reviewer="a", **values)


@pytest.mark.parametrize("form", [answer_form.FORM, answer_form.SCHEMA_FORM])
def test_the_rules_are_the_same_whether_a_schema_holds_the_answer_or_not(form: str) -> None:
    assert form.endswith(answer_form.RULES)


def test_who_is_held_to_a_schema_is_shown_no_other_form() -> None:
    held = answer_form.SCHEMA_FORM + answer_form.EARLIER_SCHEMA_FORM
    assert "```" not in held
    assert "{" not in held
    assert all(f"`{ruling}`" in held for ruling in answer_form.RULINGS)


def test_the_form_itself_is_no_answer() -> None:
    assert answer_parser.report("a", answer_form.FORM).verdict is None
