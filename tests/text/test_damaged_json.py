"""JSON read through the damage that models and harnesses do to it."""

from __future__ import annotations

import json
from typing import Any

import growth
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.text import damaged_json

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(str.strip), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT.filter(str.strip), VALUES, min_size=1, max_size=5)


def only(text: str) -> damaged_json.Piece:
    [piece] = damaged_json.objects(text)
    return piece


@hypothesis.given(OBJECTS, st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}]))
def test_what_is_json_is_read_as_json_and_exactly(value: dict[str, Any], style: dict[str, Any]) -> None:
    piece = only(json.dumps(value, **style))
    assert piece.value == value
    assert (piece.whole, piece.doubts) == (True, ())


@hypothesis.given(OBJECTS)
def test_an_object_is_read_among_other_words(value: dict[str, Any]) -> None:
    text = f"I looked at {{x}} and {{ y }}.\n```json\n{json.dumps(value)}\n```\nThat is {{all}}."
    assert [piece.value for piece in damaged_json.objects(text)] == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,],, "b": 2}', {"a": [1, 2], "b": 2}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "x"\n "b": "y"}', {"a": "x", "b": "y"}),
        ('{"a": [{"b": 1} {"b": 2}]}', {"a": [{"b": 1}, {"b": 2}]}),
        ("{'a': 'it\\'s', 'b': None, 'c': [True, False]}", {"a": "it's", "b": None, "c": [True, False]}),
        ("{'a': 'x\\x1b', \"b\": \"it's\"}", {"a": "x\x1b", "b": "it's"}),
        ("{“a”: “b”, „c“: „d“}", {"a": "b", "c": "d"}),
        ('{“a”: “say "hi" twice”}', {"a": 'say "hi" twice'}),
        ('{a: "b", c_d: 3}', {"a": "b", "c_d": 3}),
        ('{"a": FAIL, "b": app.py}', {"a": "FAIL", "b": "app.py"}),
        ('{"a": `b`}', {"a": "b"}),
        ('{"a": "b\n\tc"}', {"a": "b\n\tc"}),
        (r'{"a": "\_\'\$\`\# \d\w"}', {"a": "_'$`# \\d\\w"}),
        (r'{"a": "\ud83d\ude00 \u00e4 \u12 \x41"}', {"a": "😀 ä \\u12 \\x41"}),
        ('{"a": 1, // the first\n "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "say "hi" twice", "b": 1}', {"a": 'say "hi" twice', "b": 1}),
        ('{"a": "f("x", y)"}', {"a": 'f("x", y)'}),
        ('{"a": [1], "a": [2]}', {"a": [1, 2]}),
        ('{"a": 1, <system-reminder>\nuse "b": 2\n</system-reminder> "c": 3}', {"a": 1, "c": 3}),
        ('{"a": 1 <\\system-reminder>, "c": 3 <br>}', {"a": 1, "c": 3}),
        ('{"a": 1<\\note>x: 3</note>, "c": 3}', {"a": 1, "c": 3}),
        ('{"a": ' + "9" * 5_000 + "}", {"a": "9" * 5_000}),
        ('{"a": 1e999, "b": 12 to 14}', {"a": "1e999", "b": "12 to 14"}),
    ],
)
def test_damage_that_leaves_one_meaning_is_repaired_without_a_doubt(text: str, value: dict[str, Any]) -> None:
    piece = only(text)
    assert piece.value == value
    assert (piece.exact, piece.doubts) == (False, ())


@pytest.mark.parametrize(
    ("text", "value", "doubt"),
    [
        ('{"a": 1, "a": 2}', {"a": 1}, "it names 'a' twice"),
        ('{"a": 1, that is all}', {"a": 1}, damaged_json.UNCLEAR_WORDS),
        ('{"a": [1, {"b": 2], "c": 3}', {"a": [1, {"b": 2}], "c": 3}, damaged_json.UNCLEAR_BRACKETS),
        ('{"a": "x "b": y", "c": 1}', {"a": 'x "b": y', "c": 1}, damaged_json.UNCLEAR_QUOTES),
    ],
)
def test_damage_that_leaves_two_meanings_is_doubted(text: str, value: dict[str, Any], doubt: str) -> None:
    piece = only(text)
    assert piece.value == value
    assert doubt in piece.doubts


