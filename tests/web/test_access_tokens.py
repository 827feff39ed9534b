"""Tokens for HTTP: shown once, kept as digests, known by nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.text import redaction
from dispatch_mcp.web import access_tokens


@pytest.fixture
def tokens(tmp_path: Path) -> access_tokens.Tokens:
    return access_tokens.Tokens(tmp_path / "home")


def test_a_token_is_known_by_the_name_that_it_was_made_for(tokens: access_tokens.Tokens) -> None:
    laptop, desk = tokens.add("laptop"), tokens.add("desk")
    assert laptop != desk
    assert tokens.names() == ["desk", "laptop"]
    assert (tokens.owner(laptop), tokens.owner(desk)) == ("laptop", "desk")


@pytest.mark.parametrize("token", ["", "dmcp_", "laptop", "dmcp_" + "a" * 43, "\ud800", "é" * 50])
def test_any_other_token_is_nobody_s(tokens: access_tokens.Tokens, token: str) -> None:
    tokens.add("laptop")
    assert tokens.owner(token) == ""


def test_before_there_is_a_token_nobody_is_let_in_and_nothing_is_written(tmp_path: Path) -> None:
    tokens = access_tokens.Tokens(tmp_path / "home")
    assert tokens.names() == []
    assert tokens.owner("x") == ""
    assert not (tmp_path / "home").exists()


def test_only_digests_are_kept_in_a_file_of_the_user_alone(tokens: access_tokens.Tokens, tmp_path: Path) -> None:
    token = tokens.add("laptop")
    [file] = (tmp_path / "home").iterdir()
    assert token not in file.read_text()
    assert token.removeprefix(access_tokens.PREFIX) not in file.read_text()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_token_that_was_removed_lets_nobody_in_any_more(tokens: access_tokens.Tokens) -> None:
    token, other = tokens.add("laptop"), tokens.add("desk")
    tokens.remove("laptop")
    assert (tokens.owner(token), tokens.owner(other)) == ("", "desk")
    assert tokens.names() == ["desk"]
    assert tokens.owner(tokens.add("laptop")) == "laptop"
    assert tokens.owner(token) == ""


def test_a_name_has_one_token(tokens: access_tokens.Tokens) -> None:
    tokens.add("laptop")
    with pytest.raises(errors.InputError, match="'laptop' has a token already"):
        tokens.add("laptop")


def test_who_has_no_token_cannot_lose_one(tokens: access_tokens.Tokens) -> None:
    tokens.add("desk")
    with pytest.raises(errors.InputError, match="'laptop' has no token") as refusal:
        tokens.remove("laptop")
    assert refusal.value.advice(str) == "There are: desk."


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a/b", "é", "a" * 33, "a\n"])
def test_a_name_that_is_none_is_refused(tokens: access_tokens.Tokens, name: str) -> None:
    with pytest.raises(errors.InputError, match="is no name"):
        tokens.add(name)
    assert tokens.names() == []


@pytest.mark.parametrize("content", ["", "[", "[]", '{"a": 1}', "null", "\x00", '{"a": "é"}', "[" * 99_999])
def test_a_file_that_cannot_be_read_is_named_and_lets_nobody_in(
    tokens: access_tokens.Tokens, tmp_path: Path, content: str
) -> None:
    tokens.add("laptop")
    (tmp_path / "home" / access_tokens.FILE).write_text(content)
    for call in (tokens.names, lambda: tokens.owner("x"), lambda: tokens.add("desk"), lambda: tokens.remove("laptop")):
        with pytest.raises(errors.ConfigError, match="cannot be read"):
            call()
    assert (tmp_path / "home" / access_tokens.FILE).read_text() == content


def test_there_is_an_end_to_how_many_there_are(tokens: access_tokens.Tokens, tmp_path: Path) -> None:
    tokens.add("first")
    full = {f"n{number}": "0" * 64 for number in range(access_tokens.MAX_TOKENS)}
    (tmp_path / "home" / access_tokens.FILE).write_text(json.dumps(full))
    with pytest.raises(errors.ConfigError, match="There are 200 tokens"):
        tokens.add("one-more")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=43, max_size=43))
def test_a_token_is_taken_out_of_whatever_is_shown(random: str) -> None:
    token = access_tokens.PREFIX + random
    assert token not in redaction.Redactor().redact(f"The header was Authorization: Bearer {token}, or {token}")
