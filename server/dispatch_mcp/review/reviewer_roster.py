"""Who a reviewer's name means."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.agents import catalog

ROSTER: Final = "reviewers"
"""The bundled roster that the pool comes from."""


def find(known: catalog.Catalog, name: str) -> catalog.Agent | None:
    """Returns the reviewer of that name; a bundled one whatever another layer calls so."""
    if ROSTER in known.rosters and "/" not in name:
        shipped = [agent for agent in known.roster(ROSTER).agents if agent.name == name and agent.layer == "bundled"]
        if shipped:
            return shipped[0]
    return known.find(name)
