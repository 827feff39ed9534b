"""What a usage costs, by the price list that `genai-prices` brings along; never asks the network.

The list takes a good part of a second to import, so that is done when the first price is asked for.
"""

from __future__ import annotations

from functools import lru_cache

from dispatch_mcp import model
from dispatch_mcp.model import model_names


def dollars(name: str | None, usage: model.Usage) -> float | None:
    """Returns the list price of a usage in dollars, None for a model that nobody named or priced.

    `name` is a short name or a full one. The price of an attempt is that of one request with its sums: for models
    that charge more for long prompts it is an upper bound.
    """
    full = model_names.bare(name)
    if not full:
        return None
    return _dollars(
        full,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    )


@lru_cache(maxsize=1024)
def _dollars(name: str, fresh: int, output: int, cache_read: int, cache_write: int) -> float | None:
    import genai_prices  # noqa: PLC0415  # half a second, and most starts need no price

    usage = genai_prices.Usage(
        input_tokens=fresh + cache_read + cache_write,
        output_tokens=output,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )
    try:
        return float(genai_prices.calc_price(usage, name, provider_id="anthropic").total_price)
    except (LookupError, ValueError):
        return None
