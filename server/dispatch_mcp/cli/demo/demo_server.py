"""A real dispatch-mcp server in its own process, with a real MCP client, that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mcp import Client, StdioServerParameters

from dispatch_mcp import errors, model

_NOT_FOR_A_DEMO = ("DISPATCH_MCP_", "ANTHROPIC_")
"""How variables begin that the demo's server does not get: neither the user's settings nor a key to pay with."""


@dataclass(slots=True)
class DemoServer:
    """One server process. `kill` ends it as a crash would."""

    home: Path
    workspace: Path
    allow: list[list[str]]
    client: Client = field(init=False)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        """Starts the process and connects to it."""
        self.client = Client(self._parameters(), read_timeout_seconds=60)
        await self._stack.enter_async_context(self.client)

    def _parameters(self) -> StdioServerParameters:
        env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_A_DEMO)}
        env |= {
            "DISPATCH_MCP_DEFAULT_WORKER": "host",  # the script of the demo plays the reviewers
            "DISPATCH_MCP_REVIEWS": "none",  # the demo shows a council of its own
            "DISPATCH_MCP_HOME": str(self.home),
            "DISPATCH_MCP_WORKSPACE": str(self.workspace),
            "DISPATCH_MCP_ALLOW_COMMANDS": json.dumps(self.allow),
            "DISPATCH_MCP_LOG_LEVEL": "error",
        }
        return StdioServerParameters(
            command=sys.executable, args=["-m", "dispatch_mcp", "serve"], env=env, cwd=str(self.workspace)
        )

    async def call(self, tool: str, **arguments: model.Json) -> dict[str, model.Json]:
        """Returns the tool's structured answer. Raises DispatchError when the tool refuses."""
        result = await self.client.call_tool(tool, arguments)
        if result.is_error or result.structured_content is None:
            text = " ".join(getattr(block, "text", "") for block in result.content)
            raise errors.DispatchError(f"{tool} refused: {text}")
        return result.structured_content

    async def kill(self) -> int:
        """Kills the server with SIGKILL and returns its process id, which it left in the lock of its store."""
        pid = int((self.home / "write.lock").read_text("ascii"))
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(Exception):
            await self.stop()
        return pid

    async def stop(self) -> None:
        """Disconnects; the server ends by itself."""
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        await stack.aclose()
