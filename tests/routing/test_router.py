from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import confidence, router
from dispatch_mcp.text import lexicon, tokenizer
from dispatch_mcp.text.reading import excerpts

REQUESTS = (
    *("Change the login form", "Why is the orders query slow?", "Send a mail after sign-up", "Sort the list of teams"),
    *("The app does not start", "Set the secret for staging", "Page through the results"),
)


@pytest.fixture(scope="module")
def everything() -> catalog.Catalog:
    folder = loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True)
    return loader.Source((folder,), scope=frozenset[str]()).catalog()


@pytest.fixture(scope="module")
def backend(everything: catalog.Catalog) -> catalog.Catalog:
    return everything.roster("backend")


def small(*agents: catalog.Agent) -> catalog.Catalog:
    return catalog.merge(agents, words=loader.words())


def agent(name: str, description: str, **more: object) -> catalog.Agent:
    return catalog.Agent.model_validate({"name": name, "description": description, "sha256": name, **more})


PAIR = (
    agent("db", "Database tables, SQL queries and migrations.", keywords=["database", "sql"], model="opus"),
    agent("web", "Web pages, forms and CSS in the browser.", keywords=["css", "page"]),
)


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
    route = router.route(
        "Write an SQL query of the database tables", catalog.merge(agents, words=loader.words(), missing={"k/db.md"})
    )
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


@settings(max_examples=examples(300))
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
    turned = catalog.merge(reversed(backend.agents), words=backend.words)
    for request_ in REQUESTS:
        assert router.route(request_, turned) == router.route(request_, backend)


@pytest.mark.chaos
@pytest.mark.promise("R15")
@pytest.mark.slice(3, table="hash seeds")
def test_routes_are_the_same_for_every_hash_seed() -> None:
    program = (
        "from dispatch_mcp.agents import bundled_files, loader\n"
        "from dispatch_mcp.routing import router\n"
        "source = loader.Source((loader.Folder(bundled_files.shipped_folder('agents'), 'bundled', nested=True),))\n"
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
    source = excerpts.request("a " * 100_000)
    assert len(source) <= excerpts.HEAD_OF_REQUEST + excerpts.TAIL_OF_REQUEST + 1


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


@pytest.mark.parametrize(("kind", "right"), [("trap", 53), ("neg", 49)])
def test_requests_whose_words_mislead_are_routed_as_well_as_was_measured(
    everything: catalog.Catalog, kind: str, right: int
) -> None:
    """The figures of docs/routing.md#what-the-router-does-not-do: 53 of 67 traps, 49 of 70 requests with negations."""
    requests = own_requests(kind)
    firsts = [router.route(request_, everything.roster(roster)).ranked[0].name for roster, _, request_ in requests]
    hits = [first.removesuffix("-architect") == agent for first, (_, agent, _) in zip(firsts, requests, strict=True)]
    assert sum(hits) >= right


def test_requests_for_nobody_are_mostly_refused(everything: catalog.Catalog) -> None:
    asked = own_requests("oos")
    refused = [router.route(request_, everything.roster(roster)).specialist is None for roster, _, request_ in asked]
    assert sum(refused) >= 0.8 * len(asked)


SHIPPED = loader.Source(
    (loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True),), scope=frozenset[str]()
).catalog()


def test_what_is_ruled_out_is_not_understood() -> None:
    """A documented limit (docs/routing.md#what-the-router-does-not-do): the words count, not what is denied of them."""
    pair = small(*PAIR)
    asked, denied = (router.route(text, pair) for text in ("Touch the database", "Don't touch the database"))
    assert denied.ranked[0].name == asked.ranked[0].name == "db"


def test_a_route_says_in_words_what_it_rests_on() -> None:
    route = router.route("Write an SQL query", small(*PAIR))
    assert route.why.startswith(f"db with confidence {route.confidence:.2f}, because of ")
    assert "“SQL”" in route.why


def test_a_refusal_names_the_closest_agent_and_asks_what_is_meant(backend: catalog.Catalog) -> None:
    route = router.route("Water the ficus in the hall", backend)
    assert route.specialist is None
    assert route.why.startswith("No agent is a likely home for this: the closest, ")
    assert route.ranked[0].name in route.why
    assert route.question.startswith("Nobody in this roster clearly does this.")


def test_words_that_would_help_are_keywords_or_the_name_of_the_agents_in_question() -> None:
    known = small(
        agent("blue-whale", "Swims.", keywords=["plankton", "krill", "baleen", "fluke"]), agent("red_fox", "Runs.")
    )
    words = router.route("zzz", known).try_words
    assert {"plankton", "krill", "baleen", "red", "fox"} == set(words)


def test_a_clear_route_asks_nothing() -> None:
    route = router.route("Write an SQL query for the database tables", small(*PAIR))
    assert (route.question, route.try_words) == ("", ())


def test_an_agent_of_the_same_name_in_two_rosters_is_named_with_its_roster() -> None:
    known = small(agent("db", "Database tables.", roster="a"), agent("db", "SQL queries.", roster="b"))
    assert {candidate.name for candidate in router.route("SQL tables", known).ranked} == {"a/db", "b/db"}


def test_only_the_first_agents_come_with_evidence(everything: catalog.Catalog) -> None:
    route = router.route("Fix the slow database query behind the login page of the API", everything)
    assert len(route.ranked) == router.MAX_RANKED
    assert route.evidence == route.ranked[0].evidence
    assert 0 < len(route.evidence) <= router.MAX_EVIDENCE
    assert all(len(candidate.evidence) <= 2 for candidate in route.ranked[1:3])
    assert all(candidate.evidence == () for candidate in route.ranked[3:])


