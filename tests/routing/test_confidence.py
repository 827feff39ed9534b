from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.routing import confidence, model_choice

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
    assert sure.abstains == (1 - in_scope > sure.confidence)


@pytest.mark.parametrize(
    "name", ["opus", "sonnet", "haiku", "inherit", "claude-opus-4-5", "claude-sonnet-4-5@20250929"]
)
def test_models_that_exist_are_accepted(name: str) -> None:
    assert model_choice.check(name) == name


@pytest.mark.parametrize("name", ["gpt-9", "claude", "claude-", "opus; rm", "OPUS", "", "claude-x\n"])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(errors.InputError, match="no model"):
        model_choice.check(name)


@pytest.mark.parametrize(
    ("text", "size", "strategy", "name"),
    [
        ("Implement the billing engine", model.Effort.L, "direct+async-review", "opus"),
        ("Investigate the memory growth", model.Effort.M, "supervised", "sonnet"),
        ("Review the auth module", model.Effort.M, "direct", "sonnet"),
        ("Which cache should we use?", model.Effort.S, "supervised", "haiku"),
        ("Add a column", model.Effort.S, "direct", "haiku"),
        ("Add a column", model.Effort.S, "supervised", "sonnet"),
    ],
)
def test_models_follow_the_tables_of_the_rules(
    text: str, size: model.Effort, strategy: confidence.Strategy, name: str
) -> None:
    assert model_choice.choose(text, size, strategy)[0] == name


def test_wide_requests_are_larger_than_narrow_ones() -> None:
    sizes = list(model.Effort)
    small = model_choice.effort("Fix a small typo in a label", 1)
    large = model_choice.effort("Rewrite the entire platform from scratch", 4)
    assert sizes.index(small) < sizes.index(large)