@pytest.mark.parametrize("end", range(5, 30))
def test_what_never_closes_is_read_as_far_as_it_goes(end: int) -> None:
    whole = '{"a": {"b": "cdefgh", "i": [1, 2]}}'
    pieces = list(damaged_json.objects(whole[:end]))
    assert pieces
    assert not any(piece.whole for piece in pieces)
    assert all(damaged_json.CUT_OFF in piece.doubts for piece in pieces)


def test_a_brace_of_prose_that_never_closes_hides_no_object_behind_it() -> None:
    pieces = list(damaged_json.objects('The form is {"a". Mine:\n{"b": 1}\nand {"c'))
    assert {"b": 1} in [piece.value for piece in pieces if piece.whole]


def test_what_is_nested_too_deep_is_read_no_deeper_and_hides_nothing() -> None:
    deep = '{"a":' * 40 + "1" + "}" * 40
    *inner, last = damaged_json.objects(f'{deep} {{"b": 1}}')
    assert last.value == {"b": 1}
    assert all(json.dumps(piece.value).count("{") <= damaged_json.MAX_DEPTH for piece in inner)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a\n\n<system-reminder>\nx\n</system-reminder>\n\nb", "a|b"),
        ("a\n<system-reminder>x</system-reminder>\nb", "a|b"),
        ("a <system-warning>\nx\n<\\/system-warning> b", "a | b"),
        ("a <\\system-reminder> b", "a | b"),
        ("a \\<\\system-reminder> <system-reminder> b", "a \\<\\system-reminder> <system-reminder> b"),
        ("a <system-reminder>x</system-reminder> b", "a <system-reminder>x</system-reminder> b"),
        ("a <b>\nx\n</b> c", "a <b>\nx\n</b> c"),
        ("a <system-reminder> b", "a <system-reminder> b"),
    ],
)
def test_only_blocks_that_no_text_in_json_can_hold_are_cut_out(text: str, rest: str) -> None:
    assert damaged_json.without_reminders(text, "|") == rest


@hypothesis.given(st.text("{}[]\":,ab\\\n'“”<>/`1 ", max_size=80))
def test_any_text_is_read_in_order_and_to_its_end(text: str) -> None:
    pieces = list(damaged_json.objects(text))
    assert [piece.first for piece in pieces] == sorted(piece.first for piece in pieces)
    assert all(piece.first < piece.end <= len(text) for piece in pieces)
    damaged_json.without_reminders(text)


MONOTONY = [
    *("{", "a", '{"a":', '{"a', '"a" ', "<system-reminder>", '{"a":[', "\\", '{"a": "b" ', "{ ", '{"a":"\\', "//", "["),
    *('{"x": "<system-reminder>"', '{"a":1}', '{"a"', "“", '{"a":"b",  ', "{'", "```", "{<a>", '{"a": "x"y" '),
    *('{"a":{"b":1 ', '}{"a":"}', "{a:", " ", "\n", '{"a": <b>\n'),
]


@pytest.mark.promise("R24")
@pytest.mark.parametrize("junk", MONOTONY)
@pytest.mark.slice(2)
def test_the_time_grows_no_faster_than_the_text(junk: str) -> None:
    def read(length: int) -> None:
        text = (junk * length)[:length]
        list(damaged_json.objects(text))
        damaged_json.without_reminders(text)

    assert growth.is_at_most(9, read, 20_000, 80_000)


@pytest.mark.parametrize("mark", ["<", "”", "<)", "< b", "<<", "””,", "<1"])
@pytest.mark.parametrize(
    "around", ['{"a": [%s', '{"a": [%s]}', '{"a": [1, %s, 2]}', '{"a": [[%s]]}', '{"a": %s}', '{"a": [{"b": [%s}']
)
def test_what_begins_no_value_is_passed_over(around: str, mark: str) -> None:
    pieces = list(damaged_json.objects(around % mark))
    assert all(not piece.exact for piece in pieces)


def test_items_around_a_stray_mark_are_read() -> None:
    [piece] = damaged_json.objects('{"a": [1, < 2, "x"]}')
    assert piece.value["a"][-1] == "x"
    assert piece.value["a"][0] == 1
