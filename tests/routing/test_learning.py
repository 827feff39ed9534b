from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog
from dispatch_mcp.routing import learning, router

PAIR = (("db", "Database tables and SQL queries"), ("web", "Pages, forms and CSS of the website"))
THINGS = ("ledger", "voucher", "parcel", "quota", "badge", "roster", "waiver", "escrow")
ASKED = ("tidy the {}", "what about my {}", "is the {} still open", "close {} number 7", "show every {} of May")


def small() -> catalog.Catalog:
    return catalog.merge(
        catalog.Agent(name=name, description=description, roster="r", sha256=name) for name, description in PAIR
    )


def recurring(count: int, seed: int = 1) -> tuple[learning.PastRoutes, ...]:
    """Requests whose words no agent knows; half of the things belong to each agent."""
    rng = random.Random(seed)
    made: list[learning.PastRoutes] = []
    for number in range(count):
        at = rng.randrange(len(THINGS))
        text = f"{rng.choice(ASKED).format(THINGS[at])} ({number})"
        made.append(learning.PastRoutes(text, PAIR[at % 2][0]))
    return tuple(made)


def share(route: router.Route, name: str) -> float:
    return next(candidate.share for candidate in route.ranked if candidate.name == name)


@pytest.mark.parametrize("again", ["Tidy the ledger, please!", "please tidy the ledger", "Please, the ledger: tidy it"])
def test_a_request_goes_where_it_went_well_before(again: str) -> None:
    history = learning.History((learning.PastRoutes("Tidy the ledger, please", "web"),))
    assert router.route(again, small(), history=history).ranked[0].name == "web"
    history = learning.History((learning.PastRoutes("Tidy the ledger, please", "db"),))
    assert router.route(again, small(), history=history).ranked[0].name == "db"


def test_a_correction_outweighs_an_earlier_success() -> None:
    text = "Tidy the ledger"
    past = (
        learning.PastRoutes(text, "db"),
        learning.PastRoutes(text, "db", good=False),
        learning.PastRoutes(text, "web"),
    )
    assert router.route(text, small(), history=learning.History(past)).ranked[0].name == "web"


def test_an_outcome_of_half_the_weight_moves_half_as_much() -> None:
    learner = learning.Learner(2)
    learner.remember(learning.PastRoutes("Tidy the ledger", "db", weight=0.5), 0)
    assert learner.repetition("tidy the ledger", "") == {0: learning.SAME / 2}


def test_similar_requests_are_heard_once_learning_from_them_has_proved_better() -> None:
    known = small()
    asked = "what about the escrow of my uncle"
    silent = router.route(asked, known)
    for count, heard in ((learning.LEAST - 1, False), (80, True)):
        route = router.route(asked, known, history=learning.History(recurring(count)))
        assert (abs(share(route, "web") - share(silent, "web")) > 0.1) == heard
    assert route.ranked[0].name == "web"


def test_what_was_learned_from_noise_is_never_heard() -> None:
    rng = random.Random(3)
    past = tuple(
        learning.PastRoutes(" ".join(rng.sample(THINGS, 4)) + f" {number}", rng.choice(PAIR)[0])
        for number in range(150)
    )
    history, known = learning.History(past), small()
    for thing in THINGS:
        text = f"{thing} of the SQL table"
        assert router.route(text, known, history=history).ranked[0].name == "db"


def test_a_history_that_grows_teaches_what_the_whole_teaches() -> None:
    past, known = recurring(60), small()
    grown = learning.History()
    for case in past:
        grown = grown.after(case)
        router.route("warm up", known, history=grown)
    asked = "close voucher number 9"
    assert router.route(asked, known, history=grown) == router.route(asked, known, history=learning.History(past))


def test_a_history_keeps_the_newest_outcomes() -> None:
    grown = learning.History(recurring(10)).after(*recurring(3, seed=2), limit=12)
    assert grown.past == (*recurring(10)[-3:], *recurring(3, seed=2))


def test_outcomes_of_agents_that_are_gone_change_nothing() -> None:
    past = tuple(learning.PastRoutes(case.text, "gone") for case in recurring(40))
    asked = "tidy the ledger (0)"
    assert router.route(asked, small(), history=learning.History(past)) == router.route(asked, small())


