"""The MCP server at an address of this machine: both eras of the protocol, health, and who we are for A2A."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http import h11_impl

from dispatch_mcp import errors, model
from dispatch_mcp.text import redaction
from dispatch_mcp.web import dashboard, http_guard, http_messages

PATH: Final = "/mcp"
HOST, PORT = "127.0.0.1", 8765

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of one request: a wave of forty reports with their handoffs is a few hundred thousand."""

MAX_READ: Final = 3 * MAX_BODY
"""Bytes of one request once each byte that is no UTF-8 has been replaced by the three of U+FFFD."""

READY_S: Final = 2.0
"""Seconds within which the state has to open for the server to call itself ready."""

STOP_S: Final = 5
"""Seconds that answers under way have when the server is stopped."""

IDLE_S: Final = 75
"""Seconds for which a connection is kept that nobody uses: longer than clients do, or a request meets its end."""

HEAD_S: Final = 20.0
"""Seconds that a client has from the first byte of a request to the end of its head, or of a body that nobody reads:
who sends slower than that holds a connection, and everybody may who needs no token for it."""

BACKLOG: Final = 100
"""Connections that wait to be taken."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")

_HOST = re.compile(r"(\[[0-9a-fA-F:]++\]|[\w.-]++)(?::\d{1,5})?", re.ASCII)

MOST_PORT: Final = 65_535
_HOW_TO_WRITE: Final = "Write HOST:PORT, such as 127.0.0.1:8765, or only one of them."

# The guard is stricter than the SDK: `127.0.0.1:1.evil.example` is none of our names.
_CHECKED_BEFORE = TransportSecuritySettings(enable_dns_rebinding_protection=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and the names by which clients may reach it; port 0 is any free one."""

    host: str = HOST
    port: int = PORT
    names: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str, names: Sequence[str] = ()) -> Address:
        """Returns the address that HOST:PORT, HOST or PORT says.

        Raises:
            InputError: it is no address, or other machines can reach it and no name is given that they may use.
        """
        host, port = _parts(text)
        if not (port.isascii() and port.isdecimal() and _is_host(host)):
            raise errors.InputError(f"{text!r} is no address.", hint=_HOW_TO_WRITE)
        if len(port) > len(str(MOST_PORT)) or int(port) > MOST_PORT:
            raise errors.InputError(f"{text!r} is no address: ports end at {MOST_PORT}.", hint=_HOW_TO_WRITE)
        if not _is_loopback(host) and not names:
            raise errors.InputError(
                f"{host!r} is not this machine alone: it can be reached from other machines.",
                hint="For this machine alone write a port, such as 8765. For others, name the host that they call with "
                "--allow-host, and put a proxy with TLS in front.",
            )
        return Address(host, int(port), tuple(name.lower() for name in names))

    def is_host(self, value: str) -> bool:
        """Returns whether a client may name this host: one of ours at any port, or one that was allowed."""
        match = _HOST.fullmatch(value)
        return bool(match) and match[1].lower() in self._hosts

    def is_origin(self, value: str) -> bool:
        """Returns whether pages from there may send requests: this machine's own, and those of allowed names by TLS."""
        scheme, _, host = value.partition("://")
        match = _HOST.fullmatch(host)
        name = match[1].lower() if match else ""
        return (scheme == "http" and _is_loopback(name) and name in self._hosts) or (
            scheme == "https" and name in self.names
        )

    @property
    def _hosts(self) -> frozenset[str]:
        return frozenset((*(LOOPBACK if _is_loopback(self.host) else ()), *self.names))

    def listen(self) -> socket.socket:
        """Returns the socket. Raises ConfigError when the address is taken or not this machine's."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # With its protocol by name asyncio sends small parts at once; else each answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            # From here on clients wait instead of being turned away, while the rest of the server starts.
            listener.listen(BACKLOG)
        except OSError as trouble:
            listener.close()
            raise errors.ConfigError(
                f"Nothing can listen on {self.host!r}, port {self.port}: {trouble.strerror}.",
                hint="Name another port, or end the program that has this one."
                if trouble.errno == errno.EADDRINUSE
                else "Name an address of this machine.",
            ) from None
        return listener


def _parts(text: str) -> tuple[str, str]:
    """Returns host and port as they are written, the usual ones for what is left out."""
    if text.isascii() and text.isdecimal():
        return HOST, text
    if "[" not in text and text.count(":") > 1:  # IPv6, which needs brackets only beside a port
        return text, str(PORT)
    has_port = ":" in text.rpartition("]")[2]
    host, _, port = text.rpartition(":") if has_port else (text, "", str(PORT))
    is_bracketed = host.startswith("[") and host.endswith("]")
    return (host[1:-1] if is_bracketed else host or HOST), port


def _is_host(host: str) -> bool:
    """Returns whether this can be a host: what is made of numbers or colons has to be an IP address."""
    if ":" not in host and not set(host) <= set("0123456789."):
        return _HOST.fullmatch(host) is not None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def application(
    server: MCPServer[Any],
    address: Address,
    *,
    owner: Callable[[str], str],
    is_ready: Callable[[], Awaitable[object]],
    card: dict[str, model.Json],
    pictures: dashboard.Pictures | None = None,
    redactor: redaction.Redactor = redaction.Redactor(),
) -> ASGIApp:
    """Returns what answers HTTP requests.

    `owner` returns whose token a token is; `is_ready` ends when the state is open, and raises when it cannot be;
    `card` is what A2A clients read of the server, and `pictures` shows runs to people, if they are to see any here.
    `redactor` reads the errors of the protocol that are answered.
    """
    # Of the SDK's application only what it serves with: the application itself answers its faults by a status alone.
    server.streamable_http_app(transport_security=_CHECKED_BEFORE, max_request_body_size=MAX_READ)

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        with anyio.move_on_after(READY_S):
            try:
                await is_ready()
            except errors.DispatchError:
                return JSONResponse({"status": "the state cannot be opened"}, 503)
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "the state is not open yet"}, 503)

    async def agent_card(_request: Request) -> Response:
        return JSONResponse(card)

    def lifespan(_app: Starlette) -> AbstractAsyncContextManager[None]:
        return server.session_manager.run()

    routes = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/.well-known/agent-card.json", agent_card),
        *(dashboard.routes(pictures, redactor.redact) if pictures else ()),
        Route(PATH, http_messages.Messages(server.session_manager.handle_request, MAX_BODY, redactor)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={Exception: _fault})
    return http_guard.Guard(app, owner, address)


async def _fault(_request: Request, _fault: Exception) -> Response:
    """Returns what is said of a fault of ours on the pages; uvicorn logs it."""
    return JSONResponse({"error": http_messages.FAULT}, 500)


class _Config(uvicorn.Config):
    """How requests are served; `head_s` are the seconds that their heads may take."""

    head_s: float = HEAD_S


class _Connection(h11_impl.H11Protocol):
    """A connection that is closed when what it begins to send does not become a request in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Waits for the rest of a request whose first bytes came before the answer to the one before."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        super().connection_lost(exc)
        self._rest()

    def _watch(self) -> None:
        """Lets the time run while no request is being answered; more bytes do not prolong it."""
        if self.cycle and not self.cycle.response_complete:
            self._rest()
        elif self._deadline is None and not self.transport.is_closing():
            seconds = self.config.head_s if isinstance(self.config, _Config) else HEAD_S
            self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server that leaves signals alone: uvicorn's own sends itself each one again when everything has ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handles none."""
        yield


def nothing() -> None:
    """Does nothing."""


async def serve(app: ASGIApp, listener: socket.socket, at_stop: Callable[[], None] = nothing) -> None:
    """Serves until a signal comes; answers under way have STOP_S seconds then, and none after a second signal.

    `at_stop` is called when it comes, to let go of who waits for news.
    """
    server = _Server(config(app))
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, server, at_stop)
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


def config(app: ASGIApp) -> _Config:
    """Returns how requests are served."""
    # No access log: what a client asks for is its own affair, and nobody reads one on a laptop.
    return _Config(
        app,
        http=_Connection,  # by h11: the other parser, which uvicorn takes where it is there, bounds no headers
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
        lifespan="on",
    )


async def _stop_on_signal(server: uvicorn.Server, at_stop: Callable[[], None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            server.force_exit = server.should_exit
            server.should_exit = True
            at_stop()
