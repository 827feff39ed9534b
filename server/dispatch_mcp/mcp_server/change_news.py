"""News of what changes while clients are there: of resources that they have subscribed to, and of lists.

In the newest version of the protocol news travels on a stream that a client asks for, before that on its connection.
Either way it comes within a moment of the commit, whichever process made it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.lowlevel
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp.types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import lazy
from dispatch_mcp.text import json_types

log = logging.getLogger(__name__)

LISTEN: Final = "subscriptions/listen"

FILES_S: Final = 1.0
"""Seconds between two looks at the user's own files."""

PATIENCE_S: Final = 2.0
"""Seconds that a client of an earlier version has to take a piece of news; who does not read gets no more."""

MOST_SUBSCRIPTIONS: Final = 1_000
"""Resources that one request, or one client of an earlier version, may subscribe to."""

OF_THE_STORE: Final = ("dispatch://runs/", "dispatch://plans/")
"""How the addresses of resources begin that change with commits alone."""

Mark = Callable[[lazy.Opening, str], Awaitable[str]]
"""Returns what tells two states of the resource at an address apart."""

Key = tuple[str, str]
"""A principal, and an address that they have subscribed to."""


class Streams:
    """The streams of the newest version, each with whose it is: what the SDK calls a bus."""

    def __init__(self) -> None:
        self._listeners: dict[object, tuple[str, Callable[[ServerEvent], None]]] = {}

    def __len__(self) -> int:
        """Returns how many are open."""
        return len(self._listeners)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Adds the stream that is being asked for, and returns what takes it out again."""
        token = object()
        self._listeners[token] = (lazy.principal.get(), listener)

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe

    async def publish(self, event: ServerEvent) -> None:
        """Tells everybody."""
        self.tell(event)
        await anyio.lowlevel.checkpoint()

    def tell(self, event: ServerEvent, principal: str | None = None) -> None:
        """Tells the streams of a principal, or all."""
        for owner, listener in list(self._listeners.values()):
            if principal in (None, owner):
                listener(event)


@dataclass(eq=False, slots=True)
class _Client:
    """A client of an earlier version, and what it has subscribed to."""

    session: ServerSession
    principal: str
    uris: set[str] = field(default_factory=set[str])

    async def tell(self, event: ServerEvent) -> bool:
        """Returns whether the client took a piece of news, or it was none for it."""
        with anyio.move_on_after(PATIENCE_S):
            match event:
                case ResourceUpdated(uri):
                    if uri in self.uris:
                        await self.session.send_resource_updated(uri)
                case ResourcesListChanged():
                    await self.session.send_resource_list_changed()
                case PromptsListChanged():
                    await self.session.send_prompt_list_changed()
                case _:
                    pass  # the tools stay as they are
            return True
        return False


class ChangeNews:
    """Who wants to know of changes, and the watch that tells them."""

    def __init__(self, mark: Mark, renew: Callable[[], Awaitable[Iterable[ServerEvent]]]) -> None:
        """`mark` looks at one resource; `renew` reads the user's own files again and returns which lists changed."""
        self.streams = Streams()
        self._mark = mark
        self._renew = renew
        self._clients: dict[Connection, _Client] = {}
        self._subscriptions: Counter[Key] = Counter()
        self._marks: dict[Key, str] = {}
        self._stir = anyio.Event()

    async def attend(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Notes who is there and what they ask for (a middleware)."""
        if ctx.method == LISTEN:
            async with self._subscription(ctx.lifespan_context, _uris(ctx.params)):
                return await call_next(ctx)
        if ctx.method == "notifications/initialized":
            self._client(ctx)
        result = await call_next(ctx)
        return _offering(ctx.method, result)

    async def subscribe(
        self, ctx: ServerRequestContext[lazy.Opening, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        """Subscribes a client of an earlier version to a resource, whether or not it is there yet.

        Raises:
            MCPError: it has subscribed to as many as it may.
        """
        client, uri = self._client(ctx), str(params.uri)
        if uri not in client.uris:
            if len(client.uris) >= MOST_SUBSCRIPTIONS:
                raise _too_many(len(client.uris) + 1)
            await self._add(ctx.lifespan_context, (client.principal, uri))
            client.uris.add(uri)
        return EmptyResult()

    async def unsubscribe(
        self, ctx: ServerRequestContext[lazy.Opening, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Takes a subscription back; there need not be one."""
        client, uri = self._client(ctx), str(params.uri)
        if uri in client.uris:
            client.uris.remove(uri)
            self._remove((client.principal, uri))
        return EmptyResult()

    async def watch(self, opening: lazy.Opening) -> None:
        """Tells of changes until it is cancelled; costs nothing while nobody wants to know."""
        due = 0.0
        while True:
            try:
                stir = self._stir
                if not (self._clients or self.streams):
                    await stir.wait()
                news = await self._news(opening, stir)
                is_due = anyio.current_time() >= due
                if is_due:
                    due = anyio.current_time() + FILES_S
                    for event in await self._renew():
                        await self.tell(event)
                await self._look(opening, whole=is_due)
                with anyio.move_on_after(FILES_S):
                    await news.wait()
            except Exception:
                log.exception("clients could not be told of changes")
                await anyio.sleep(FILES_S)

    async def tell(self, event: ServerEvent, principal: str | None = None) -> None:
        """Tells a principal, or everybody who is there."""
        self.streams.tell(event, principal)
        for connection, client in list(self._clients.items()):
            if principal in (None, client.principal) and not await client.tell(event):
                self._forget(connection)
        await anyio.lowlevel.checkpoint()

    async def _news(self, opening: lazy.Opening, stir: anyio.Event) -> anyio.Event:
        """Returns what is set at the next commit, or when somebody comes if nobody asks for what commits change."""
        if any(uri.startswith(OF_THE_STORE) for _, uri in self._subscriptions):
            try:
                return (await opening.get()).engine.pulse
            except errors.DispatchError:
                log.debug("there is no store to watch", exc_info=True)
        return stir

    async def _look(self, opening: lazy.Opening, *, whole: bool) -> None:
        """Tells of the resources that are others than at the last look: of those of the store, or of all."""
        for key in list(self._marks):
            principal, uri = key
            if whole or uri.startswith(OF_THE_STORE):
                mark = await self._mark_for(opening, key)
                if self._marks.get(key, mark) != mark:
                    self._marks[key] = mark
                    await self.tell(ResourceUpdated(uri), principal)

    async def _mark_for(self, opening: lazy.Opening, key: Key) -> str:
        token = lazy.principal.set(key[0])
        try:
            return await self._mark(opening, key[1])
        except (errors.DispatchError, OSError):
            return ""  # not there, or not to be read now
        finally:
            lazy.principal.reset(token)

    @asynccontextmanager
    async def _subscription(self, opening: lazy.Opening, uris: frozenset[str]) -> AsyncGenerator[None]:
        """Keeps subscriptions of whose request it is for as long as a stream is open."""
        if len(uris) > MOST_SUBSCRIPTIONS:
            raise _too_many(len(uris))
        keys = [(lazy.principal.get(), uri) for uri in uris]
        entries: list[Key] = []
        try:
            for key in keys:
                entries.append(key)
                await self._add(opening, key)
            self._wake()
            yield
        finally:
            for key in entries:
                self._remove(key)

    async def _add(self, opening: lazy.Opening, key: Key) -> None:
        """Returns once every later change of the resource will be told."""
        self._subscriptions[key] += 1
        if key not in self._marks:
            mark = await self._mark_for(opening, key)
            if self._subscriptions[key]:
                self._marks.setdefault(key, mark)
        self._wake()

    def _remove(self, key: Key) -> None:
        self._subscriptions[key] -= 1
        if self._subscriptions[key] <= 0:
            del self._subscriptions[key]
            self._marks.pop(key, None)

    def _client(self, ctx: ServerRequestContext[Any, Any]) -> _Client:
        connection = connection_of(ctx)
        if connection not in self._clients:
            self._clients[connection] = _Client(ctx.session, lazy.principal.get())
            connection.exit_stack.callback(self._forget, connection)
            self._wake()
        return self._clients[connection]

    def _forget(self, connection: Connection) -> None:
        client = self._clients.pop(connection, None)
        for uri in client.uris if client else ():
            self._remove((client.principal, uri) if client else ("", uri))

    def _wake(self) -> None:
        """Lets the watch see who has come."""
        stir, self._stir = self._stir, anyio.Event()
        stir.set()


def connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """Returns the connection on which a request came."""
    # The SDK hands a handler no other thing that lasts as long as the client stays.
    return ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _uris(params: model.Json) -> frozenset[str]:
    """Returns the addresses that a client asks to be told of; what is malformed is the SDK's to refuse."""
    wishes = params.get("notifications") if json_types.is_object(params) else None
    uris = wishes.get("resourceSubscriptions") if json_types.is_object(wishes) else None
    return frozenset(uri for uri in uris if isinstance(uri, str)) if json_types.is_list(uris) else frozenset()


def _too_many(count: int) -> MCPError:
    return MCPError(INVALID_PARAMS, f"{count} resources at once are too many: {MOST_SUBSCRIPTIONS} are the most.")


def _offering(method: str, result: HandlerResult) -> HandlerResult:
    """Returns what the server says of itself, with the changes that it does tell of: tools stay as they are."""
    if method not in ("initialize", "server/discover") or not isinstance(result, dict):
        return result
    capabilities = result.get("capabilities")
    offer = {**capabilities} if json_types.is_object(capabilities) else {}
    for kind, changes in (("tools", False), ("prompts", True), ("resources", True)):
        if kind in offer:
            offer[kind] = {**offer[kind], "listChanged": changes}
    return {**result, "capabilities": offer}
