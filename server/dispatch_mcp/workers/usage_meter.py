"""Usage as providers write it, added up."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from dispatch_mcp import model
from dispatch_mcp.model import bounds
from dispatch_mcp.text import json_types

NOTHING = model.Usage(cost_usd=0.0)
"""What an attempt has used before its first request."""


def total(first: model.Usage, second: model.Usage) -> model.Usage:
    """Returns the sum of two usages; its price is unknown when one of them is."""
    costs = (first.cost_usd, second.cost_usd)
    figures: dict[str, float | None] = {
        "input_tokens": first.input_tokens + second.input_tokens,
        "output_tokens": first.output_tokens + second.output_tokens,
        "cache_read_tokens": first.cache_read_tokens + second.cache_read_tokens,
        "cache_write_tokens": first.cache_write_tokens + second.cache_write_tokens,
        "cost_usd": None if costs[0] is None or costs[1] is None else costs[0] + costs[1],
        "seconds": first.seconds + second.seconds,
    }
    return model.Usage.within_bounds(figures)


def usage_of(raw: model.Json) -> model.Usage:
    """Returns a usage as the Messages API writes it."""
    counts = raw if json_types.is_object(raw) else dict[str, model.Json]()
    return model.Usage(
        input_tokens=count(counts.get("input_tokens")),
        output_tokens=count(counts.get("output_tokens")),
        cache_read_tokens=count(counts.get("cache_read_input_tokens")),
        cache_write_tokens=count(counts.get("cache_creation_input_tokens")),
    )


def letters(event: Mapping[str, model.Json]) -> int:
    """Returns how many letters of an answer an event of a stream brings."""
    delta = event.get("delta")
    if event.get("type") != "content_block_delta" or not json_types.is_object(delta):
        return 0
    return sum(len(text(delta.get(key))) for key in ("text", "thinking", "partial_json"))


def tokens_of(count_of_letters: int) -> int:
    """Returns about the tokens of an answer whose provider has not counted it: one for four letters."""
    return -(-count_of_letters // 4)


def to_raw(usage: model.Usage) -> dict[str, model.Json]:
    """Returns a usage as `usage_of` reads it."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }


def kept(usage: model.Usage) -> dict[str, model.Json]:
    """Returns a usage as heartbeats keep it."""
    return usage.model_dump(mode="json", exclude_defaults=True)


def number(value: model.Json) -> float | None:
    """Returns a finite number that is not negative, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= sys.float_info.max else None


def dollars(value: model.Json) -> float | None:
    """Returns an amount of dollars, at most what an attempt can have cost; None for what is none."""
    amount = number(value)
    return None if amount is None else min(amount, bounds.MAX_DOLLARS)


def count(value: model.Json) -> int:
    """Returns a whole number of tokens; 0 for what is none, and at most what an attempt can have used."""
    return int(min(number(value) or 0, bounds.MAX_TOKENS))


def text(value: model.Json) -> str:
    """Returns a string, empty for anything else."""
    return value if isinstance(value, str) else ""