def test_similar_successes_are_shown_as_evidence_and_as_a_factor() -> None:
    past = [learning.PastRoutes(f"Tidy the ledger of {month}", "web") for month in ("May", "June", "July")]
    past.append(learning.PastRoutes("Tidy the ledger of March", "web", good=False))
    history = learning.History((*past, learning.PastRoutes("Tidy the ledger", "web")))
    route = router.route("Tidy the ledger", small(), history=history)
    assert route.ranked[0].name == "web"
    [piece] = [piece for piece in route.evidence if piece.field == "history"]
    assert (piece.quote.lower() in ("ledger", "tidy"), piece.matched) == (True, "4 of 5 similar tasks went well")
    [factor] = [factor for factor in route.factors if factor.name == "past_successes"]
    assert (factor.source, factor.why) == ("derived", "4 of 5 similar tasks went well")


def test_one_success_never_lowers_how_ready_a_route_is() -> None:
    for sure in (0.2, 0.9, 0.97):
        rate, _ = learning.success(learning.Similar(1, 0, "ledger"), sure)
        assert rate is not None
        assert rate >= sure


@given(text=st.text(max_size=200), good=st.booleans())
def test_any_text_routes_with_any_history_and_quotes_itself(*, text: str, good: bool) -> None:
    history = learning.History((*recurring(25), learning.PastRoutes(text, "web", good=good)))
    route = router.route(text, small(), history=history)
    assert route == router.route(text, small(), history=learning.History(history.past))
    assert all(piece.quote in text for piece in route.evidence)
    assert abs(sum(candidate.share for candidate in route.ranked) - 1) < 1e-3


def test_words_that_mislead_are_counted() -> None:
    past = [learning.PastRoutes(f"Fix the budget page {number}", "db", good=False) for number in range(3)]
    past += [learning.PastRoutes(f"Fix the slow query {number}", "db") for number in range(3)]
    past.append(learning.PastRoutes("Draw the budget page", "web"))
    found = {word.word: (word.agent, word.wrong, word.right) for word in learning.misleading(past)}
    assert found["budget"] == found["page"] == ("db", 3, 0)
    assert not {"fix", "query", "slow"} & found.keys()
    assert learning.misleading([]) == []


def test_one_history_serves_several_catalogues_and_forgets_the_oldest() -> None:
    history = learning.History((learning.PastRoutes("Tidy the ledger", "web"),))
    for number in range(learning.MAX_LEARNERS + 3):
        agents = catalog.merge([*small().agents, catalog.Agent(name=f"n{number}", sha256=str(number))])
        assert router.route("Tidy the ledger", agents, history=history).ranked[0].name == "web"
    assert len(history.learners) == learning.MAX_LEARNERS


def test_what_was_learned_goes_over_to_the_longer_history() -> None:
    history = learning.History((learning.PastRoutes("Tidy the ledger", "web"),))
    router.route("x", small(), history=history)
    longer = history.after(learning.PastRoutes("Close the voucher", "db"))
    assert (len(history.learners), len(longer.learners)) == (0, 1)
    router.route("x", small(), history=longer)
    [learner] = longer.learners.values()
    assert (learner.position, learner.count) == (2, 2)


def test_old_outcomes_count_as_repetitions_only() -> None:
    learner = learning.Learner(2)
    past = [learning.PastRoutes(f"Tidy ledger {number}", "db") for number in range(learning.MAX_TRAINED + 2)]
    learning.learn(learner, past, lambda _: 0, lambda _: [0.0, 0.0])
    assert learner.count == learning.MAX_TRAINED
    assert learner.repetition("tidy ledger 0", "") == {0: learning.SAME}


def test_repetitions_are_bounded_however_often_they_come() -> None:
    learner = learning.Learner(2)
    for _ in range(50):
        learner.remember(learning.PastRoutes("Tidy the ledger", "db"), 0)
        learner.remember(learning.PastRoutes("Tidy the ledger", "web", good=False), 1)
    assert learner.repetition("tidy the ledger", "") == {0: learning.SAME, 1: -learning.SAME}
    assert learner.repetition("something else", "ledg tidi") == {0: learning.NEAR, 1: -learning.NEAR}
    assert learner.repetition("something else", "") == {}


