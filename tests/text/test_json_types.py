"""What counts as a JSON object and as a JSON list."""

from __future__ import annotations

import json
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import json_types
from dispatch_mcp.text.json_types import Json

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(_VALUES)
def test_what_is_written_with_braces_is_an_object_and_what_is_written_with_brackets_a_list(value: Json) -> None:
    first = json.dumps(value)[0]
    assert json_types.is_object(value) == (first == "{")
    assert json_types.is_list(value) == (first == "[")


def test_frozen_values_have_the_shape_of_what_they_were_frozen_from() -> None:
    assert json_types.is_object(types.MappingProxyType({"a": 1}))
    assert json_types.is_list((1, 2))


@pytest.mark.parametrize("value", ["abc", b"abc", {1, 2}, frozenset[int](), range(3), iter([1])])
def test_what_can_be_walked_but_is_not_json_is_neither(value: object) -> None:
    assert not json_types.is_list(value)
    assert not json_types.is_object(value)
