"""Beats while something long is under way, so that everybody sees that the attempt lives."""

from __future__ import annotations

import anyio

from dispatch_mcp.model import ports

EVERY_S = 10.0


async def go_on(ctx: ports.TaskContext, every_s: float = EVERY_S) -> None:
    """Beats every `every_s` seconds until cancelled."""
    while True:
        await anyio.sleep(every_s)
        ctx.beat()
