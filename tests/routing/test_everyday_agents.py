"""Six agents as a user writes them, one sentence each, in a project where ours take part too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp import configuration
from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import router

TEAM = {
    "agentic-agent": "Specialist for internal/agentic: crew execution, budget, pricing, cost tracking.",
    "gateway-agent": "Specialist for gateway-server.",
    "middleware-agent": "Specialist for ask-it-server HTTP middleware.",
    "mongodb-agent": "Specialist for MongoDB collections, indexes and queries.",
    "hpsm-agent": "Specialist for the HPSM integration: tickets, OAuth, API client.",
    "pattern-agent": "Specialist for pattern learning and pattern storage.",
}
REQUESTS = {
    "A crew's budget is counted twice after a retry": {"agentic-agent"},
    "Calls to HPSM have become slow since Monday, find out where the time goes": {"hpsm-agent"},
    "Retry failed HPSM calls and keep the failures in a MongoDB collection": {"hpsm-agent", "mongodb-agent"},
    "Track what each HPSM call costs us": {"hpsm-agent", "agentic-agent"},
    "Give gateway-server and ask-it-server the same middleware interface": {"gateway-agent", "middleware-agent"},
    "Every change of a pattern, ticket and crew leaves an audit record": {
        "pattern-agent",
        "hpsm-agent",
        "agentic-agent",
    },
}
"""The requests of docs/rules.md#dispatch-patterns in other words, with all who are right."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> catalog.Catalog:
    home: Path = tmp_path_factory.mktemp("home")
    workspace = tmp_path_factory.mktemp("project")
    folder = workspace / ".claude" / "agents"
    folder.mkdir(parents=True)
    for name, about in TEAM.items():
        (folder / f"{name}.md").write_text(f"---\nname: {name}\ndescription: {about}\n---\nYou are the {name}.\n")
    settings = configuration.Settings(home=home, workspace=workspace, trusted_agents=home / "trusted.json")
    return loader.Source.from_settings(settings, home).catalog()


@pytest.mark.parametrize("request_", REQUESTS)
def test_one_of_the_user_s_own_is_among_those_to_choose_from(project: catalog.Catalog, request_: str) -> None:
    names = router.route(request_, project).offer.names[:5]
    assert set(names) & REQUESTS[request_]


def test_the_first_one_is_the_user_s_own_in_five_of_six(project: catalog.Catalog) -> None:
    firsts = [router.route(request_, project).ranked[0].name in right for request_, right in REQUESTS.items()]
    assert sum(firsts) >= 5


def test_everybody_else_is_named_beside_them(project: catalog.Catalog) -> None:
    assert set(TEAM) <= set(router.route("Do something about it", project).offer.names)


def test_a_project_s_agent_gets_no_rights_by_being_first(project: catalog.Catalog) -> None:
    route = router.route("Calls to HPSM have become slow since Monday", project)
    assert route.ranked[0].name == "hpsm-agent"
    assert any("not trusted" in warning for warning in route.warnings)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> catalog.Catalog:
    """What takes part in a project that has no agents of its own."""
    home, workspace = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("project")
    settings = configuration.Settings(home=home, workspace=workspace, trusted_agents=home / "trusted.json")
    return loader.Source.from_settings(settings, home).catalog()


@pytest.mark.parametrize(
    "request_",
    [
        "Add a percent discount to total() in app/cart.py",
        "Fix the rounding of prices in app/cart.py",
        "Fix the typo in app/main.py",
        "Rename the helper in server/names.py",
        "Say in README.md how the discount works",
    ],
)
def test_ordinary_work_on_named_files_waits_for_no_person(alone: catalog.Catalog, request_: str) -> None:
    route = router.route(request_, alone)
    assert (route.specialist, route.strategy) == ("general-purpose", "supervised")
