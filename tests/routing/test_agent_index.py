"""What routing looks up: built from the agents that take part, and only from what is in them."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import agent_index
from dispatch_mcp.text import lexicon
from dispatch_mcp.text.reading import excerpts

LEXICON = lexicon.parse(["# login\nlogin, sign in, anmeldung\n# storage\ndatabase, sql, table"])
DB = agent_index.AgentText(
    name="sql-expert",
    description="Designs tables and slow queries.",
    keywords=("database", "query plan"),
    examples=("Add a table for orders", "Why is this query slow?"),
    body="Use EXPLAIN before anything else.",
    priority=3,
)
WEB = agent_index.AgentText(name="web", description="Builds pages for the sign in of users.", fallback=True)


def agent(name: str, **fields: object) -> catalog.Agent:
    return catalog.Agent.model_validate({"name": name, "sha256": name, **fields})


@pytest.fixture(scope="module")
def index() -> agent_index.AgentIndex:
    return agent_index.build([DB, WEB], LEXICON)


@pytest.mark.parametrize(
    ("stem", "postings"),
    [
        ("expert", ("head", "whole")),
        ("databas", ("head", "whole")),
        ("tabl", ("head", "whole")),
        ("order", ("whole",)),
        ("explain", ("whole", "body")),
        ("query plan", ("head", "whole")),
        ("slow queri", ("head", "whole")),
    ],
)
def test_each_text_of_an_agent_is_looked_up_where_it_belongs(
    index: agent_index.AgentIndex, stem: str, postings: tuple[str, ...]
) -> None:
    term = {"query plan": "queri plan", "slow queri": "slow queri"}.get(stem, stem)
    holding = [name for name in ("head", "whole", "body") if getattr(index, name).impact(term, 0) > 0]
    assert holding == list(postings)
    assert index.whole.impact(term, 1) == 0


def test_small_words_are_not_looked_up(index: agent_index.AgentIndex) -> None:
    assert index.whole.rare("the") == index.whole.rare("for") == 0


def test_concepts_are_what_the_lexicon_makes_of_an_agent(index: agent_index.AgentIndex) -> None:
    storage, login = str(LEXICON.names.index("storage")), str(LEXICON.names.index("login"))
    assert index.concepts.impact(storage, 0) > 0
    assert index.concepts.impact(login, 1) > 0
    assert index.concepts.impact(storage, 1) == index.concepts.impact(login, 0) == 0


def test_examples_lead_to_their_agent_in_both_forms(index: agent_index.AgentIndex) -> None:
    assert index.exact["add a table for orders"] == (0,)
    assert index.near[agent_index.gist("For orders, add: a table!")] == (0,)


def test_an_example_of_several_agents_leads_to_all_of_them_once() -> None:
    twice = agent_index.AgentText("a", examples=("Tidy up", "tidy UP!"))
    index = agent_index.build([twice, agent_index.AgentText("b", examples=("Tidy up",))], LEXICON)
    assert index.exact["tidy up"] == (0, 1)


def test_an_index_says_how_much_of_a_roster_has_texts_and_is_understood(index: agent_index.AgentIndex) -> None:
    assert index.body_share == 0.5
    assert 0 < index.fluency < 1
    assert agent_index.build([agent_index.AgentText("zzz")], LEXICON).fluency == 0


def test_fallbacks_and_priorities_are_kept_by_place(index: agent_index.AgentIndex) -> None:
    assert index.fallbacks == (1,)
    assert index.by_priority == (0, 1)


def test_an_empty_roster_has_an_index() -> None:
    index = agent_index.build([], LEXICON)
    assert (index.size, index.body_share, index.fluency) == (0, 0.0, 0.0)


def test_only_agents_in_scope_are_looked_up() -> None:
    agents = catalog.merge([agent("a", roster="r"), agent("b", roster="s")], scope={"s"})
    assert agent_index.index_of(agents).size == 1


def test_capabilities_count_as_keywords() -> None:
    agents = catalog.merge([agent("a", capabilities=["billing"])])
    assert agent_index.index_of(agents).head.impact("bill", 0) > 0


def test_of_a_long_role_text_only_the_beginning_is_read() -> None:
    body = "filler " * (excerpts.ROLE.chars // 7 + 1) + "ostrich"
    assert agent_index.index_of(catalog.merge([agent("a", body=body)])).body.rare("ostrich") == 0


def test_an_index_is_built_once_and_goes_with_its_catalogue() -> None:
    agents = catalog.merge([agent("a")])
    assert agent_index.index_of(agents) is agent_index.index_of(agents)
    held = len(agent_index._INDEXES)  # pyright: ignore[reportPrivateUsage] - what is let go cannot be seen otherwise
    del agents
    gc.collect()
    assert len(agent_index._INDEXES) < held  # pyright: ignore[reportPrivateUsage] - as above


def test_a_fingerprint_changes_with_agents_their_order_of_places_and_the_lexicon() -> None:
    one = catalog.merge([agent("a"), agent("b")])
    assert agent_index.fingerprint(one) == agent_index.fingerprint(catalog.merge([agent("b"), agent("a")]))
    others = (
        catalog.merge([agent("a")]),
        catalog.merge([agent("a"), agent("b", sha256="changed")]),
        catalog.merge([agent("a"), agent("b")], words=loader.words()),
        catalog.merge([agent("a"), agent("b", roster="r")]),
    )
    assert agent_index.fingerprint(one) not in {agent_index.fingerprint(other) for other in others}


@given(st.permutations(["tidy", "ledger", "voucher", "May"]))
def test_the_gist_of_a_request_does_not_know_the_order_of_its_words(words: list[str]) -> None:
    assert agent_index.gist(" ".join(words)) == agent_index.gist("tidy the ledger and the voucher of May")


def test_one_word_has_no_gist() -> None:
    assert agent_index.gist("ledger, the ledger!") == ""


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=5))
def test_pairs_are_one_fewer_than_words(stems: list[str]) -> None:
    assert len(agent_index.pairs(stems)) == max(0, len(stems) - 1)
