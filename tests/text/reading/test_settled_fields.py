"""What an answer calls settled itself is left out of it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import settled_fields

ENTRY: dict[str, json_types.Json] = {"severity": "high", "claim": "It leaks."}
VALUES: st.SearchStrategy[json_types.Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["severity", "status", "claim", "fixed", "notes", "verdict"]), inner)
    ),
)


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        ({"resolved": [ENTRY], "notes": [ENTRY]}, {"notes": [ENTRY]}),
        ({"a": {"b": [{"history": "x", "c": 2}]}}, {"a": {"b": [{"c": 2}]}}),
        ([{**ENTRY, "status": "Fixed"}, ENTRY], [ENTRY]),
        ({"x": {**ENTRY, "is_false_positive": True}}, {}),
        ({"x": {**ENTRY, "false_positive": False}}, {"x": {**ENTRY, "false_positive": False}}),
        ({"status": "fixed"}, {"status": "fixed"}),
        ({"verdict": "FAIL", "earlier": [{**ENTRY, "ruling": "gone"}]},) * 2,
        ({"previous": {"a": [ENTRY, {**ENTRY, "status": "open"}]}}, {"previous": {"a": [{**ENTRY, "status": "open"}]}}),
        ({"rejected": True, "fixed": 3},) * 2,
        ({"rejected": ["it leaks"]},) * 2,
        ({"": 1, "_": 2, "in the": 3, "findings": [ENTRY]},) * 2,
        ("resolved",) * 2,
    ],
)
def test_settled_fields_and_entries_are_left_out(value: json_types.Json, rest: json_types.Json) -> None:
    assert settled_fields.without(value) == rest


@pytest.mark.parametrize(
    "name",
    [
        *("before", "previous", "previousFindings", "Previous findings", "previous-verdict", "earlier_issues"),
        *("resolved", "resolved_in_this_round", "fixed", "already_fixed", "mended", "closed", "withdrawn"),
        *("dismissed", "dismissed_as_false_positive", "false_positives", "known_false_positives", "refuted"),
        *("out_of_scope", "out-of-scope findings", "pre_existing", "preexisting_issues", "history_of_rounds"),
        *("without_change", "without_the_fix", "fixed_and_resolved", "round_1_history", "severity_legend"),
    ],
)
def test_a_name_of_nothing_but_such_words_is_settled(name: str) -> None:
    assert settled_fields.without({name: [ENTRY]}) == {}
    assert settled_fields.without({"a": {name: "FAIL"}}) == {"a": {}}


@pytest.mark.parametrize(
    "name",
    [
        *("findings", "critical", "review", "verdict", "notes", "src/history.py", "history.py", "", "round_2"),
        *("not_fixed", "unfixed", "still_open", "to_be_fixed", "must_be_resolved", "never_addressed"),
        *("fix_before_merge", "prior_to_merge", "rejected_because", "order_history", "fixed_price", "scope"),
        *("without_tests", "without_change_of_key", "positives", "previous_release_breaks", "considered_harmful"),
    ],
)
def test_a_name_with_another_word_or_with_none_of_them_is_not(name: str) -> None:
    assert settled_fields.without({name: [ENTRY]}) == {name: [ENTRY]}


@given(VALUES)
def test_what_is_left_holds_nothing_settled(value: json_types.Json) -> None:
    rest = settled_fields.without(value)
    assert settled_fields.without(rest) == rest


def test_what_is_nested_without_end_is_left_as_it_is() -> None:
    value: json_types.Json = {"fixed": "x"}
    for _ in range(3_000):
        value = [value]
    settled_fields.without(value)
    settled_fields.without({"history": value})


@pytest.mark.parametrize("field", ["status", "State", "resolution", "ruling", "disposition"])
@pytest.mark.parametrize("state", ["fixed", "Not a bug", "false-positive", "out of scope", "withdrawn", "refuted"])
def test_an_entry_says_of_itself_that_it_is_settled_in_any_of_these_fields(field: str, state: str) -> None:
    entry = {**ENTRY, field: state}
    assert settled_fields.without({"notes": [entry, ENTRY], "worst": entry}) == {"notes": [ENTRY]}
    assert settled_fields.without({"verdict": "PASS", "findings": [entry]}) == {"verdict": "PASS", "findings": [entry]}


@pytest.mark.parametrize("state", ["open", "not fixed", "to be fixed", "wontfix", "", None, 3, ["fixed"]])
def test_an_entry_in_any_other_state_stays(state: json_types.Json) -> None:
    entry: dict[str, json_types.Json] = {**ENTRY, "status": state}
    assert settled_fields.without({"notes": [entry]}) == {"notes": [entry]}


@given(VALUES)
def test_a_settled_field_holds_only_what_is_open(value: json_types.Json) -> None:
    still = {**ENTRY, "status": "open"}
    rest = settled_fields.without({"history": {"a": [value, still]}})
    assert json_types.is_object(rest)
    assert still in rest["history"]["a"]
