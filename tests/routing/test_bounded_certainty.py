from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.routing import confidence

SHARES = st.floats(0.0, 1.0)
COUNTS = st.integers(0, 5)


@pytest.mark.parametrize(
    ("matches", "rivals", "is_work", "most"),
    [
        (2, 0, True, 1.0),
        (2, 0, False, 1.0),
        (1, 0, True, confidence.ONE_WORD),
        (1, 0, False, confidence.CHANCE),
        (2, 1, True, confidence.TIED),
        (1, 1, True, confidence.TIED),
        (1, 1, False, confidence.CHANCE),
    ],
)
def test_few_words_and_equals_bound_what_the_models_say(
    matches: int, rivals: int, most: float, *, is_work: bool
) -> None:
    sure = confidence.bounded(confidence.Certainty(1.0, 1.0), matches, rivals, is_work=is_work)
    assert sure.confidence == pytest.approx(most)
    assert sure.abstains is (most < confidence.NOBODY)


def test_several_words_count_as_sure_only_once_the_models_are() -> None:
    unproven, proven = (confidence.Certainty(1.0, right) for right in (confidence.PROVEN - 0.01, confidence.PROVEN))
    assert confidence.bounded(unproven, 3, 0, is_work=True).confidence == pytest.approx(confidence.ONE_WORD)
    assert confidence.bounded(proven, 3, 0, is_work=True).confidence > proven.confidence


@given(SHARES, SHARES, COUNTS, COUNTS, st.booleans())
def test_a_bound_never_makes_a_route_surer_than_strangers_requests_say(
    in_scope: float, right: float, matches: int, rivals: int, work: object
) -> None:
    sure = confidence.Certainty(in_scope, right)
    bounded = confidence.bounded(sure, matches, rivals, is_work=bool(work))
    free = confidence.bounded(sure, 5, 0, is_work=True)
    assert bounded.in_scope == in_scope
    assert 0.0 <= bounded.right <= 1.0
    assert bounded.confidence <= max(free.confidence, confidence.ONE_WORD)


@given(SHARES, SHARES)
def test_who_is_surer_before_is_no_less_sure_after(one: float, other: float) -> None:
    low, high = sorted((one, other))
    first, second = (confidence.bounded(confidence.Certainty(1.0, right), 3, 0, is_work=True) for right in (low, high))
    assert first.confidence <= second.confidence + 1e-9
