"""Single JSON values as models send them: read as they are meant, or refused with their place and what to send."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.planning import json_reader
from dispatch_mcp.planning.json_reader import FieldReader

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
METHODS: dict[str, Callable[[FieldReader, str, model.Json], object]] = {
    "text": FieldReader.text,
    "name": FieldReader.name,
    "texts": FieldReader.texts,
    "names": FieldReader.names,
    "mapping": FieldReader.mapping,
    "number": lambda reader, key, value: reader.number(key, value, 1, 20),
    "count": lambda reader, key, value: reader.number(key, value, 1, 20, whole=True),
    "choice": lambda reader, key, value: reader.choice(key, value, ("high", "medium", "low")),
}
ACCEPTED: list[tuple[str, model.Json, object]] = [
    ("text", "", ""),
    ("text", " as it is\n", " as it is\n"),
    ("text", "x" * json_reader.MAX_TEXT, "x" * json_reader.MAX_TEXT),
    ("name", " build ", "build"),
    ("name", 7, "7"),
    ("name", -(2**63) + 1, str(-(2**63) + 1)),
    ("texts", ["a", "", "b, c"], ("a", "b, c")),
    ("texts", "one", ("one",)),
    ("texts", ("a", "b"), ("a", "b")),
    ("texts", [], ()),
    ("texts", ["x"] * json_reader.MAX_LIST, ("x",) * json_reader.MAX_LIST),
    ("names", "a, b,,c ", ("a", "b", "c")),
    ("names", [" a", 3, ""], ("a", "3")),
    ("names", "", ()),
    ("mapping", {}, {}),
    ("mapping", {"a": [1, None, {"b": True}]}, {"a": [1, None, {"b": True}]}),
    ("mapping", {"n": 2**63 - 1, "f": -0.5}, {"n": 2**63 - 1, "f": -0.5}),
    ("number", 1, 1),
    ("number", 20.0, 20.0),
    ("number", 2.5, 2.5),
    ("count", 3.0, 3.0),
    ("choice", "high", "high"),
    ("choice", " HIGH ", "high"),
]
REFUSED: list[tuple[str, model.Json, str, str]] = [
    ("text", None, "wrong_type", "'k' is null."),
    ("text", 5, "wrong_type", "'k' is a number (5)."),
    ("text", True, "wrong_type", "'k' is a boolean (True)."),
    ("text", ["a"], "wrong_type", "'k' is a list of 1."),
    ("text", {}, "wrong_type", "'k' is an object."),
    ("text", "x" * (json_reader.MAX_TEXT + 1), "too_long", "'k' has 20001 characters; at most 20000 are allowed."),
    ("text", "a\0b", "bad_text", "'k' holds a NUL or half a character: 'a\\x00b'."),
    ("text", "\ud83d", "bad_text", "'k' holds a NUL or half a character: '\\ud83d'."),
    ("name", True, "wrong_type", "'k' is a boolean (True)."),
    ("name", 2**63, "wrong_type", "'k' is a number (an integer of 64 bits)."),
    ("name", 1.5, "wrong_type", "'k' is a number (1.5)."),
    ("name", "x" * 4_097, "too_long", "'k' has 4097 characters; at most 4096 are allowed."),
    ("texts", 5, "wrong_type", "'k' is a number (5)."),
    ("texts", {"a": 1}, "wrong_type", "'k' is an object."),
    ("texts", ["x"] * 1_001, "too_long", "'k' has 1001 entries; at most 1000 are allowed."),
    ("names", None, "wrong_type", "'k' is null."),
    ("mapping", [], "wrong_type", "'k' is a list of 0."),
    ("mapping", "{}", "wrong_type", "'k' is a string ('{}')."),
    ("mapping", {"a": math.nan}, "bad_value", "'k' holds nan."),
    ("mapping", {"a": [math.inf]}, "bad_value", "'k' holds inf."),
    ("mapping", {"a": 2**63}, "bad_value", "'k' holds an integer beyond 64 bits."),
    ("mapping", {"a\0": 1}, "bad_value", "'k' holds a NUL or half a character."),
    ("mapping", {"a": "\udc00"}, "bad_value", "'k' holds a NUL or half a character."),
    ("mapping", {"a": {1, 2}}, "bad_value", "'k' holds {1, 2}."),
    ("mapping", {"a": list(range(20_000))}, "bad_value", "'k' is too large."),
    ("mapping", {"a": "x" * 500_001}, "bad_value", "'k' is too large."),
    ("number", "5", "wrong_type", "'k' is a string ('5')."),
    ("number", False, "wrong_type", "'k' is a boolean (False)."),
    ("number", 0.9, "bad_value", "'k' is 0.9."),
    ("number", 21, "bad_value", "'k' is 21."),
    ("number", math.nan, "bad_value", "'k' is nan."),
    ("number", math.inf, "bad_value", "'k' is inf."),
    ("number", 10**5_000, "bad_value", "'k' is an integer of 16610 bits."),
    ("count", 2.5, "bad_value", "'k' is 2.5."),
    ("choice", "hihg", "bad_value", "'k' is 'hihg'."),
    ("choice", 1, "wrong_type", "'k' is a number (1)."),
]


@pytest.mark.parametrize(
    ("method", "value", "meant"), ACCEPTED, ids=lambda value: value[:20] if isinstance(value, str) else ""
)
def test_a_value_is_read_as_it_is_meant(method: str, value: model.Json, meant: object) -> None:
    reader = FieldReader()
    assert METHODS[method](reader, "k", value) == meant
    assert reader.found == []


@pytest.mark.parametrize(
    ("method", "value", "code", "message"), REFUSED, ids=lambda value: value[:20] if isinstance(value, str) else ""
)
def test_what_does_not_fit_is_one_problem_that_quotes_it(
    method: str, value: model.Json, code: str, message: str
) -> None:
    reader = FieldReader(place="tasks[3]", task="build")
    assert METHODS[method](reader, "k", value) is None
    (problem,) = reader.found
    assert (problem.code, problem.message, problem.where, problem.task) == (code, message, "tasks[3].k", "build")
    assert problem.fix


@pytest.mark.parametrize(
    ("method", "value", "repairs"),
    [
        ("name", 7, ["numbers taken as text"]),
        ("name", "7", []),
        ("names", [1, 2], ["numbers taken as text"]),
        ("names", "a,b", ["strings taken as lists"]),
        ("names", ["a", "b"], []),
        ("texts", "one", ["strings taken as lists"]),
        ("texts", ["one"], []),
    ],
)
def test_what_was_repaired_is_said_once(method: str, value: model.Json, repairs: list[str]) -> None:
    reader = FieldReader()
    METHODS[method](reader, "k", value)
    METHODS[method](reader, "other", value)
    assert list(reader.repaired) == repairs


def test_of_a_list_only_the_entries_that_do_not_fit_are_named() -> None:
    reader = FieldReader(place="tasks[0]")
    assert reader.texts("output", ["a", None, "b", ["c"]]) == ("a", "b")
    assert [problem.where for problem in reader.found] == ["tasks[0].output[1]", "tasks[0].output[3]"]
    assert reader.names("deps", ["x", True]) == ("x",)
    assert reader.found[-1].where == "tasks[0].deps[1]"


@pytest.mark.parametrize(
    ("typed", "meant"), [("hgih", "high"), ("Medum", "medium"), ("lo", "low"), ("urgent", ""), ("", "")]
)
def test_a_wrong_word_comes_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    reader = FieldReader()
    assert reader.choice("priority", typed, ("high", "medium", "low")) is None
    assert reader.found[0].did_you_mean == meant
    assert reader.found[0].fix == "Use one of `high`, `medium`, `low`."


@pytest.mark.parametrize(("low", "high", "fix"), [(1, 20, "Use 1 to 20."), (0.5, 86_400, "Use 0.5 to 86400.")])
def test_a_number_out_of_bounds_comes_with_its_bounds(low: float, high: float, fix: str) -> None:
    reader = FieldReader()
    assert reader.number("k", high + 1, low, high) is None
    assert reader.number("k", low - 0.1, low, high) is None
    assert [problem.fix for problem in reader.found] == [fix, fix]


WRAPS: list[Callable[[model.Json], model.Json]] = [lambda inner: {"a": inner}, lambda inner: [inner]]


@pytest.mark.parametrize("wrap", WRAPS, ids=["objects", "lists"])
@pytest.mark.parametrize("levels", [json_reader.MAX_DEPTH - 2, json_reader.MAX_DEPTH - 1])
def test_an_object_may_be_nested_so_deeply_and_no_deeper(wrap: Callable[[model.Json], model.Json], levels: int) -> None:
    value: model.Json = 1
    for _ in range(levels):
        value = wrap(value)
    reader = FieldReader()
    allowed = levels < json_reader.MAX_DEPTH - 1
    assert reader.mapping("inputs", {"a": value}) == ({"a": value} if allowed else None)
    assert [problem.message for problem in reader.found] == ([] if allowed else ["'inputs' is nested too deeply."])


@pytest.mark.parametrize(
    ("place", "key", "where"), [("tasks[3]", "do", "tasks[3].do"), ("", "do", "do"), ("tasks[3]", "", "tasks[3]")]
)
def test_a_problem_says_where_it_is(place: str, key: str, where: str) -> None:
    reader = FieldReader(place=place)
    reader.problem("code", key, "message", meant="other")
    assert (reader.found[0].where, reader.found[0].did_you_mean) == (where, "other")


@pytest.mark.parametrize(
    ("name", "shown"), [("plain", "plain"), ("a\0b", "a\ufffdb"), ("\ud800", "\ufffd"), ("x" * 90, "x" * 80)]
)
def test_a_wrong_name_is_shown_short_and_encodable(name: str, shown: str) -> None:
    assert json_reader.printable(name) == shown
    assert shown.encode()


@settings(max_examples=examples(200))
@given(_JSON, st.sampled_from(sorted(METHODS)))
def test_any_json_is_read_or_refused_and_never_both(value: model.Json, method: str) -> None:
    reader = FieldReader()
    read = METHODS[method](reader, "k", value)
    assert (read is None) is any(problem.where == "k" for problem in reader.found)
    assert all(problem.where.startswith("k") and len(problem.message) < 300 for problem in reader.found)
    assert not isinstance(read, tuple) or "" not in read
