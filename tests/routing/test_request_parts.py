"""Requests in parts, and requests about code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.routing import request_parts


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("Add the API, then the page", ("Add the API", "the page")),
        ("Add the API and then style the page", ("Add the API", "style the page")),
        ("Fix the login; write the docs", ("Fix the login", "write the docs")),
        ("Fix the login. Write the docs.", ("Fix the login", "Write the docs")),
        ("Thêm retry cho HPSM và log vào MongoDB", ("Thêm retry cho HPSM", "log vào MongoDB")),
        ("Baue die Seite und teste die API", ("Baue die Seite", "teste die API")),
        ("Search and replace", ()),
        ("Fix the login", ("Fix the login",)),
        ("Release 2.0 of the app", ("Release 2.0 of the app",)),
        ("", ()),
        ("a b, c d, k f, g h, i j", ()),
    ],
)
def test_a_request_is_taken_apart_where_another_task_could_begin(request_: str, parts: tuple[str, ...]) -> None:
    assert request_parts.parts(request_) == parts


def test_a_document_is_not_taken_apart() -> None:
    assert request_parts.parts("Do this and that now. " * 40) == ()


@given(st.text(max_size=400))
def test_parts_quote_the_request(request_: str) -> None:
    flat = " ".join(request_.split())
    assert all(" ".join(part.split()) in flat for part in request_parts.parts(request_))


@pytest.mark.parametrize(
    "request_",
    [
        "Make total() faster",
        "Add path_exists(path) somewhere",
        "Use parse_header here",
        "Look at src/click/utils.py",
        "Why is setup.cfg read twice?",
        "What does `--fast` do?",
        "Parse CSV files",
        "Refactor it",
        "Viết một hàm",
        "Schreibe eine Funktion",
    ],
)
def test_a_request_names_code_by_what_only_code_looks_like_or_is_about(request_: str) -> None:
    assert request_parts.names_code(request_)


@pytest.mark.parametrize(
    "request_",
    [
        "2+2",
        "Write a haiku about autumn leaves",
        "Who won in 1998?",
        "thanks",
        "…",
        "",
        "and/or",
        "e.g. this",
        "ok (maybe)",
    ],
)
def test_a_request_about_something_else_names_no_code(request_: str) -> None:
    assert not request_parts.names_code(request_)
