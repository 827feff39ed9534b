from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import router
from dispatch_mcp.text import lexicon, tokenizer

GOLDEN = {
    "auth-system-architect": (
        "Fix JWT authentication issues|Implement login system|Add password validation|Debug token expiration|"
        "Setup session management|Fix JWT token expiration problems"
    ),
    "database-architect": (
        "Create user model|Fix database connection|Add new table relationship|Optimize SQL queries|"
        "Setup database migration|Add new table for user sessions|Create new user model relationships"
    ),
    "api-endpoints-architect": (
        "Create new API endpoint|Fix CORS issues|Add REST route|Debug 404 errors|Implement pagination|"
        "API returning 404 errors for entities endpoint|Add REST endpoint for user search"
    ),
    "user-management-architect": (
        "Add user CRUD operations|Implement role-based access|Fix user search functionality|Add manager hierarchy|"
        "Setup admin panel"
    ),
    "services-architect": (
        "Setup email service|Integrate OpenAI API|Fix email sending|Add external service|Configure SMTP"
    ),
    "config-architect": (
        "Setup production config|Add environment variables|Fix config loading|Deploy to staging|Configure secrets"
    ),
    "troubleshooting-architect": (
        "Fix server crash|Debug 500 error|App won't start|Fix authentication bug|Resolve database error|"
        "Server crashes with 500 error on startup|Fix authentication database connection error"
    ),
    "backend-overview-architect": (
        "Explain backend architecture|General backend question|How does the system work|Project structure help|"
        "Help me understand the backend"
    ),
}
"""The 39 triggers and 8 worked requests of docs/rules.md#specialists in scope, with what docs/routing.md decided."""

GOLDEN_CASES = [(request, name) for name, requests in GOLDEN.items() for request in requests.split("|")]


@pytest.fixture(scope="module")
def everything() -> catalog.Catalog:
    folder = loader.Folder(bundled_files.bundled("agents"), "bundled", nested=True)
    return loader.Source((folder,), scope=catalog.DEFAULT_ROSTERS).catalog()


@pytest.fixture(scope="module")
def backend(everything: catalog.Catalog) -> catalog.Catalog:
    return everything.roster("backend")


def small(*agents: catalog.Agent) -> catalog.Catalog:
    return catalog.of(agents, words=loader.words())


def agent(name: str, description: str, **more: object) -> catalog.Agent:
    return catalog.Agent.model_validate({"name": name, "description": description, "sha256": name, **more})


PAIR = (
    agent("db", "Database tables, SQL queries and migrations.", keywords=["database", "sql"], model="opus"),
    agent("web", "Web pages, forms and CSS in the browser.", keywords=["css", "page"]),
)


def test_the_golden_set_has_all_in_scope_requests_of_the_backend_roster() -> None:
    assert len(GOLDEN_CASES) == 47


@pytest.mark.parametrize(("request_", "name"), GOLDEN_CASES)
def test_the_roster_s_own_requests_reach_their_specialist(backend: catalog.Catalog, request_: str, name: str) -> None:
    route = router.route(request_, backend)
    assert route.specialist == name
    assert route.confidence >= 0.4


@pytest.mark.parametrize(
    ("request_", "not_name"),
    [
        ("Explain backend architecture", "services-architect"),
        ("Explain the structure of the restaurant", "api-endpoints-architect"),
        ("Who is the author of this architecture overview?", "auth-system-architect"),
    ],
)
def test_parts_of_words_are_no_evidence(backend: catalog.Catalog, request_: str, not_name: str) -> None:
    route = router.route(request_, backend)
    assert route.ranked[0].name != not_name


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ("Sửa lỗi đăng nhập bằng mật khẩu", "auth-system-architect"),
        ("Crea una migración para la tabla de pedidos", "database-architect"),
        ("Les variables d'environnement ne sont pas lues", "config-architect"),
        ("Der Server stürzt beim Start ab", "troubleshooting-architect"),
        ("Enviar um e-mail de boas-vindas", "services-architect"),
        ("给接口加上分页", "api-endpoints-architect"),
        ("ユーザーのロールと権限を追加して", "user-management-architect"),
    ],
)
def test_requests_may_be_in_any_of_eight_languages(backend: catalog.Catalog, request_: str, name: str) -> None:
    assert router.route(request_, backend).ranked[0].name == name


def test_a_request_that_is_all_negation_still_counts() -> None:
    assert router.route("Do not allow duplicate rows in the database", small(*PAIR)).specialist == "db"


