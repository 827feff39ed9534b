"""How plans write their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.text import json_types

ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("usd", "max_usd", "max_dollars", "dollar", "cost", "cost_usd", "max_cost"), "dollars"),
    **dict.fromkeys(("max_cost_usd", "budget_usd", "max_budget_usd", "budget"), "dollars"),
    **dict.fromkeys(("max_tokens", "token", "total_tokens"), "tokens"),
    **dict.fromkeys(("max_minutes", "min", "timeout_minutes", "wall_minutes"), "minutes"),
    **dict.fromkeys(("max_attempts", "tries"), "attempts"),
    **dict.fromkeys(("max_tasks",), "tasks"),
    **dict.fromkeys(("max_fan_out", "fanout", "max_parallel", "parallel"), "fan_out"),
    **dict.fromkeys(("max_depth",), "depth"),
}
"""Other names of ceilings that models write."""


def canonical(raw: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the limits that are set, under their own names.

    Of two names for one ceiling, the lower value counts; one that is no number stays, to be refused by who reads it.
    """
    out: dict[str, model.Json] = {}
    for name, value in json_types.without_left_out(raw).items():
        own = ALIASES.get(name, name)
        values = [out[own], value] if own in out else [value]
        wrong = [value for value in values if not isinstance(value, int | float)]
        out[own] = wrong[0] if wrong else min(values)
    return out
