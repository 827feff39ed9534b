from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import agent_index, confidence, request_reader, scoring

BANDS = confidence.Bands()


@pytest.mark.parametrize(
    ("sure", "strategy"),
    [
        (1.0, "direct"),
        (0.95, "direct"),
        (0.9499, "direct+async-review"),
        (0.70, "direct+async-review"),
        (0.6999, "supervised"),
        (0.40, "supervised"),
        (0.3999, "human"),
        (0.0, "human"),
    ],
)
def test_the_bands_decide_the_strategy(sure: float, strategy: str) -> None:
    assert confidence.strategy(sure, 1.0, BANDS) == strategy
    assert confidence.strategy(1.0, sure, BANDS) == strategy


def test_bands_can_be_set() -> None:
    assert confidence.strategy(0.6, 0.6, confidence.Bands(direct=0.5)) == "direct"


def test_the_weights_are_those_of_the_rule_and_add_up() -> None:
    assert confidence.WEIGHTS == {
        "clarity": 0.30,
        "past_successes": 0.20,
        "complexity_match": 0.25,
        "resources": 0.15,
        "time_pressure": 0.10,
    }
    assert sum(confidence.WEIGHTS.values()) == pytest.approx(1.0)


def test_a_factor_that_nobody_knows_moves_nothing() -> None:
    names: list[confidence.FactorName] = ["clarity", "past_successes", "complexity_match", "resources", "time_pressure"]
    factors = [confidence.factor(name, None, None, "", otherwise=0.8) for name in names]
    assert {factor.source for factor in factors} == {"unknown"}
    assert confidence.readiness(factors) == pytest.approx(0.8)


def test_a_given_factor_beats_a_derived_one() -> None:
    assert confidence.factor("clarity", 0.2, 0.9, "").source == "given"
    assert confidence.factor("clarity", None, 0.9, "because").value == 0.9


@given(st.floats(0, 1), st.floats(0, 1))
def test_confidence_never_exceeds_its_parts(in_scope: float, right: float) -> None:
    sure = confidence.Certainty(in_scope, right)
    assert 0 <= sure.confidence <= min(in_scope, right) + 1e-12
    assert sure.abstains == (sure.confidence < confidence.NOBODY)


AGENTS = catalog.merge(
    catalog.Agent(name=name, description=description, sha256=name, examples=examples)
    for name, description, examples in (
        ("db", "Database tables, SQL queries and migrations", ("Add a column",)),
        ("web", "Pages, forms and CSS of the website", ()),
        ("mail", "Newsletters and delivery of email", ()),
    )
)


def certainty(text: str, agents: catalog.Catalog = AGENTS) -> confidence.Certainty:
    index = agent_index.index_of(agents)
    request = request_reader.read(text, index, agents.words)
    return confidence.certainty(request, scoring.score(request, index), index)


def signals(text: str) -> dict[str, float]:
    index = agent_index.index_of(AGENTS)
    request = request_reader.read(text, index, AGENTS.words)
    return confidence.signals(request, scoring.score(request, index), index)


@given(st.text(max_size=100))
def test_certainty_is_a_pair_of_probabilities_for_any_text(text: str) -> None:
    sure = certainty(text)
    assert 0 < sure.in_scope <= 1
    assert 0 < sure.right <= 1


def test_a_request_that_the_roster_knows_is_surer_than_one_that_nobody_knows() -> None:
    known, foreign = certainty("a migration of the database tables"), certainty("water the ficus in the hall")
    assert known.confidence > foreign.confidence + 0.3
    assert not known.abstains
    assert foreign.abstains


@given(st.text(max_size=100))
def test_what_readers_say_keeps_the_order_that_the_models_give(text: str) -> None:
    values, index = signals("SQL queries of the database"), agent_index.index_of(AGENTS)
    less = signals(text)
    odds: list[float] = []
    sure: list[float] = []
    for each, request in ((values, "SQL queries of the database"), (less, text)):
        odds.append(confidence.log_odds(confidence.SCOPE, each, index.body_share))
        sure.append(certainty(request).in_scope)
    assert (odds[0] >= odds[1]) == (sure[0] >= sure[1])


