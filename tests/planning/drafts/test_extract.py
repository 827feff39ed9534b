"""What the form of a request tells: what it lists, its steps, the files it names."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.planning.drafts import extract

WORDS = st.sampled_from(["orders", "billing", "shipping", "mail", "search", "audit"])


@pytest.mark.parametrize(
    ("request_text", "things"),
    [
        ("Rename it in the orders, billing and shipping services", ("orders", "billing", "shipping services")),
        ("Is it the database, the cache or the network?", ("database", "the cache", "the network")),
        ("Refactor the chain ở cả ask-it-server và gateway-server", ("ask-it-server", "gateway-server")),
        ("Ajoute le mode sombre à l'application dans le site et l'extension", ("le site", "l'extension")),
        ("Fix the login", ()),
        ("Create the table, fill it, and show it", ()),
        ("", ()),
    ],
)
def test_lists_and_introduced_pairs_give_their_items(request_text: str, things: tuple[str, ...]) -> None:
    assert extract.things(request_text) == things


@hypothesis.given(st.lists(WORDS, min_size=3, max_size=6, unique=True), st.sampled_from(["and", "or", "và", "und"]))
def test_every_item_of_a_list_is_found_in_its_order(names: list[str], link: str) -> None:
    request = f"Add a field to {', '.join(names[:-1])} {link} {names[-1]}"
    assert extract.things(request) == tuple(names)


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("Find the cause, then fix it, and then write it down", ("find the cause", "fix it", "write it down")),
        ("Phân tích log rồi sửa lỗi", ("phân tích log", "sửa lỗi")),
        ("Draft the format. Build the writer from it.", ("draft the format", "build the writer from it")),
        ("Write the schema and generate the models", ("write the schema", "generate the models")),
        ("Fix the login", ("fix the login",)),
        ("", ()),
    ],
)
def test_steps_come_in_the_order_and_words_of_the_request(request_text: str, steps: tuple[str, ...]) -> None:
    assert extract.steps(request_text) == steps


def test_named_files_come_as_they_are_written_and_once() -> None:
    assert extract.paths("Move src/App.tsx to web/, then delete src/App.tsx and Makefile.am") == (
        "src/App.tsx",
        "Makefile.am",
    )


@hypothesis.given(st.text(max_size=300))
def test_nothing_is_made_up(text: str) -> None:
    plain = extract.plain(text)
    assert all(item in plain for item in (*extract.things(text), *extract.steps(text)))
    assert all(path in text for path in extract.paths(text))
