"""What an answer reports of its own failure, in the fields and messages that are meant for machines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import handoff_texts, reported_failures

FAILED: list[model.Json] = [
    *({"status": word} for word in ("failed", "ERROR", "Blocked", "cancelled", "partial", "timed-out", "incomplete")),
    {"state": "crashed"},
    {"error": "boom"},
    {"error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"type": "error", "error": {"type": "api_error"}},
    {"status": "done", "is_error": True},
    {"Status": "failed", "completed_work": "Wrote a.py"},
    {"success": False, "completed_work": "Wrote a.py"},
    *({"status": word, "completed_work": "Wrote a.py"} for word in (False, "not done", "KO", "unsuccessful")),
    {"handoff": {"status": "blocked"}},
    {"result": {"payload": {"error": "no key"}}},
]
NO_ERRORS: list[model.Json] = ["", None, "none", "N/A", [], {}, False]
DONE: list[model.Json] = [
    *({"status": word} for word in ("succeeded", "complete", "ok", "done", "waiting", "needs_review", "", None, 7)),
    {"completed_work": "The upload failed before; it works now", "mistakes_learned": ["error: none"]},
    *({"error": nothing} for nothing in NO_ERRORS),
    {"status": "success", "error": "old one, mended"},
    {"errors": ["three mended"], "failed": 0, "is_error": False, "success": True},
    {"verdict": "FAIL", "status": "failed"},
    {"findings": [], "error": "no tests"},
    "failed",
    ["failed"],
    None,
]


@pytest.mark.parametrize("value", FAILED)
def test_a_field_that_says_how_the_work_ended_is_read_in_a_handoff_and_at_the_end_of_an_answer(
    value: model.Json,
) -> None:
    text = json.dumps(value, indent=1)
    assert reported_failures.of_value(value)
    assert reported_failures.of_text(text)
    assert reported_failures.of_text(f"I have done all of it.\n\n```json\n{text}\n```\n")


WORDS: list[model.Json] = [
    "erledigt",
    "fehlgeschlagen",
    "échec",
    "failed, sort of",
    "needs_review",
    "7 of 9",
    7,
    [],
    {},
]


@pytest.mark.parametrize("word", [*WORDS, "running", "maybe"])
def test_a_word_that_names_no_end_leaves_it_open_and_is_quoted(word: model.Json) -> None:
    for handoff in ({"completed_work": "x", "status": word}, {"State": word}, {"handoff": {"status": word}}):
        doubt = reported_failures.doubt(handoff)
        assert json_types.quoted(word) in doubt
        assert reported_failures.of_value(handoff) == ""


@pytest.mark.parametrize("word", [*reported_failures.MEANINGS, "", None, True, " Done! ", "SUCCEEDED"])
def test_known_words_and_none_leave_nothing_open_but_that_it_still_goes_on(word: model.Json) -> None:
    is_open = reported_failures.meaning(word) == "out"
    assert bool(reported_failures.doubt({"completed_work": "x", "status": word})) is is_open
    assert reported_failures.doubt({"verdict": "PASS", "status": "reviewed"}) == ""
    assert reported_failures.doubt(word) == ""


@pytest.mark.parametrize("value", DONE)
def test_other_fields_other_words_and_reviews_report_no_failure(value: model.Json) -> None:
    assert reported_failures.of_value(value) == ""
    assert reported_failures.of_text(f"All done.\n{json.dumps(value)}") == ""


@pytest.mark.parametrize(
    "text",
    [
        "API Error: 529 overloaded",
        'API Error: 500 {"type":"error","error":{"type":"api_error"}}',
        "API Error (Connection error.) · Retrying in 1 seconds",
        "  [Request interrupted by user for tool use]",
        "Error: agent crashed",
        "Claude AI usage limit reached|1764400000",
        "Prompt is too long",
    ],
)
def test_a_message_of_a_harness_or_a_provider_in_place_of_an_answer_is_a_failure(text: str) -> None:
    assert reported_failures.of_text(text)
    handoff = '{"completed_work": "It shows that message now", "files_modified": ["a.py"]}'
    assert reported_failures.of_text(f"I saw this first: {text}\nThen it went well.\n{handoff}") == ""
    assert reported_failures.of_text(f"The screen now says: {text}") == ("" if not text.endswith("}}") else ANY_ERROR)


ANY_ERROR = reported_failures.of_value({"error": {"type": "api_error"}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Done.",
        "Error handling was added to a.py",
        "I was not able to mend the flaky test, so I removed its cause.",
        "API errors are shown to the user now.",
        'It prints {"status": "failed"} when the disk is full.',
        "The prompt is too long in b.py, so I cut it. Tests pass.",
    ],
)
def test_prose_is_not_weighed(text: str) -> None:
    assert reported_failures.of_text(text) == ""


@given(st.text(max_size=400))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(reported_failures.of_text(text + "}"), str)


@given(st.sampled_from(sorted(handoff_texts.FIELDS)), st.text(alphabet="abc FAILed error:", max_size=60))
def test_what_is_said_within_the_fields_of_a_handoff_is_prose(field: str, text: str) -> None:
    assert reported_failures.of_value({field: text}) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"passed": false}', {"passed": False}),
        ('I looked.\n```json\n{"passed": false}\n```', {"passed": False}),
        ('{"passed": false}\nIt does not import.', {"passed": False}),
        ('```json\n{"passed": false}\n```\nIt does not import.', {"passed": False}),
        ('An example is {"passed": false} in this text.', None),
        ("It works.", None),
        ("{ it is no object", None),
    ],
)
def test_an_object_that_an_answer_begins_or_ends_with_is_its_own(text: str, value: model.Json) -> None:
    assert reported_failures.own_object(text) == value
