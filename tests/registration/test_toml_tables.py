from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.registration import toml_tables

KEYS = ("mcp_servers", "dispatch")
ENTRY = {"command": "/opt/it", "args": ["serve", 'a "quoted" one'], "env": {"A": "b"}}
MINE = """# mine
model = "m"  # the model

[mcp_servers.other]
command = "x"

[features]
web = true
"""
OURS = """[mcp_servers.dispatch]
command = "old"

[mcp_servers.dispatch.env]
B = "c"
"""


def test_a_table_goes_to_the_end_and_all_else_stays() -> None:
    after = toml_tables.put(MINE, KEYS, ENTRY)
    assert after.startswith(MINE)
    assert tomllib.loads(after)["mcp_servers"]["dispatch"] == ENTRY


@pytest.mark.parametrize("text", ["", MINE, "a = 1"])
def test_what_was_put_in_comes_out_again(text: str) -> None:
    after = toml_tables.take_out(toml_tables.put(text, KEYS, ENTRY), KEYS)
    assert after.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("text", [MINE, MINE.replace("\n", "\r\n"), OURS])
def test_a_byte_order_mark_of_an_editor_is_in_nobodys_way(text: str) -> None:
    marked = f"\ufeff{text}"
    after = toml_tables.put(marked, KEYS, ENTRY)
    assert toml_tables.parse(after) == tomllib.loads(toml_tables.put(text, KEYS, ENTRY))
    assert toml_tables.take_out(after, KEYS).rstrip() == ("" if text == OURS else marked.rstrip())


@pytest.mark.parametrize(
    "text",
    [
        OURS,
        MINE + "\n" + OURS,
        MINE + "\n" + OURS + "\n# about the last\n[last]\n",
        MINE.replace("[features]", OURS + "\n[features]"),
    ],
)
def test_an_earlier_table_is_replaced_with_all_below_it(text: str) -> None:
    after = toml_tables.put(text, KEYS, ENTRY)
    assert toml_tables.parse(after)["mcp_servers"]["dispatch"] == ENTRY
    assert after.count("dispatch") == 2
    assert {line for line in text.splitlines() if line not in after.splitlines()} <= {'command = "old"', 'B = "c"'}


def test_a_table_that_is_not_there_is_no_change() -> None:
    assert toml_tables.take_out(MINE, KEYS) == MINE


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { dispatch = { command = "old" } }\n',
        '[mcp_servers]\ndispatch = { command = "old" }\n',
        '[mcp_servers]\ndispatch.command = "old"\n',
    ],
)
def test_a_table_in_another_form_is_refused_and_not_guessed_at(text: str) -> None:
    with pytest.raises(toml_tables.UnreadableToml, match="in a form that is not changed here"):
        toml_tables.take_out(text, KEYS)


def test_a_header_inside_a_text_is_no_header() -> None:
    text = 'a = """\n[mcp_servers.dispatch]\n"""\n'
    after = toml_tables.put(text, KEYS, ENTRY)
    assert tomllib.loads(after)["a"] == "[mcp_servers.dispatch]\n"


def test_what_is_no_toml_is_named_with_its_line() -> None:
    with pytest.raises(toml_tables.UnreadableToml, match="line 2"):
        toml_tables.parse("a = 1\nb =\n")


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)


@given(
    st.dictionaries(
        texts.filter(bool), texts | st.booleans() | st.integers(0, 99) | st.lists(texts, max_size=3), max_size=4
    )
)
def test_any_values_are_written_as_toml_reads_them(value: dict[str, object]) -> None:
    assert tomllib.loads(toml_tables.put("", KEYS, value))["mcp_servers"]["dispatch"] == value
