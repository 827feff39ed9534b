"""What a request's first verb asks for, and who must not do it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import suitability


@pytest.mark.parametrize(
    ("request_", "work"),
    [
        ("Fix the login", "writes"),
        ("fix: login", "writes"),
        ("Can you please rename the module?", "writes"),
        ("We need to migrate to v2", "writes"),
        ("Write a unit test for the cart", "writes"),
        ("Create the users endpoint", "writes"),
        ("Make the page where the password is typed", "writes"),
        ("Create a login form", "writes"),
        ("Thêm chức năng đăng nhập", "writes"),
        ("Implementiere die Suche", "writes"),
        ("Añade un índice", "writes"),
        ("Write a report on the outage", "other"),
        ("Create a plan for the migration", "other"),
        ("Explain how to fix the login", "other"),
        ("The login needs a fix", "other"),
        ("Implementation of reviews: what is there?", "other"),
        ("Review the login", "reviews"),
        ("please audit src/", "reviews"),
        ("Could you look over my change", "reviews"),
        ("Code review of the cart", "reviews"),
        ("Überprüfe den Warenkorb", "reviews"),
        ("Add a review page", "writes"),
        ("", "other"),
        ("please", "other"),
        ("123 !!", "other"),
    ],
)
def test_the_first_verb_says_what_is_asked_for(request_: str, work: str) -> None:
    assert suitability.work(request_) == work


def agent(**fields: object) -> catalog.Agent:
    return catalog.Agent.model_validate({"name": "one", "description": "Knows things.", "sha256": "1", **fields})


@pytest.mark.parametrize(
    ("fields", "can_write"),
    [
        ({"tools": ("Read", "Grep", "Bash")}, False),
        ({"tools": ("Read", "Edit")}, True),
        ({"tools": ("Read", "Write(docs/**)")}, True),
        ({"tools": ("mcp__db__query",)}, False),
        ({"tools": None}, True),
        ({"tools": ()}, True),
        ({"trusted": False, "asked": {"tools": "Read, Grep"}}, False),
        ({"trusted": False, "asked": {"tools": ["Read", "Write"]}}, True),
        ({"trusted": False}, True),
    ],
)
def test_who_has_no_tool_that_changes_files_cannot_write(fields: dict[str, object], can_write: object) -> None:
    [traits] = suitability.traits_of(catalog.merge([agent(**fields)]))
    assert traits.can_write is can_write


@pytest.mark.parametrize(
    ("fields", "judges"),
    [
        ({"name": "code-reviewer"}, True),
        ({"description": "Audits dependencies."}, True),
        ({"description": "Security of the login."}, True),
        ({"description": "Builds the login."}, False),
    ],
)
def test_a_reviewer_says_so_in_its_name_or_description(fields: dict[str, object], judges: object) -> None:
    [traits] = suitability.traits_of(catalog.merge([agent(**fields)]))
    assert traits.judges is judges


@pytest.mark.parametrize(
    ("description", "families"),
    [
        ("React specialist. Also knows Vue.", {"front end", "language"}),
        ("Builds React, Vue or Svelte components.", {"language"}),
        ("Deploys to AWS.", set[str]()),
        ("Everything.", set[str]()),
    ],
)
def test_a_description_that_begins_with_one_technology_is_about_that(description: str, families: set[str]) -> None:
    [traits] = suitability.traits_of(catalog.merge([agent(description=description)]))
    assert set(traits.technologies) == families


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=5))
def test_a_roster_of_generalists_with_all_tools_may_do_any_work(request_: str, files: list[str]) -> None:
    known = catalog.merge([agent(name="a", description="Reviews."), agent(name="b", description="Reviews more.")])
    assert suitability.misfits(request_, files, known) == frozenset()
