"""Attempts by name: what a host writes instead of a brief, and how a brief is marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import attempt_names

NAMES = st.builds(
    attempt_names.AttemptName,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True).filter(str.isascii),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(str.isascii),
    st.integers(1, 999_999_999),
)


@given(NAMES)
def test_a_name_is_read_as_it_is_written(name: attempt_names.AttemptName) -> None:
    assert attempt_names.called(str(name)) == name
    assert attempt_names.called(f" {name}\n") == name
    assert attempt_names.marked(f"{name.mark}\n# GOAL") == name


@given(NAMES, st.text(min_size=1, max_size=50).filter(str.strip))
def test_a_prompt_with_anything_beside_a_name_is_somebody_elses(name: attempt_names.AttemptName, more: str) -> None:
    assert attempt_names.called(f"{name} {more}") is None
    assert attempt_names.marked(f"x{more}{name.mark}") is None


@given(st.text())
def test_any_text_is_read_or_is_none(text: str) -> None:
    name = attempt_names.called(text)
    assert name is None or str(name) == text.strip()


@pytest.mark.parametrize(
    "prompt",
    [
        "dispatch run/task",
        "dispatch run/task/0",
        "dispatch run/task/01",
        "dispatch run/../1",
        "dispatch /task/1",
        "Dispatch run/task/1",
        "dispatch run/task/1/2",
        "dispatch run/ta sk/1",
        "dispatch " + "r" * 101 + "/t/1",
        "dispatch run/task/1" + " " * 500,
        "dispatch run/task/1\0",
    ],
)
def test_what_is_no_name_is_none(prompt: str) -> None:
    assert attempt_names.called(prompt) is None


@given(NAMES)
def test_a_subagent_is_called_by_its_brief_or_by_the_name_alone(name: attempt_names.AttemptName) -> None:
    assert attempt_names.begun(f"{name.mark}\n# GOAL") == name
    assert attempt_names.begun(str(name)) == name
    assert attempt_names.begun(f"Do {name}") is None
