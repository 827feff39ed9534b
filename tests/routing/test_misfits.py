"""Who is left out for a request: by what its agents can do, by what they know, and by what the project uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, rosters
from dispatch_mcp.routing import suitability

READS = ("Read", "Grep")
WRITES = ("Read", "Edit")


def agent(name: str, description: str = "Does things.", tools: tuple[str, ...] = WRITES) -> catalog.Agent:
    return catalog.Agent(name=name, description=description, sha256=name, tools=tools)


AGENTS = (
    agent("builder"),
    agent("reader", tools=READS),
    agent("judge", "Reviews changes.", READS),
    agent("critic", "Audits and mends.", WRITES),
    agent("python-pro"),
    agent("rust-pro"),
    agent("django-dev"),
)


def names(places: frozenset[int], agents: catalog.Catalog) -> set[str]:
    return {agents.routable[place].name for place in places}


def misfits(request_: str, *files: str, signs: rosters.Signs | None = None) -> set[str]:
    known = catalog.merge(AGENTS) if signs is None else catalog.merge(AGENTS, signs=signs)
    return names(suitability.misfits(request_, files, known), known)


@pytest.mark.parametrize(
    ("request_", "left_out"),
    [
        pytest.param("Fix the login", {"reader", "judge"}, id="who cannot write builds nothing"),
        pytest.param(
            "Review the login", {"builder", "python-pro", "rust-pro", "django-dev"}, id="who builds judges nothing"
        ),
        pytest.param("Explain the login", set[str](), id="everybody may explain"),
        pytest.param("", set[str](), id="nothing is asked for"),
    ],
)
def test_the_first_verb_leaves_out_who_cannot_or_should_not(request_: str, left_out: set[str]) -> None:
    assert misfits(request_) == left_out


@pytest.mark.parametrize(
    ("request_", "files", "left_out"),
    [
        ("Explain the Python code", (), {"rust-pro"}),
        ("Explain it", ("src/main.rs",), {"python-pro", "django-dev"}),
        ("Explain the Flask app", (), {"rust-pro", "django-dev"}),
        ("Explain how Python calls Rust", (), set[str]()),
        ("Explain the go code", (), set[str]()),
        ("Explain the Haskell code", (), {"python-pro", "rust-pro", "django-dev"}),
    ],
)
def test_a_technology_that_is_named_leaves_out_who_knows_only_others_of_its_family(
    request_: str, files: tuple[str, ...], left_out: set[str]
) -> None:
    assert misfits(request_, *files) == left_out


def test_what_a_request_names_counts_before_what_the_project_uses() -> None:
    signs = rosters.Signs(files=frozenset({"Cargo.toml"}))
    assert misfits("Explain the login", signs=signs) == {"python-pro", "django-dev"}
    assert misfits("Explain the Python code", signs=signs) == {"rust-pro"}


def test_an_agent_that_is_only_mentioned_names_no_technology() -> None:
    assert misfits("@python-pro explain the login") == misfits("Explain the login")


def test_without_any_sign_of_its_technology_a_specialist_is_not_mentioned() -> None:
    known = catalog.merge(AGENTS)
    nobody = suitability.without_mention("Explain the login", (), known)
    assert names(nobody, known) == {"python-pro", "rust-pro", "django-dev"}
    python = suitability.without_mention("Explain the Python code", (), known)
    assert names(python, known) == {"rust-pro"}


def test_the_traits_of_a_catalogue_are_read_once() -> None:
    known = catalog.merge(AGENTS)
    assert suitability.traits_of(known) is suitability.traits_of(known)
    assert len(suitability.traits_of(known)) == len(known.routable)


@given(st.text(max_size=200), st.lists(st.sampled_from(["a.py", "b.rs", "c.tsx", "README"]), max_size=3))
def test_whoever_is_left_out_cannot_write_does_not_judge_or_knows_something_else(
    request_: str, files: list[str]
) -> None:
    known = catalog.merge(AGENTS)
    traits = suitability.traits_of(known)
    for place in suitability.misfits(request_, files, known):
        of_agent = traits[place]
        assert not of_agent.can_write or not of_agent.judges or of_agent.technologies
