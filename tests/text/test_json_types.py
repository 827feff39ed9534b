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


@given(_VALUES)
def test_what_is_written_with_digits_is_a_number_and_a_truth_value_is_none(value: Json) -> None:
    assert json_types.is_number(value) == (json.dumps(value)[0] in "-0123456789")


def test_frozen_values_have_the_shape_of_what_they_were_frozen_from() -> None:
    assert json_types.is_object(types.MappingProxyType({"a": 1}))
    assert json_types.is_list((1, 2))


@pytest.mark.parametrize("value", ["abc", b"abc", {1, 2}, frozenset[int](), range(3), iter([1])])
def test_what_can_be_walked_but_is_not_json_is_neither(value: object) -> None:
    assert not json_types.is_list(value)
    assert not json_types.is_object(value)


def nested(levels: int, core: Json = 1) -> Json:
    for _ in range(levels):
        core = [core]
    return core


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": "x\0"}]}, "v.a[1].b holds a NUL character at position 1."),
        ({"a\0": 1}, "v holds a NUL character at position 1."),
        ([0.5, float("nan")], "v[1] is nan, which is not a JSON number."),
        (float("-inf"), "v is -inf, which is not a JSON number."),
        (nested(61), f"v{'[0]' * 61} is nested deeper than 60 levels."),
        ({"a": nested(60)}, f"v.a{'[0]' * 60} is nested deeper than 60 levels."),
    ],
)
def test_the_first_fault_of_a_value_is_named_with_its_place(value: Json, message: str) -> None:
    fault = json_types.fault_in(value, "v")
    assert fault is not None
    assert fault.message == message


FINE: list[Json] = [nested(60), {"a": nested(59)}, ["\ud83d"], 10**400, [[1], {"a": 1}] * 50_000]


@pytest.mark.parametrize("value", FINE)
def test_what_json_can_say_in_sixty_levels_has_no_fault(value: Json) -> None:
    assert json_types.fault_in(value, "v") is None


@given(_VALUES, st.sampled_from(["\0", float("nan"), float("inf")]), st.integers(0, 5))
def test_a_fault_is_seen_wherever_it_stands(value: Json, fault: Json, levels: int) -> None:
    faulty: Json = {"a": [value, nested(levels, fault), value]}
    assert json_types.fault_in(faulty, "v") is not None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_is_quoted_as_python_writes_it(value: json_types.Json) -> None:
    assert json_types.quoted(value).removesuffix("…") == repr(value)[:80]


def test_a_number_of_thousands_of_digits_is_not_written_out() -> None:
    assert json_types.quoted(10**5_000) == "'a number of thousands of digits'"


@pytest.mark.parametrize(
    ("value", "is_short"),
    [
        ("a" * 90, True),
        ("a" * 91, False),
        ([1] * 9, True),
        ([1] * 10, False),
        ({"a" * 30: {"b" * 20: None}}, True),
        ({"a" * 30: {"b" * 21: None}}, False),
        (None, True),
    ],
)
def test_a_value_is_short_if_its_texts_and_the_number_of_its_parts_are(value: Json, *, is_short: bool) -> None:
    assert json_types.is_short(value, 100) is is_short
