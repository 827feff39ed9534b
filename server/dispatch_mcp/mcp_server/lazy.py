"""What the server loads once it answers: every session pays for the start, and few need the rest at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from dispatch_mcp import errors

if TYPE_CHECKING:
    from dispatch_mcp.service import dispatcher

OpenDispatcher = Callable[[], "AbstractAsyncContextManager[dispatcher.Dispatcher]"]

HEAD_START_S = 0.5
"""So long the first requests of a host, which read lists, have the processor for themselves."""


def tools() -> ModuleType:
    """Returns the module that carries out tool calls."""
    return import_module("dispatch_mcp.mcp_server.tools")


def documents() -> ModuleType:
    """Returns the module of the resources."""
    return import_module("dispatch_mcp.mcp_server.resources")


def prompts() -> ModuleType:
    """Returns the module of the prompts."""
    return import_module("dispatch_mcp.mcp_server.prompts")


def deciding() -> ModuleType:
    """Returns the module of people's decisions."""
    return import_module("dispatch_mcp.service.approvals")


def offers() -> ModuleType:
    """Returns the module of what runs have merged for the checkout."""
    return import_module("dispatch_mcp.git.apply_rules")


def wiring() -> ModuleType:
    """Returns the module that puts a dispatcher together."""
    return import_module("dispatch_mcp.composition")


@dataclass(slots=True)
class Opening:
    """A dispatcher that is opened by the first call that needs it, or a moment after the start."""

    open: OpenDispatcher
    _app: dispatcher.Dispatcher | None = None
    _failure: errors.DispatchError = field(default_factory=errors.StoreError)
    _wanted: anyio.Event = field(default_factory=anyio.Event)
    _settled: anyio.Event = field(default_factory=anyio.Event)
    _over: bool = False

    async def get(self) -> dispatcher.Dispatcher:
        """Returns the dispatcher. Raises DispatchError when it cannot be opened; the next call tries again."""
        if self._app is None:
            settled = self._settled
            self._wanted.set()
            await settled.wait()
        if self._app is None:
            raise self._failure
        return self._app

    async def keep(self) -> None:
        """Opens the dispatcher and keeps it open until `end`."""
        with anyio.move_on_after(HEAD_START_S):
            await self._wanted.wait()
        while not self._over:
            try:
                await anyio.to_thread.run_sync(tools)
                await self._hold()
            except errors.DispatchError as trouble:
                self._failure = trouble
                self._settle()
                await self._wanted.wait()

    async def _hold(self) -> None:
        async with self.open() as app:
            self._app = app
            self._settle()
            try:
                if not self._over:
                    await self._wanted.wait()
            finally:
                self._app = None

    def _settle(self) -> None:
        """Answers those who wait; from now on `_wanted` says that there is something new to do."""
        settled, self._settled, self._wanted = self._settled, anyio.Event(), anyio.Event()
        settled.set()

    def end(self) -> None:
        """Lets `keep` close the dispatcher and return."""
        self._over = True
        self._wanted.set()
