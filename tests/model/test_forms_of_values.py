"""What a field can hold is said in words, whatever its type is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, fields

from dispatch_mcp import configuration, model
from dispatch_mcp.model import bounds


class Example(model.Value):
    flag: bool = True
    text: Annotated[str, Field(max_length=9)] = ""
    path: Path = Path()
    choice: Literal["a", "b"] = "a"
    count: Annotated[bounds.Count, Field(ge=1, le=64)] = 1
    share: Annotated[bounds.Number, Field(ge=0, le=1)] = 1.0
    above: Annotated[bounds.Number, Field(gt=0, le=1440)] = 1.0
    ceiling: bounds.TaskCeiling | None = None
    free: float = 0.0
    texts: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    words: tuple[Literal["finished", "failed"], ...] = ()
    lists: Annotated[tuple[tuple[str, ...], ...], Field(max_length=9)] = ()
    numbers: tuple[int, ...] = ()
    whatever: bytes = b""


FORMS = {
    "flag": "true or false",
    "text": "a text",
    "path": "a path",
    "choice": "one of a, b",
    "count": "a whole number from 1 to 64",
    "share": "a number from 0 to 1",
    "above": "a number above 0 to 1,440",
    "ceiling": f"a whole number from 1 to {bounds.MAX_TASKS:,}",
    "free": "a number",
    "texts": "a list of texts",
    "paths": "a list of paths",
    "words": "a list of finished, failed",
    "lists": "a list of lists of texts",
    "numbers": "a list of values",
    "whatever": "another value",
}


@pytest.mark.parametrize("name", Example.model_fields)
def test_a_field_says_what_it_can_hold(name: str) -> None:
    assert bounds.form(Example.model_fields[name]) == FORMS[name]


@pytest.mark.parametrize("name", configuration.Settings.model_fields)
def test_every_setting_has_a_form_of_its_own(name: str) -> None:
    form = bounds.form(configuration.Settings.model_fields[name])
    assert form not in ("another value", "a list of values", "a whole number", "a number")


def test_a_span_is_said_of_numbers_with_two_ends_only() -> None:
    spans = {name: bounds.span(field) for name, field in Example.model_fields.items()}
    assert {name: span for name, span in spans.items() if span} == {
        "count": "1 to 64",
        "share": "0 to 1",
        "above": "above 0 to 1,440",
        "ceiling": f"1 to {bounds.MAX_TASKS:,}",
    }


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "a whole number"),
        (Annotated[str | None, "a comment"], "a text"),
        (tuple[Annotated[str, "a comment"], ...], "a list of texts"),
        (tuple[tuple[Path, ...], ...], "a list of lists of paths"),
        (Literal[1, 2] | None, "one of 1, 2"),
        (dict[str, int], "another value"),
    ],
)
def test_what_is_said_beside_a_type_changes_nothing(annotation: Any, words: str) -> None:
    assert bounds.form(fields.FieldInfo(annotation=annotation)) == words
