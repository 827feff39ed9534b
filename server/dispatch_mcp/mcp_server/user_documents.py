"""Prompts and resources as the user's own files have them now: added when somebody asks, again when they change."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import PromptsListChanged, ResourcesListChanged, ServerEvent

from dispatch_mcp.mcp_server import lazy

ASKED_FOR: Final = ("prompts/", "resources/")
"""How the methods begin that need prompts or resources; many sessions never send one."""


FILES: Final = ("dispatch://templates/", "dispatch://knowledge/", "dispatch://patterns/")
"""How the addresses of resources begin that are written down."""


class UserDocuments:
    """What of a server's prompts and resources comes from files."""

    def __init__(
        self,
        loaders: lazy.Loaders,
        current: Callable[[], lazy.Opening],
        home: Path | None,
        server: Callable[[], lazy.Registry],
    ) -> None:
        """`home` holds the user's own files; `server` returns what they are added to."""
        self._loaders = loaders
        self._current = current
        self._home = home
        self._server = server
        self._stamp: Hashable | None = None
        self._prompts: frozenset[str] = frozenset()
        self._resources: frozenset[str] = frozenset()

    async def attend(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Adds what a request for prompts or resources needs, as it is now (a middleware).

        Reading some fifty files takes as long as the rest of our start, so that it waits for the first of them.
        """
        if ctx.method.startswith(ASKED_FOR):
            await self._bring_up_to_date()
        return await call_next(ctx)

    async def renew(self) -> list[ServerEvent]:
        """Returns which lists are others than before; none before anybody has asked for one."""
        return [] if self._stamp is None else await self._bring_up_to_date()

    async def _bring_up_to_date(self) -> list[ServerEvent]:
        """Adds what is not there yet, or everything again if files have changed; returns which lists are others."""
        documents = self._loaders.documents()
        stamp = await anyio.to_thread.run_sync(documents.stamp, self._home)
        if stamp == self._stamp:
            return []
        registry = self._server()
        before = await _lists(registry)
        is_first, self._stamp = self._stamp is None, stamp
        registry.remove_resources(self._resources)
        for name in self._prompts:
            registry.remove_prompt(name)
        foreign = await _names(registry)
        if is_first:
            documents.register(registry, self._current, self._home)
        else:
            documents.register_files(registry, self._home)
        self._loaders.prompts().register(registry, self._home)
        prompts, resources = await _names(registry)
        self._prompts = prompts - foreign[0]
        self._resources = frozenset(uri for uri in resources - foreign[1] if uri.startswith(FILES))
        changes: tuple[ServerEvent, ...] = (PromptsListChanged(), ResourcesListChanged())
        after = await _lists(registry)
        return [change for change, old, new in zip(changes, before, after, strict=True) if old != new]


async def _lists(registry: lazy.Registry) -> tuple[list[Any], list[Any]]:
    return await registry.list_prompts(), await registry.list_resources()


async def _names(registry: lazy.Registry) -> tuple[frozenset[str], frozenset[str]]:
    prompts, resources = await _lists(registry)
    return frozenset(prompt.name for prompt in prompts), frozenset(str(resource.uri) for resource in resources)
