from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import json_types, path_globs


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("totalTokens", "total_tokens"),
        ("total_tokens", "total_tokens"),
        ("total-tokens", "total_tokens"),
        ("Total Tokens", "total_tokens"),
        (" duration_ms ", "duration_ms"),
        ("", ""),
    ],
)
def test_a_key_is_one_name_however_its_author_joins_words(key: str, name: str) -> None:
    assert json_types.plain_name(key) == name


def test_what_a_client_sends_for_nothing_is_left_out_and_falsehood_and_zero_stay() -> None:
    values: dict[str, json_types.Json] = {"a": None, "b": "", "c": 0, "d": False, "e": [], "f": " ", "g": {}}
    assert json_types.without_left_out(values) == {"c": 0, "d": False, "e": [], "f": " ", "g": {}}


@pytest.mark.parametrize(("value", "is_one"), [(1, True), (0.5, True), (True, False), ("1", False), (None, False)])
def test_a_truth_value_is_no_number(value: json_types.Json, *, is_one: bool) -> None:
    assert json_types.is_number(value) is is_one


@pytest.mark.parametrize(
    "path", [".git", ".git/config", "sub/.git/hooks/x", ".GIT/config", ".git./config", "a/../.git/x", "{a,.git}/x"]
)
def test_what_git_keeps_for_itself_is_known_in_any_spelling(path: str) -> None:
    assert path_globs.is_of_git(path)


@given(
    st.sampled_from([".github/ci.yml", ".gitignore", "git/a.py", "digit.py", "a.git/b"]), st.sampled_from(["", "src/"])
)
def test_a_name_that_only_sounds_like_git_is_the_users(path: str, folder: str) -> None:
    assert not path_globs.is_of_git(folder + path)
