from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, transitions
from dispatch_mcp.runs import retry_policy
from dispatch_mcp.workers import provider_errors, usage_meter

COUNTS = st.integers(min_value=0, max_value=10**9)
USAGES = st.builds(
    model.Usage,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cache_read_tokens=COUNTS,
    cache_write_tokens=COUNTS,
    cost_usd=st.one_of(st.none(), st.integers(min_value=0, max_value=1_000).map(float)),
    seconds=st.integers(min_value=0, max_value=1_000).map(float),
)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "bad_request", False),
        (401, "not_logged_in", False),
        (402, "billing", False),
        (403, "no_permission", False),
        (404, "unknown_model", False),
        (408, "timeout", True),
        (409, "conflict", True),
        (413, "too_large", False),
        (418, "bad_request", False),
        (429, transitions.RATE_LIMIT, True),
        (500, "server_error", True),
        (503, "server_error", True),
        (529, transitions.RATE_LIMIT, True),
        (None, "no_connection", True),
    ],
)
def test_a_status_says_what_went_wrong_and_whether_to_try_again(
    status: int | None, kind: str, *, retryable: bool
) -> None:
    trouble = provider_errors.trouble(status)
    assert (trouble.kind, trouble.retryable) == (kind, retryable)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("authentication_error", 401),
        ("rate_limit_error", 429),
        ("overloaded_error", 529),
        ("not_found_error", 404),
        ("api_error", 500),
    ],
)
def test_a_status_that_says_nothing_leaves_the_word_to_the_kind(kind: str, status: int) -> None:
    assert provider_errors.trouble(200, kind) == provider_errors.trouble(None, kind) == provider_errors.trouble(status)
    assert provider_errors.trouble(413, kind) == provider_errors.trouble(413)


def test_an_endless_rate_limit_becomes_a_failure_like_any_other() -> None:
    for status, kind in ((429, "rate_limited"), (529, "overloaded")):
        held = provider_errors.trouble(status, attempt=provider_errors.MAX_HOLDS)
        assert held.kind == transitions.RATE_LIMIT
        assert provider_errors.trouble(status, attempt=provider_errors.MAX_HOLDS + 1).kind == kind


def test_what_the_user_can_do_stands_in_the_error() -> None:
    outcome = provider_errors.failed(provider_errors.trouble(401), "It was refused.")
    assert outcome.state is AttemptState.FAILED
    assert outcome.error.startswith("It was refused. Check ANTHROPIC_API_KEY")
    assert [receipt.ok for receipt in outcome.receipts] == [False]


@pytest.mark.parametrize(
    ("wait", "pause"), [(None, None), (5.0, 5.0), (-3.0, 0.0), (1e9, provider_errors.LONGEST_ASKED_S)]
)
def test_a_pause_that_a_provider_asks_for_has_bounds(wait: float | None, pause: float | None) -> None:
    outcome = provider_errors.failed(provider_errors.trouble(429), "Slow down.", retry_after_s=wait)
    assert outcome.retry_after_s == pause


def test_a_success_is_a_claim_until_receipts_prove_it() -> None:
    outcome = provider_errors.succeeded(
        model.Handoff(completed_work="All of it."), "The answer.", model.Usage(), "opus"
    )
    assert outcome.state is AttemptState.SUCCEEDED
    assert outcome.unverified
    assert (outcome.summary, outcome.output) == ("All of it.", "The answer.")
    assert [(receipt.kind, receipt.ok, receipt.detail) for receipt in outcome.receipts] == [
        ("claim", True, "said by opus")
    ]
    assert provider_errors.succeeded(model.Handoff(), "x " * 5_000, model.Usage(), "opus").summary == "x " * 600


def test_a_deadline_is_no_failure_of_the_work_and_keeps_what_was_used() -> None:
    outcome = provider_errors.timed_out(30.0, model.Usage(input_tokens=5))
    assert outcome.state is AttemptState.TIMED_OUT
    assert outcome.retryable
    assert outcome.usage.input_tokens == 5
    assert "30" in outcome.error


@given(USAGES, USAGES, USAGES)
def test_adding_usages_has_no_order_and_nothing_adds_nothing(
    first: model.Usage, second: model.Usage, third: model.Usage
) -> None:
    total = usage_meter.total
    assert total(first, second) == total(second, first)
    assert total(total(first, second), third) == total(first, total(second, third))
    assert total(first, usage_meter.NOTHING) == first


@given(USAGES, USAGES)
def test_a_sum_with_an_unknown_price_has_none(first: model.Usage, second: model.Usage) -> None:
    price = usage_meter.total(first, second).cost_usd
    assert (price is None) is (first.cost_usd is None or second.cost_usd is None)


@given(USAGES)
def test_a_usage_survives_the_form_of_the_provider(usage: model.Usage) -> None:
    counts = usage.model_copy(update={"cost_usd": None, "seconds": 0.0})
    assert usage_meter.usage_of(usage_meter.to_raw(usage)) == counts


@pytest.mark.parametrize(
    "raw", [None, [], "12", 3, {"input_tokens": "12"}, {"output_tokens": -4}, {"input_tokens": True}]
)
def test_what_is_no_usage_counts_nothing(raw: model.Json) -> None:
    assert usage_meter.usage_of(raw) == model.Usage()


def test_only_finite_numbers_that_are_not_negative_are_numbers() -> None:
    assert [usage_meter.number(value) for value in (0, 1.5, -1, math.inf, math.nan, True, "1", None)] == [
        *(0.0, 1.5),
        *[None] * 6,
    ]
    assert [usage_meter.count(value) for value in (3, 3.9, None)] == [3, 3, 0]
    assert [usage_meter.text(value) for value in ("a", 1, None)] == ["a", "", ""]


def test_the_how_to_names_the_figures_by_which_a_limit_is_waited_for() -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "run-unattended.md").read_text("utf-8")
    [row] = [line for line in text.splitlines() if line.startswith("| 429, 529")]
    policy = retry_policy.RetryPolicy()
    longest_s = min(provider_errors.LONGEST_ASKED_S, policy.longest_hold_s)
    assert f"at most {longest_s / 3_600:g} h at a time" in row
    assert f"else {policy.hold_base_s:g} s, doubling up to {policy.hold_cap_s / 60:g} min" in row
    assert f"the attempt after the {provider_errors.MAX_HOLDS}th of a task" in row
