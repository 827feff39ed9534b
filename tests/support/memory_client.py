"""A server in memory over a real store, a real client beside it, and a small real repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer
from mcp.types import ResourceTemplateReference

from dispatch_mcp import composition, configuration
from dispatch_mcp.mcp_server import lazy, prompts, resources, server, tools
from dispatch_mcp.model import records

ALLOWED = (("git", "log", "**"), ("git", "ls-files"), ("python", "-c", "*"))
ERAS = ("auto", "legacy")


def repository(folder: Path) -> Path:
    """Makes a repository with one commit of two files."""
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("def total(items):\n    return sum(items)\n", encoding="utf-8")
    (folder / "README.md").write_text("# A shop\n", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Begin the shop"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def settings(home: Path, workspace: Path) -> configuration.Settings:
    return configuration.load({}, flags={"home": home, "workspace": workspace}, cwd=workspace).settings.model_copy(
        update={"allow_commands": ALLOWED, "review_policy": "off", "handle_wait_s": 20.0}
    )


def make_server(chosen: configuration.Settings, principal: str = records.LOCAL) -> MCPServer[Any]:
    return server.make_server(loaders(lambda: composition.open_dispatcher(chosen, principal=principal)))


def make_server_for_many(chosen: configuration.Settings, companions: Sequence[server.Companion] = ()) -> MCPServer[Any]:
    """Returns a server over one store that answers each principal as one of its own."""
    return server.make_server(
        lazy.Loaders(
            lambda name: composition.open_dispatcher(chosen, principal=name),
            lambda: tools,
            lambda: resources,
            lambda: prompts,
        ),
        companions=companions,
    )


def loaders(open_dispatcher: Callable[[], AbstractAsyncContextManager[Any]]) -> lazy.Loaders:
    """Returns the server's real parts, loaded already, over any dispatcher."""
    return lazy.Loaders(lambda _principal: open_dispatcher(), lambda: tools, lambda: resources, lambda: prompts)


class Refused(Exception):
    """A tool refused the call; the text is what the model reads."""


@dataclass
class Desk:
    """A client's view of the server."""

    client: Client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Returns the structured answer. Raises Refused."""
        result = await self.client.call_tool(tool, arguments)
        text = " ".join(getattr(block, "text", "") for block in result.content)
        if result.is_error:
            raise Refused(text)
        assert result.structured_content is not None
        assert json.loads(text) == result.structured_content
        return result.structured_content

    async def read(self, uri: str) -> str:
        [content] = (await self.client.read_resource(uri)).contents
        return getattr(content, "text", "")

    async def known(self, handle: str) -> list[str]:
        """Returns the plans or runs that the server completes a handle to, at most a hundred."""
        uri = {"run_id": "dispatch://runs/{run_id}", "plan_id": "dispatch://plans/{plan_id}"}[handle]
        ref = ResourceTemplateReference(type="ref/resource", uri=uri)
        return (await self.client.complete(ref, {"name": handle, "value": ""})).completion.values

    async def planned(self, *tasks: dict[str, Any], **more: Any) -> str:
        return (await self.call("plan_dag", tasks=list(tasks), **more))["plan_id"]

    async def finished(self, run_id: str) -> dict[str, Any]:
        """Waits for the end of a run and returns its summary."""
        while True:
            trace = await self.call("get_trace", run_id=run_id, wait_s=5)
            if trace["state"] not in ("running", "waiting_input", "paused"):
                return trace


@asynccontextmanager
async def desk(server: MCPServer[Any], era: str = "auto", **more: Any) -> AsyncGenerator[Desk]:
    async with Client(server, mode=era, cache=None, **more) as client:
        yield Desk(client)


def codes(wrong: MCPError) -> int:
    """Returns the JSON-RPC code of an error."""
    return wrong.error.code
