"""Headers of agent files: read as YAML where they are YAML, line by line where they are not, and never followed."""

from __future__ import annotations

import datetime as dt
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import bundled_files, frontmatter
from dispatch_mcp.model import Json
from dispatch_mcp.text.reading import excerpts

KEYS = st.sampled_from(["name", "description", "keywords", "tools", "priority", "flavour"])
PLAIN_TEXTS = st.text(alphabet="abcxyz ABC,.!?-äßé登录", min_size=1, max_size=20).map(str.strip).filter(bool)
VALUES = st.one_of(
    PLAIN_TEXTS,
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.none(),
    st.lists(PLAIN_TEXTS, max_size=4),
    st.floats(-1e6, 1e6),
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_what_yaml_wrote_is_read_back(header: dict[str, Json]) -> None:
    read, notes = frontmatter.parse(yaml.safe_dump(header, allow_unicode=True))
    if header:
        assert read == header
        assert notes == []


def test_every_shipped_header_is_what_yaml_says() -> None:
    files = sorted(bundled_files.shipped_folder("agents").rglob("*.md"))
    assert len(files) > 70
    for path in files:
        text = path.read_text(encoding="utf-8")
        header, body, notes = frontmatter.read_front_matter(text)
        assert notes == [], path
        assert header == {key.lower(): value for key, value in yaml.safe_load(text.split("---\n")[1]).items()}, path
        assert body
        assert body in text


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "no front matter"),
        ("Hello", "no front matter"),
        ("----\na: b\n---\nbody", "no front matter"),
        (" ---\na: b\n---\nbody", "no front matter"),
        ("---\na: b\nbody", "front matter does not end"),
    ],
)
def test_a_text_without_a_header_is_all_body(text: str, note: str) -> None:
    header, body, notes = frontmatter.read_front_matter(text)
    assert (header, notes) == ({}, [note])
    assert body in text


def test_line_ends_and_byte_order_marks_do_not_matter() -> None:
    plain = "---\nname: x\n---\nOne\nTwo\n"
    assert frontmatter.read_front_matter(plain)[:2] == ({"name": "x"}, "One\nTwo")
    for other in (plain.replace("\n", "\r\n"), plain.replace("\n", "\r"), "\ufeff" + plain):
        assert frontmatter.read_front_matter(other) == frontmatter.read_front_matter(plain)


def test_a_rule_in_the_body_does_not_end_the_header_again() -> None:
    assert frontmatter.read_front_matter("---\nname: x\n---\nOne\n---\nTwo")[1] == "One\n---\nTwo"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("disallowedTools", "disallowed_tools"),
        ("disallowed-tools", "disallowed_tools"),
        ("permissionMode", "permission_mode"),
        ("permission-mode", "permission_mode"),
        ("mcpServers", "mcp_servers"),
        ("allowed-tools", "tools"),
        ("allowed_tools", "tools"),
        ("maxTurns", "max_turns"),
        ("max-turns", "max_turns"),
        ("Name", "name"),
        ("Flavour", "flavour"),
    ],
)
def test_keys_of_all_spellings_are_one(key: str, name: str) -> None:
    assert frontmatter.parse(f"{key}: x")[0] == {name: "x"}


@pytest.mark.parametrize(
    "description",
    ["Use when: something breaks", 'He said "no: never"', "[unclosed", "{unclosed", "a: b: c", "*star", "@at", "%per"],
)
def test_a_header_that_is_no_yaml_is_read_line_by_line(description: str) -> None:
    header, notes = frontmatter.parse(f"name: x\ndescription: {description}\ntools: Read, Write")
    assert header["name"] == "x"
    assert header["description"] == description
    assert header["tools"] == "Read, Write"
    assert "not YAML" in notes[0]


def test_lines_between_known_keys_belong_to_the_key_before() -> None:
    broken = "name: x\ndescription: |\n  One: two: three\n  flavour: none\nmodel: opus\n: :"
    header, _ = frontmatter.parse(broken)
    assert header["description"] == "One: two: three\n  flavour: none"
    assert header["model"] == "opus\n: :"


def test_a_key_that_comes_twice_keeps_its_first_value() -> None:
    header, _ = frontmatter.parse("name: first\nname: second: [")
    assert str(header["name"]).startswith("first")