def test_words_of_two_agents_are_less_sure_than_words_of_one() -> None:
    alone, torn = certainty("SQL queries of the database"), certainty("SQL queries and CSS forms")
    assert alone.right > torn.right


def test_a_request_that_is_an_example_is_as_sure_as_can_be() -> None:
    assert certainty("add a column!") == confidence.Certainty(1.0, confidence.EXACT)


def test_without_agents_nothing_is_sure() -> None:
    nobody = certainty("Add a column", catalog.EMPTY)
    assert (nobody.confidence, nobody.abstains) == (0.0, True)


def test_both_models_look_at_signals_that_there_are() -> None:
    names = signals("a migration of the tables").keys()
    assert confidence.SCOPE.keys() | confidence.RIGHT.keys() <= names


def test_signals_say_who_leads_and_how_much_is_known() -> None:
    clear, foreign = signals("SQL queries of the database"), signals("water the ficus")
    assert clear["lead"] > 0
    assert (clear["known"], foreign["known"]) == (1.0, 0.0)
    assert (clear["empty"], foreign["empty"]) == (0.0, 1.0)
    assert clear["strength"] > foreign["strength"]


@given(st.text(max_size=100))
def test_no_signal_grows_without_bounds(text: str) -> None:
    values = signals(text)
    assert values["lead"] <= confidence.MOST
    assert values["strength"] <= confidence.MOST
    assert abs(values["log odds"]) < 14
    assert 0 <= values["known"] <= 1


@pytest.mark.parametrize(("text", "clearer"), [("SQL queries of the database tables", "SQL"), ("SQL", "SQL forms")])
def test_a_request_is_clearer_with_more_words_and_one_favourite(text: str, clearer: str) -> None:
    index = agent_index.index_of(AGENTS)
    requests = [request_reader.read(each, index, AGENTS.words) for each in (text, clearer)]
    more, less = (confidence.clarity(request, scoring.score(request, index)) for request in requests)
    assert 0 <= less < more <= 1


def test_nothing_is_clear_without_agents() -> None:
    index = agent_index.index_of(catalog.EMPTY)
    request = request_reader.read("Add a column", index, catalog.EMPTY.words)
    assert confidence.clarity(request, scoring.score(request, index)) == 0.0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_certainty_never_gives_a_more_careful_strategy(sure: float, surer: float, ready: float) -> None:
    careful = ("direct", "direct+async-review", "supervised", "human")
    low, high = sorted((sure, surer))
    assert careful.index(confidence.strategy(high, ready, BANDS)) <= careful.index(
        confidence.strategy(low, ready, BANDS)
    )


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_readiness_lies_between_the_factors(values: list[float]) -> None:
    factors = [confidence.factor(name, value, None, "") for name, value in zip(confidence.WEIGHTS, values, strict=True)]
    assert min(values) - 1e-9 <= confidence.readiness(factors) <= max(values) + 1e-9


def test_a_factor_without_a_hint_says_what_it_was_derived_from() -> None:
    derived = confidence.factor("clarity", None, 0.9, "one clear favourite")
    unknown = confidence.factor("resources", None, None, "", otherwise=0.73)
    assert (derived.source, derived.why) == ("derived", "one clear favourite")
    assert (unknown.source, unknown.value) == ("unknown", 0.73)


def test_a_factor_of_zero_is_a_value() -> None:
    assert confidence.factor("clarity", 0.0, 0.9, "").value == 0.0
    assert confidence.factor("clarity", None, 0.0, "").source == "derived"


def test_where_somebody_does_what_no_specialist_claims_a_specialist_is_less_sure() -> None:
    index = agent_index.index_of(AGENTS)
    request = request_reader.read("SQL queries of the database", index, AGENTS.words)
    scores = scoring.score(request, index)
    alone = confidence.certainty(request, scores, index)
    beside = confidence.certainty(request, scores, index, has_general=True)
    assert beside.right < alone.right
    assert beside.in_scope == alone.in_scope
