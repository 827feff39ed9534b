"""How features become scores, shares and an order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import agent_index, request_reader, scoring

ROSTER = (
    ("db", "Database tables, SQL queries and migrations", ("database", "sql"), ("Add a column", "Who owns the table")),
    ("web", "Pages, forms and CSS of the website", ("css",), ("Who owns the page",)),
    ("guide", "Anything else", (), ()),
)


def roster(**fields: object) -> catalog.Catalog:
    agents = [
        catalog.Agent.model_validate(
            {
                "name": name,
                "description": description,
                "sha256": name,
                "keywords": keywords,
                "examples": examples,
                "fallback": name == "guide",
                **fields,
            }
        )
        for name, description, keywords, examples in ROSTER
    ]
    return catalog.merge(agents, words=loader.words())


AGENTS = roster()
INDEX = agent_index.index_of(AGENTS)
NAMES = [agent.name for agent in AGENTS.routable]


def read(text: str) -> request_reader.Request:
    return request_reader.read(text, INDEX, AGENTS.words)


def feature(text: str, name: str) -> dict[str, float]:
    row = scoring.measure(read(text), INDEX)[scoring.FEATURES.index(name)]
    return dict(zip(NAMES, row, strict=True))


@given(st.text(max_size=120))
def test_every_feature_is_there_for_every_agent_and_in_bounds(text: str) -> None:
    features = scoring.measure(read(text), INDEX)
    assert len(features) == len(scoring.FEATURES) == len(scoring.PLAIN) == len(scoring.BODIED)
    for row in features:
        assert len(row) == INDEX.size
        assert all(0 <= value <= 1.5 for value in row)


@given(st.text(max_size=120))
def test_shares_add_up_and_follow_the_scores(text: str) -> None:
    scores = scoring.score(read(text), INDEX)
    assert sum(scores.shares) == pytest.approx(1)
    assert sorted(range(3), key=lambda place: scores.shares[place]) == sorted(
        range(3), key=lambda place: scores.logits[place]
    )
    assert sorted(scores.best) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "text", "agent"),
    [
        ("head", "migrations", "db"),
        ("whole", "column", "db"),
        ("concepts", "Postgres", "db"),
        ("rescue", "Postgres", "db"),
        ("example", "add a column", "db"),
    ],
)
def test_each_feature_speaks_for_the_agent_that_it_should(name: str, text: str, agent: str) -> None:
    row = feature(text, name)
    assert max(row, key=row.__getitem__) == agent
    assert row[agent] > 0


def test_without_role_texts_the_body_says_nothing() -> None:
    assert set(feature("migrations", "body").values()) == {0.0}
    with_texts = roster(body="Knows about ostriches.")
    index = agent_index.index_of(with_texts)
    request = request_reader.read("ostriches", index, with_texts.words)
    assert max(scoring.measure(request, index)[scoring.FEATURES.index("body")]) > 0


def test_an_example_counts_in_full_and_a_turned_one_a_little_less() -> None:
    assert feature("add a COLUMN!", "example") == {"db": 1.0, "web": 0.0, "guide": 0.0}
    assert feature("a column: add one", "example")["db"] == 0.8
    assert set(feature("drop a column", "example").values()) == {0.0}


def test_meaning_is_heard_a_second_time_only_where_words_found_little() -> None:
    foreign, literal = "Die Datenbank ist langsam", "Database tables, SQL queries and migrations"
    assert max(feature(foreign, "rescue").values()) > 0
    assert max(feature(literal, "rescue").values()) == 0


def test_a_roster_that_the_lexicon_does_not_understand_is_routed_by_words_alone() -> None:
    agents = catalog.merge(
        (catalog.Agent(name=name, description=f"{name} {name}ish", sha256=name) for name in ("blorp", "quix")),
        words=loader.words(),
    )
    index = agent_index.index_of(agents)
    request = request_reader.read("blorp the database", index, agents.words)
    features = dict(zip(scoring.FEATURES, scoring.measure(request, index), strict=True))
    assert features["concepts"] == features["rescue"] == [0.0, 0.0]
    assert features["head"][0] > 0


def test_a_bonus_is_added_to_the_score_of_its_agent_alone() -> None:
    request = read("Tidy up")
    plain, moved = scoring.score(request, INDEX), scoring.score(request, INDEX, {1: 5.0})
    assert [after - before for before, after in zip(plain.logits, moved.logits, strict=True)] == pytest.approx(
        [0.0, 5.0, 0.0]
    )
    assert moved.best[0] == 1


def test_equal_scores_go_by_priority_and_then_by_place() -> None:
    def tied(*priorities: int) -> list[int]:
        agents = catalog.merge(
            catalog.Agent(name=f"a{at}", description="Widgets", sha256=str(at), priority=priority)
            for at, priority in enumerate(priorities)
        )
        index = agent_index.index_of(agents)
        return scoring.score(request_reader.read("widgets", index, agents.words), index).best

    assert tied(0, 0, 0) == [0, 1, 2]
    assert tied(0, 5, 9) == [2, 1, 0]


def test_of_many_agents_only_the_best_are_named() -> None:
    agents = catalog.merge(catalog.Agent(name=f"a{at:02}", description="Widgets", sha256=str(at)) for at in range(30))
    index = agent_index.index_of(agents)
    scores = scoring.score(request_reader.read("widgets", index, agents.words), index)
    assert len(scores.best) == scoring.MAX_BEST
    assert len(scores.shares) == 30


@given(st.lists(st.floats(-1e3, 1e3), max_size=20))
def test_shares_are_probabilities_for_any_scores(logits: list[float]) -> None:
    shares = scoring.softmax(logits)
    assert all(0 <= share <= 1 for share in shares)
    assert not logits or sum(shares) == pytest.approx(1)


def test_the_same_lead_gives_the_same_shares() -> None:
    assert scoring.softmax([1.0, 0.0]) == pytest.approx(scoring.softmax([101.0, 100.0]))
