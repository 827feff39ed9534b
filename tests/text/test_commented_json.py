from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import commented_json, json_types

COMMENTED = """{
  // servers of mine
  "mcpServers": {
    "other": { "command": "x" }, // keep me
    /* and
       me */
    "last": {
      "args": ["//no comment", "/* nor this */"],
    }
  },
  "theme": "dark" // no comma here
}
"""
ENTRY = {"command": "/opt/bin/it", "args": ["serve"], "env": {"A": "b"}}
KEYS = ("mcpServers", "dispatch")

names = st.text(string.ascii_letters + '"\\é ', max_size=6)
plain = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
objects = st.dictionaries(names, values, max_size=4)
layouts = st.sampled_from([{"indent": 2}, {"indent": 4}, {"indent": "\t"}, {}, {"separators": (",", ":")}])


def test_comments_and_trailing_commas_are_read() -> None:
    value = commented_json.parse(COMMENTED)
    assert value["mcpServers"]["last"] == {"args": ["//no comment", "/* nor this */"]}
    assert value["theme"] == "dark"


@given(objects, layouts)
def test_what_json_reads_is_read_the_same(value: dict[str, object], layout: dict[str, object]) -> None:
    assert commented_json.parse(json.dumps(value, **layout)) == value  # pyright: ignore[reportArgumentType]


@given(objects, layouts, st.lists(names, min_size=1, max_size=3), values)
def test_an_entry_is_put_in_and_nothing_else_changes(
    value: dict[str, object], layout: dict[str, object], keys: list[str], entry: object
) -> None:
    text = json.dumps(value, **layout)  # pyright: ignore[reportArgumentType]
    expected = json.loads(text)
    level: Any = expected
    for key in keys[:-1]:
        inner: Any = level.setdefault(key, {})
        level = inner
        if not json_types.is_object(inner):
            with pytest.raises(commented_json.Unreadable):
                commented_json.put(text, keys, entry)
            return
    level[keys[-1]] = entry
    after = commented_json.put(text, keys, entry)
    assert json.loads(after) == expected
    assert list(json.loads(after)) == list(expected)


@given(objects.filter(lambda value: "dispatch" not in value), layouts)
def test_what_was_put_in_comes_out_without_a_trace(value: dict[str, object], layout: dict[str, object]) -> None:
    text = json.dumps({"mcpServers": value, "z": 1}, **layout)  # pyright: ignore[reportArgumentType]
    after = commented_json.take_out(commented_json.put(text, KEYS, ENTRY), KEYS)
    assert json.loads(after) == json.loads(text)
    assert after == text or not value


@given(objects, layouts, st.data())
def test_taking_a_member_out_leaves_the_others_in_order(
    value: dict[str, object], layout: dict[str, object], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from([*value, "not there"]))
    after = commented_json.take_out(json.dumps(value, **layout), [key])  # pyright: ignore[reportArgumentType]
    rest = {name: part for name, part in value.items() if name != key}
    assert json.loads(after) == rest
    assert list(json.loads(after)) == list(rest)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_comments_stay_where_they_are(ending: str) -> None:
    text = COMMENTED.replace("\n", ending)
    after = commented_json.put(text, KEYS, ENTRY)
    assert [line for line in text.split(ending) if line not in after.split(ending)] == []
    assert after.count("\n") == after.count(ending)
    assert commented_json.parse(after)["mcpServers"]["dispatch"] == ENTRY
    assert commented_json.take_out(after, KEYS) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": 1\n}\n'),
        ("// nothing yet\n", '// nothing yet\n{\n  "a": 1\n}\n'),
        ("{}", '{\n  "a": 1\n}'),
        ("{ }\n", '{\n  "a": 1\n}\n'),
        ('{"b": 2}', '{"b": 2, "a": 1}'),
        ('{"b": 2,}', '{"b": 2, "a": 1,}'),
        ('{\n\t"b": 2,\n}', '{\n\t"b": 2,\n\t"a": 1,\n}'),
        ('{\n  "b": 2 // two\n}', '{\n  "b": 2, // two\n  "a": 1\n}'),
        ('{"a": 0}', '{"a": 1}'),
        ('\ufeff{"b": 2}', '\ufeff{"b": 2, "a": 1}'),
    ],
)
def test_a_member_is_written_in_the_style_of_its_file(before: str, after: str) -> None:
    assert commented_json.put(before, ["a"], 1) == after


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "line 1"),
        ('{\n "a" 1}', "line 2: a colon"),
        ('{"a": 1\n "b": 2}', "line 2: a comma"),
        ("{a: 1}", 'a name in "quotes"'),
        ('{"a": 01}', "'01' is no value"),
        ("{} {}", "behind the end"),
        ("[1, 2", "a comma or ']'"),
        ('{"a": }', "a value is missing"),
        ("[" * 300, "deeper than 200"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(commented_json.Unreadable, match=place.replace("(", r"\(").replace("]", r"\]")):
        commented_json.parse(text)


def test_nothing_is_put_into_what_is_no_object() -> None:
    with pytest.raises(commented_json.Unreadable, match="mcpServers is no object"):
        commented_json.put('{"mcpServers": []}', KEYS, ENTRY)
