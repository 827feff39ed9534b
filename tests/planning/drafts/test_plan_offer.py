"""What is offered for a request that nobody has split yet."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.planning.drafts import patterns, plan_offer

AGENTS = Path(__file__).parents[3] / "agents"
TEAM = loader.load(AGENTS / "orchestration")
LEAD = loader.load(AGENTS / "example-backend-lead")


def test_a_likely_pattern_comes_with_the_words_that_speak_for_it_and_the_parts_that_it_takes() -> None:
    offer = plan_offer.offer("Refactor the middleware chain in both servers", TEAM)
    assert offer.pattern == "parallel-implementation"
    assert set(offer.why) <= {"refactor", "the", "middleware", "chain", "in", "both", "servers"}
    assert list(offer.parts) == ["parallel-implementation"]


@pytest.mark.parametrize("text", ["hmm", "修复登录错误", "…"])
def test_where_no_pattern_is_likely_the_answer_says_so_and_names_all(text: str) -> None:
    offer = plan_offer.offer(text, TEAM)
    assert offer.pattern == "unsure"
    assert list(offer.parts) == [shape.name for shape in patterns.SHAPES]


def test_a_pattern_that_the_caller_chose_is_not_argued_with() -> None:
    offer = plan_offer.offer("Fix the typo", TEAM, pattern="api-first")
    assert (offer.pattern, offer.confidence) == ("api-first", None)
    assert list(offer.parts) == ["api-first"]


def test_the_shortlist_says_in_a_few_words_what_each_is_for() -> None:
    offer = plan_offer.offer("Store failed tickets in MongoDB", LEAD)
    assert "mongodb-agent" in offer.agents
    assert len(offer.agents) <= plan_offer.MAX_AGENTS
    for name, purpose in offer.agents.items():
        agent = LEAD.find(name)
        assert agent is not None
        assert 0 < len(purpose.split()) <= 12
        assert purpose.split()[-1].rstrip("…") in agent.description


def test_a_roster_without_agents_offers_none_and_asks() -> None:
    offer = plan_offer.offer("Fix the login", catalog.EMPTY)
    assert not offer.agents
    assert offer.question


@hypothesis.given(st.text(min_size=1, max_size=300))
def test_every_text_comes_back_verbatim_and_nothing_else_is_made_of_it(text: str) -> None:
    offer = plan_offer.offer(text, TEAM)
    assert offer.request == text
    assert set(offer.parts) <= {shape.name for shape in patterns.SHAPES}
    assert set(offer.agents) <= set(TEAM.names)