@pytest.mark.parametrize("request_", ["Write a haiku about autumn leaves", "Who won the World Cup?", "thanks", "…", ""])
def test_out_of_scope_requests_are_not_given_to_anybody(everything: catalog.Catalog, request_: str) -> None:
    route = router.route(request_, everything)
    assert route.specialist is None
    assert route.strategy == "human"
    assert route.question
    assert route.try_words
    assert route.confidence < 0.4


def test_the_roster_s_fallback_is_the_last_route(backend: catalog.Catalog) -> None:
    route = router.route("Add a column to the orders table", backend)
    assert route.specialist == "database-architect"
    assert route.fallback[-1] == "backend-overview-architect"


def test_an_exact_example_is_nearly_certain(backend: catalog.Catalog) -> None:
    assert router.route("fix cors issues!", backend).confidence >= 0.95


def test_equal_routes_go_by_priority() -> None:
    same = "Handles widgets."
    known = small(agent("a", same, priority=1), agent("b", same, priority=9))
    assert router.route("handle widgets", known).ranked[0].name == "b"


def test_the_five_factors_come_with_their_sources(backend: catalog.Catalog) -> None:
    hints = router.Hints(urgency="high", resources=0.25)
    factors = {factor.name: factor for factor in router.route("Fix the login", backend, hints=hints).factors}
    assert [factor.weight for factor in factors.values()] == [0.30, 0.20, 0.25, 0.15, 0.10]
    assert factors["resources"].source == "given"
    assert factors["time_pressure"].source == "given"
    assert factors["clarity"].source == "derived"
    assert factors["past_successes"].source == "unknown"


def test_past_successes_are_counted_and_speak_for_their_agent() -> None:
    known = small(*PAIR)
    past = tuple(router.Past("Tidy the quarterly ledger", "web") for _ in range(3))
    without = router.route("Tidy up the quarterly ledger", known)
    route = router.route("Tidy up the quarterly ledger", known, history=router.History(past))
    shares = [next(c.share for c in found.ranked if c.name == "web") for found in (without, route)]
    assert shares[1] > shares[0]
    factor = next(factor for factor in route.factors if factor.name == "past_successes")
    assert factor.why == "3 similar tasks went well"


def test_failures_speak_against_an_agent() -> None:
    known = small(*PAIR)
    past = tuple(router.Past("Speed up the database page", "db", good=False) for _ in range(5))
    request_ = "Speed up the database page"
    assert router.route(request_, known).ranked[0].name == "db"
    assert router.route(request_, known, history=router.History(past)).ranked[0].name == "web"


def test_an_explicit_model_wins_over_the_agent_s_and_that_over_the_table() -> None:
    known = small(*PAIR)
    assert router.route("Write an SQL query", known, hints=router.Hints(model="haiku")).model == "haiku"
    assert router.route("Write an SQL query", known).model == "opus"
    assert "declared" in router.route("Write an SQL query", known).model_reason
    assert router.route("Is the page CSS fine?", known).model == "haiku"


def test_an_unknown_model_fails_closed() -> None:
    with pytest.raises(errors.InputError, match="no model 'gpt'"):
        router.route("Write an SQL query", small(*PAIR), hints=router.Hints(model="gpt"))
    odd = small(agent("db", "Database tables and SQL.", model="gpt"))
    route = router.route("Write an SQL query", odd)
    assert (route.model, route.strategy) == ("", "human")
    assert any("gpt" in warning for warning in route.warnings)


@pytest.mark.promise("S7")
def test_an_untrusted_agent_is_routed_to_with_a_warning_and_no_model_of_its_own() -> None:
    text_ = "---\nname: db\ndescription: Database tables and SQL queries.\nmodel: opus\n---\nbody"
    doubted = catalog.read_agent(text_, path="db.md", layer="project", roster="project")
    route = router.route("Why is this SQL query on the database slow?", small(doubted))
    assert route.ranked[0].name == "db"
    assert route.model == "sonnet"
    assert any("not trusted" in warning for warning in route.warnings)


def test_a_missing_knowledge_document_is_told_and_replaced() -> None:
    agents = (
        agent("db", "Database tables and SQL.", knowledge="k/db.md", roster="r"),
        agent("guide", "General questions.", knowledge="k/overview.md", fallback=True, roster="r"),
    )
    route = router.route("Write an SQL query", catalog.of(agents, words=loader.words(), missing={"k/db.md"}))
    assert route.specialist == "db"
    assert route.knowledge == "k/overview.md"
    assert any("k/db.md" in warning for warning in route.warnings)


