"""What hosts and providers write about usage: every form is read, and figures that cannot be are refused by name."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import bounds, usage_reader

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    model.Usage, input_tokens=COUNTS, output_tokens=COUNTS, cache_read_tokens=COUNTS, cache_write_tokens=COUNTS
)
NOTIFICATION = "<usage>total_tokens: 37000\ntool_uses: 3\nduration_ms: 12345</usage>"
TAGS = "<usage><subagent_tokens>37000</subagent_tokens><tool_uses>3</tool_uses><duration_ms>12345</duration_ms></usage>"


def usage(**figures: Any) -> model.Usage:
    return model.Usage(**figures)


def per_token(name: str | None, spent: model.Usage) -> float | None:
    """Costs a dollar a token, ten on opus; nobody knows what other models cost."""
    rates = {"sonnet": 1.0, "opus": 10.0}
    return rates[name] * spent.tokens if name in rates else None


def no_price(name: str | None, spent: model.Usage) -> None:
    """Is the price of what nobody prices."""


CASES: list[tuple[str, Any, model.Usage]] = [
    ("the tool's own words", {"input_tokens": 3, "output_tokens": 9}, usage(input_tokens=3, output_tokens=9)),
    (
        "Messages API",
        {
            "input_tokens": 3,
            "output_tokens": 9,
            "cache_read_input_tokens": 90_000,
            "cache_creation_input_tokens": 400,
            "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 2},
            "inference_geo": None,
        },
        usage(input_tokens=3, output_tokens=9, cache_read_tokens=90_000, cache_write_tokens=400),
    ),
    (
        "Messages API without the sum of what was cached",
        {
            "input_tokens": 3,
            "output_tokens": 9,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2},
            "server_tool_use": None,
        },
        usage(input_tokens=3, output_tokens=9, cache_write_tokens=42),
    ),
    (
        "OpenAI chat",
        {
            "prompt_tokens": 1_000,
            "completion_tokens": 50,
            "total_tokens": 1_050,
            "prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        usage(input_tokens=100, output_tokens=50, cache_read_tokens=900),
    ),
    (
        "OpenAI responses",
        {
            "input_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 900},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 1_050,
        },
        usage(input_tokens=100, output_tokens=50, cache_read_tokens=900),
    ),
    (
        "Codex",
        {
            "input_tokens": 1_000,
            "cached_input_tokens": 900,
            "output_tokens": 50,
            "reasoning_output_tokens": 20,
            "total_tokens": 1_050,
        },
        usage(input_tokens=100, output_tokens=50, cache_read_tokens=900),
    ),
    (
        "camelCase",
        {
            "inputTokens": 3,
            "outputTokens": 9,
            "cacheReadInputTokens": 80,
            "cacheWriteInputTokens": 5,
            "totalTokens": 97,
        },
        usage(input_tokens=3, output_tokens=9, cache_read_tokens=80, cache_write_tokens=5),
    ),
    (
        "opencode",
        {"tokens": {"input": 3, "output": 9, "reasoning": 0, "cache": {"read": 80, "write": 5}}, "cost": 0.25},
        usage(input_tokens=3, output_tokens=9, cache_read_tokens=80, cache_write_tokens=5, cost_usd=0.25),
    ),
    ("a subagent's total", {"total_tokens": 37_000}, usage(input_tokens=37_000)),
    (
        "the answer of Claude Code's subagent tool",
        {
            "status": "completed",
            "totalTokens": 102,
            "totalDurationMs": 12_345,
            "totalToolUseCount": 3,
            "usage": {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 90},
        },
        usage(input_tokens=3, output_tokens=9, cache_read_tokens=90, seconds=12.345),
    ),
    ("a task notification", NOTIFICATION, usage(input_tokens=37_000, seconds=12.345)),
    ("a task notification in tags", TAGS, usage(input_tokens=37_000, seconds=12.345)),
    ("a notification within others' text", f"Done.\n{NOTIFICATION}\n", usage(input_tokens=37_000, seconds=12.345)),
    ("a line of text", "total_tokens: 37,000, cost: $0.25", usage(input_tokens=37_000, cost_usd=0.25)),
    ("JSON as text", '{"input_tokens": 3, "output_tokens": "9"}', usage(input_tokens=3, output_tokens=9)),
    (
        "the result of the command line client",
        {
            "type": "result",
            "subtype": "success",
            "duration_ms": 2_000,
            "total_cost_usd": 0.5,
            "usage": {"input_tokens": 1, "output_tokens": 1},
            "modelUsage": {
                "claude-opus-5-5": {
                    "inputTokens": 3,
                    "outputTokens": 9,
                    "cacheReadInputTokens": 80,
                    "cacheCreationInputTokens": 5,
                    "costUSD": 0.4,
                    "contextWindow": 200_000,
                },
                "claude-haiku-5-5": {"inputTokens": 10, "outputTokens": 20, "costUSD": 0.1},
            },
        },
        usage(input_tokens=13, output_tokens=29, cache_read_tokens=80, cache_write_tokens=5, cost_usd=0.5, seconds=2.0),
    ),
    (
        "a map of models alone",
        {"opus": {"inputTokens": 3, "outputTokens": 9}, "haiku": {"inputTokens": 1, "outputTokens": 1}},
        usage(input_tokens=4, output_tokens=10),
    ),
    (
        "a list of requests",
        [{"input_tokens": 3, "cost_usd": 0.25}, {"output_tokens": 9, "cost_usd": 0.5, "duration_ms": 1_000}],
        usage(input_tokens=3, output_tokens=9, cost_usd=0.75, seconds=1.0),
    ),
    ("dollars alone", {"total_cost_usd": 0.25}, usage(cost_usd=0.25)),
    ("nothing", None, usage()),
    ("nothing as text", "", usage()),
    ("nothing in an object", {}, usage()),
    ("null everywhere", {"input_tokens": None, "total_tokens": None, "usage": None, "modelUsage": None}, usage()),
    ("nothing that is known", {"service_tier": "batch", "iterations": [{"a": -1}], "speed": math.inf}, usage()),
]


@pytest.mark.parametrize(("raw", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_form_is_read(raw: Any, expected: model.Usage) -> None:
    assert usage_reader.read(raw).usage.model_dump() == expected.model_dump()


FORMS = {
    "messages": ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    "claude": ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"),
    "ours": ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
}


@given(USAGES, st.sampled_from(sorted(FORMS)))
def test_no_token_is_lost_or_counted_twice_in_any_words(spent: model.Usage, form: str) -> None:
    figures = dict(zip(FORMS[form], list(spent.model_dump().values())[:4], strict=True))
    assert usage_reader.read(figures).usage == spent
    assert usage_reader.read({**figures, "total_tokens": spent.tokens}) == usage_reader.read(figures)


@given(fresh=COUNTS, cached=COUNTS, output=COUNTS)
def test_openais_cached_tokens_are_part_of_its_input(fresh: int, cached: int, output: int) -> None:
    raw = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": output,
        "total_tokens": fresh + cached + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    spent = usage_reader.read(raw)
    assert spent.usage == usage(input_tokens=fresh, cache_read_tokens=cached, output_tokens=output)
    assert all(part.is_split for part in spent.parts)


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_total_counts_in_tokens_and_has_no_price_but_the_one_that_was_named(total: int, output: int) -> None:
    spent = usage_reader.read({"total_tokens": total + output, "output_tokens": output})
    assert spent.usage.tokens == total + output
    assert spent.priced("sonnet", per_token).cost_usd is None
    assert usage_reader.read({"total_tokens": total, "cost": total}).priced("sonnet", per_token).cost_usd == total


def test_each_model_has_its_own_price_and_what_is_unnamed_that_of_the_task() -> None:
    by_model = usage_reader.read({"opus": {"outputTokens": 2}, "sonnet": {"outputTokens": 3}})
    assert by_model.priced("haiku", per_token).cost_usd == 23.0
    assert usage_reader.read({"output_tokens": 3}).priced("opus", per_token).cost_usd == 30.0
    assert usage_reader.read({"output_tokens": 3, "model": "sonnet"}).priced("opus", per_token).cost_usd == 3.0


def test_one_part_without_a_price_leaves_the_whole_without_one() -> None:
    spent = usage_reader.read({"opus": {"outputTokens": 2}, "nobody": {"outputTokens": 3}})
    assert spent.priced("opus", per_token).cost_usd is None
    assert spent.priced("opus", per_token).tokens == 5


def test_dollars_that_were_named_are_not_priced_again() -> None:
    assert usage_reader.read({"output_tokens": 3, "cost_usd": 7}).priced("opus", per_token).cost_usd == 7.0
    requests = [{"output_tokens": 3, "cost_usd": 10}, {"output_tokens": 3}]
    assert usage_reader.read(requests).priced("opus", per_token).cost_usd == 40.0


SPLIT = {"input_tokens": 600, "output_tokens": 400}


def beside_tokens(dollars: float) -> Any:
    return {**SPLIT, "cost_usd": dollars}


def of_a_model(dollars: float) -> Any:
    return {"modelUsage": {"sonnet": {**SPLIT, "costUSD": dollars}}}


def of_the_whole(dollars: float) -> Any:
    return {"modelUsage": {"sonnet": SPLIT}, "total_cost_usd": dollars}


def of_two_requests(dollars: float) -> Any:
    return [{"input_tokens": 600, "cost": dollars}, {"output_tokens": 400, "cost": 0.6}]


SAYINGS = (beside_tokens, of_a_model, of_the_whole, of_two_requests)


@pytest.mark.parametrize("form", SAYINGS)
@given(share=st.floats(0, 0.19))
def test_dollars_far_below_the_list_price_do_not_count_and_are_told_of(form: Any, share: float) -> None:
    spent = usage_reader.read(form(600 * share))
    assert spent.priced("sonnet", per_token).cost_usd == 1_000.0
    assert spent.objection("sonnet", per_token).endswith("its tokens cost $1,000.00 at list price, which counts")


@pytest.mark.parametrize("form", SAYINGS)
@given(dollars=st.floats(200, 5_000))
def test_dollars_that_can_be_count_as_they_were_said(form: Any, dollars: float) -> None:
    spent = usage_reader.read(form(dollars))
    assert spent.priced("nobody", per_token).cost_usd == pytest.approx(spent.priced("sonnet", no_price).cost_usd)
    assert not spent.objection("nobody", per_token)


@pytest.mark.parametrize("name", [None, "sonnet"])
def test_a_sum_of_tokens_for_nothing_has_no_price_and_is_told_of(name: str | None) -> None:
    spent = usage_reader.read({"total_tokens": 900_000_000, "cost_usd": 0})
    prices = {"haiku": 1e-7, "sonnet": 3e-7}

    def price(name: str | None, spent: model.Usage) -> float | None:
        return prices[name] * spent.tokens if name in prices else None

    assert spent.priced(name, price).cost_usd is None
    assert spent.objection(name, price).startswith("it says $0.00 for 900,000,000 tokens, which no model costs")


@pytest.mark.parametrize("raw", [{**SPLIT, "model": "llama", "cost_usd": 0}, {"cost_usd": 0.5}, SPLIT, {}])
def test_nothing_is_said_of_dollars_that_nobody_can_check(raw: Any) -> None:
    assert not usage_reader.read(raw).objection("nobody", per_token)


def test_no_dollars_for_no_tokens_say_nothing() -> None:
    assert usage_reader.read({"cost_usd": 0}).usage.cost_usd is None


IMPOSSIBLE: list[Any] = [
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    2**62,
    2**63,
    10**400,
    1e308,
    True,
    [],
    "many",
    "NaN",
    "-3",
    {"a": -1},
]


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "name",
    [
        "input_tokens",
        "outputTokens",
        "cache_read_input_tokens",
        "cache_creation",
        "total_tokens",
        "cost_usd",
        "duration_ms",
    ],
)
def test_a_figure_that_cannot_be_is_refused_by_its_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(usage_reader.UnreadableUsage) as refused:
        usage_reader.read({"input_tokens": 1, name: value}, "results[2].usage")
    assert str(refused.value).startswith(f"results[2].usage.{name}")
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "total_tokens"])
def test_half_a_token_is_refused(name: str) -> None:
    with pytest.raises(usage_reader.UnreadableUsage, match="a whole number"):
        usage_reader.read({name: 1.5})
    assert usage_reader.read({name: 2.0}).usage.tokens == 2


@pytest.mark.parametrize(
    "raw",
    [
        [{"input_tokens": bounds.MAX_TOKENS}, {"input_tokens": 1}],
        {
            "a": {"costUSD": bounds.MAX_DOLLARS, "inputTokens": 1},
            "b": {"costUSD": bounds.MAX_DOLLARS, "inputTokens": 1},
        },
        [{"duration_s": bounds.MAX_SECONDS}, {"duration_s": 1}],
    ],
)
def test_parts_that_add_up_to_too_much_are_refused(raw: Any) -> None:
    with pytest.raises(usage_reader.UnreadableUsage, match="adds up to more"):
        usage_reader.read(raw)


@pytest.mark.parametrize("raw", [7, True, [3], ["x"], "about 37k tokens", "{", "[1, 2]", "12"])
def test_what_says_no_figure_at_all_is_refused_with_what_it_was(raw: Any) -> None:
    with pytest.raises(usage_reader.UnreadableUsage, match="usage"):
        usage_reader.read(raw)


def test_a_usage_of_ever_more_parts_is_refused() -> None:
    with pytest.raises(usage_reader.UnreadableUsage, match="at most"):
        usage_reader.read([{"input_tokens": 1}] * (usage_reader.MAX_PARTS + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "modelUsage", "input_tokens", "total", "cost", "x", "cache"]), inner
        )
    ),
    max_leaves=12,
)


def read_or_refusal(raw: Any) -> model.Usage | str:
    try:
        return usage_reader.read(raw).usage
    except usage_reader.UnreadableUsage as refusal:
        return str(refusal)


@given(JSON)
def test_any_value_is_a_usage_within_bounds_or_a_refusal_in_words(raw: Any) -> None:
    spent = read_or_refusal(raw)
    if isinstance(spent, str):
        assert "usage" in spent
    else:
        assert 0 <= spent.tokens <= 4 * bounds.MAX_TOKENS
        assert spent.cost_usd is None or 0 <= spent.cost_usd <= bounds.MAX_DOLLARS


def test_long_texts_are_read_in_time_that_grows_with_them_only() -> None:
    for unit in ("<a>", "a: ", "<usage>", "x=1, ", "<a>1</a>", "{"):
        with pytest.raises(usage_reader.UnreadableUsage):
            usage_reader.read(unit * 400_000)
    assert usage_reader.read(json.dumps({"input_tokens": 5, "note": "x" * 10_000})).usage.tokens == 5
