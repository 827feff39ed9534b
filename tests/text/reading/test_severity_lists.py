"""Headings and rows of tables that list what is grave."""

from __future__ import annotations

import growth
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.reading import severity_lists


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("## Critical\n- it leaks", [("critical", 0, True)]),
        ("So:\n**High issues**\n\nIt leaks.", [("high", 4, False)]),
        ("# Blockers:\n1. it leaks\n\n# Major findings\n2) slow", [("blocker", 0, True), ("major", 25, True)]),
        ("| severity | claim |\n|---|---|\n| High | it leaks |", [("high", 31, False)]),
        ("> ## Critical\n> - it leaks", [("critical", 0, True)]),
        ("## Critical\n- validation of input: none", [("critical", 0, True)]),
        ("## Critical\n- [ ] owner of the file: not found", [("critical", 0, True)]),
    ],
)
def test_what_is_grave_is_listed_with_its_place_and_whether_a_list_follows(
    text: str, entries: list[tuple[str, int, bool]]
) -> None:
    assert list(severity_lists.entries(text)) == entries


@pytest.mark.parametrize(
    "text",
    [
        *("## Critical\nNone", "## Critical", "## Low\n- it leaks", "## Critical path\n- parse", "Critical\n- x"),
        *("| high | low |\n|---|---|\n| 0 | 1 |", "| severity | n |\n|---|---|\n| high | none |"),
        *("| severity | claim | state |\n|---|---|---|\n| high | it leaks | fixed |", "## Critical\n| a |", ""),
        *("## Critical\n- [x] injection: not found", "## High\n* \u2705 secrets: none."),
        f"## Critical {'issue ' * 20}\n- it leaks",
    ],
)
def test_nothing_is_listed_where_nothing_grave_stands_below(text: str) -> None:
    assert not list(severity_lists.entries(text))


@given(st.text(alphabet="#*|-: \ncriticalhg01", max_size=200))
def test_every_entry_begins_a_line(text: str) -> None:
    assert all(entry.start == 0 or text[entry.start - 1] == "\n" for entry in severity_lists.entries(text))


@pytest.mark.parametrize("line", ["", "## Critical", "| high | x |", "- x"])
def test_many_lines_take_linear_time(line: str) -> None:
    assert growth.is_at_most(9, lambda lines: [*severity_lists.entries("\n".join([line] * lines))], 5_000, 20_000)