def test_no_agents_means_no_route() -> None:
    assert router.route("anything", catalog.EMPTY).specialist is None


def test_ambiguous_requests_ask_which_of_both() -> None:
    same = "Handles widgets and gadgets."
    route = router.route("fix the widgets", small(agent("a", same), agent("b", same)))
    assert "a" in route.question
    assert "b" in route.question


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_any_text_routes_and_its_evidence_is_in_it(request_: str) -> None:
    route = router.route(request_, SHIPPED)
    assert 0 <= route.confidence <= 1
    assert sum(candidate.share for candidate in route.ranked) <= 1.001
    for candidate in route.ranked:
        for piece in candidate.evidence:
            assert piece.quote in request_


WORDS = "fix the login databse tables email 500 not only for without API"


@given(st.lists(st.sampled_from(WORDS.split()), max_size=30))
def test_evidence_quotes_the_request(words: list[str]) -> None:
    request_ = " ".join(words)
    route = router.route(request_, SHIPPED)
    assert all(piece.quote in request_ for candidate in route.ranked for piece in candidate.evidence)


def test_the_order_of_agents_does_not_matter(backend: catalog.Catalog) -> None:
    turned = catalog.of(reversed(backend.agents), words=backend.words)
    for request_, _ in GOLDEN_CASES[::5]:
        assert router.route(request_, turned) == router.route(request_, backend)


@pytest.mark.chaos
@pytest.mark.promise("R15")
def test_routes_are_the_same_for_every_hash_seed() -> None:
    program = (
        "from dispatch_mcp.agents import bundled_files, loader\n"
        "from dispatch_mcp.routing import router\n"
        "source = loader.Source((loader.Folder(bundled_files.bundled('agents'), 'bundled', nested=True),))\n"
        "known = source.catalog()\n"
        "for request in ('fix the login', 'slow sql qeury', 'Thêm phân quyền', 'poem'):\n"
        "    print(router.route(request, known).model_dump_json())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(20 if os.environ.get("DISPATCH_MCP_CHAOS") == "full" else 3)
    }
    assert len(outputs) == 1


def test_only_the_head_and_tail_of_a_long_request_are_read() -> None:
    source = tokenizer.excerpt("a " * 100_000)
    assert len(source) <= tokenizer.MAX_HEAD + tokenizer.MAX_TAIL + 1


def test_a_lexicon_may_not_imply_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="nothing"):
        lexicon.parse(["# a > nothing:0.5\nword"])


def test_implied_concepts_weigh_less_step_by_step() -> None:
    known = lexicon.parse(["# a > b:0.5\nalpha, two words\n# b > c:0.5\nbeta^0.4\n# c\ngamm*"])
    found = tokenizer.words("Two words and gamma")
    meant = [match.meanings for match in known.matches(found, "Two words and gamma")]
    assert meant == [((0, 1.0), (1, 0.5), (2, 0.25)), ((2, 1.0),)]


def own_requests(kind: str) -> list[tuple[str, str, str]]:
    """Returns roster, right agent ("-" for nobody) and request of each of our own requests of a kind."""
    lines = Path(__file__).with_name("data").joinpath("requests.txt").read_text(encoding="utf-8").splitlines()
    rows = [[part.strip() for part in line.split("|", 3)] for line in lines if not line.startswith("//")]
    return [(row[1], row[2], row[3]) for row in rows if row[0] == kind]


@pytest.mark.parametrize(("kind", "right"), [("trap", 54), ("neg", 49)])
def test_requests_whose_words_mislead_are_routed_as_well_as_was_measured(
    everything: catalog.Catalog, kind: str, right: int
) -> None:
    """The figures of docs/routing.md#what-the-router-does-not-do: 54 of 67 traps, 49 of 70 requests with negations."""
    requests = own_requests(kind)
    firsts = [router.route(request_, everything.roster(roster)).ranked[0].name for roster, _, request_ in requests]
    hits = [first.removesuffix("-architect") == agent for first, (_, agent, _) in zip(firsts, requests, strict=True)]
    assert sum(hits) >= right


def test_requests_for_nobody_are_mostly_refused(everything: catalog.Catalog) -> None:
    asked = own_requests("oos")
    refused = [router.route(request_, everything.roster(roster)).specialist is None for roster, _, request_ in asked]
    assert sum(refused) >= 0.8 * len(asked)


SHIPPED = loader.Source(
    (loader.Folder(bundled_files.bundled("agents"), "bundled", nested=True),), scope=catalog.DEFAULT_ROSTERS
).catalog()
