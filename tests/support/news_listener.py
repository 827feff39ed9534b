"""A client that hears of changes, in either era of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import memory_client
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.types import (
    PromptListChangedNotification,
    ResourceListChangedNotification,
    ResourceUpdatedNotification,
    ToolListChangedNotification,
)

WORDS: dict[type, str] = {
    ResourceListChangedNotification: "resources",
    PromptListChangedNotification: "prompts",
    ToolListChangedNotification: "tools",
}


@dataclass
class Listener:
    """A client, and what it has heard: addresses of resources, and names of lists."""

    desk: memory_client.Desk
    news: MemoryObjectReceiveStream[str]

    async def next(self) -> str:
        with anyio.fail_after(120):
            return await self.news.receive()

    def is_quiet(self) -> bool:
        """Returns whether nothing is waiting to be heard."""
        return self.news.statistics().current_buffer_used == 0


@asynccontextmanager
async def listening(
    server: MCPServer[Any] | Any, era: str, uris: Sequence[str], **more: Any
) -> AsyncGenerator[Listener]:
    """Yields a client that has subscribed to these resources, and to all lists; `server` may be a transport."""
    send, news = anyio.create_memory_object_stream[str](1_000)

    async def hear(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await send.send(str(message.params.uri))
        elif type(message) in WORDS:
            await send.send(WORDS[type(message)])

    async with (
        send,
        news,
        Client(server, mode=era, cache=None, message_handler=hear, **more) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        if era == "legacy":
            for uri in uris:
                await subscribe(client, uri)
        else:
            lists = {f"{name}_list_changed": True for name in WORDS.values()}
            await stack.enter_async_context(client.listen(resource_subscriptions=uris, **lists))
        yield Listener(memory_client.Desk(client), news)


async def subscribe(client: Client, uri: str) -> None:
    """Subscribes in the way of the earlier era."""
    await client.session.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]


async def unsubscribe(client: Client, uri: str) -> None:
    """Takes a subscription of the earlier era back."""
    await client.session.unsubscribe_resource(uri)  # pyright: ignore[reportDeprecated]
