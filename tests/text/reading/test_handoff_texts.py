"""Handoffs as they stand in answers: where they are looked for, and what keeps one from being handed over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import handoff_texts, reported_failures

WORK = {"completed_work": "It is done."}
HANDOFF = {
    "completed_work": "Registration works",
    "files_modified": ["src/routes/users.ts"],
    "decisions_made": ["bcrypt, not argon2"],
    "open_questions": ["rate limiting"],
    "mistakes_learned": ["first attempt had SQL injection"],
    "artifacts": [{"name": "spec", "path": "api.json"}],
}
JSON = json.dumps(HANDOFF, indent=2)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (json.dumps(WORK), WORK),
        (f"I am done.\n\n```json\n{json.dumps(WORK)}\n```\n", WORK),
        (f"~~~\n{json.dumps(WORK)}\n~~~", WORK),
        ('{"summary": "It is done.",}', WORK),
        (json.dumps({"handoff": WORK, "status": "succeeded"}), WORK),
        ('First {"completed_work": "half"} and then {"completed_work": "It is done."}.', WORK),
        ('```\n{"Decisions": ["bcrypt"], "mood": "good"}\n```', {"decisions_made": ["bcrypt"]}),
    ],
)
def test_the_last_object_with_a_field_of_a_handoff_is_the_handoff(text: str, fields: json_types.Json) -> None:
    assert handoff_texts.read(text) == (fields, "")
    assert handoff_texts.fault(text) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("It is done, I think.", handoff_texts.MISSING),
        ("", handoff_texts.MISSING),
        ("[1]", handoff_texts.MISSING),
        ('{"mood": "good"}', handoff_texts.MISSING),
        ('{"completed_work": "It is', handoff_texts.MISSING),
        ('```json\n{"completed_work": "It is\n```', handoff_texts.BROKEN),
        ('{"completed_work": "It is" done}', handoff_texts.BROKEN),
        ('{"completed_work": "It is done.", "status": "running"}', "its status is 'running', which is no end"),
        ('{"handoff": {"completed_work": "It is done.", "state": "quasi"}}', "its state is 'quasi', which is no end"),
    ],
)
def test_what_keeps_an_answer_from_being_handed_over_is_said(text: str, fault: str) -> None:
    assert handoff_texts.fault(text).startswith(fault)


@pytest.mark.parametrize("value", [None, "completed_work", ["completed_work"], 3, {}, {"result": {"mood": "good"}}])
def test_a_value_without_any_field_of_a_handoff_is_none(value: json_types.Json) -> None:
    assert handoff_texts.fields_of(value) is None


@pytest.mark.parametrize("text", ["", "All done.", "```json\n[1, 2]\n```", "{}", '```json\n{"a": 1}\n```'])
def test_an_answer_without_a_handoff_says_so(text: str) -> None:
    fields, problem = handoff_texts.read(text)
    assert fields is None
    assert "no JSON block" in problem


def test_a_handoff_before_a_broken_block_is_read() -> None:
    text = f'```json\n{JSON}\n```\n```json\n{{"completed_work": "x" "open_questions": []}}\n```'
    assert handoff_texts.read(text) == (HANDOFF, "")


@pytest.mark.parametrize("wrapper", ["handoff", "payload", "result", "Result"])
def test_a_handoff_in_a_wrapper_is_read(wrapper: str) -> None:
    assert handoff_texts.read(json.dumps({"from": "a", wrapper: HANDOFF})) == (HANDOFF, "")


@pytest.mark.parametrize(
    ("field", "names"),
    {
        "completed_work": ("completed", "summary", "work_completed", "Work completed"),
        "files_modified": ("files", "files_changed", "modified_files"),
        "decisions_made": ("decisions",),
        "open_questions": ("questions",),
        "mistakes_learned": ("lessons", "lessons_learned", "mistakes"),
    }.items(),
)
def test_fields_are_read_under_the_names_that_models_write(field: str, names: tuple[str, ...]) -> None:
    for name in names:
        renamed = {name if key == field else key: value for key, value in HANDOFF.items()}
        assert handoff_texts.fields_of(renamed) == HANDOFF, name


@pytest.mark.parametrize("field", sorted(handoff_texts.FIELDS))
def test_any_field_alone_makes_a_handoff(field: str) -> None:
    assert handoff_texts.fields_of({field: []}) == {field: []}


def test_a_broken_block_is_named_with_its_place() -> None:
    fields, problem = handoff_texts.read('```json\n{"completed_work": "x" "files_modified": []}\n```')
    assert fields is None
    assert "line 1 column 24" in problem


WORDS = st.sampled_from(["succeeded", "done", "failed", "running", "", "what"])
VALUES = st.none() | st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=2) | WORDS
NAMES = st.sampled_from(
    ["completed_work", "files_modified", "status", "state", "error", "is_error", "success", "verdict", "handoff", "x"]
)
FORMS = st.sampled_from(
    ["{}", "{}\n", "Done.\n```json\n{}\n```", "```json\n[]\n```\n```json\n{}\n```", "```\n{}\n```", "a{}"]
)


@given(fields=st.dictionaries(NAMES, VALUES, max_size=4), form=FORMS)
def test_what_is_read_of_an_answer_in_any_form_is_what_its_object_says(
    fields: dict[str, json_types.Json], form: str
) -> None:
    answer = form.replace("{}", json.dumps(fields))
    expected = handoff_texts.fields_of(fields)
    assert handoff_texts.read(answer).fields == expected
    assert bool(handoff_texts.fault(answer)) is (expected is None or bool(reported_failures.doubt(fields)))


@given(st.text(alphabet='{}"completd_wrk:`\n ,~json', max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    fields, problem = handoff_texts.read(text)
    assert (fields is None) is bool(problem)


HANDED_OVER = '{"completed_work": "Totals are right.", "files_modified": ["cart.py"]}'


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"All is well.\n\n```json\n{HANDED_OVER}\n```", "All is well."),
        (f"All is well.\n~~~\n{HANDED_OVER}\n~~~\nBye.", "All is well.\nBye."),
        (f"All is well. {HANDED_OVER}", "All is well."),
        (f"```json\n{HANDED_OVER}\n```\n", ""),
        ("No block at all {", "No block at all {"),
    ],
)
def test_what_is_said_beside_a_handoff_is_the_text_without_its_block(text: str, rest: str) -> None:
    assert handoff_texts.without(text) == rest


@pytest.mark.parametrize(
    "block",
    [
        '{"completed_work": "Done.", "api": {"GET /cart": "the cart"}}',
        '{"handoff": {"completed_work": "Done."}, "table": [1, 2]}',
        f'{{"completed_work": "{"x" * 5_000}"}}',
    ],
)
def test_a_block_that_says_more_than_a_handoff_keeps_is_not_taken_out(block: str) -> None:
    text = f"All is well.\n```json\n{block}\n```"
    assert handoff_texts.without(text) == text