@given(st.lists(st.sampled_from(THINGS), min_size=1, max_size=12))
def test_vectors_have_the_length_one(words: list[str]) -> None:
    vector = learning.Learner(2).vector(learning.words(" ".join(words)))
    assert sum(value * value for value in vector.values()) == pytest.approx(1)


def test_words_count_more_than_pairs_and_small_words() -> None:
    counts = learning.words("tidy the ledger")
    assert counts == {
        "tidi": 1.0,
        "the": learning.STOPPED,
        "ledg": 1.0,
        "tidi the": learning.PAIR,
        "the ledg": learning.PAIR,
    }


@given(st.lists(st.tuples(st.sampled_from(THINGS), st.booleans()), max_size=30), st.sampled_from(THINGS))
def test_the_quick_change_equals_the_proposal_but_for_faint_words(cases: list[tuple[str, bool]], thing: str) -> None:
    learner = learning.Learner(2)
    for number, (word, good) in enumerate(cases):
        learner.take(learning.PastRoutes(f"tidy {word} {number}", "db", good=good), number % 2, [0.0, 0.0])
    vector = learner.vector(learning.words(f"tidy {thing}"))
    faint = sum(abs(value) for value in vector.values()) * learning.FAINT
    assert learner.change(vector) == pytest.approx(learner.proposal(vector), abs=faint + 1e-9)
    assert learner.change(vector) == learner.change(vector)


def test_a_lesson_is_a_past_case_with_its_outcome() -> None:
    outcomes = {"accepted": True, "rerouted": True, "failed": False, "corrected": False}
    for outcome, good in outcomes.items():
        lesson = learning.Lesson("Tidy the ledger", "db", outcome, 0.5)  # pyright: ignore[reportArgumentType] - the keys are all there are
        assert lesson.past == learning.PastRoutes("Tidy the ledger", "db", good=good, weight=0.5)


def test_without_similar_tasks_the_share_of_successes_is_unknown() -> None:
    assert learning.success(None, 0.7) == (None, "")


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1))
def test_the_share_of_successes_lies_between_what_was_seen_and_what_is_expected(
    good: int, bad: int, sure: float
) -> None:
    rate, summary = learning.success(learning.Similar(good, bad, ""), sure)
    observed = good / (good + bad) if good + bad else sure
    assert rate is not None
    assert min(observed, sure) - 1e-4 <= rate <= max(observed, sure) + 1e-4
    assert str(good) in summary


@pytest.mark.parametrize(
    ("good", "bad", "summary"),
    [
        (1, 0, "1 similar task went well"),
        (3, 0, "3 similar tasks went well"),
        (0, 1, "0 of 1 similar task went well"),
        (4, 1, "4 of 5 similar tasks went well"),
    ],
)
def test_similar_tasks_are_counted_in_words(good: int, bad: int, summary: str) -> None:
    assert learning.Similar(good, bad, "").summary == summary


def test_similar_failures_are_no_evidence_for_an_agent() -> None:
    past = tuple(learning.PastRoutes(f"Tidy the ledger of {month}", "web", good=False) for month in ("May", "June"))
    route = router.route("Tidy the ledger", small(), history=learning.History(past))
    assert not [piece for piece in route.evidence if piece.field == "history"]


def test_words_mislead_only_when_they_did_so_often_enough() -> None:
    past = [learning.PastRoutes("Fix the budget page", "db", good=False), learning.PastRoutes("Tidy the ledger", "db")]
    assert learning.misleading(past) == []
    assert {word.word for word in learning.misleading(past, least=1)} == {"fix", "budget", "page"}
    balanced = [learning.PastRoutes("Fix the budget", "db", good=good) for good in (True, False) * 4]
    assert learning.misleading(balanced) == []


def test_the_content_of_a_request_has_no_small_words_and_no_order() -> None:
    assert learning.content("Tidy the ledger") == learning.content("the ledger: tidied!") == {"tidi", "ledg"}
