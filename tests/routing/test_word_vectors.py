"""Agents of hundreds are found by what a request means, when no word of it names them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import offers, route_answers, router, word_vectors

TELLER = catalog.Agent(name="teller-of-tides", description="Predicts floods, waves and the level of the sea")
POSTMAN = catalog.Agent(name="postmaster", description="Email deliverability, bounces and sender reputation")
CLERK = catalog.Agent(name="ledger-clerk", description="Keeps the books: invoices, taxes and salaries")
TABLE = word_vectors.table(loader.words().vectors)
NUMBERS = [catalog.Agent(name=f"n{number}", description="Does other things") for number in range(90)]


def hundreds() -> catalog.Catalog:
    return catalog.merge((*NUMBERS, TELLER, POSTMAN, CLERK), words=loader.words())


@pytest.mark.parametrize(
    ("request_text", "name"),
    [
        ("How high will the ocean rise on the beach tomorrow?", "teller-of-tides"),
        ("Our newsletters land in the spam folder", "postmaster"),
        ("Work out what we owe the revenue office and pay the staff", "ledger-clerk"),
    ],
)
def test_hundreds_offer_whom_the_meaning_names_though_no_word_does(request_text: str, name: str) -> None:
    route = router.route(request_text, hundreds())
    assert name in route_answers.names_offered(route)[: 5 + 6]


@pytest.mark.parametrize(
    "request_text",
    [
        "Wie hoch steigt morgen das Wasser an der Küste?",
        "Le fichier est cassé, corrigez les appels qui échouent la nuit",
        "Ngày mai nước biển dâng cao bao nhiêu ở bãi tắm này?",
        "面包怎么烤",
        "",
        "?!",
    ],
)
def test_nothing_is_said_of_a_text_that_is_no_english(request_text: str) -> None:
    assert word_vectors.nearest(request_text, hundreds()) == []


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("speed up slow database queries", "tune SQL indexes for performance", "design a logo"),
        ("the login page does not accept my password", "authentication and sign-in bugs", "bake a cake"),
        ("prepare the quarterly sales figures", "revenue reports for business", "compile C++ code"),
    ],
)
def test_texts_about_the_same_are_nearer_than_others(text: str, near: str, far: str) -> None:
    first, second, third = map(TABLE.vector, (text, near, far))
    assert word_vectors.likeness(first, second) > word_vectors.likeness(first, third) + 0.1


@given(st.text(max_size=2_000), st.text(max_size=2_000))
def test_any_texts_can_be_compared(one: str, other: str) -> None:
    first, second = TABLE.vector(one), TABLE.vector(other)
    near = word_vectors.likeness(first, second)
    assert -1.000001 <= near <= 1.000001
    assert near == word_vectors.likeness(second, first)
    assert len(first) == TABLE.width


def test_adding_lanes_at_once_adds_the_rows_one_by_one() -> None:
    text = "add a migration for the orders table"
    rows = [TABLE.rows[place * TABLE.width :][: TABLE.width] for place in word_vectors.places_in(text, TABLE.places)]
    assert len(rows) == 7
    assert TABLE.vector(text) == tuple(
        sum(lane - word_vectors.ZERO for lane in lanes) for lanes in zip(*rows, strict=True)
    )


def test_a_word_repeated_means_what_it_means_once() -> None:
    assert TABLE.vector("queue queue queue") == TABLE.vector("queue")


def test_the_longest_text_does_not_overflow_its_lanes() -> None:
    names = itertools.islice(TABLE.places, 3_000)
    whole = " ".join(name for name in names if len(name) == 1) * 20
    assert max(map(abs, TABLE.vector(whole))) <= word_vectors.MAX_PIECES * word_vectors.ZERO


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_two_orders_in_turn_hold_each_place_once_and_keep_both_heads(first: list[int], second: list[int]) -> None:
    merged = offers.in_turn(first, second)
    assert sorted(merged) == list(range(6))
    assert merged[0] == first[0]
    assert second[0] in merged[:2]


def test_who_must_not_do_it_is_not_chosen_by_its_meaning() -> None:
    reader = catalog.Agent(name="sea-reader", description="Tides, floods and waves of the sea", tools=("Read",))
    agents = catalog.merge((*NUMBERS, reader, CLERK), words=loader.words())
    route = router.route("Fix the tide table in sea.py: the waves are wrong", agents)
    assert "sea-reader" not in [choice.agent for choice in route.offer.choices]


def test_without_vectors_the_words_alone_offer() -> None:
    bare = catalog.merge((*NUMBERS, TELLER, POSTMAN, CLERK))
    assert word_vectors.nearest("Our newsletters land in the spam folder", bare) == []
    assert router.route("Invoices", bare).offer.choices[0].agent == "ledger-clerk"


@pytest.mark.parametrize(
    "text", ["Our newsletters land in the spam folder", "how high are the waves of the sea", "pay the staff on Friday"]
)
def test_agents_are_in_the_order_of_their_likeness(text: str) -> None:
    agents = hundreds()
    request = TABLE.vector(text)
    likeness = [
        word_vectors.likeness(request, TABLE.vector(f"{agent.name.replace('-', ' ')}. {agent.description}"))
        for agent in agents.routable
    ]
    order = word_vectors.nearest(text, agents)
    assert sorted(order) == list(range(len(agents.routable)))
    assert all(likeness[first] >= likeness[second] - 1e-9 for first, second in itertools.pairwise(order))
