"""A host of its own, whose worker leaves a session and is never done: python beating_host.py ADDRESS HOME."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, ports, work_order
from dispatch_mcp.store import blobs
from dispatch_mcp.temporal import agent_host, connection


class Sleeping:
    """A worker that says which session it is in, and goes on for ever."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat(**{ports.SESSION: f"session-of-{work.task.id}"})
        await asyncio.Event().wait()
        raise AssertionError


async def main(address: str, home: Path) -> None:
    server = await connection.connected({"TEMPORAL_ADDRESS": address})
    host = agent_host.AgentHost({WorkerKind.CLAUDE: Sleeping()}, blobs.FileBlobs(home))
    async with agent_host.serving(server, host, agent_host.HostPlan("agents", 4)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
