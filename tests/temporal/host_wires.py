"""Hosts over a connection in memory: the activity of a host is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from temporalio import service, testing

from dispatch_mcp.temporal import agent_host, papers


class Handle:
    """The workflow of one order, whose host is this process."""

    def __init__(self, work: asyncio.Task[papers.CarriedPaper], environment: testing.ActivityEnvironment) -> None:
        self.work = work
        self.environment = environment

    async def result(self) -> papers.CarriedPaper:
        return await asyncio.shield(self.work)

    async def cancel(self) -> None:
        self.environment.cancel()

    async def describe(self, **_: object) -> object:
        raise service.RPCError("not now", service.RPCStatusCode.UNAVAILABLE, b"")


class Wire:
    """A connection that hands each order to a host at once, or says that the host fell silent, or fails itself."""

    def __init__(
        self, host: agent_host.AgentHost, *, silent: str | None = None, trouble: Exception | None = None
    ) -> None:
        self.host = host
        self.trouble = trouble
        self.silent = silent
        self.sent: list[tuple[papers.CarryPaper, Mapping[str, Any]]] = []
        self.handles: dict[str, Handle] = {}

    async def start_workflow(self, name: str, paper: papers.CarryPaper, **options: Any) -> Handle:
        assert name == papers.CARRY_WORKFLOW
        self.sent.append((paper, options))
        environment = testing.ActivityEnvironment()
        handle = Handle(asyncio.create_task(self._carry(environment, paper)), environment)
        return self.handles.setdefault(options["id"], handle)

    async def _carry(self, environment: testing.ActivityEnvironment, paper: papers.CarryPaper) -> papers.CarriedPaper:
        if self.trouble is not None:
            raise self.trouble
        if self.silent is not None:
            return papers.CarriedPaper(beat=self.silent, is_lost=True)
        return await environment.run(self.host.carry_out, paper)

    def get_workflow_handle(self, workflow_id: str) -> Handle:
        if workflow_id not in self.handles:
            raise service.RPCError("no such workflow", service.RPCStatusCode.NOT_FOUND, b"")
        return self.handles[workflow_id]
