"""Routes as a model reads them: short, complete where it is not sure, and never longer than promised."""

from __future__ import annotations

import json
from typing import Any

import name_lines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import offers, route_answers, router

SHIPPED = loader.Source(
    (loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True),), scope=frozenset[str]()
).catalog()
THEN = "Choose one and name it as the task's agent in plan_dag; unsure: ask the user."


def size(answer: route_answers.Answer) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


def whole(answer: route_answers.Answer) -> Any:
    return json.loads(json.dumps(answer))


def team(count: int, length: int) -> catalog.Catalog:
    agents = (
        catalog.Agent(
            name=f"{'x' * length}-{n}-{'agent' * (length // 10)}",
            description=f"Use this agent when you need help with the very long description of subject number {n}, " * 3,
            sha256=str(n),
        )
        for n in range(count)
    )
    return catalog.merge(agents, words=loader.words())


@pytest.mark.parametrize("count", [1, 5, 12, 41, 60, 61, 300])
@pytest.mark.parametrize("length", [3, 20, 60])
@pytest.mark.parametrize("request_", ["Describe subject number 7", "zzz", "subject, " * 300])
def test_an_answer_keeps_its_size_whatever_the_roster(count: int, length: int, request_: str) -> None:
    route = router.route(request_, team(count, length))
    answer = route_answers.answer(route, then=THEN)
    assert size(answer) <= (route_answers.SURE_SIZE if route.sure else route_answers.UNSURE_SIZE)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_answered_with_who_how_sure_and_the_strategy(request_: str) -> None:
    route = router.route(request_, SHIPPED)
    answer = route_answers.answer(route, then=THEN)
    assert {"specialist", "confidence", "strategy"} <= answer.keys()
    assert size(answer) <= (route_answers.SURE_SIZE if route.sure else route_answers.UNSURE_SIZE)


def test_an_unsure_answer_has_five_to_choose_from_all_other_names_and_the_rosters_that_are_off() -> None:
    route = router.route("Prepare a sales proposal for the hospital deal", SHIPPED)
    answer = route_answers.answer(route, then=THEN)
    assert [choice["agent"] for choice in whole(answer)["choose_from"]] == list(route.offer.names[: offers.FIVE])
    assert "business" in str(answer["off"])
    assert sorted(route_answers.names_offered(route)) == sorted(SHIPPED.keys)
    assert answer["others"] == offers.line(route.offer.rest)
    assert answer["strategy"] == "human"
    assert answer["next"] == THEN


def test_each_choice_says_what_it_is_for_and_which_words_matched() -> None:
    known = catalog.merge(
        [
            catalog.Agent(name="db", description="Use for database tables - SQL, indexes.", sha256="1"),
            catalog.Agent(name="web", description="Use for web pages.", sha256="2"),
        ],
        words=loader.words(),
    )
    answer = route_answers.answer(router.route("the database", known))
    assert answer["choose_from"] == [
        {"agent": "db", "for": "database tables: SQL, indexes", "matched": "database"},
        {"agent": "web", "for": "web pages"},
    ]


def test_a_sure_answer_names_one_what_matched_and_whom_else() -> None:
    route = router.route("Write a Helm chart for the Kubernetes cluster with Terraform", SHIPPED)
    assert route.sure
    answer = route_answers.answer(route, then=THEN)
    assert answer["specialist"] == "eng-infra"
    assert {"Helm", "Kubernetes"} <= set(route.offer.choices[0].hits)
    assert answer["strategy"] in ("direct", "direct+async-review")
    assert route_answers.names_offered(route)[0] == "eng-infra"
    assert "choose_from" not in answer


def test_two_domains_are_offered_as_parts_and_the_question_is_to_split() -> None:
    text = "Write a Helm chart for the Kubernetes cluster and build the React form with Tailwind CSS"
    answer = route_answers.answer(router.route(text, SHIPPED))
    assert set(whole(answer)["split"].values()) == {"eng-infra", "eng-frontend"}
    assert "split" in str(answer.get("ask", "split"))


def test_equals_are_called_a_tie() -> None:
    pair = [
        catalog.Agent(name=name, description="Handles widgets, gadgets, gizmos and sprockets.", sha256=name)
        for name in "ab"
    ]
    answer = route_answers.answer(router.route("Fix the widgets, gadgets, gizmos and sprockets", catalog.merge(pair)))
    assert answer["tie"] == ["a", "b"]
    assert "do not tell a and b apart" in str(answer["ask"])


def test_details_come_on_request() -> None:
    route = router.route("Water the ficus", SHIPPED)
    full = route_answers.answer(route, "full")
    assert full["strategy"] == "human"
    assert full["specialist"] is None
    assert {"ranked", "factors", "why"} <= full.keys()


def test_who_is_offered_is_who_stands_in_the_answer() -> None:
    for request_ in ("Do it", "Fix the login", "Write a Helm chart for the Kubernetes cluster"):
        route = router.route(request_, SHIPPED)
        answer = json.dumps(route_answers.answer(route))
        first = route_answers.names_offered(route)[0]
        assert f'"{first}"' in answer


def test_of_names_too_long_for_the_answer_the_likeliest_are_offered() -> None:
    route = router.route("subject number 7", team(60, 60))
    offered = route_answers.names_offered(route)
    assert offers.FIVE <= len(offered) < 60
    assert set(offered) <= set(route.offer.names)


FEW_WORDS = ("Plan", "Sort", "Weigh", "Paint", "Count", "Carry", "Clean", "Mend", "Fold", "Stack")


def hundreds(count: int = 400) -> catalog.Catalog:
    """Returns agents named as in public collections, about 24 characters each, some of which share words."""
    subjects = ("harbour", "orchard", "library", "kitchen", "theatre", "railway", "laundry", "nursery")
    agents = (
        catalog.Agent(
            name=f"{subjects[n % 8]}-{FEW_WORDS[n % 10].lower()}-{'abcdefghij'[n // 40 % 10]}{n}-specialist",
            description=f"Use this agent to {FEW_WORDS[n % 10].lower()} what is in lot {n} of the {subjects[n % 8]}.",
            sha256=str(n),
        )
        for n in range(count)
    )
    return catalog.merge(agents, words=loader.words())


def test_of_hundreds_forty_are_named_where_nobody_is_likely_and_else_said_what_five_are_for() -> None:
    known = hundreds()
    unlikely = router.route("Will it be ready in time?", known)
    answer = whole(route_answers.answer(unlikely, then=THEN))
    assert answer["specialist"] is None
    assert len(route_answers.names_offered(unlikely)) >= route_answers.ENOUGH_OF_UNLIKELY
    assert size(answer) <= route_answers.UNSURE_SIZE
    likely = router.route("Weigh the harbour", known)
    answer = whole(route_answers.answer(likely, then=THEN))
    assert all(choice["for"] for choice in answer["choose_from"])
    assert len(route_answers.names_offered(likely)) >= offers.FIVE + route_answers.ENOUGH


@pytest.mark.parametrize("request_", ["Weigh the harbour", "Will it be ready in time?", "zzz", "the orchard"])
def test_of_hundreds_exactly_those_who_stand_in_the_answer_are_offered(request_: str) -> None:
    route = router.route(request_, hundreds())
    answer = whole(route_answers.answer(route, then=THEN))
    names = [choice["agent"] for choice in answer["choose_from"]] + name_lines.read_back(answer["others"])
    assert sorted(names) == sorted(route_answers.names_offered(route))