def test_quotes_around_a_value_and_written_line_breaks_are_taken_away() -> None:
    header, _ = frontmatter.parse("name: 'x'\ndescription: \"One\\nTwo\"\nmodel: [")
    assert (header["name"], header["description"]) == ("x", "One\nTwo")


@pytest.mark.parametrize("header", ["- a\n- b", "just words", "42"])
def test_a_header_that_is_no_mapping_says_so(header: str) -> None:
    read, notes = frontmatter.parse(header)
    assert read == {}
    assert "not a mapping" in notes[0]


@pytest.mark.parametrize("header", ["", "   \n", "# only a comment"])
def test_an_empty_header_has_no_keys(header: str) -> None:
    assert frontmatter.parse(header)[0] == {}


@pytest.mark.parametrize(
    "header",
    [
        "description: fine\na: &a [x]\nb: *a",
        "description: fine\nx: !!python/object/apply:os.system [id]",
        "description: fine\nx: !!python/name:os.system",
        "description: fine\nx: !unknown y",
    ],
)
def test_aliases_and_tags_of_python_are_not_followed(header: str) -> None:
    read, notes = frontmatter.parse(header)
    assert read["description"].splitlines()[0] == "fine"
    assert notes


def test_a_header_longer_than_the_limit_does_not_end() -> None:
    text = f"---\nname: {'x' * excerpts.FRONT_MATTER.chars}\n---\nbody"
    assert frontmatter.read_front_matter(text)[2] == ["front matter does not end"]


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (dt.date(2026, 11, 28), "2026-11-28"),
        (dt.datetime(2026, 11, 28, 9, 30), "2026-11-28T09:30:00"),  # noqa: DTZ001 - as YAML reads one without a zone
        (math.nan, None),
        (math.inf, None),
        (2.5, 2.5),
        ((1, "a"), [1, "a"]),
        ({1: {2: None}}, {"1": {"2": None}}),
        (b"bytes", "b'bytes'"),
        ({"s"}, "{'s'}"),
    ],
)
def test_every_value_of_yaml_has_a_json_value(value: object, json: Json) -> None:
    assert frontmatter.plain(value) == json


def test_what_is_too_deep_or_too_long_is_cut() -> None:
    deep: Json = "bottom"
    for _ in range(frontmatter.MAX_DEPTH + 3):
        deep = [deep]
    assert "bottom" not in str(frontmatter.plain(deep))
    assert len(frontmatter.plain(list(range(frontmatter.MAX_ITEMS + 9)))) == frontmatter.MAX_ITEMS


@pytest.mark.parametrize(
    ("value", "text", "strings", "lines"),
    [
        (None, "", (), ()),
        ("a, b", "a, b", ("a", "b"), ("a, b",)),
        ("[a, 'b c']", "[a, 'b c']", ("a", "b c"), ("[a, 'b c']",)),
        (["a", " b "], "a,  b ", ("a", "b"), ("a", "b")),
        ("- one\n- two, three\n", "- one\n- two, three\n", ("- one\n- two", "three"), ("one", "two, three")),
        (7, "7", ("7",), ("7",)),
        (True, "true", ("true",), ("true",)),
        ({"a": 1}, "", (), ()),
        (["x", None, ""], "x, , ", ("x",), ("x",)),
    ],
)
def test_values_are_read_as_text_names_or_lines(
    value: Json, text: str, strings: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    assert frontmatter.text(value) == text
    assert frontmatter.strings(value) == strings
    assert frontmatter.lines(value) == lines


@given(st.text(max_size=300))
def test_any_text_is_split_without_an_error(text: str) -> None:
    header, body, _ = frontmatter.read_front_matter(text)
    assert all(isinstance(key, str) for key in header)
    assert body in text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(alphabet="abc:-[]{}#&*!|>'\"\n 01~", max_size=80))
def test_any_header_gives_keys_that_are_text(header: str) -> None:
    read, _ = frontmatter.parse(header)
    assert all(isinstance(key, str) and len(key) <= 200 for key in read)


def test_what_a_reader_does_to_its_answer_is_not_in_the_next_one() -> None:
    text = "---\nname: a\n\ttools: x\n---\nBody.\n"
    header, _, notes = frontmatter.read_front_matter(text)
    before = (dict(header), list(notes))
    header["name"] = "b"
    notes.append("odd")
    again, _, fresh = frontmatter.read_front_matter(text)
    assert (again, fresh) == before
