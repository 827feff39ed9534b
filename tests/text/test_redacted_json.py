"""Secrets taken out of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import json_types, redaction


def nested(value: redaction.Json, depth: int, wrap: Callable[[redaction.Json], redaction.Json]) -> redaction.Json:
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS: list[Callable[[redaction.Json], redaction.Json]] = [lambda inner: [inner], lambda inner: {"k": inner}]


@pytest.mark.parametrize("wrap", WRAPS, ids=["lists", "objects"])
@pytest.mark.parametrize("leaf", ["text", 7, 1.5, True, None])
def test_json_is_walked_to_its_last_allowed_level_and_no_further(
    leaf: redaction.Json, wrap: Callable[[redaction.Json], redaction.Json]
) -> None:
    redactor = redaction.Redactor()
    whole = nested(leaf, redaction.MAX_DEPTH, wrap)
    assert redactor.redact_json(whole) == whole
    assert redactor.redact_json(wrap(whole)) == nested("[redacted:too-deep]", redaction.MAX_DEPTH, wrap)


_SECRET_VALUES = st.sampled_from(["hunter22", "plain", "sk-" + "ant-" + "a1" * 12, "", 7, None, True])
_JSON = st.recursive(
    _SECRET_VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["password", "n", "hunter22", "api_key"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.promise("S10")
@given(_JSON)
def test_redacted_json_holds_no_secret_keeps_its_shape_and_does_not_change_again(value: redaction.Json) -> None:
    redactor = redaction.Redactor(["hunter22"])
    once = redactor.redact_json(value)
    assert "hunter22" not in json.dumps(once)
    assert "a1a1" not in json.dumps(once)
    assert redactor.redact_json(once) == once
    assert type(once) is type(value)
    assert isinstance(value, str | int | None) or len(once) == len(value)


def alone(redactor: redaction.Redactor, value: redaction.Json) -> redaction.Json:
    """Returns a value with each text redacted for itself; secrets under names such as `password` are left to it."""
    if isinstance(value, str):
        return redactor.redact(value)
    if json_types.is_list(value):
        return [alone(redactor, item) for item in value]
    if json_types.is_object(value):
        return {redactor.redact(key): alone(redactor, item) for key, item in value.items()}
    return value


_SOME_TEXT = st.sampled_from(
    [
        *("Bearer " + "a1" * 12, "hunter22 and hunter22", "https://me:pa55word@host", "ready", "t1.py", "a = b", ""),
        *("AKIA" + "A1" * 8, "key-" + "a1" * 16, "export API_TOKEN=abcdef123", "x\n-----BEGIN", "eyJ.eyJ", "dp."),
    ]
)


@pytest.mark.promise("S10")
@given(
    st.recursive(
        _SOME_TEXT | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_SOME_TEXT, inner, max_size=4),
    )
)
def test_a_text_is_redacted_beside_others_as_it_is_alone(value: redaction.Json) -> None:
    redactor = redaction.Redactor(["hunter22"])
    assert redactor.redact_json(value) == alone(redactor, value)


def test_what_was_redacted_before_keeps_the_kind_that_it_was_given() -> None:
    value = {"password": "[redacted:url-password]", "secret": "[re"}
    assert redaction.Redactor().redact_json(value) == value


@pytest.mark.promise("S10")
@pytest.mark.parametrize("at", [0, 1, 499, 999])
def test_a_secret_is_taken_out_of_a_long_list_wherever_it_stands(at: int) -> None:
    token = "ghp_" + "a1" * 20
    lines = [f"line {number} of a plan" for number in range(1_000)]
    lines[at] = f"{lines[at]}: {token}"
    clean = redaction.Redactor().redact_json(lines)
    assert clean[at] == f"line {at} of a plan: [redacted:github-token]"
    assert clean[:at] + clean[at + 1 :] == lines[:at] + lines[at + 1 :]


@pytest.mark.promise("S10")
def test_what_is_said_in_two_texts_together_is_no_secret_and_stays() -> None:
    halves = ["ghp_" + "a1" * 10, "b2" * 10, {"ghp_": "a1" * 20}]
    assert redaction.Redactor(["hunter22"]).redact_json([*halves, "hunter", "22"]) == [*halves, "hunter", "22"]


@pytest.mark.promise("S10")
def test_a_secret_of_several_lines_is_found_in_one_text_and_not_across_texts() -> None:
    secret = "first line of the key\nsecond line of the key"
    redactor = redaction.Redactor([secret])
    assert redactor.redact_json({"whole": f"it is {secret}."}) == {"whole": "it is [redacted:secret]."}
    assert redactor.redact_json(["first line", "of the key"]) == ["first line", "of the key"]


def test_numbers_and_truth_values_stay_as_they_are_beside_secrets() -> None:
    value = {"password": 7, "ok": True, "none": None, "share": 0.5, "key": ["sk-" + "ant-" + "a1" * 12]}
    clean = {"password": 7, "ok": True, "none": None, "share": 0.5, "key": ["[redacted:anthropic-key]"]}
    assert redaction.Redactor().redact_json(value) == clean
