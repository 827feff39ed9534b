"""Waiting until something holds in a store that an engine changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from dispatch_mcp.engine.driving import run_engine

Seen = TypeVar("Seen")

PATIENCE_S = 120
"""A machine under load may take this long; a change that never comes still fails the test."""


async def until(engine: run_engine.RunEngine, look: Callable[[], Awaitable[Seen]]) -> Seen:
    """Returns what `look` returns first that is true; the pulse is taken before each look, so that none is missed."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            pulse = engine.pulse
            if seen := await look():
                return seen
            await pulse.wait()
