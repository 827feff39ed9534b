"""Pattern choice on labelled requests; the kept half had no part in choosing cues or weights."""

from __future__ import annotations

import collections
import json
import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.planning.drafts import classifier, classifier_weights, cue_features, patterns

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "pattern_requests.jsonl").read_text("utf-8").splitlines()
]
KEPT = [row for row in ROWS if row["half"] == "kept"]


def right(rows: list[dict[str, str]]) -> float:
    return sum(classifier.choose(row["text"]).pattern == row["pattern"] for row in rows) / len(rows)


def test_requests_are_labelled_with_the_six_patterns_and_half_of_the_first_ones_is_kept() -> None:
    kept = collections.Counter(row["pattern"] for row in KEPT)
    assert set(kept) == {pattern.name for pattern in patterns.PATTERNS}
    assert min(kept.values()) >= 19
    assert not {row["text"] for row in KEPT} & {row["text"] for row in ROWS if row["half"] == "tuned"}


def test_nine_of_ten_kept_requests_get_their_pattern() -> None:
    assert right(KEPT) >= 0.90  # measured: 0.93


@pytest.mark.parametrize("name", classifier_weights.PATTERNS)
def test_no_pattern_is_chosen_at_the_cost_of_another(name: str) -> None:
    assert right([row for row in KEPT if row["pattern"] == name]) >= 0.80


def test_kept_requests_in_vietnamese_get_their_pattern() -> None:
    assert right([row for row in KEPT if row["lang"] == "vi"]) >= 0.85


def test_sure_choices_are_right_more_often_than_unsure_ones() -> None:
    chosen = [(classifier.choose(row["text"]), row["pattern"]) for row in KEPT]
    sure = [choice.pattern == label for choice, label in chosen if choice.confidence >= 0.8]
    unsure = [choice.pattern == label for choice, label in chosen if choice.confidence < 0.6]
    assert sum(sure) / len(sure) >= 0.95
    assert sum(unsure) / len(unsure) < 0.85


def test_every_cue_has_a_weight_for_every_pattern() -> None:
    assert set(classifier_weights.WEIGHTS) == set(cue_features.CUES)
    assert {len(row) for row in classifier_weights.WEIGHTS.values()} == {6}
    assert tuple(pattern.name for pattern in patterns.PATTERNS) == classifier_weights.PATTERNS


def test_reasons_quote_the_words_that_decided() -> None:
    chosen = classifier.choose("Rename the field in all five services")
    assert chosen.pattern == "parallel-implementation"
    assert any("five services" in reason for reason in chosen.why)


@pytest.mark.parametrize("nothing", ["", "   ", "…", "42", "asdf qwer"])
def test_a_text_that_says_nothing_is_left_to_a_person(nothing: str) -> None:
    assert classifier.choose(nothing).confidence < 0.75


@hypothesis.given(st.text(max_size=400))
def test_every_text_gets_shares_that_add_up(text: str) -> None:
    chosen = classifier.choose(text)
    assert chosen.pattern == chosen.ranked[0][0]
    assert sum(share for _, share in chosen.ranked) == pytest.approx(1, abs=0.01)
    assert classifier.choose(text) == chosen


@pytest.mark.parametrize(
    "piece", ["a ", "a, ", "a and ", "in the a and the b as well as ", "add x, ", "đ ", "each a b c "]
)
def test_no_text_is_read_for_long(piece: str) -> None:
    started = time.process_time()
    classifier.choose(piece * 20_000)
    assert time.process_time() - started < 2.0  # processor time against runaway patterns, not a bench