def test_the_lower_of_confidence_and_readiness_decides_the_strategy() -> None:
    text, known = "Write an SQL query for the database tables", small(*PAIR)
    plain = router.route(text, known)
    held = router.route(text, known, hints=router.Hints(clarity=0.0, complexity_match=0.0, resources=0.0))
    assert held.confidence == plain.confidence
    assert held.readiness < plain.readiness
    order = ("human", "supervised", "direct+async-review", "direct")
    assert order.index(held.strategy) < order.index(plain.strategy)


@pytest.mark.parametrize(("urgency", "value"), [("low", 1.0), ("high", 0.5)])
def test_urgency_is_the_factor_of_time(urgency: str, value: float) -> None:
    hints = router.Hints.model_validate({"urgency": urgency})
    factors = {factor.name: factor for factor in router.route("SQL", small(*PAIR), hints=hints).factors}
    assert (factors["time_pressure"].value, factors["time_pressure"].source) == (value, "given")


@pytest.mark.parametrize("name", ["resources", "clarity", "complexity_match", "past_successes"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_hint_is_a_share(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        router.Hints.model_validate({name: value})


def test_bands_of_the_settings_decide() -> None:
    strict = router.Hints(bands=confidence.Bands(direct=1.0, review=1.0, supervise=1.0))
    assert router.route("Write an SQL query", small(*PAIR), hints=strict).strategy == "human"


def test_a_missing_document_without_a_substitute_leaves_general_knowledge() -> None:
    alone = catalog.merge([agent("db", "Database tables and SQL.", knowledge="k/db.md")], missing={"k/db.md"})
    route = router.route("Write an SQL query", alone)
    assert route.knowledge == ""
    assert any("General knowledge has to do." in warning for warning in route.warnings)


def test_a_document_that_is_there_is_named_without_a_warning() -> None:
    route = router.route("Write an SQL query", small(agent("db", "Database and SQL.", knowledge="k/db.md")))
    assert (route.knowledge, route.warnings) == ("k/db.md", ())


def test_runners_up_are_the_next_routes() -> None:
    same = "Handles widgets."
    route = router.route("fix the widgets", small(agent("a", same), agent("b", same), agent("c", same)))
    assert [route.ranked[0].name, *route.fallback] == ["a", "b", "c"]


def test_more_agents_with_a_claim_make_the_work_larger() -> None:
    same = "Handles widgets."
    many = small(*(agent(name, same) for name in "abcd"))
    sizes = list(model.Effort)
    single = router.route("Port the widgets", small(agent("a", same)))
    assert sizes.index(router.route("Port the widgets", many).effort) > sizes.index(single.effort)


PLAIN_WORDS = st.lists(st.sampled_from(["sql", "query", "css", "page", "fix", "slow", "zebra"]), min_size=1, max_size=8)


@given(PLAIN_WORDS, st.sampled_from([" ", "  ", ", ", "\n", " - "]))
def test_case_spaces_and_punctuation_do_not_move_a_route(words: list[str], between: str) -> None:
    known = small(*PAIR)
    plain, other = router.route(" ".join(words), known), router.route(between.join(words).upper(), known)
    assert [candidate.name for candidate in plain.ranked] == [candidate.name for candidate in other.ranked]
    assert other.confidence == pytest.approx(plain.confidence)


@given(PLAIN_WORDS)
def test_the_order_of_words_moves_little(words: list[str]) -> None:
    known = small(*PAIR)
    plain, turned = router.route(" ".join(words), known), router.route(" ".join(reversed(words)), known)
    shares = [{candidate.name: candidate.share for candidate in route.ranked} for route in (plain, turned)]
    assert all(abs(shares[0][name] - shares[1][name]) < 0.5 for name in shares[0])


def test_what_stands_in_the_middle_of_a_very_long_request_is_not_read() -> None:
    known, filler = small(*PAIR), "lorem " * 400
    route = router.route(f"Write an SQL query. {filler} CSS of the page {filler}", known)
    assert route.ranked[0].name == "db"
    assert not {"CSS", "page"} & {piece.quote for piece in route.evidence}
    assert router.route(f"{filler} Write an SQL query", known).ranked[0].name == "db"


def test_a_model_that_does_not_exist_is_refused_before_anything_else() -> None:
    with pytest.raises(errors.InputError, match="no model"):
        router.route("x", catalog.EMPTY, hints=router.Hints(model="gpt"))


def test_an_agent_alone_in_its_roster_is_still_refused_what_is_not_its_own() -> None:
    known = small(PAIR[0])
    assert router.route("Write an SQL query", known).specialist == "db"
    assert router.route("Water the ficus", known).specialist is None


def test_a_new_agent_that_fits_better_takes_over() -> None:
    text = "Shard the ledger over three regions"
    sharding = agent("sharding", "Shards ledgers over regions.", keywords=["shard", "region"])
    assert router.route(text, small(*PAIR)).ranked[0].name != "sharding"
    assert router.route(text, small(*PAIR, sharding)).specialist == "sharding"


@pytest.mark.parametrize("layer", ["plugin", "project"])
def test_the_warning_about_an_agent_without_trust_names_where_it_comes_from(layer: str) -> None:
    doubted = agent("db", "Database tables and SQL queries.", layer=layer, trusted=False)
    [warning] = router.route("Write an SQL query", small(doubted)).warnings
    assert layer in warning
