"""What a field can hold is said in words, whatever its type is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from dispatch_mcp import configuration, model
from dispatch_mcp.model import bounds, value_forms


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
    "lists": "a list of lists of texts",
    "numbers": "a list of values",
    "whatever": "another value",
}


@pytest.mark.parametrize("name", Example.model_fields)
def test_a_field_says_what_it_can_hold(name: str) -> None:
    assert value_forms.form(Example.model_fields[name]) == FORMS[name]


@pytest.mark.parametrize("name", configuration.Settings.model_fields)
def test_every_setting_has_a_form_of_its_own(name: str) -> None:
    form = value_forms.form(configuration.Settings.model_fields[name])
    assert form not in ("another value", "a list of values", "a whole number", "a number")
